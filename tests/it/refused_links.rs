//! A client without a good link learns nothing, and the gateway never asks the store.

use std::sync::atomic::Ordering;

use uuid::Uuid;
use webhook_assets::AssetRef;

use crate::support::stores::FaultyStore;
use crate::support::{Answer, CALL, DAY, Plan, Site, recording};

/// A call that no site has; its id has letters, so that it can be spelled in other ways.
const ABSENT: Uuid = uuid::uuid!("aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee");

/// A signed link in its pieces.
struct Link {
    path: String,
    expires: String,
    sig: String,
}

impl Link {
    fn of(target: &str) -> Self {
        let (path, query) = target.split_once('?').unwrap();
        let (expires, sig) = query.strip_prefix("expires=").unwrap().split_once("&sig=").unwrap();
        Self { path: path.into(), expires: expires.into(), sig: sig.into() }
    }

    fn with_query(&self, query: &str) -> String {
        format!("{}?{query}", self.path)
    }

    fn with_id(&self, id: &str) -> String {
        let (folder, _) = self.path.rsplit_once('/').unwrap();
        format!("{folder}/{id}?expires={}&sig={}", self.expires, self.sig)
    }

    fn id(&self) -> &str {
        self.path.rsplit_once('/').unwrap().1
    }
}

/// The same text with its first lower-case letter in upper case.
fn one_letter_up(text: &str) -> String {
    let at = text.find(|c: char| c.is_ascii_lowercase()).expect("a letter");
    text[..at].to_owned() + &text[at..=at].to_uppercase() + &text[at + 1..]
}

/// Links like `target` with a parameter missing, repeated or malformed.
fn bad_queries(target: &str) -> Vec<String> {
    let link = Link::of(target);
    let queries = [without_both(&link), other_expires(&link), other_sigs(&link)].concat();
    let mut bad: Vec<String> = queries.iter().map(|query| link.with_query(query)).collect();
    bad.push(link.path);
    bad
}

/// Queries in which a parameter is missing, repeated or misnamed.
fn without_both(Link { expires, sig, .. }: &Link) -> Vec<String> {
    vec![
        String::new(),
        "&".into(),
        format!("expires={expires}"),
        format!("sig={sig}"),
        "expires=&sig=".into(),
        format!("expires=&sig={sig}"),
        format!("expires={expires}&sig="),
        format!("expires&sig={sig}"),
        format!("expires={expires}&sig"),
        // Repeated, with equal and with other values, before and behind.
        format!("expires={expires}&expires={expires}&sig={sig}"),
        format!("expires={expires}&sig={sig}&sig={sig}"),
        format!("expires={expires}&sig={sig}&expires={expires}&sig={sig}"),
        format!("expires=1&expires={expires}&sig={sig}"),
        format!("expires={expires}&sig={sig}&expires=1"),
        format!("expires={expires}&sig={sig}&expires="),
        format!("expires={expires}&sig={sig}&expires"),
        format!("sig=&expires={expires}&sig={sig}"),
        format!("expires={expires}&sig={sig}&sig"),
        // Other names.
        format!("Expires={expires}&sig={sig}"),
        format!("EXPIRES={expires}&SIG={sig}"),
        format!("expires={expires}&Sig={sig}"),
        format!("%65xpires={expires}&sig={sig}"),
        format!("expires={expires}&s%69g={sig}"),
        format!("expires[]={expires}&sig={sig}"),
        format!("expires+={expires}&sig={sig}"),
        format!("expires={expires}&amp;sig={sig}"),
        format!("expires={expires};sig={sig}"),
        format!("expires%3D{expires}&sig%3D{sig}"),
        format!("expires={expires}%26sig={sig}"),
    ]
}

