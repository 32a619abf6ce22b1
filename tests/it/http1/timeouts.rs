//! The server disconnects clients that send nothing, too little, or too slowly.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::closed_after;
use crate::support::waiting::WAIT_LIMIT;
use crate::support::{Answer, Plan, Site};

const HEADER_TIMEOUT: Duration = Duration::from_millis(400);

const IDLE_TIMEOUT: Duration = Duration::from_millis(1_200);

/// A site whose other timeouts are longer than a test waits.
async fn site_with_short_header_timeout() -> Site {
    let mut plan = Plan::usual().await;
    plan.server.header_timeout = HEADER_TIMEOUT;
    plan.start().await
}

/// The same with a short timeout of idle connections.
async fn site_with_short_idle_timeout() -> Site {
    let mut plan = Plan::usual().await;
    plan.server.idle_timeout = IDLE_TIMEOUT;
    plan.start().await
}

/// Opens a connection and sends these bytes.
async fn connection_sending(site: &Site, bytes: &[u8]) -> TcpStream {
    let mut stream = site.client().connect().await;
    stream.write_all(bytes).await.unwrap();
    stream
}

/// Checks the time of closing against a timeout, with room for a busy machine: the other timeouts are far longer.
fn assert_timely(after: Duration, timeout: Duration) {
    assert!(after >= timeout, "too soon: {after:?}");
    assert!(after < WAIT_LIMIT / 2, "too late: {after:?}");
}

#[tokio::test]
async fn an_unfinished_head_is_disconnected_after_the_header_timeout() {
    let site = site_with_short_header_timeout().await;
    let link = site.recording();
    for part in [
        "G".to_owned(),
        format!("GET {link}"),
        format!("GET {link} HTTP/1.1\r\n"),
        format!("GET {link} HTTP/1.1\r\nHost: a\r\nX: "),
        format!("GET {link} HTTP/1.1\r\nHost: a\r\n"),
    ] {
        let began = Instant::now();
        let (after, said) = closed_after(began, connection_sending(&site, part.as_bytes()).await).await;
        assert_timely(after, HEADER_TIMEOUT);
        assert!(!said.starts_with(b"HTTP/1.1 2"), "{part:?}");
    }
}

#[tokio::test]
async fn a_dripping_head_is_disconnected_all_the_same() {
    let site = site_with_short_header_timeout().await;
    let began = Instant::now();
    let stream =
        connection_sending(&site, format!("GET {} HTTP/1.1\r\nHost: a\r\nX: ", site.recording()).as_bytes())
            .await;
    let (mut reader, mut writer) = stream.into_split();
    let dripping = tokio::spawn(async move {
        while writer.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    let mut said = Vec::new();
    let read = reader.read_to_end(&mut said);
    let _ = tokio::time::timeout(WAIT_LIMIT, read).await.expect("it drips for ever");
    assert_timely(began.elapsed(), HEADER_TIMEOUT);
    dripping.abort();
}

#[tokio::test]
async fn a_silent_connection_is_closed_after_the_header_timeout() {
    let site = site_with_short_header_timeout().await;
    let began = Instant::now();
    let (after, said) = closed_after(began, connection_sending(&site, b"").await).await;
    assert_timely(after, HEADER_TIMEOUT);
    assert!(said.is_empty());
}

#[tokio::test]
async fn an_idle_connection_is_kept_for_the_idle_timeout() {
    let site = site_with_short_idle_timeout().await;
    let request = format!("GET {} HTTP/1.1\r\nHost: a\r\n\r\n", site.recording());
    let began = Instant::now();
    let (after, said) = closed_after(began, connection_sending(&site, request.as_bytes()).await).await;
    assert_timely(after, IDLE_TIMEOUT);
    let (answer, rest) = Answer::parse(&said, false);
    assert_eq!((answer.status, rest), (200, &b""[..]));
}

#[tokio::test]
async fn a_second_head_that_does_not_end_has_the_header_timeout_from_its_first_byte() {
    let site = site_with_short_header_timeout().await;
    let request = format!("GET {} HTTP/1.1\r\nHost: a\r\n\r\n", site.transcript());
    let mut stream = connection_sending(&site, request.as_bytes()).await;
    let mut answer = vec![0; 1_024];
    stream.read_exact(&mut answer).await.unwrap();
    tokio::time::sleep(2 * HEADER_TIMEOUT).await;
    let began = Instant::now();
    stream.write_all(b"GET /").await.unwrap();
    let (after, said) = closed_after(began, stream).await;
    assert_timely(after, HEADER_TIMEOUT);
    assert!(!String::from_utf8_lossy(&said).contains("HTTP/1.1 40"));
}

#[tokio::test]
async fn an_idle_connection_of_http_2_gets_a_goaway() {
    let site = site_with_short_idle_timeout().await;
    let stream = site.client().connect().await;
    let (mut requests, connection) = h2::client::handshake(stream).await.unwrap();
    let connection = tokio::spawn(connection);
    let request = http::Request::get(format!("http://localhost{}", site.transcript())).body(()).unwrap();
    let began = Instant::now();
    let (answer, _) = requests.send_request(request, true).unwrap();
    assert_eq!(answer.await.unwrap().status(), 200);
    // GOAWAY without an error ends the connection well.
    tokio::time::timeout(WAIT_LIMIT, connection).await.unwrap().unwrap().unwrap();
    assert_timely(began.elapsed(), IDLE_TIMEOUT);
}

#[tokio::test]
async fn an_unfinished_http_2_preface_is_disconnected_after_the_header_timeout() {
    let site = site_with_short_header_timeout().await;
    for part in [&b"P"[..], b"PRI * HTTP/2.0\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r"] {
        let began = Instant::now();
        let (after, said) = closed_after(began, connection_sending(&site, part).await).await;
        assert_timely(after, HEADER_TIMEOUT);
        assert!(said.is_empty());
    }
}

#[tokio::test]
async fn an_http_2_preface_with_nothing_behind_it_is_disconnected_too() {
    let site = site_with_short_header_timeout().await;
    let began = Instant::now();
    let stream = connection_sending(&site, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    let (after, _) = closed_after(began, stream).await;
    assert_timely(after, HEADER_TIMEOUT);
}

#[tokio::test]
async fn a_client_that_breaks_off_its_preface_harms_no_other() {
    let site = site_with_short_header_timeout().await;
    for part in [&b""[..], b"P", b"PRI * HTTP/2.0\r\n"] {
        let mut stream = connection_sending(&site, part).await;
        stream.shutdown().await.unwrap();
        let (_, said) = closed_after(Instant::now(), stream).await;
        assert!(said.is_empty());
    }
    assert_eq!(site.head(&site.recording(), &[]).await.status, 200);
}

#[tokio::test]
async fn many_stalled_connections_delay_no_other_client() {
    let site = site_with_short_header_timeout().await;
    let mut stalled = Vec::new();
    for at in 0..100 {
        stalled.push(connection_sending(&site, &b"PRI * HTTP/2.0\r\n"[..1 + at % 16]).await);
    }
    assert_eq!(site.get(&site.recording(), &[]).await.status, 200);
}
