//! Sockets: at first non-blocking and polled together with others, or registered with tokio; with or without TLS; and how
//! they are closed.

mod linger;
mod pace;
pub(super) mod stream;
pub(super) mod tcp;
pub(super) mod watched_fd;
