//! Lingering close. After a response to a request that was not fully read, the server closes its half of the
//! connection, then reads and drops what the client still sends. An immediate close would reset the connection, and a
//! client that is still writing would see the reset instead of the response (RFC 9112 §9.6).

use std::io;
use std::os::fd::BorrowedFd;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::net::Shutdown;
use tokio::io::ReadBuf;
use tokio::time::{Instant, Sleep, sleep};

/// The longest pause in the input, the longest time in total, and the maximum number of dropped bytes.
const QUIET: Duration = Duration::from_secs(2);
const LONGEST: Duration = Duration::from_secs(10);
const MOST: usize = 64 * 1024 * 1024;

/// The number of bytes that are dropped per read.
const BUFFER: usize = 16 * 1024;

/// A connection that waits for its client to close it.
#[derive(Debug)]
pub(super) struct Linger {
    quiet: Pin<Box<Sleep>>,
    end: Instant,
    left: usize,
}

impl Linger {
    /// Closes the server's half of the connection.
    pub(super) fn begin(socket: BorrowedFd<'_>) -> Self {
        let _ = rustix::net::shutdown(socket, Shutdown::Write);
        Self { quiet: Box::pin(sleep(QUIET)), end: Instant::now() + LONGEST, left: MOST }
    }

    /// Completes when the client has closed its half, or a limit is reached.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        mut poll_read: impl FnMut(&mut Context<'_>, &mut ReadBuf<'_>) -> Poll<io::Result<()>>,
    ) -> Poll<()> {
        let mut buffer = [0; BUFFER];
        loop {
            let mut read = ReadBuf::new(&mut buffer);
            match poll_read(cx, &mut read) {
                Poll::Pending => return self.quiet.as_mut().poll(cx),
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Ready(Ok(())) => {}
            }
            let count = read.filled().len();
            let now = Instant::now();
            if count == 0 || count >= self.left || now >= self.end {
                return Poll::Ready(());
            }
            self.left -= count;
            self.quiet.as_mut().reset(self.end.min(now + QUIET));
        }
    }
}
