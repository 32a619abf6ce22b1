//! Accepts connections, and keeps trying when the process runs out of file descriptors.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::Interest;
use tokio::net::TcpListener;
use tokio::time::{Instant, Sleep};

use crate::server::socket::tcp;
use crate::server::socket::watched_fd::WatchedFd;

/// The pause after a failed accept(2).
pub(super) const RETRY_DELAY: Duration = Duration::from_millis(100);

/// The shortest time between two log lines about a failure, if some connections are accepted in between.
const LOG_INTERVAL: Duration = Duration::from_secs(1);

/// Accepts the connections of one listener.
pub(crate) struct Acceptor {
    listener: WatchedFd,
    failure: Arc<AcceptFailure>,
    /// Set while the process waits for a free file descriptor.
    pause: Option<Pin<Box<Sleep>>>,
}

/// Whether accept(2) is failing. All threads of a listener share it, so that each failure is logged once.
#[derive(Debug, Default)]
pub(crate) struct AcceptFailure {
    lasts: AtomicBool,
    logged: Mutex<Option<Instant>>,
}

impl AcceptFailure {
    /// Records a failure. Returns whether to log it.
    fn begin(&self) -> bool {
        let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        let begins =
            !self.lasts.load(Ordering::Relaxed) && logged.is_none_or(|at| at.elapsed() >= LOG_INTERVAL);
        if begins {
            *logged = Some(Instant::now());
            self.lasts.store(true, Ordering::Relaxed);
        }
        begins
    }

    /// Records a success. Returns whether it ends a failure.
    fn end(&self) -> bool {
        self.lasts.load(Ordering::Relaxed) && self.lasts.swap(false, Ordering::Relaxed)
    }
}

impl Acceptor {
    /// Creates the acceptor of a listener.
    ///
    /// # Errors
    /// If the runtime cannot watch the listener.
    pub(crate) fn new(listener: TcpListener, failure: Arc<AcceptFailure>) -> io::Result<Self> {
        let listener = listener.into_std()?;
        tcp::prepare(&listener);
        Ok(Self { listener: WatchedFd::new(listener.into())?, failure, pause: None })
    }

    /// Returns the next connection, which no runtime watches yet. Cancel safe.
    pub(crate) async fn next(&mut self) -> (std::net::TcpStream, SocketAddr) {
        use io::ErrorKind as K;

        loop {
            if let Some(pause) = &mut self.pause {
                pause.as_mut().await;
                self.pause = None;
            }
            match poll_fn(|cx| self.poll_accept(cx)).await {
                Ok(accepted) => {
                    self.log_recovery();
                    return accepted;
                }
                // The client closed its connection before it was accepted.
                Err(error)
                    if matches!(error.kind(), K::ConnectionAborted | K::ConnectionReset | K::Interrupted) => {
                }
                Err(error) => {
                    self.pause = Some(Box::pin(tokio::time::sleep(RETRY_DELAY)));
                    if self.failure.begin() {
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

    /// Returns another connection, if the backlog has one.
    pub(crate) fn try_next(&self) -> Option<(std::net::TcpStream, SocketAddr)> {
        if self.pause.is_some() {
            return None;
        }
        let accepted = self.listener.try_io(Interest::READABLE, accept).ok()?;
        self.log_recovery();
        Some(accepted)
    }

    fn log_recovery(&self) {
        if self.failure.end() {
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

/// Accepts a non-blocking connection.
fn accept(listener: &OwnedFd) -> io::Result<(std::net::TcpStream, SocketAddr)> {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    use rustix::net::{SocketFlags, acceptfrom_with};

    // With an empty backlog, accept(2) creates and frees a socket, a file and an inode: ten times the cost of poll(2).
    let mut waiting = [PollFd::new(listener, PollFlags::IN)];
    if poll(&mut waiting, Some(&Timespec::default()))? == 0 {
        return Err(io::ErrorKind::WouldBlock.into());
    }
    let (socket, address) = acceptfrom_with(listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC)?;
    let address = address.ok_or(io::ErrorKind::AddrNotAvailable)?.try_into()?;
    Ok((socket.into(), address))
}
