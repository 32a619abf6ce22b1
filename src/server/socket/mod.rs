//! Sockets: non-blocking and watched by an idle poller, or registered with tokio; with or without TLS; and how they are
//! closed.

mod linger;
mod pace;
pub(super) mod stream;
pub(super) mod tcp;
pub(super) mod watched_fd;
