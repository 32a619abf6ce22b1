//! Bytes on a socket: how requests are cut, spoilt, smuggled and left alone, and that each has its one answer.

mod framing;
mod keep_alive;
mod refused_requests;
mod timeouts;

use std::time::{Duration, Instant};

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use crate::support::{Answer, Site};

/// Long enough for any answer, and shorter than the time for which an idle connection is kept.
const SOON: Duration = Duration::from_secs(2);

/// Sends these bytes and reads until the server closes, which it must do of its own accord and soon.
async fn exchange(site: &Site, bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let exchange = site.client();
    let exchange = exchange.exchange(bytes.as_ref());
    tokio::time::timeout(SOON, exchange).await.expect("the connection stays open")
}

/// The one answer to these bytes, behind which the server closes.
async fn only_answer(site: &Site, bytes: impl AsRef<[u8]>) -> Answer {
    let sent = exchange(site, bytes).await;
    let (answer, rest) = Answer::parse(&sent, false);
    assert!(rest.is_empty(), "a second answer: {:?}", String::from_utf8_lossy(rest));
    answer
}

/// How long it takes until the server closes, and what it says before.
async fn closed_after(mut stream: TcpStream) -> (Duration, Vec<u8>) {
    let (began, mut said) = (Instant::now(), Vec::new());
    let read = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut said)).await;
    let _ = read.expect("the connection is never closed");
    (began.elapsed(), said)
}
