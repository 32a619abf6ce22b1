//! Accepting: who comes is let in, or told at once that there is no room.

use std::future::poll_fn;
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONNECTION, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, Sleep};

use super::limiter::Limiter;
use crate::problem::Problem;
use crate::tasks::{self, Task};

/// How many may be told at once that there is no room; more are not told, nor an address that has more than its share.
const TOLD_AT_ONCE: usize = 64;

/// How long they have to hear it.
const TELLING: Duration = Duration::from_secs(1);

/// When to come back. Connections come free as downloads end.
const COME_BACK: &str = "5";

/// How long to wait before somebody is accepted again, when nobody could be.
const PAUSE: Duration = Duration::from_millis(100);

/// Takes connections in, whatever happens.
pub(super) struct Acceptor {
    listener: AsyncFd<std::net::TcpListener>,
    failing: Arc<Failing>,
    /// Running out of descriptors passes, and is waited for.
    pause: Option<Pin<Box<Sleep>>>,
}

/// How often it is said that nobody can be accepted, if now and then somebody can.
const SAID_EVERY: Duration = Duration::from_secs(1);

/// Whether the last one could not be accepted: said once for all threads, until it can.
#[derive(Debug, Default)]
pub(super) struct Failing {
    now: AtomicBool,
    said: Mutex<Option<Instant>>,
}

impl Failing {
    /// Nobody could be accepted; whether that has to be said.
    fn begins(&self) -> bool {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let begins = !self.now.load(Ordering::Relaxed) && said.is_none_or(|at| at.elapsed() >= SAID_EVERY);
        if begins {
            *said = Some(Instant::now());
            self.now.store(true, Ordering::Relaxed);
        }
        begins
    }

    /// Somebody was accepted; whether that has to be said.
    fn ends(&self) -> bool {
        self.now.load(Ordering::Relaxed) && self.now.swap(false, Ordering::Relaxed)
    }
}

impl Acceptor {
    /// # Errors
    /// If the runtime cannot watch it.
    pub(super) fn new(listener: TcpListener, failing: Arc<Failing>) -> io::Result<Self> {
        let listener = listener.into_std()?;
        crate::server::socket::tcp::prepare(&listener);
        let listener = crate::server::socket::io::watched(listener)?;
        Ok(Self { listener, failing, pause: None })
    }

    /// The next connection, not watched by anybody yet. Nothing is lost if it is not waited for to the end.
    pub(super) async fn next(&mut self) -> (std::net::TcpStream, SocketAddr) {
        use io::ErrorKind as K;

        loop {
            if let Some(pause) = &mut self.pause {
                pause.as_mut().await;
                self.pause = None;
            }
            match poll_fn(|cx| self.poll_accept(cx)).await {
                Ok(accepted) => {
                    self.works_again();
                    return accepted;
                }
                // A connection that failed before it was accepted concerns nobody else.
                Err(error)
                    if matches!(error.kind(), K::ConnectionAborted | K::ConnectionReset | K::Interrupted) => {
                }
                Err(error) => {
                    self.pause = Some(Box::pin(tokio::time::sleep(PAUSE)));
                    if self.failing.begins() {
                        tracing::error!(
                            %error,
                            "no connection can be accepted; trying again ten times a second until one can \
                             (raise the limit on open files, or lower server.connections)"
                        );
                    }
                }
            }
        }
    }

    /// One more, if there is one already.
    pub(super) fn at_once(&self) -> Option<(std::net::TcpStream, SocketAddr)> {
        if self.pause.is_some() {
            return None;
        }
        let accepted = self.listener.try_io(Interest::READABLE, accept).ok()?;
        self.works_again();
        Some(accepted)
    }

    fn works_again(&self) {
        if self.failing.ends() {
            tracing::info!("connections are accepted again");
        }
    }

    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(std::net::TcpStream, SocketAddr)>> {
        loop {
            let mut ready = ready!(self.listener.poll_read_ready(cx))?;
            if let Ok(accepted) = ready.try_io(|listener| accept(listener.get_ref())) {
                return Poll::Ready(accepted);
            }
        }
    }
}

/// A connection that never blocks.
fn accept(listener: &std::net::TcpListener) -> io::Result<(std::net::TcpStream, SocketAddr)> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use rustix::net::{SocketFlags, acceptfrom_with};

    // Where nobody waits, accept(2) makes a socket, a file and an inode before it finds out, and throws them away: that costs
    // ten times as much as asking.
    let mut waiting = [PollFd::new(listener, PollFlags::IN)];
    if poll(&mut waiting, Some(&Timespec::default()))? == 0 {
        return Err(io::ErrorKind::WouldBlock.into());
    }
    let (socket, address) = acceptfrom_with(listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC)?;
    let address = address.ok_or(io::ErrorKind::AddrNotAvailable)?.try_into()?;
    Ok((socket.into(), address))
}

/// Answers those for whom there is no room.
#[derive(Debug, Clone)]
pub(super) struct Usher {
    told: Limiter,
}

impl Usher {
    pub(super) fn new() -> Self {
        Self { told: Limiter::new(TOLD_AT_ONCE, None) }
    }

    /// Says so to whoever speaks plain HTTP, at once and without reading the request.
    pub(super) fn no_room(&self, stream: std::net::TcpStream, peer: IpAddr) {
        self.tell(stream, peer, &wire(&crowded()));
    }

    /// Says so to whoever speaks plain HTTP where TLS is spoken.
    pub(super) fn wants_tls(&self, stream: std::net::TcpStream, peer: IpAddr) {
        let problem = Problem::new(
            StatusCode::BAD_REQUEST,
            "tls_expected",
            "HTTPS expected",
            "This port speaks HTTPS. Use the link as it is, with https:// at its beginning.",
        );
        self.tell(stream, peer, &wire(&problem.into_response()));
    }

    fn tell(&self, mut stream: std::net::TcpStream, peer: IpAddr, words: &[u8]) {
        let Ok(permit) = self.told.enter(Some(peer)) else { return };
        // A fresh connection's buffer has room for this.
        if !matches!(stream.write(words), Ok(written) if written == words.len()) {
            return;
        }
        tasks::spawn(Task::Connection, async move {
            let _permit = permit;
            // Closing with bytes unread resets the connection, and the answer may be lost with it (RFC 9112 §9.6).
            let leave = async {
                let mut stream = TcpStream::from_std(stream)?;
                stream.shutdown().await?;
                let mut unread = [0; 1_024];
                while stream.read(&mut unread).await? > 0 {}
                Ok::<_, io::Error>(())
            };
            let _ = tokio::time::timeout(TELLING, leave).await;
        });
    }
}

/// The answer when there is no room for one more.
pub(super) fn crowded() -> Response<Bytes> {
    let problem = Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "too_many_connections",
        "Too many connections",
        "There are too many connections, in all or from your address. Close some, or try again in a few seconds.",
    );
    let mut response = problem.into_response();
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static(COME_BACK));
    response
}

/// An answer as HTTP/1.1 has it.
pub(super) fn wire(response: &Response<Bytes>) -> Vec<u8> {
    let status = response.status();
    let mut bytes =
        format!("HTTP/1.1 {} {}\r\n", status.as_u16(), status.canonical_reason().unwrap_or_default())
            .into_bytes();
    let closing = (&CONNECTION, &HeaderValue::from_static("close"));
    for (name, value) in response.headers().iter().chain([closing]) {
        bytes.extend_from_slice(name.as_str().as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(response.body());
    bytes
}
