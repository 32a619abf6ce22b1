//! The server's settings.

use std::str::FromStr;
use std::time::Duration;

use super::Networks;

/// What connections may do. Defaults stand in `defaults.toml`, each with its reason.
#[derive(Debug, Clone)]
pub struct Config {
    /// How long a request's head may take to arrive, counted from the connection's start or the head's first byte.
    pub header_timeout: Duration,
    /// How long a connection is kept on which nothing is asked.
    pub idle_timeout: Duration,
    /// How long the listeners stay open after the first signal.
    pub drain_delay: Duration,
    /// How long transfers in flight may go on after that.
    pub drain_timeout: Duration,
    /// The fewest bytes a second that a client must take …
    pub slowest_client: u32,
    /// … on average over so long; only time in which it would not take more counts.
    pub stall_timeout: Duration,
    /// The most connections at once.
    pub connections: usize,
    /// The most connections at once from one address (IPv6: one /64). Without it, as many as are free.
    pub connections_per_address: Option<usize>,
    /// The longest request target, in bytes; longer is 414.
    pub longest_target: usize,
    /// The most bytes of header fields; more is 431.
    pub longest_head: usize,
    /// The bytes a connection may buffer, in each direction. At least 8 KiB.
    pub connection_buffer: usize,
    /// The requests an HTTP/2 connection may have open at once.
    pub http2_streams: u32,
    /// The streams an HTTP/2 connection may open and reset before anybody looked at them.
    pub http2_resets: usize,
    /// The networks whose word about who the client is counts.
    pub trusted_proxies: Networks,
    /// Whether connections from these begin with a header of the PROXY protocol.
    pub proxy_protocol: bool,
    /// The header field in which these name the client.
    pub client_header: Option<ClientHeader>,
}

/// A header field in which proxies name the client. One alone is believed: a proxy that writes the one passes the other
/// on as the client sent it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientHeader {
    /// RFC 7239.
    Forwarded,
    /// What most proxies write.
    XForwardedFor,
}

impl ClientHeader {
    /// The field's name, in lower case.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Forwarded => "forwarded",
            Self::XForwardedFor => "x-forwarded-for",
        }
    }
}

impl FromStr for ClientHeader {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        match name.to_ascii_lowercase().as_str() {
            "forwarded" => Ok(Self::Forwarded),
            "x-forwarded-for" => Ok(Self::XForwardedFor),
            _ => Err(()),
        }
    }
}
