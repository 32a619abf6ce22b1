//! The settings of the server.

use std::str::FromStr;
use std::time::Duration;

use super::listener::networks::Networks;

/// The limits of connections. `defaults.toml` has their defaults and the reason for each.
#[derive(Debug, Clone)]
pub struct Config {
    /// The time limit for a request head, from the start of the connection or the first byte of the head.
    pub header_timeout: Duration,
    /// The time limit of an idle connection.
    pub idle_timeout: Duration,
    /// How long the listeners stay open after the first signal.
    pub drain_delay: Duration,
    /// The time limit for transfers in flight after that.
    pub drain_timeout: Duration,
    /// The minimum rate in bytes per second at which a client must read …
    pub slowest_client: u32,
    /// … on average over this time. Only time in which the client's socket is full counts.
    pub stall_timeout: Duration,
    /// The maximum number of open connections.
    pub connections: usize,
    /// The maximum number of open connections from one address (IPv6: one /64). `None`: no limit per address.
    pub connections_per_address: Option<usize>,
    /// The maximum length of a request target, in bytes. A longer one gets 414.
    pub longest_target: usize,
    /// The maximum size of the header fields, in bytes. Larger ones get 431.
    pub longest_head: usize,
    /// The maximum number of bytes that a connection buffers in each direction. At least 8 KiB.
    pub connection_buffer: usize,
    /// The maximum number of concurrent streams on an HTTP/2 connection.
    pub http2_streams: u32,
    /// The maximum number of streams that an HTTP/2 client may open and reset before the server handles them.
    pub http2_resets: usize,
    /// The networks of trusted proxies, which may name the client.
    pub trusted_proxies: Networks,
    /// Whether connections from trusted proxies begin with a PROXY protocol header.
    pub proxy_protocol: bool,
    /// The header field in which trusted proxies name the client.
    pub client_header: Option<ClientHeader>,
}

/// A header field in which proxies name the client. The server trusts only one of them: a proxy that sets one passes
/// the other on as the client sent it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientHeader {
    /// RFC 7239.
    Forwarded,
    /// The field that most proxies set.
    XForwardedFor,
}

impl ClientHeader {
    /// The name of the field, in lower case.
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