/// Queries with another number or another spelling of it.
fn other_expires(Link { expires, sig, .. }: &Link) -> Vec<String> {
    vec![
        format!("expires=+{expires}&sig={sig}"),
        format!("expires=-{expires}&sig={sig}"),
        format!("expires=0{expires}&sig={sig}"),
        format!("expires={expires}.0&sig={sig}"),
        format!("expires={expires}.&sig={sig}"),
        format!("expires={expires}e0&sig={sig}"),
        format!("expires={expires}%20&sig={sig}"),
        format!("expires=%20{expires}&sig={sig}"),
        format!("expires={expires}+&sig={sig}"),
        format!("expires=%3{expires}&sig={sig}"),
        format!("expires=0x{:x}&sig={sig}", expires.parse::<u64>().unwrap()),
        format!("expires={expires}000&sig={sig}"),
        format!("expires={}&sig={sig}", u64::MAX),
        // The first number beyond 64 bits.
        format!("expires=18446744073709551616&sig={sig}"),
        format!("expires={}&sig={sig}", "9".repeat(200)),
        format!("expires={}&sig={sig}", expires.parse::<u64>().unwrap() + 1),
        format!("expires={}&sig={sig}", expires.parse::<u64>().unwrap() - 1),
        "expires=0&sig=".to_owned() + sig,
    ]
}

/// Queries with another signature or another spelling of it.
fn other_sigs(Link { expires, sig, .. }: &Link) -> Vec<String> {
    let upper = sig.to_uppercase();
    let (half, other_half) = sig.split_at(32);
    vec![
        format!("expires={expires}&sig={upper}"),
        format!("expires={expires}&sig={}", one_letter_up(sig)),
        format!("expires={expires}&sig={}", &sig[..63]),
        format!("expires={expires}&sig={}", &sig[..62]),
        format!("expires={expires}&sig={half}"),
        format!("expires={expires}&sig={sig}0"),
        format!("expires={expires}&sig={sig}00"),
        format!("expires={expires}&sig=0{sig}"),
        format!("expires={expires}&sig={sig}%00"),
        format!("expires={expires}&sig={sig}%0a"),
        format!("expires={expires}&sig={sig}="),
        format!("expires={expires}&sig={sig}/"),
        format!("expires={expires}&sig={sig}?"),
        format!("expires={expires}&sig=0x{sig}"),
        format!("expires={expires}&sig=sha256={sig}"),
        format!("expires={expires}&sig={half}%20{other_half}"),
        format!("expires={expires}&sig={half}-{other_half}"),
        format!("expires={expires}&sig={other_half}{half}"),
        format!("expires={expires}&sig=%{:02x}{}", sig.as_bytes()[0], &sig[1..]),
        format!("expires={expires}&sig={}", "0".repeat(64)),
        format!("expires={expires}&sig={}", "f".repeat(64)),
        format!("expires={expires}&sig={}", "g".repeat(64)),
        format!("expires={expires}&sig={}", sig.chars().rev().collect::<String>()),
        format!("expires={expires}&sig={sig}{sig}"),
    ]
}

/// Links like `target` with another id or another spelling of it.
fn bad_ids(target: &str) -> Vec<String> {
    let link = Link::of(target);
    let id = link.id();
    let ids = [
        String::new(),
        id.to_uppercase(),
        one_letter_up(id),
        format!("%7B{id}%7D"),
        format!("({id})"),
        format!("urn:uuid:{id}"),
        id.replace('-', ""),
        id.replace('-', "_"),
        id.replacen('-', "%2D", 1),
        format!("%{:02X}{}", id.as_bytes()[0], &id[1..]),
        format!("%20{id}"),
        format!("{id}%20"),
        format!("{id}%00"),
        format!("{id}%0A"),
        format!("{id}%2F"),
        "..%2F..%2Fetc%2Fpasswd".into(),
        format!("..%2Frecordings%2F{id}"),
        format!("{id}.mp3"),
        format!("{id}.json"),
        format!("{id};a=b"),
        format!("{id}{id}"),
        id[..35].to_owned(),
        format!("{id}0"),
        Uuid::nil().to_string(),
        Uuid::max().to_string(),
        Uuid::from_u128(Uuid::try_parse(id).unwrap().as_u128() + 1).to_string(),
        ".".into(),
        "..".into(),
        "*".into(),
        "recording".into(),
    ];
    ids.iter().map(|id| link.with_id(id)).collect()
}

