//! Answers clients whose connection is rejected: the listener is full, or expects TLS.

use std::io::{self, Write};
use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use http::header::RETRY_AFTER;
use http::{HeaderValue, Response, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::limiter::Limiter;
use crate::problem::Problem;
use crate::server::request::rejection::http1_bytes;
use crate::tasks::{self, Task};

/// The maximum number of rejected clients that are being answered. Beyond it, or beyond an address's share, connections
/// are closed without an answer.
const MAX_ANSWERS: usize = 64;

/// The time limit for a rejected client to read its response.
const LINGER_TIMEOUT: Duration = Duration::from_secs(1);

/// The value of Retry-After, in seconds. Connections become free as downloads end.
const RETRY_AFTER_SECONDS: &str = "5";

/// Answers rejected clients.
#[derive(Debug, Clone)]
pub(crate) struct Rejecter(Limiter);

impl Rejecter {
    pub(crate) fn new() -> Self {
        Self(Limiter::new(MAX_ANSWERS, None))
    }

    /// Answers 503 over plain HTTP, without reading the request.
    pub(crate) fn too_many_connections(&self, stream: std::net::TcpStream, peer: IpAddr) {
        self.answer(stream, peer, &too_many_connections());
    }

    /// Answers a client that sends plain HTTP to a TLS listener.
    pub(crate) fn tls_expected(&self, stream: std::net::TcpStream, peer: IpAddr) {
        let problem = Problem::new(
            StatusCode::BAD_REQUEST,
            "tls_expected",
            "HTTPS expected",
            "This port speaks HTTPS. Use the link as it is, with https:// at its beginning.",
        );
        self.answer(stream, peer, &problem.into_response());
    }

    fn answer(&self, mut stream: std::net::TcpStream, peer: IpAddr, answer: &Response<Bytes>) {
        let Ok(permit) = self.0.acquire(Some(peer)) else { return };
        let bytes = http1_bytes(answer);
        // The send buffer of a new connection has room for the whole response.
        if !matches!(stream.write(&bytes), Ok(written) if written == bytes.len()) {
            return;
        }
        tasks::spawn(Task::Connection, async move {
            let _permit = permit;
            // Closing a socket with unread input resets the connection, and the client may lose the response (RFC 9112
            // §9.6).
            let linger = async {
                let mut stream = TcpStream::from_std(stream)?;
                stream.shutdown().await?;
                let mut unread = [0; 1_024];
                while stream.read(&mut unread).await? > 0 {}
                Ok::<_, io::Error>(())
            };
            let _ = tokio::time::timeout(LINGER_TIMEOUT, linger).await;
        });
    }
}

/// The response to a client beyond the limit of connections, or beyond its share.
pub(crate) fn too_many_connections() -> Response<Bytes> {
    let problem = Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "too_many_connections",
        "Too many connections",
        "There are too many connections, in all or from your address. Close some, or try again in a few seconds.",
    );
    let mut response = problem.into_response();
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_SECONDS));
    response
}
