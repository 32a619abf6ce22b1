//! Lingering close: behind an answer to a request that was not read to its end, our half of the connection is closed, and
//! what the client still sends is read and dropped. Closed at once, the connection would be reset, and a client that is still
//! writing would see the reset instead of the answer (RFC 9112 §9.6).

use std::io;
use std::os::fd::BorrowedFd;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::net::Shutdown;
use tokio::io::ReadBuf;
use tokio::time::{Instant, Sleep, sleep};

/// The longest pause between two arrivals, the longest time in all, and the most bytes that are dropped.
const QUIET: Duration = Duration::from_secs(2);
const LONGEST: Duration = Duration::from_secs(10);
const MOST: usize = 64 * 1024 * 1024;

/// The bytes that are dropped at once.
const BUFFER: usize = 16 * 1024;

/// A connection whose client has time to close it.
#[derive(Debug)]
pub(super) struct Linger {
    quiet: Pin<Box<Sleep>>,
    end: Instant,
    left: usize,
}

impl Linger {
    /// Closes our half.
    pub(super) fn begin(socket: BorrowedFd<'_>) -> Self {
        let _ = rustix::net::shutdown(socket, Shutdown::Write);
        Self { quiet: Box::pin(sleep(QUIET)), end: Instant::now() + LONGEST, left: MOST }
    }

    /// Ends when the client has closed its half, or one of the bounds is reached.
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
