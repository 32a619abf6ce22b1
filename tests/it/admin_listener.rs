//! The admin listener while attackers take all of its connections: it still answers health, metrics and calls.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::http2::Http2;
use crate::support::stores::{Fault, FaultyStore};
use crate::support::{Answer, CALL, Plan, Site, sample_store};

const TOKEN: &str = "a-token-for-tests-0123456789";

/// The listener's connection limit, and how many connections an attacker opens.
const CAP: usize = 32;
const ATTACKERS: usize = 100;

/// How long a victim may wait on a busy machine. Silent connections keep their places for four times as long.
const SOON: Duration = Duration::from_secs(30);

async fn site(token: Option<&'static str>) -> Site {
    Plan { admin_connections: Some(CAP), admin_token: token, ..Plan::sending().await }.start().await
}

/// Opens a connection and sends these bytes.
async fn connection_sending(address: SocketAddr, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let _ = stream.write_all(bytes).await;
    stream
}

async fn attackers(site: &Site, bytes: &[u8]) -> Vec<TcpStream> {
    let mut streams = Vec::new();
    for _ in 0..ATTACKERS {
        streams.push(connection_sending(site.admin_address, bytes).await);
    }
    streams
}

/// Requests health and metrics and posts calls beside an attacker; returns the longest wait.
async fn victims(site: &Site, token: Option<&str>, name: &str) -> Duration {
    let bearing = token.map(|token| format!("Bearer {token}"));
    let mut fields = vec![("Content-Type", "application/json")];
    fields.extend(bearing.as_deref().map(|bearing| ("Authorization", bearing)));
    let mut longest = Duration::ZERO;
    for number in 0..5 {
        let call = call(&format!("{name}-{number}")).to_string();
        for (method, path, body, status) in [
            ("GET", "/healthz", "", 200),
            ("GET", "/metrics", "", 200),
            ("POST", "/v1/calls", call.as_str(), 202),
        ] {
            let began = Instant::now();
            let fields = if body.is_empty() { &[][..] } else { &fields };
            let answer = site.admin().request(method, path, fields, body.as_bytes()).await;
            assert_eq!(answer.status, status, "{name}: {method} {path}: {answer:?}");
            longest = longest.max(began.elapsed());
        }
    }
    assert!(longest < SOON, "{name}: {longest:?}");
    longest
}

fn call(id: &str) -> serde_json::Value {
    let sample = webhook_assets::webhook::CompletedCall::sample();
    let mut call = serde_json::to_value(sample).unwrap();
    call["workspace"] = "acme".into();
    call["call_id"] = id.replace(|c: char| c.is_whitespace(), "-").into();
    call["recording"] = CALL.to_string().into();
    call["transcript"] = json!(null);
    call
}

fn unfinished(path: &str, fields: &str) -> Vec<u8> {
    format!("POST {path} HTTP/1.1\r\nHost: localhost\r\n{fields}Content-Length: 1000\r\n\r\n{{").into_bytes()
}

/// A form that any client may send, begun and not finished.
fn unfinished_form() -> Vec<u8> {
    unfinished(
        "/console/enter",
        "Origin: http://localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n",
    )
}

const JSON: &str = "Content-Type: application/json\r\n";

#[tokio::test]
async fn waiting_connections_do_not_block_other_clients_of_the_admin_listener() {
    let bare = site(None).await;
    let guarded = site(Some(TOKEN)).await;
    let metrics = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n".repeat(1_000);
    for (name, site, token, bytes) in [
        ("silent", &bare, None, Vec::new()),
        ("slow head", &bare, None, b"POST /v1/calls HTTP/1.1\r\nHost: loc".to_vec()),
        ("unfinished form", &guarded, Some(TOKEN), unfinished_form()),
        ("unfinished sign-in", &guarded, Some(TOKEN), {
            let form = String::from_utf8(unfinished_form()).unwrap();
            form.replace("/console/enter", "/console/sign-in").into_bytes()
        }),
        ("unfinished call", &bare, None, unfinished("/v1/calls", JSON)),
        ("unfinished links", &bare, None, unfinished("/v1/links", JSON)),
        ("call without a token", &guarded, Some(TOKEN), unfinished("/v1/calls", JSON)),
        ("links without a token", &guarded, Some(TOKEN), unfinished("/v1/links", JSON)),
        ("body where there is nothing", &bare, None, unfinished("/nowhere", "")),
        ("idle", &bare, None, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec()),
        ("never reads", &bare, None, metrics.into_bytes()),
        ("preface of HTTP/2", &bare, None, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec()),
        ("endless CONTINUATION", &bare, None, endless_continuation()),
    ] {
        let attackers = attackers(site, &bytes).await;
        let longest = victims(site, token, name).await;
        println!("{name}: {ATTACKERS} connections at a cap of {CAP}; the slowest of 15 victims {longest:?}");
        drop(attackers);
    }
    for site in [bare, guarded] {
        let page = site.metrics.render();
        let evicted = page
            .lines()
            .find_map(|line| {
                line.strip_prefix("webhook_assets_admin_connections_cut_total{reason=\"evicted\"} ")
            })
            .unwrap();
        assert!(evicted.parse::<usize>().unwrap() >= CAP, "{evicted}");
    }
}

