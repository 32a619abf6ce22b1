//! The server's settings.

use std::time::Duration;

/// What connections may do. Defaults stand in `defaults.toml`, each with its reason.
#[derive(Debug, Clone)]
pub struct Config {
    /// How long a request's head may take to arrive, counted from the connection's start or the last answer.
    pub header_timeout: Duration,
    /// How long transfers in flight may go on after the first signal.
    pub drain_timeout: Duration,
    /// The longest request target, in bytes; longer is 414.
    pub longest_target: usize,
    /// The most bytes of header fields; more is 431.
    pub longest_head: usize,
    /// The bytes a connection may buffer, in each direction. At least 8 KiB.
    pub connection_buffer: usize,
    /// The requests an HTTP/2 connection may have open at once.
    pub http2_streams: u32,
}
