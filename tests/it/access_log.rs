//! The gateway writes one access record for each request when its body ends, and never logs a signature.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, Once};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tracing::field::{Field, Visit};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Context, SubscriberExt};
use webhook_assets::AssetRef;

use crate::support::access_log;
use crate::support::http2::{self, Http2};
use crate::support::slow_client::SlowClient;
use crate::support::stores::{Fault, Generated};
use crate::support::waiting::until;
use crate::support::{ABSENT, CALL, DAY, Plan, Site, recording};

// --- capturing --------------------------------------------------------------------------------------------------------

/// An event or a record with all its fields, as text.
#[derive(Debug, Clone, Default)]
struct Line {
    fields: BTreeMap<String, String>,
}

impl Line {
    fn field(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", String::as_str)
    }

    /// A record as it was written.
    fn of_record(line: &str) -> Self {
        let fields = access_log::fields(line).into_iter();
        let text = |value: serde_json::Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        Self { fields: fields.map(|(name, value)| (name, text(value))).collect() }
    }
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.fields.insert(field.name().to_owned(), format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.fields.insert(field.name().to_owned(), value.to_owned());
    }

    /// The error with its causes, as the program's log lines show them.
    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        let causes = std::iter::successors(Some(value), |error: &&dyn Error| (*error).source());
        let text = causes.map(|error| format!("{error} {error:?}")).collect::<Vec<_>>().join("; ");
        self.fields.insert(field.name().to_owned(), text);
    }
}

/// Every event of every test of this program.
static LINES: Mutex<Vec<Line>> = Mutex::new(Vec::new());

struct Capture;

impl<S: tracing::Subscriber> Layer<S> for Capture {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let mut line = Line::default();
        event.record(&mut line);
        LINES.lock().unwrap().push(line);
    }
}

/// Starts capturing: everything that the program logs, and what it lets through of the libraries (they would write
/// whole targets at lower levels).
fn capture() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let filter =
            Targets::new().with_default(LevelFilter::WARN).with_target("webhook_assets", LevelFilter::TRACE);
        let subscriber = tracing_subscriber::registry().with(filter).with(Capture);
        tracing::subscriber::set_global_default(subscriber).unwrap();
    });
}

/// A unique client name for one test; the test finds the client's records by it.
fn new_client() -> String {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    capture();
    format!("client-{}", COUNT.fetch_add(1, Ordering::SeqCst))
}

fn records_of(client: &str) -> Vec<Line> {
    let lines = access_log::with(client);
    let lines = lines.iter().map(|line| Line::of_record(line));
    lines.filter(|line| line.field("user_agent") == client).collect()
}

/// Waits for `count` records of a client, and fails if there are more.
async fn wait_for_records(client: &str, count: usize) -> Vec<Line> {
    let written = async || (records_of(client).len() >= count).then_some(());
    until(written, || format!("{} records, not {count}", records_of(client).len())).await;
    tokio::time::sleep(Duration::from_millis(30)).await;
    let found = records_of(client);
    assert_eq!(found.len(), count, "{found:#?}");
    found
}

/// The one record of a client.
async fn record(client: &str) -> Line {
    wait_for_records(client, 1).await.remove(0)
}

fn fields_of<'l>(line: &'l Line, names: &[&str]) -> Vec<&'l str> {
    names.iter().map(|name| line.field(name)).collect()
}

/// Header fields of a request.
type Fields<'f> = &'f [(&'f str, &'f str)];

// --- one record, at the end -------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_whole_download_is_recorded_once_with_all_bytes_sent() {
    let (site, client) = (Site::usual().await, new_client());
    site.get(&site.recording(), &[("User-Agent", &client)]).await;
    let line = record(&client).await;
    let wanted = [
        ("method", "GET"),
        ("status", "200"),
        ("outcome", "ok"),
        ("asset", "recording"),
        ("id", "550e8400-e29b-41d4-a716-446655440000"),
        ("key_id", "k1"),
        ("sent", "300000"),
        ("length", "300000"),
        ("ending", "complete"),
        ("version", "HTTP/1.1"),
    ];
    for (name, value) in wanted {
        assert_eq!(line.field(name), value, "{name}");
    }
    assert!(line.field("peer").starts_with("127.0.0.1:"));
    assert!(line.field("target").ends_with("&sig=[redacted]"), "{line:?}");
    assert!(line.fields.contains_key("head_ms") && line.fields.contains_key("took_ms"));
}

