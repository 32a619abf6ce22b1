//! Pipes of the kernel, through which bytes go from one socket to another (`splice`) without retryable through here.

use std::cell::RefCell;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::net::TcpStream;

/// How many bytes a pipe takes. A client that stalls holds as many.
const HOLDS: usize = 256 * 1024;

/// How many pipes a thread keeps for the next ones.
const KEPT: usize = 16;

/// How many there may be, and are. Whoever gets none copies.
static MOST: std::sync::LazyLock<usize> = std::sync::LazyLock::new(|| {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    usize::try_from(max_pipes(limit.unwrap_or(u64::MAX))).unwrap_or_default()
});
static OPEN: AtomicUsize = AtomicUsize::new(0);

/// Whether the kernel, or what stands for one, has refused to fill a pipe: it is not asked again.
static REFUSED: AtomicBool = AtomicBool::new(false);

thread_local! {
    static FREE: RefCell<Vec<Arc<Ends>>> = const { RefCell::new(Vec::new()) };
}

/// How many pipes there are, each with two ends, where a process may open so many files. Never more than the kernel lets a
/// user have of this size (64 MiB in all).
#[must_use]
pub fn max_pipes(limit: u64) -> u64 {
    (limit / 32).clamp(1, 256)
}

/// A pipe on loan; what comes out of it are the bytes that went in, in their order.
#[derive(Debug)]
pub struct Pipe(Arc<Ends>);

#[derive(Debug)]
struct Ends {
    out: OwnedFd,
    into: OwnedFd,
}

impl Ends {
    /// A new pipe, unless there are too many, or the kernel gives none of this size.
    fn open() -> Option<Self> {
        use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};

        if OPEN.fetch_add(1, Ordering::Relaxed) < *MOST
            && let Ok((out, into)) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)
        {
            // From here on, dropping it counts.
            let ends = Self { out, into };
            return fcntl_setpipe_size(&ends.into, HOLDS).is_ok().then_some(ends);
        }
        OPEN.fetch_sub(1, Ordering::Relaxed);
        None
    }
}

impl Drop for Ends {
    fn drop(&mut self) {
        OPEN.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Pipe {
    /// An empty pipe, if there is one to be had.
    pub(crate) fn acquire() -> Option<Self> {
        if REFUSED.load(Ordering::Relaxed) {
            return None;
        }
        let kept = FREE.with_borrow_mut(Vec::pop);
        kept.or_else(|| Ends::open().map(Arc::new)).map(Self)
    }

    /// Moves at most `most` bytes from a socket into the pipe: as many as are there and as it has room for. Says how many;
    /// none are the end of what is sent.
    pub(crate) fn fill(&self, from: &TcpStream, most: u64) -> io::Result<usize> {
        use rustix::pipe::{SpliceFlags, splice};

        let most = usize::try_from(most).unwrap_or(HOLDS).min(HOLDS);
        let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
        let filled = from.try_io(tokio::io::Interest::READABLE, || {
            Ok(splice(from, None, &self.0.into, None, most, flags)?)
        });
        // Nothing was moved then: the body is taken up where it is, and read.
        if filled.as_ref().is_err_and(is_refusal) {
            REFUSED.store(true, Ordering::Relaxed);
        }
        filled
    }
}

/// Whether this can never be done here, as opposed to a connection that breaks: sandboxes do not let everything through.
fn is_refusal(error: &io::Error) -> bool {
    use io::ErrorKind as E;

    matches!(error.kind(), E::InvalidInput | E::PermissionDenied | E::Unsupported)
}

impl AsFd for Pipe {
    /// The end where the bytes come out.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.out.as_fd()
    }
}

impl Drop for Pipe {
    /// It is lent again, unless there is something left in it.
    fn drop(&mut self) {
        if rustix::io::ioctl_fionread(&self.0.out) != Ok(0) {
            return;
        }
        // At the end of a thread there is no list any more.
        let _ = FREE.try_with(|free| {
            let mut free = free.borrow_mut();
            if free.len() < KEPT {
                free.push(Arc::clone(&self.0));
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    async fn sockets() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let from = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (from, listener.accept().await.unwrap().0)
    }

    #[tokio::test]
    async fn a_pipe_takes_no_more_than_it_is_told_and_says_when_there_is_nothing() {
        let (from, mut to) = sockets().await;
        let pipe = Pipe::acquire().unwrap();
        assert_eq!(pipe.fill(&from, 5).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        to.write_all(b"hello world").await.unwrap();
        from.readable().await.unwrap();
        assert_eq!(pipe.fill(&from, 5).unwrap(), 5);
        assert_eq!(pipe.fill(&from, 500).unwrap(), 6);
        drop(to);
        from.readable().await.unwrap();
        assert_eq!(pipe.fill(&from, 5).unwrap(), 0, "the end");
        let mut bytes = [0; 20];
        assert_eq!(rustix::io::read(&pipe, &mut bytes).unwrap(), 11);
        assert_eq!(&bytes[..11], b"hello world");
    }

    #[tokio::test]
    async fn a_pipe_with_something_in_it_is_not_lent_again() {
        let (from, mut to) = sockets().await;
        let number = |pipe: &Pipe| std::os::fd::AsRawFd::as_raw_fd(&pipe.as_fd());
        let pipe = Pipe::acquire().unwrap();
        let first = Arc::downgrade(&pipe.0);
        drop(pipe);
        let pipe = Pipe::acquire().unwrap();
        assert_eq!(
            first.upgrade().map(|ends| std::os::fd::AsRawFd::as_raw_fd(&ends.out)),
            Some(number(&pipe))
        );
        to.write_all(b"hello").await.unwrap();
        from.readable().await.unwrap();
        assert_eq!(pipe.fill(&from, 5).unwrap(), 5);
        drop(pipe);
        assert!(first.upgrade().is_none());
    }

    #[test]
    fn a_kernel_that_refuses_is_told_from_a_connection_that_breaks() {
        use rustix::io::Errno;

        for refused in [Errno::INVAL, Errno::NOSYS, Errno::PERM, Errno::OPNOTSUPP] {
            assert!(is_refusal(&refused.into()), "{refused}");
        }
        for broken in [Errno::CONNRESET, Errno::PIPE, Errno::AGAIN, Errno::TIMEDOUT] {
            assert!(!is_refusal(&broken.into()), "{broken}");
        }
    }

    #[test]
    fn few_pipes_are_open_where_few_files_may_be() {
        assert_eq!([0, 64, 1_024, 20_000, u64::MAX].map(max_pipes), [1, 2, 32, 256, 256]);
    }
}
