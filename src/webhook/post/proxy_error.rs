//! Why the proxy gave no connection to a receiver.

use std::fmt;
use std::io;

/// Why the proxy gave no connection to a receiver. The owner of an endpoint sees no address of the proxy; `detail` is for
/// the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProxyError {
    /// The proxy cannot be reached.
    Unreachable {
        /// Why.
        detail: String,
    },
    /// The proxy broke off, or its answer is not HTTP.
    Broken {
        /// How.
        detail: String,
    },
    /// The proxy refuses to connect: 407 asks for credentials, 403 is a rule about the receiver.
    Refused {
        /// The status of its answer.
        status: u16,
    },
    /// The proxy could not connect to the receiver: 502, 503 or 504.
    NoConnection {
        /// The status of its answer.
        status: u16,
    },
}

impl ProxyError {
    pub(super) fn broken(detail: impl fmt::Display) -> Self {
        Self::Broken { detail: detail.to_string() }
    }

    pub(super) fn unreachable(detail: impl fmt::Display) -> Self {
        Self::Unreachable { detail: detail.to_string() }
    }

    /// The reason for logs and metrics.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => "proxy_unreachable",
            Self::Broken { .. } => "proxy_broken",
            Self::Refused { status: 407 } => "proxy_credentials",
            Self::Refused { .. } => "proxy_refused",
            Self::NoConnection { .. } => "proxy_no_connection",
        }
    }

    /// Whether the proxy itself failed, and not the receiver behind it.
    #[must_use]
    pub fn is_of_proxy(&self) -> bool {
        !matches!(self, Self::NoConnection { .. })
    }

    /// Whether a later attempt may succeed without a change at the receiver or at the endpoint. A rule against the
    /// receiver stays.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        self.is_of_proxy() && !matches!(self, Self::Refused { status: 403 })
    }

    /// What only the operator may see.
    #[must_use]
    pub fn detail(&self) -> &str {
        match self {
            Self::Unreachable { detail } | Self::Broken { detail } => detail,
            Self::Refused { .. } | Self::NoConnection { .. } => "",
        }
    }
}

impl From<io::Error> for ProxyError {
    fn from(error: io::Error) -> Self {
        Self::broken(error)
    }
}

impl fmt::Display for ProxyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable { .. } => f.write_str("this service's proxy for webhooks cannot be reached"),
            Self::Broken { .. } => {
                f.write_str("this service's proxy for webhooks does not answer as a proxy does")
            }
            Self::Refused { status: 407 } => f.write_str(
                "this service's proxy for webhooks answered 407: it wants other credentials of this service",
            ),
            Self::Refused { status } => {
                write!(
                    f,
                    "this service's proxy for webhooks answered {status}: it does not connect to this receiver"
                )
            }
            Self::NoConnection { status } => {
                write!(
                    f,
                    "this service's proxy for webhooks answered {status}: it could not connect to the receiver"
                )
            }
        }
    }
}
