//! Bytes on a socket: requests that are cut, spoilt, smuggled or unfinished, each of which gets its one answer.

mod framing;
mod keep_alive;
mod refused_requests;
mod timeouts;

use std::time::{Duration, Instant};

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use crate::support::waiting::WAIT_LIMIT;
use crate::support::{Answer, Site};

/// Sends these bytes and reads until the server closes, which it must do by itself and soon.
async fn exchange(site: &Site, bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let exchange = site.client();
    let exchange = exchange.exchange(bytes.as_ref());
    // Half of the timeout of idle connections.
    tokio::time::timeout(WAIT_LIMIT, exchange).await.expect("the connection stays open")
}

/// The one answer to these bytes; the server closes behind it.
async fn only_answer(site: &Site, bytes: impl AsRef<[u8]>) -> Answer {
    let sent = exchange(site, bytes).await;
    let (answer, rest) = Answer::parse(&sent, false);
    assert!(rest.is_empty(), "a second answer: {:?}", String::from_utf8_lossy(rest));
    answer
}

/// How long after `began` the server closes, and what it sends before.
async fn closed_after(began: Instant, mut stream: TcpStream) -> (Duration, Vec<u8>) {
    let mut said = Vec::new();
    let read = tokio::time::timeout(WAIT_LIMIT, stream.read_to_end(&mut said)).await;
    let _ = read.expect("the connection is never closed");
    (began.elapsed(), said)
}