/// Links like `target` at paths that do not exist.
fn no_routes(target: &str) -> Vec<String> {
    let link = Link::of(target);
    let query = format!("?expires={}&sig={}", link.expires, link.sig);
    let id = link.id();
    let kind = link.path.split('/').rev().nth(1).unwrap();
    let paths = [
        "/".into(),
        "/api".into(),
        "/api/".into(),
        "/api/webhook-assets".into(),
        "/api/webhook-assets/".into(),
        format!("/api/webhook-assets/{kind}"),
        format!("/api/webhook-assets/{id}"),
        format!("/api/webhook-assets/{kind}/{id}/"),
        format!("/api/webhook-assets/{kind}//{id}"),
        format!("/api/webhook-assets/{kind}/./{id}"),
        format!("/api/webhook-assets/{kind}/../{kind}/{id}"),
        format!("/api/webhook-assets/{kind}s/{id}"),
        format!("/api/webhook-assets/{}/{id}", kind.to_uppercase()),
        format!("/api/webhook-assets/video/{id}"),
        format!("/api/webhook-assets//{id}"),
        format!("/api/webhook-assets%2F{kind}/{id}"),
        format!("/api/%77ebhook-assets/{kind}/{id}"),
        format!("/api/Webhook-Assets/{kind}/{id}"),
        format!("/api/api/webhook-assets/{kind}/{id}"),
        format!("/API/webhook-assets/{kind}/{id}"),
        format!("/other/webhook-assets/{kind}/{id}"),
        format!("/apiwebhook-assets/{kind}/{id}"),
        format!("/{kind}s/{id}.mp3"),
        "/healthz".into(),
        "/metrics".into(),
        "/v1/links".into(),
    ];
    paths.iter().map(|path| format!("{path}{query}")).collect()
}

fn untouched(store: &FaultyStore) {
    assert_eq!(store.requests.load(Ordering::SeqCst), 0, "the store was asked");
}

fn is_refused(answer: &Answer, target: &str) {
    assert_eq!(answer.status, 403, "{target}");
    assert_eq!(answer.code(), "invalid_signature", "{target}");
    assert_eq!(answer.must("cache-control"), "no-store");
    assert_eq!(answer.json()["title"], "Access denied");
}

/// The answer to a target of any bytes, parsed loosely: hyper itself refuses some of them.
async fn ask_raw(site: &Site, target: &[u8]) -> Answer {
    let request = [b"GET ", target, b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"].concat();
    let bytes = site.client().exchange(&request).await;
    Answer::parse(&bytes, false).0
}

/// The statuses that a target other than the signed one may get.
fn verdicts(target: &[u8]) -> &'static [u16] {
    let plain = |b: &u8| b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/?".contains(b);
    if !target.iter().all(plain) {
        return &[400, 403, 404];
    }
    let path = std::str::from_utf8(target).unwrap().split('?').next().unwrap();
    let segments: Vec<&str> = path.split('/').collect();
    let is_route =
        matches!(segments.as_slice(), ["", "api", "webhook-assets", "recording" | "transcript", _id]);
    if is_route { &[403] } else { &[404] }
}

#[tokio::test]
async fn no_link_with_a_flipped_bit_reaches_the_store() {
    let (site, store) = Site::on_faulty_store().await;
    let good = site.recording();
    let mut refused = 0;
    // Every bit of kind, id and query.
    for bit in "/api/webhook-assets/".len() * 8..good.len() * 8 {
        let mut target = good.clone().into_bytes();
        target[bit / 8] ^= 1 << (bit % 8);
        let shown = String::from_utf8_lossy(&target);
        let answer = ask_raw(&site, &target).await;
        assert!(verdicts(&target).contains(&answer.status), "{} for {shown:?}", answer.status);
        if answer.status == 403 {
            is_refused(&answer, &shown);
            refused += 1;
        }
    }
    untouched(&store);
    assert!(refused > 500, "only {refused} flips made a link of valid form");
}

#[tokio::test]
async fn a_missing_repeated_or_malformed_parameter_is_a_bad_signature() {
    let (site, store) = Site::on_faulty_store().await;
    for target in [bad_queries(&site.recording()), bad_queries(&site.transcript())].concat() {
        is_refused(&site.get(&target, &[]).await, &target);
    }
    untouched(&store);
}

#[tokio::test]
async fn an_id_in_any_other_spelling_is_a_bad_signature() {
    let (site, store) = Site::on_faulty_store().await;
    for target in [bad_ids(&site.recording()), bad_ids(&site.transcript())].concat() {
        is_refused(&site.get(&target, &[]).await, &target);
    }
    untouched(&store);
}