/// A header block of HTTP/2 that never ends.
fn endless_continuation() -> Vec<u8> {
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
    // HEADERS without END_HEADERS: GET, https, /; then empty frames.
    bytes.extend(b"\0\0\x03\x01\x01\0\0\0\x01\x82\x87\x84");
    bytes.extend(b"\0\0\0\x09\0\0\0\0\x01".repeat(50));
    bytes
}

#[tokio::test]
async fn a_new_connection_beside_a_flood_of_new_connections_is_answered() {
    let site = site(Some(TOKEN)).await;
    let (address, form) = (site.admin_address, unfinished_form());
    let flood = tokio::spawn(async move {
        let mut open = std::collections::VecDeque::new();
        loop {
            open.push_back(connection_sending(address, &form).await);
            if open.len() > 4 * CAP {
                open.pop_front();
            }
        }
    });
    let longest = victims(&site, Some(TOKEN), "flood").await;
    println!("beside a flood without end: the slowest of 15 victims {longest:?}");
    flood.abort();
}

#[tokio::test]
async fn http_2_streams_with_unfinished_bodies_do_not_block_other_clients() {
    let site = site(None).await;
    let mut kept = Vec::new();
    for _ in 0..ATTACKERS {
        let stream = TcpStream::connect(site.admin_address).await.unwrap();
        let Ok((requests, connection)) = h2::client::handshake(stream).await else { continue };
        tokio::spawn(connection);
        for _ in 0..16 {
            let request = http::Request::post("http://localhost/v1/calls")
                .header("content-type", "application/json")
                .body(())
                .unwrap();
            let Ok(mut requests) = requests.clone().ready().await else { break };
            let Ok((answer, mut body)) = requests.send_request(request, false) else { break };
            let _ = body.send_data(bytes::Bytes::from_static(b"{"), false);
            kept.push((answer, body));
        }
    }
    let longest = victims(&site, None, "streams").await;
    println!("{} streams that wait: the slowest of 15 victims {longest:?}", kept.len());
    let mut client = Http2::connect(site.admin_address).await;
    assert_eq!(client.get("/healthz", &[]).await.status(), 200);
}

#[tokio::test]
async fn a_body_that_does_not_arrive_is_answered_408_within_seconds_and_counted() {
    let site = site(Some(TOKEN)).await;
    let call = unfinished("/v1/calls", &format!("{JSON}Authorization: Bearer {TOKEN}\r\n"));
    for bytes in [unfinished_form(), call] {
        let began = Instant::now();
        let mut stream = connection_sending(site.admin_address, &bytes).await;
        let mut said = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(30), stream.read_to_end(&mut said)).await;
        assert!(read.is_ok(), "it is waited for");
        let (answer, _) = Answer::parse(&said, false);
        assert_eq!((answer.status, answer.must("connection")), (408, "close"));
        assert!(began.elapsed() >= Duration::from_secs(4), "{:?}", began.elapsed());
    }
    let page = site.metrics.render();
    assert!(page.contains("webhook_assets_admin_connections_cut_total{reason=\"slow_body\"} 2"), "{page}");
}

#[tokio::test]
async fn a_body_that_drips_is_answered_408_too() {
    let site = site(None).await;
    let stream = connection_sending(site.admin_address, &unfinished("/v1/links", JSON)).await;
    let (mut reader, mut writer) = stream.into_split();
    let dripping = tokio::spawn(async move {
        while writer.write_all(b" ").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    let mut said = [0; 12];
    let read = tokio::time::timeout(Duration::from_secs(30), reader.read_exact(&mut said)).await;
    assert!(read.is_ok_and(|read| read.is_ok()), "it drips for ever");
    assert_eq!(&said, b"HTTP/1.1 408");
    dripping.abort();
}

#[tokio::test]
async fn readiness_of_a_hanging_store_waits_a_bounded_time_and_health_not_at_all() {
    let store = FaultyStore::around(sample_store().await);
    let mut plan = Plan { admin_connections: Some(CAP), ..Plan::on(store.clone()) };
    plan.store.first_byte_timeout = Duration::from_secs(60);
    let site = plan.start().await;
    store.set_fault(Fault::Hangs);
    let waiting: Vec<_> = (0..3 * CAP)
        .map(|_| {
            let client = site.admin();
            tokio::spawn(async move {
                let head = crate::support::request_head("GET", "/readyz", &[], b"");
                let began = Instant::now();
                let said = client.exchange(head.as_bytes()).await;
                (said, began.elapsed())
            })
        })
        .collect();
    let began = Instant::now();
    assert_eq!(site.admin().request("GET", "/healthz", &[], b"").await.status, 200);
    let health = began.elapsed();
    let mut longest = Duration::ZERO;
    for asked in waiting {
        let (said, took) = asked.await.unwrap();
        longest = longest.max(took);
        // The server did not answer the connections that it closed to make room.
        assert!(said.is_empty() || said.starts_with(b"HTTP/1.1 503 "));
    }
    println!("{} callers of /readyz: the slowest {longest:?}; /healthz {health:?}", 3 * CAP);
    assert!(health < SOON && longest < SOON, "{health:?} {longest:?}");
}
