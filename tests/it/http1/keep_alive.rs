//! Several requests on one connection, in pieces of any size.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use webhook_assets::AssetRef;

use super::{exchange, only_answer};
use crate::support::{ABSENT, Answer, CALL, Plan, Site, noise, recording, store_of_one, transcript};

/// A request that keeps its connection, with its expected answer.
struct Expected {
    request: String,
    status: u16,
    body: Option<Vec<u8>>,
}

fn expected(method: &str, target: &str, field: &str, status: u16, body: Option<Vec<u8>>) -> Expected {
    Expected { request: format!("{method} {target} HTTP/1.1\r\nHost: a\r\n{field}\r\n"), status, body }
}

/// The `at`-th of a mixture of all requests that keep a connection usable.
fn mixture(site: &Site, at: usize) -> Expected {
    let (sound, text) = (site.recording(), site.transcript());
    let (first, last) = (at * 1_000, at * 1_000 + 5_000);
    let range = format!("Range: bytes={first}-{last}\r\n");
    match at % 10 {
        0 => expected("GET", &sound, "", 200, Some(recording())),
        1 => expected("HEAD", &sound, "", 200, Some(Vec::new())),
        2 => expected("GET", &sound, &range, 206, Some(recording()[first..=last].to_vec())),
        3 => expected("GET", "/nowhere", "", 404, None),
        4 => expected("GET", &text, "", 200, Some(transcript())),
        5 => expected("GET", &sound, "If-None-Match: *\r\n", 304, Some(Vec::new())),
        6 => expected("POST", &sound, "", 405, None),
        7 => expected("GET", &sound.replace("sig=", "sig=0"), "", 403, None),
        8 => expected("OPTIONS", &sound, "", 204, Some(Vec::new())),
        _ => expected("HEAD", &site.link(AssetRef::transcript(ABSENT)), "", 404, Some(Vec::new())),
    }
}

fn assert_in_order(mut sent: &[u8], mixture: &[Expected]) {
    for (at, expected) in mixture.iter().enumerate() {
        let (answer, rest) = Answer::parse(sent, expected.request.starts_with("HEAD"));
        assert_eq!(answer.status, expected.status, "request {at}");
        assert!(expected.body.as_ref().is_none_or(|body| *body == answer.body), "body {at}");
        sent = rest;
    }
    assert!(sent.is_empty(), "{:?}", String::from_utf8_lossy(sent));
}

#[tokio::test]
async fn fifty_pipelined_requests_are_answered_in_order_and_exactly() {
    let site = Site::usual().await;
    let mut mixture: Vec<Expected> = (0..50).map(|at| mixture(&site, at)).collect();
    mixture.push(expected("GET", &site.transcript(), "Connection: close\r\n", 200, Some(transcript())));
    let requests: String = mixture.iter().map(|expected| expected.request.as_str()).collect();
    let (mut reader, mut writer) = site.client().connect().await.into_split();
    let mut sent = Vec::new();
    let (written, read) = tokio::join!(writer.write_all(requests.as_bytes()), reader.read_to_end(&mut sent));
    assert!(written.is_ok() && read.is_ok());
    assert_in_order(&sent, &mixture);
}

#[tokio::test]
async fn a_request_may_come_in_single_bytes() {
    let site = Site::usual().await;
    let mixture = [
        mixture(&site, 2),
        expected("GET", &site.transcript(), "Connection: close\r\n", 200, Some(transcript())),
    ];
    let mut stream = site.client().connect().await;
    stream.set_nodelay(true).unwrap();
    for byte in mixture.iter().flat_map(|expected| expected.request.bytes()) {
        stream.write_all(&[byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    let mut sent = Vec::new();
    stream.read_to_end(&mut sent).await.unwrap();
    assert_in_order(&sent, &mixture);
}

#[tokio::test]
async fn a_method_that_begins_like_the_preface_of_http_2_is_http_1() {
    let site = Site::usual().await;
    let mut stream = site.client().connect().await;
    stream.set_nodelay(true).unwrap();
    for piece in ["P", "R", "OPFIND / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"] {
        stream.write_all(piece.as_bytes()).await.unwrap();
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let mut sent = Vec::new();
    stream.read_to_end(&mut sent).await.unwrap();
    assert_eq!(Answer::parse(&sent, false).0.status, 404);
}

#[tokio::test]
async fn a_client_that_shuts_down_writing_gets_the_whole_answer() {
    let bytes = noise(4 << 20);
    let site = Plan::on(store_of_one(AssetRef::recording(CALL), bytes.clone()).await).start().await;
    let mut stream = site.client().connect().await;
    let request = expected("GET", &site.recording(), "", 200, None).request;
    stream.write_all(request.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    // The server sees the end of the requests before the client reads the first byte.
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    let mut sent = Vec::new();
    stream.read_to_end(&mut sent).await.unwrap();
    let (answer, rest) = Answer::parse(&sent, false);
    assert!(answer.body == bytes && rest.is_empty());
}

#[tokio::test]
async fn clients_that_disconnect_early_harm_no_other_client() {
    let site = Plan::on(store_of_one(AssetRef::recording(CALL), noise(4 << 20)).await).start().await;
    for taken in [0, 1, 100, 70_000] {
        for _ in 0..5 {
            let mut stream = site.client().ask_slowly(&site.recording()).await;
            let mut some = vec![0; taken];
            stream.read_exact(&mut some).await.unwrap();
        }
    }
    let answer = site.get(&site.recording(), &[]).await;
    assert!(answer.body == noise(4 << 20));
}

#[tokio::test]
async fn http_1_0_needs_no_host_and_its_connection_closes() {
    let site = Site::usual().await;
    for (target, bytes) in [(site.recording(), recording()), (site.transcript(), transcript())] {
        let answer = only_answer(&site, format!("GET {target} HTTP/1.0\r\n\r\n")).await;
        assert_eq!((answer.status, answer.field("transfer-encoding")), (200, None));
        assert!(answer.body == bytes);
    }
    let denied = only_answer(&site, "GET /webhook-assets/recording/x HTTP/1.0\r\n\r\n").await;
    assert_eq!(denied.code(), "invalid_signature");
}

#[tokio::test]
async fn an_absolute_target_works() {
    let site = Site::usual().await;
    for base in ["http://app.example.com", "https://app.example.com:8443", "HTTP://a"] {
        let request =
            format!("GET {base}{} HTTP/1.1\r\nHost: other\r\nConnection: close\r\n\r\n", site.recording());
        assert_eq!(only_answer(&site, request).await.status, 200, "{base}");
    }
}

#[tokio::test]
async fn an_offer_to_upgrade_is_answered_in_plain_http_1_1() {
    let site = Site::usual().await;
    let offers = [
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA",
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
    ];
    for offer in offers {
        let second = format!("GET {} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", site.transcript());
        let request = format!("GET {} HTTP/1.1\r\nHost: a\r\n{offer}\r\n\r\n{second}", site.recording());
        let sent = exchange(&site, request).await;
        assert!(sent.starts_with(b"HTTP/1.1 200 "), "{offer}");
        let (answer, rest) = Answer::parse(&sent, false);
        assert!(answer.body == recording());
        assert_eq!(Answer::parse(rest, false).0.body, transcript(), "the connection goes on as it was");
    }
}