#[tokio::test]
async fn nothing_is_recorded_before_the_body_ends() {
    let client = new_client();
    let site = Plan::on(Generated::of(12_000_000)).start().await;
    let mut slow = SlowClient::get(site.address, &site.recording(), &[("User-Agent", &client)]).await;
    slow.read_the_head().await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(records_of(&client).is_empty());
    slow.read_to_the_end().await;
    let line = record(&client).await;
    assert_eq!(fields_of(&line, &["sent", "ending"]), ["12000000", "complete"]);
    let took: u64 = line.field("took_ms").parse().unwrap();
    let head: u64 = line.field("head_ms").parse().unwrap();
    assert!(took >= 300 && head < took, "{line:?}");
}

#[tokio::test]
async fn a_client_that_disconnects_is_recorded_with_the_bytes_sent() {
    let client = new_client();
    let site = Plan::on(Generated::of(50_000_000)).start().await;
    let mut slow = SlowClient::get(site.address, &site.recording(), &[("User-Agent", &client)]).await;
    slow.read_the_head().await;
    drop(slow);
    let line = record(&client).await;
    assert_eq!(fields_of(&line, &["status", "ending", "length"]), ["200", "client_left", "50000000"]);
    let sent: u64 = line.field("sent").parse().unwrap();
    assert!(sent > 0 && sent < 50_000_000, "{sent}");
}

#[tokio::test]
async fn a_store_that_breaks_off_is_recorded_with_the_bytes_sent() {
    let (site, store) = Site::on_faulty_store().await;
    for (fault, sent) in [
        (Fault::BreaksAfter(100_000), "100000"),
        (Fault::EndsAfter(299_999), "299999"),
        (Fault::StallsAfter(16_384), "16384"),
    ] {
        let client = new_client();
        store.set_fault(fault);
        let head =
            crate::support::client::request_head("GET", &site.recording(), &[("User-Agent", &client)], b"");
        site.client().exchange(head.as_bytes()).await;
        let line = record(&client).await;
        assert_eq!(
            fields_of(&line, &["status", "ending", "sent"]),
            ["200", "store_failed", sent],
            "{fault:?}"
        );
    }
}

