//! The server's settings.

use std::str::FromStr;
use std::time::Duration;

use super::listener::networks::Networks;

/// The limits of connections. Defaults stand in `defaults.toml`, each with its reason.
#[derive(Debug, Clone)]
pub struct Config {
    /// The longest time for a request's head, from the start of the connection or the first byte of the head.
    pub header_timeout: Duration,
    /// The longest time without a request.
    pub idle_timeout: Duration,
    /// How long the listeners stay open after the first signal.
    pub drain_delay: Duration,
    /// The longest time for transfers in flight after that.
    pub drain_timeout: Duration,
    /// The fewest bytes per second that a client must read …
    pub slowest_client: u32,
    /// … on average over this time; only time in which its socket is full counts.
    pub stall_timeout: Duration,
    /// The most connections at once.
    pub connections: usize,
    /// The most connections at once from one address (IPv6: one /64). Without it, an address may have as many as are free.
    pub connections_per_address: Option<usize>,
    /// The longest request target, in bytes; longer is 414.
    pub longest_target: usize,
    /// The most bytes of header fields; more is 431.
    pub longest_head: usize,
    /// The bytes a connection may buffer, in each direction. At least 8 KiB.
    pub connection_buffer: usize,
    /// The requests an HTTP/2 connection may have open at once.
    pub http2_streams: u32,
    /// The streams an HTTP/2 connection may open and reset before the server handles them.
    pub http2_resets: usize,
    /// The networks of proxies that may name the client.
    pub trusted_proxies: Networks,
    /// Whether connections from trusted proxies begin with a header of the PROXY protocol.
    pub proxy_protocol: bool,
    /// The header field in which trusted proxies name the client.
    pub client_header: Option<ClientHeader>,
}

/// A header field in which proxies name the client. The server trusts only one: a proxy that writes one of them passes the
/// other on as the client sent it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientHeader {
    /// RFC 7239.
    Forwarded,
    /// The field that most proxies write.
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