#[tokio::test]
async fn a_signature_opens_only_its_own_asset() {
    let (site, store) = Site::on_faulty_store().await;
    let good = site.recording();
    for target in [
        good.replace("/recording/", "/transcript/"),
        good.replace(&CALL.to_string(), &ABSENT.to_string()),
        site.transcript().replace("/transcript/", "/recording/"),
        site.link(AssetRef::recording(ABSENT)).replace(&ABSENT.to_string(), &CALL.to_string()),
    ] {
        is_refused(&site.get(&target, &[]).await, &target);
    }
    untouched(&store);
}

#[tokio::test]
async fn a_path_without_a_route_is_404_even_with_a_good_signature() {
    let (site, store) = Site::on_faulty_store().await;
    for target in [no_routes(&site.recording()), no_routes(&site.transcript())].concat() {
        let answer = site.get(&target, &[]).await;
        assert_eq!((answer.status, answer.code().as_str()), (404, "no_such_route"), "{target}");
    }
    untouched(&store);
}

#[tokio::test]
async fn bytes_that_are_no_target_are_400_and_close() {
    let (site, store) = Site::on_faulty_store().await;
    let good = site.recording();
    for bad in [" ", "\u{1}", "\u{7f}", "\t"] {
        let target = good.replacen("sig=", &format!("sig={bad}"), 1);
        assert_eq!(ask_raw(&site, target.as_bytes()).await.status, 400, "{target:?}");
    }
    for target in [good.trim_start_matches('/'), "*", "", "localhost", "ftp://localhost/x"] {
        let answer = ask_raw(&site, target.as_bytes()).await;
        assert_eq!(answer.status, 400, "{target:?}");
        assert_eq!(answer.must("connection"), "close", "{target:?}");
    }
    untouched(&store);
}

#[tokio::test]
async fn other_methods_and_options_touch_no_storage() {
    let (site, store) = Site::on_faulty_store().await;
    let good = site.recording();
    for method in ["POST", "PUT", "PATCH", "DELETE", "TRACE", "PROPFIND", "get", "BREW"] {
        let answer = site.client().request(method, &good, &[], b"").await;
        assert_eq!((answer.status, answer.code().as_str()), (405, "method_not_allowed"), "{method}");
        assert_eq!(answer.must("allow"), "GET, HEAD, OPTIONS");
    }
    let answer = site.client().request("POST", &good, &[], b"{\"a\":1}").await;
    assert_eq!(answer.status, 405);
    for target in [good.as_str(), "*", "/webhook-assets/recording/x"] {
        let answer = site.client().request("OPTIONS", target, &[], b"").await;
        assert_eq!((answer.status, answer.body.len()), (204, 0), "{target}");
        assert_eq!(answer.must("allow"), "GET, HEAD, OPTIONS");
    }
    untouched(&store);
}

#[tokio::test]
async fn an_expired_link_says_so_only_if_its_signature_is_good() {
    let (site, store) = Site::on_faulty_store().await;
    let good = site.recording();
    let spoiled = [bad_queries(&good), bad_ids(&good)].concat();
    site.clock.advance(DAY);
    let answer = site.get(&good, &[]).await;
    assert_eq!((answer.status, answer.code().as_str()), (403, "expired"));
    for target in spoiled {
        is_refused(&site.get(&target, &[]).await, &target);
    }
    untouched(&store);
}

#[tokio::test]
async fn a_signed_link_that_reaches_too_far_ahead_is_a_bad_signature() {
    let (site, store) = Site::on_faulty_store().await;
    let good = site.recording();
    // Beyond the longest lifetime and five minutes of clock skew; the clock goes back, as a wrong one would.
    site.clock.set(webhook_assets::clock::UnixSeconds(crate::support::NOW.0 - 301));
    is_refused(&site.get(&good, &[]).await, &good);
    untouched(&store);
    site.clock.set(webhook_assets::clock::UnixSeconds(crate::support::NOW.0 - 300));
    assert_eq!(site.get(&good, &[]).await.status, 200);
}

