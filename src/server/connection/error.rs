//! Why a connection ended early.

use std::{fmt, io};

use crate::server::deadlines::timeouts::Timeout;

/// Why a connection ended early.
#[derive(Debug)]
pub(crate) enum ConnectionError {
    Http(hyper::Error),
    Io(io::Error),
    Handshake(io::Error),
    Timeout(Timeout),
    /// A new connection took its slot.
    Evicted,
}

impl From<hyper::Error> for ConnectionError {
    fn from(error: hyper::Error) -> Self {
        Self::Http(error)
    }
}

impl From<io::Error> for ConnectionError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl fmt::Display for ConnectionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(error) => error.fmt(f),
            Self::Io(error) => error.fmt(f),
            Self::Handshake(error) => write!(f, "no TLS handshake: {error}"),
            Self::Timeout(Timeout::Handshake) => f.write_str("the TLS handshake took too long"),
            Self::Timeout(Timeout::Header) => f.write_str("no request came in time"),
            Self::Timeout(Timeout::Idle) => f.write_str("no request came for a long time"),
            Self::Timeout(Timeout::Stall) => f.write_str("the client read too little"),
            Self::Evicted => f.write_str("a new connection got its slot"),
        }
    }
}
