//! Sockets: non-blocking or registered with tokio, with or without TLS, and how they are closed.

pub(super) mod io;
pub(super) mod linger;
pub(super) mod tcp;
pub(super) mod tls_stream;