#[tokio::test]
async fn every_kind_of_answer_is_recorded_once() {
    let (site, store) = Site::on_faulty_store().await;
    let good = site.recording();
    let etag = site.get(&good, &[]).await.must("etag").to_owned();
    let expired = site.link_for(AssetRef::recording(CALL), Duration::from_secs(1));
    site.clock.advance(Duration::from_secs(1));
    let absent = site.link(AssetRef::recording(ABSENT));
    let bad = good.clone() + "0";
    let cases: [(&str, &str, Fields<'_>, &str, &str); 14] = [
        ("HEAD", &good, &[], "200", "ok"),
        ("GET", &good, &[("Range", "bytes=0-9")], "206", "ok"),
        ("GET", &good, &[("Range", "bytes=0-9,20-29")], "206", "ok"),
        ("GET", &good, &[("Range", "bytes=300000-")], "416", "unsatisfiable"),
        ("GET", &good, &[("If-None-Match", &etag)], "304", "not_modified"),
        ("GET", &good, &[("If-Match", "\"x\"")], "412", "precondition_failed"),
        ("GET", &absent, &[], "404", "not_found"),
        ("GET", &expired, &[], "403", "expired"),
        ("GET", &bad, &[], "403", "malformed_sig"),
        ("HEAD", &bad, &[], "403", "malformed_sig"),
        ("GET", "/nowhere", &[], "404", "no_such_route"),
        ("POST", &good, &[], "405", "method_not_allowed"),
        ("OPTIONS", &good, &[], "204", "options"),
        ("GET", "/webhook-assets/recording/x", &[], "403", "missing_expires"),
    ];
    for (method, target, fields, status, outcome) in cases {
        let client = new_client();
        let fields = [fields, &[("User-Agent", client.as_str())]].concat();
        let answer = site.client().request(method, target, &fields, b"").await;
        let line = record(&client).await;
        let sent = answer.body.len().to_string();
        assert_eq!(
            fields_of(&line, &["method", "status", "outcome", "ending", "sent"]),
            [method, status, outcome, "complete", &sent],
            "{target}"
        );
    }
    let failures = [
        (Fault::Fails, "503", "store_unavailable"),
        (Fault::Refuses, "502", "store_refused"),
        (Fault::Hangs, "503", "store_timed_out"),
        (Fault::EndsAfter(0), "502", "store_broken"),
    ];
    for (fault, status, outcome) in failures {
        let client = new_client();
        store.set_fault(fault);
        site.get(&good, &[("User-Agent", &client)]).await;
        let line = record(&client).await;
        assert_eq!(fields_of(&line, &["status", "outcome", "ending"]), [status, outcome, "complete"]);
    }
}

#[tokio::test]
async fn a_compressed_transcript_is_recorded_with_its_bytes_on_the_wire() {
    let (site, client) = (Site::usual().await, new_client());
    let fields = [("Accept-Encoding", "gzip"), ("User-Agent", client.as_str())];
    let answer = site.get(&site.transcript(), &fields).await;
    let line = record(&client).await;
    let sent = answer.body.len().to_string();
    assert_eq!(fields_of(&line, &["sent", "length", "ending"]), [&sent, &sent, "complete"]);
}

#[tokio::test]
async fn a_transcript_of_unknown_length_is_recorded_as_complete() {
    let client = new_client();
    let site = Plan::on(Generated::of(1_200_000)).start().await;
    let fields = [("Accept-Encoding", "zstd"), ("User-Agent", client.as_str())];
    let answer = site.get(&site.transcript(), &fields).await;
    let line = record(&client).await;
    let sent = answer.body.len().to_string();
    assert_eq!(fields_of(&line, &["sent", "length", "ending"]), [&sent, "", "complete"]);
}

#[tokio::test]
async fn three_requests_on_a_connection_are_three_records() {
    let (site, client) = (Site::usual().await, new_client());
    let request =
        |target: &str| format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: {client}\r\n");
    let targets = [site.recording(), site.recording() + "0", site.transcript()];
    let mut stream = site.client().connect().await;
    let [first, second, third] = targets.each_ref().map(|target| request(target));
    let all = format!("{first}\r\n{second}\r\n{third}Connection: close\r\n\r\n");
    stream.write_all(all.as_bytes()).await.unwrap();
    stream.read_to_end(&mut Vec::new()).await.unwrap();
    let statuses: Vec<String> =
        wait_for_records(&client, 3).await.iter().map(|line| line.field("status").to_owned()).collect();
    assert_eq!(statuses, ["200", "403", "200"]);
}

#[tokio::test]
async fn each_stream_of_http_2_is_a_record() {
    let client = new_client();
    let site = Plan::on(Generated::of(3_000_000)).start().await;
    let mut connection = Http2::connect(site.address).await;
    let whole = connection.get(&site.recording(), &[("user-agent", &client)]).await;
    assert_eq!(http2::read(whole.into_body()).await.0.len(), 3_000_000);
    let line = record(&client).await;
    assert_eq!(fields_of(&line, &["version", "ending", "sent"]), ["HTTP/2.0", "complete", "3000000"]);

    // The client resets one stream halfway; the connection stays open.
    let client = new_client();
    let given_up = connection.get(&site.recording(), &[("user-agent", &client)]).await;
    drop(given_up);
    let line = record(&client).await;
    assert_eq!(line.field("ending"), "client_left");

    let client = new_client();
    let answer = connection.get(&(site.recording() + "0"), &[("user-agent", &client)]).await;
    http2::read(answer.into_body()).await;
    assert_eq!(fields_of(&record(&client).await, &["status", "ending"]), ["403", "complete"]);
}

/// A request that the server refuses before the gateway sees it is recorded too: operators look for it in the same
/// place.
#[tokio::test]
async fn a_request_that_the_server_refuses_is_recorded() {
    let site = Site::usual().await;
    let long = format!("{}&{}", site.recording(), "x".repeat(10_000));
    let large = "y".repeat(40_000);
    let cases: [(&str, Fields<'_>, u16); 3] =
        [(&long, &[], 414), ("/", &[("X-Large", &large)], 431), ("/", &[("Host", "a b")], 400)];
    for (target, fields, status) in cases {
        let client = new_client();
        let fields = [fields, &[("User-Agent", client.as_str())]].concat();
        assert_eq!(site.get(target, &fields).await.status, status);
        assert_eq!(record(&client).await.field("status"), status.to_string());
    }
}

#[tokio::test]
async fn a_long_or_strange_user_agent_is_shortened() {
    let (site, client) = (Site::usual().await, new_client());
    let long = format!("{client}{}", "z".repeat(5_000));
    site.get(&site.recording(), &[("User-Agent", &long)]).await;
    record(&long[..120]).await;
}

/// A client must not be able to forge another client's record in a file of lines.
#[tokio::test]
async fn a_client_cannot_forge_a_log_line() {
    let (site, client) = (Site::usual().await, new_client());
    let agent = format!("{client}\",\"status\":\"666\",\"x\":\"\\\t\u{9b}31m\u{202e}\u{2028}");
    site.get(&(site.recording() + "&x=},{"), &[("User-Agent", &agent)]).await;
    let written = async || Some(access_log::with(&format!("{client}\\\""))).filter(|lines| !lines.is_empty());
    let lines = until(written, || "no record".to_owned()).await;
    let [line] = &lines[..] else { panic!("{lines:?}") };
    assert!(line.is_ascii() && !line.contains(char::is_control), "{line:?}");
    let line = Line::of_record(line);
    assert_eq!(fields_of(&line, &["user_agent", "status", "x"]), [&agent, "200", ""]);
    assert!(line.field("target").ends_with("&x=},{"), "{line:?}");
}

// --- no signature -----------------------------------------------------------------------------------------------------

/// No captured line has a run of 16 digits of `sig`, whole or in any field, in either case.
fn nowhere_logged(sig: &str) {
    let records = access_log::all();
    let events = LINES.lock().unwrap().clone();
    let windows: Vec<&str> = (0..=sig.len() - 16).map(|at| &sig[at..at + 16]).collect();
    for line in events.iter().chain(&records.iter().map(|line| Line::of_record(line)).collect::<Vec<_>>()) {
        for (name, value) in &line.fields {
            let value = value.to_lowercase();
            let found = windows.iter().find(|window| value.contains(**window));
            assert_eq!(found, None, "in {name} of {line:?}");
        }
    }
}

/// The signature of a link that no other test mints.
fn own_link(site: &Site, number: u128) -> (String, String) {
    let link = site.link(AssetRef::recording(uuid::Uuid::from_u128(0xabcd_0000 + number)));
    let sig = link.rsplit_once('=').unwrap().1.to_owned();
    (link, sig)
}

#[tokio::test]
async fn no_signature_is_ever_logged_whatever_the_link_looks_like() {
    let client = new_client();
    let (site, store) = Site::on_faulty_store().await;
    let (link, sig) = own_link(&site, 1);
    let upper = sig.to_uppercase();
    let spoiled = [
        link.clone(),
        link.clone() + "0",
        link.clone() + "%20",
        link[..link.len() - 1].to_owned(),
        link.replace(&sig, &upper),
        link.replace("sig=", "SIG="),
        link.replace("sig=", "signature="),
        link.replace("sig=", ""),
        link.replace("&sig=", "&amp;sig="),
        link.replace("&sig=", ";sig="),
        link.replace("&sig=", "%26sig%3D"),
        link.replace('?', "%3F"),
        link.replace('?', "/"),
        link.replace('?', "&"),
        link.replace("/recording/", "/nowhere/"),
        format!("/{sig}"),
        format!("/webhook-assets/recording/{sig}"),
        format!("/?{sig}"),
        format!("{link}&sig={sig}"),
        format!("{link}&utm_content={sig}"),
        format!("{link}&{}", "x".repeat(10_000)),
        format!("/{}{link}", "x/".repeat(300)),
    ];
    let fields = [("User-Agent", client.as_str())];
    for target in &spoiled {
        for method in ["GET", "HEAD", "POST", "OPTIONS"] {
            site.client().request(method, target, &fields, b"").await;
        }
    }
    for bytes in [
        format!("GET {link}\u{1} HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        format!("GET {link} HTTP/9.9\r\nHost: localhost\r\n\r\n"),
        format!("GET {link} HTTP/1.1\r\n\r\n"),
        format!("GET http://user@localhost{link} HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        format!("CONNECT {link} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"),
        format!("{link}\r\n\r\n"),
    ] {
        site.client().exchange(bytes.as_bytes()).await;
    }
    for fault in [Fault::Fails, Fault::Refuses, Fault::BreaksAfter(10), Fault::EndsAfter(10)] {
        store.set_fault(fault);
        site.client().request("GET", &link, &fields, b"").await;
    }
    site.clock.advance(DAY);
    site.get(&link, &fields).await;
    assert!(!records_of(&client).is_empty(), "nothing was captured");
    nowhere_logged(&sig);
}

#[tokio::test]
async fn no_signature_is_logged_over_http_2_or_when_a_body_breaks_off() {
    let client = new_client();
    let (site, store) = Site::on_faulty_store().await;
    let link = site.link_for(AssetRef::recording(CALL), Duration::from_secs(12_345));
    let sig = link.rsplit_once('=').unwrap().1.to_owned();
    let fields = [("user-agent", client.as_str())];
    for fault in [Fault::None, Fault::StallsAfter(100_000), Fault::BreaksAfter(100_000), Fault::Refuses] {
        store.set_fault(fault);
        let mut connection = Http2::connect(site.address).await;
        for target in [link.clone(), link.clone() + "0", link.replace("sig=", "Sig=")] {
            if let Ok(answer) = connection.try_get(&target, &fields).await {
                http2::read(answer.into_body()).await;
            }
        }
    }
    assert!(recording().len() > 100_000 && !records_of(&client).is_empty());
    nowhere_logged(&sig);
}

#[tokio::test]
async fn no_signature_and_no_token_is_logged_when_links_are_minted() {
    capture();
    let token = "a-token-of-the-admin-listener";
    let site = Plan { admin_token: Some(token), ..Plan::usual().await }.start().await;
    let wish = format!("{{\"kind\":\"recording\",\"id\":\"{ABSENT}\",\"expires_in\":54321}}");
    let bearer = format!("Bearer {token}");
    let fields = [("Content-Type", "application/json"), ("Authorization", bearer.as_str())];
    let answer = site.admin().request("POST", "/v1/links", &fields, wish.as_bytes()).await;
    let url = answer.json()["url"].as_str().unwrap().to_owned();
    let wrong = [fields[0], ("Authorization", "Bearer a-token-of-the-admin-listeneR")];
    assert_eq!(site.admin().request("POST", "/v1/links", &wrong, wish.as_bytes()).await.status, 401);
    nowhere_logged(url.rsplit_once('=').unwrap().1);
    nowhere_logged(&token.to_lowercase());
}
