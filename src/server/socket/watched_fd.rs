//! Descriptors that tokio watches for input.

use std::io;
use std::ops::Deref;
use std::os::fd::OwnedFd;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// A descriptor that tokio watches for input: a listener, or an epoll instance. Callers only get shared references.
pub(crate) struct WatchedFd(AsyncFd<OwnedFd>);

impl WatchedFd {
    /// Registers the descriptor with the runtime of this thread.
    #[expect(unsafe_code, reason = "tokio has no safe way to watch a descriptor that it has not opened")]
    pub(crate) fn new(descriptor: OwnedFd) -> io::Result<Self> {
        // SAFETY: an `OwnedFd` is an open descriptor, always names the same one and closes it when it is dropped.
        // `AsyncFd` owns it from here on, and no code can replace it: it is only reachable through `&AsyncFd`.
        let watched = unsafe { AsyncFd::register_with_interest(descriptor, Interest::READABLE) };
        Ok(Self(watched?))
    }
}

impl Deref for WatchedFd {
    type Target = AsyncFd<OwnedFd>;

    fn deref(&self) -> &AsyncFd<OwnedFd> {
        &self.0
    }
}