#[tokio::test]
async fn range_and_precondition_fields_do_not_reach_the_store_without_a_good_link() {
    let (site, store) = Site::on_faulty_store().await;
    let bad = site.recording() + "0";
    for field in [
        ("Range", "bytes=0-0"),
        ("Range", "bytes=0-0,2-3"),
        ("If-None-Match", "*"),
        ("If-Match", "\"x\""),
        ("If-Range", "\"x\""),
        ("Accept-Encoding", "zstd"),
        ("X-Original-URL", &site.recording()),
        ("X-Forwarded-Uri", &site.recording()),
        ("X-HTTP-Method-Override", "GET"),
    ] {
        is_refused(&site.get(&bad, &[field]).await, &bad);
        assert_eq!(site.head(&bad, &[field]).await.status, 403, "{field:?}");
    }
    untouched(&store);
}

#[tokio::test]
async fn without_a_good_link_a_present_and_an_absent_object_look_the_same() {
    let site = Site::usual().await;
    let assets = |id| [AssetRef::recording(id), AssetRef::transcript(id)].map(|asset| site.link(asset));
    for (present, absent) in assets(CALL).iter().zip(&assets(ABSENT)) {
        for make in [bad_queries, bad_ids, no_routes] {
            for (present, absent) in make(present).iter().zip(&make(absent)) {
                same_answers(&site, present, absent).await;
            }
        }
    }
    let (present, absent) = (assets(CALL), assets(ABSENT));
    site.clock.advance(DAY);
    for (present, absent) in present.iter().zip(&absent) {
        same_answers(&site, present, absent).await;
    }
}

/// Checks that the two targets get the same bytes, for GET and HEAD, but for the date.
async fn same_answers(site: &Site, one: &str, other: &str) {
    for method in ["GET", "HEAD"] {
        let (one, other) = (bytes_of(site, method, one).await, bytes_of(site, method, other).await);
        assert_eq!(one, other);
    }
}

async fn bytes_of(site: &Site, method: &str, target: &str) -> String {
    let head = crate::support::client::request_head(method, target, &[("Range", "bytes=0-9")], b"");
    let answer = String::from_utf8(site.client().exchange(head.as_bytes()).await).unwrap();
    answer.split_inclusive('\n').filter(|line| !line.starts_with("date: ")).collect()
}

#[tokio::test]
async fn head_of_a_refused_link_has_the_fields_of_get() {
    let site = Site::usual().await;
    for target in [site.recording() + "0", "/nowhere".into(), site.link(AssetRef::recording(ABSENT))] {
        let (get, head) = (site.get(&target, &[]).await, site.head(&target, &[]).await);
        let fields = |answer: &Answer| {
            let fields = answer.fields.iter().filter(|(name, _)| name != "date");
            fields.cloned().collect::<Vec<_>>()
        };
        assert_eq!((get.status, fields(&get)), (head.status, fields(&head)), "{target}");
    }
}

#[tokio::test]
async fn unknown_parameters_and_their_order_do_not_matter() {
    let (site, store) = Site::on_faulty_store().await;
    let link = Link::of(&site.recording());
    let Link { expires, sig, .. } = &link;
    let good = [
        format!("sig={sig}&expires={expires}"),
        format!("utm_source=zapier&expires={expires}&utm_medium=&sig={sig}&x"),
        format!("&expires={expires}&&sig={sig}&"),
        format!("expires={expires}&sig={sig}&Expires=1&signature=0&xsig=1&expires%3D=2"),
        format!("a=b=c&expires={expires}&sig={sig}&a=b&a=b"),
    ];
    for query in &good {
        let answer = site.get(&link.with_query(query), &[]).await;
        assert_eq!((answer.status, answer.body == recording()), (200, true), "{query}");
    }
    assert_eq!(store.requests.load(Ordering::SeqCst), good.len());
}

#[tokio::test]
async fn a_listed_origin_learns_no_more_than_others() {
    let mut plan = Plan::usual().await;
    plan.gateway.allowed_origins = "https://app.example.com".parse().unwrap();
    let site = plan.start().await;
    for origin in ["https://app.example.com", "https://evil.example"] {
        let ask = |asset| {
            let target = site.link(asset) + "0";
            let site = &site;
            async move { site.get(&target, &[("Origin", origin)]).await.body }
        };
        let (present, absent) =
            (ask(AssetRef::recording(CALL)).await, ask(AssetRef::recording(ABSENT)).await);
        assert_eq!(present, absent);
    }
}
