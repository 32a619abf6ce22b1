//! Lingering close: behind an answer to a request that was not read to its end, our half of the connection is closed, and
//! what the client still sends is read and thrown away. Closed at once, the connection would be reset, and a client that
//! is still writing would see the reset instead of the answer (RFC 9112 §9.6).

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::net::Shutdown;
use tokio::io::ReadBuf;
use tokio::time::{Instant, Sleep, sleep};

use crate::server::socket::io::SocketIo;

/// How long nothing may arrive, how long it goes on in all, and how much is thrown away.
const QUIET: Duration = Duration::from_secs(2);
const LONGEST: Duration = Duration::from_secs(10);
const MOST: usize = 64 * 1024 * 1024;

/// Room for what is thrown away.
const ROOM: usize = 16 * 1024;

/// A connection whose client is waited for.
#[derive(Debug)]
pub(in crate::server) struct Linger {
    quiet: Pin<Box<Sleep>>,
    end: Instant,
    left: usize,
}

impl Linger {
    /// Closes our half.
    pub(in crate::server) fn begin(wire: &impl SocketIo) -> Self {
        let _ = rustix::net::shutdown(wire.descriptor(), Shutdown::Write);
        Self { quiet: Box::pin(sleep(QUIET)), end: Instant::now() + LONGEST, left: MOST }
    }

    /// Ends when the client has closed its half, or one of the bounds is reached.
    pub(in crate::server) fn poll(&mut self, cx: &mut Context<'_>, wire: &mut impl SocketIo) -> Poll<()> {
        let mut room = [0; ROOM];
        loop {
            let mut read = ReadBuf::new(&mut room);
            match wire.poll_receive(cx, &mut read) {
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
