//! Why an attempt got no response, in words that the endpoint's owner may see.

use std::error::Error;
use std::fmt;
use std::io;
use std::time::Duration;

use tokio_rustls::rustls::{self, CertificateError, InvalidMessage};

use super::proxy_error::ProxyError;
use crate::webhook::duration_text::format_span;
use crate::webhook::network::NotPublic;

/// The longest external text in an error, in bytes.
const MAX_TEXT: usize = 160;

/// Why an attempt got no response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PostError {
    /// The URL begins with `http://`, which is not allowed.
    PlainHttp,
    /// The host has no address.
    NameNotFound {
        /// The host.
        host: String,
    },
    /// The resolver failed, so it is unknown whether the host has an address.
    ResolverFailed {
        /// The host.
        host: String,
        /// The resolver's message.
        text: String,
    },
    /// The host has an address that is not public.
    NotPublic(NotPublic),
    /// The proxy gave no connection to the receiver.
    Proxy(ProxyError),
    /// Nothing listens on the host's port.
    Refused,
    /// No route to the host.
    Unreachable,
    /// This machine could not open a connection.
    ConnectFailed {
        /// The system's message.
        text: String,
    },
    /// The TLS handshake failed.
    Tls(TlsError),
    /// The deadline passed.
    TimedOut {
        /// The phase of the attempt.
        phase: Phase,
        /// The deadline.
        after: Duration,
    },
    /// The connection or the response was interrupted.
    Broken {
        /// The phase that was interrupted.
        phase: Phase,
        /// The reason.
        how: BreakReason,
    },
}

/// The phase of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// The host is being resolved.
    Resolve,
    /// A connection is being opened.
    Connect,
    /// The TLS handshake is in progress.
    Tls,
    /// The request is being sent, or the response head has not arrived.
    Response,
    /// The response body is being read.
    Body,
}

/// Why the TLS handshake failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TlsError {
    /// The certificate is no longer valid.
    Expired {
        /// How long ago it expired, if known.
        ago: Option<Duration>,
    },
    /// The certificate is not valid yet.
    NotYetValid,
    /// The certificate is for other names.
    WrongName {
        /// The names in the certificate, as far as known.
        presented: Vec<String>,
    },
    /// The certificate is self-signed, its chain is incomplete, or its authority is not trusted here.
    UnknownIssuer,
    /// The certificate was revoked.
    Revoked,
    /// The peer does not speak TLS.
    NotTls,
    /// Another error.
    Other(String),
}

/// How a connection or a response was interrupted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BreakReason {
    /// The receiver closed the connection.
    Closed,
    /// The receiver, or a proxy or firewall in front of it, reset the connection.
    Reset,
    /// The response is not HTTP.
    NotHttp,
    /// The response head is too large.
    HeadTooLarge,
    /// Anything else.
    Other(String),
}

impl PostError {
    /// The reason for logs and metrics, from a fixed set.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::PlainHttp => "plain_http",
            Self::NameNotFound { .. } => "name_not_found",
            Self::ResolverFailed { .. } => "resolver_failed",
            Self::NotPublic(_) => "not_public",
            Self::Proxy(trouble) => trouble.reason(),
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
            Self::ConnectFailed { .. } => "connect_failed",
            Self::Tls(trouble) => trouble.reason(),
            Self::TimedOut { phase, .. } => match phase {
                Phase::Resolve => "resolve_timed_out",
                Phase::Connect => "connect_timed_out",
                Phase::Tls => "tls_timed_out",
                Phase::Response => "answer_timed_out",
                Phase::Body => "body_timed_out",
            },
            Self::Broken { how, .. } => match how {
                BreakReason::Closed => "closed",
                BreakReason::Reset => "reset",
                BreakReason::NotHttp => "not_http",
                BreakReason::HeadTooLarge => "head_too_large",
                BreakReason::Other(_) => "broken",
            },
        }
    }

    /// Classifies a failed lookup. The standard library returns the C library's text and no code.
    pub(super) fn lookup(host: &str, error: &io::Error) -> Self {
        let text = error.to_string();
        let host = host.to_owned();
        let lower = text.to_ascii_lowercase();
        // glibc (two messages), musl, macOS.
        let absent = ["not known", "no address associated", "does not resolve", "nodename nor servname"];
        if error.kind() == io::ErrorKind::NotFound || absent.iter().any(|words| lower.contains(words)) {
            return Self::NameNotFound { host };
        }
        let text = text.trim_start_matches("failed to lookup address information: ");
        Self::ResolverFailed { host, text: short(text) }
    }

    pub(super) fn connect(error: &io::Error) -> Self {
        use io::ErrorKind as K;

        match error.kind() {
            K::ConnectionRefused => Self::Refused,
            K::HostUnreachable | K::NetworkUnreachable | K::NetworkDown | K::TimedOut => Self::Unreachable,
            K::ConnectionReset | K::ConnectionAborted => {
                Self::Broken { phase: Phase::Connect, how: BreakReason::Reset }
            }
            _ => Self::ConnectFailed { text: short(&error.to_string()) },
        }
    }

    pub(super) fn handshake(error: &io::Error) -> Self {
        match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(error) => Self::Tls(TlsError::of(error)),
            None => Self::Broken { phase: Phase::Tls, how: BreakReason::of_io(error) },
        }
    }

    /// Classifies an error of the HTTP client; the connector's error is among its sources.
    pub(super) fn exchange(error: &(dyn Error + 'static), phase: Phase) -> Self {
        let mut how = None;
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(ours) = error.downcast_ref::<Self>() {
                return ours.clone();
            }
            if let Some(io) = error.downcast_ref::<io::Error>() {
                if let Some(tls) = io.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
                    return Self::Tls(TlsError::of(tls));
                }
                how = Some(BreakReason::of_io(io));
            }
            if let Some(hyper) = error.downcast_ref::<hyper::Error>() {
                how = BreakReason::of_hyper(hyper).or(how);
            }
            next = error.source();
        }
        Self::Broken { phase, how: how.unwrap_or_else(|| BreakReason::Other(short(&error.to_string()))) }
    }
}

impl TlsError {
    fn of(error: &rustls::Error) -> Self {
        use rustls::Error as E;

        match error {
            E::InvalidCertificate(certificate) => Self::of_certificate(certificate),
            E::InvalidMessage(
                InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion,
            ) => Self::NotTls,
            E::AlertReceived(alert) => Self::Other(short(&format!("the receiver broke off with {alert:?}"))),
            other => Self::Other(short(&other.to_string())),
        }
    }

    fn of_certificate(error: &CertificateError) -> Self {
        use CertificateError as C;

        match error {
            C::ExpiredContext { time, not_after } => Self::Expired {
                ago: Some(Duration::from_secs(time.as_secs().saturating_sub(not_after.as_secs()))),
            },
            C::Expired => Self::Expired { ago: None },
            C::NotValidYet | C::NotValidYetContext { .. } => Self::NotYetValid,
            C::NotValidForNameContext { presented, .. } => {
                Self::WrongName { presented: presented.iter().take(3).map(|name| name_of(name)).collect() }
            }
            C::NotValidForName => Self::WrongName { presented: Vec::new() },
            // A bad signature comes from an authority with a trusted name but a different key.
            C::UnknownIssuer | C::BadSignature => Self::UnknownIssuer,
            C::Revoked => Self::Revoked,
            // A self-signed certificate, as `openssl req -x509` makes it; the error type is webpki's.
            C::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => Self::UnknownIssuer,
            other => Self::Other(short(&other.to_string())),
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Expired { .. } => "certificate_expired",
            Self::NotYetValid => "certificate_not_yet_valid",
            Self::WrongName { .. } => "certificate_wrong_name",
            Self::UnknownIssuer => "certificate_not_trusted",
            Self::Revoked => "certificate_revoked",
            Self::NotTls => "not_tls",
            Self::Other(_) => "tls_failed",
        }
    }
}

impl BreakReason {
    fn of_io(error: &io::Error) -> Self {
        use io::ErrorKind as K;

        match error.kind() {
            K::UnexpectedEof | K::BrokenPipe | K::NotConnected => Self::Closed,
            K::ConnectionReset | K::ConnectionAborted => Self::Reset,
            _ => Self::Other(short(&error.to_string())),
        }
    }

    fn of_hyper(error: &hyper::Error) -> Option<Self> {
        if error.is_parse_too_large() {
            Some(Self::HeadTooLarge)
        } else if error.is_parse() {
            Some(Self::NotHttp)
        } else if error.is_incomplete_message() || error.is_closed() || error.is_canceled() {
            Some(Self::Closed)
        } else {
            None
        }
    }
}

impl fmt::Display for PostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PlainHttp => f.write_str("http:// is not allowed: use https://"),
            Self::NameNotFound { host } => write!(f, "the name {host} does not exist"),
            Self::ResolverFailed { host, text } => {
                write!(f, "the name {host} could not be looked up ({text})")
            }
            Self::NotPublic(refused) => refused.fmt(f),
            Self::Proxy(trouble) => trouble.fmt(f),
            Self::Refused => f.write_str("the connection was refused: nothing listens there"),
            Self::Unreachable => f.write_str("the receiver cannot be reached over the network"),
            Self::ConnectFailed { text } => write!(f, "no connection could be opened ({text})"),
            Self::Tls(trouble) => trouble.fmt(f),
            Self::TimedOut { phase, after } => {
                let what = match phase {
                    Phase::Resolve => "the name was not looked up",
                    Phase::Connect => "no connection was made",
                    Phase::Tls => "the receiver took the connection, but no secure one came about",
                    Phase::Response => "the receiver took the request, but did not answer",
                    Phase::Body => "the receiver began its answer, but did not finish it",
                };
                write!(f, "{what} within {}", format_span(*after))
            }
            Self::Broken { phase, how } => {
                let when = match phase {
                    Phase::Resolve | Phase::Connect => "while it was opened",
                    Phase::Tls => "before it was secure",
                    Phase::Response => "before an answer came",
                    Phase::Body => "in the middle of the answer",
                };
                match how {
                    BreakReason::Closed => write!(f, "the receiver closed the connection {when}"),
                    BreakReason::Reset => write!(f, "the connection was reset {when}"),
                    BreakReason::NotHttp => f.write_str("what the receiver answered is not HTTP"),
                    BreakReason::HeadTooLarge => f.write_str("the receiver's answer has too large a head"),
                    BreakReason::Other(text) => write!(f, "the connection broke {when} ({text})"),
                }
            }
        }
    }
}

impl Error for PostError {}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expired { ago: Some(ago) } => {
                write!(f, "the receiver's certificate expired {} ago", format_span(*ago))
            }
            Self::Expired { ago: None } => f.write_str("the receiver's certificate has expired"),
            Self::NotYetValid => f.write_str("the receiver's certificate is not valid yet"),
            Self::WrongName { presented } if presented.is_empty() => {
                f.write_str("the receiver's certificate is for another name")
            }
            Self::WrongName { presented } => {
                write!(f, "the receiver's certificate is for another name ({})", presented.join(", "))
            }
            Self::UnknownIssuer => f.write_str(
                "the receiver's certificate is not trusted: it is self-signed, or its chain is incomplete",
            ),
            Self::Revoked => f.write_str("the receiver's certificate was revoked"),
            Self::NotTls => f.write_str("the receiver does not speak TLS at this port"),
            Self::Other(text) => write!(f, "no secure connection came about ({text})"),
        }
    }
}

/// A name in a certificate, which rustls formats as `DnsName("example.com")`.
fn name_of(presented: &str) -> String {
    short(presented.split('"').nth(1).unwrap_or(presented))
}

/// Shortens an external text and removes its control characters.
fn short(text: &str) -> String {
    let mut text: String = text.chars().filter(|c| !c.is_control()).collect();
    text.truncate(text.floor_char_boundary(MAX_TEXT));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_name_differs_from_a_failed_lookup() {
        let said = |text: &str| PostError::lookup("x.example", &io::Error::other(text)).reason();
        assert_eq!(said("failed to lookup address information: Name or service not known"), "name_not_found");
        assert_eq!(said("failed to lookup address information: Name does not resolve"), "name_not_found");
        assert_eq!(
            said("failed to lookup address information: Temporary failure in name resolution"),
            "resolver_failed"
        );
    }

    #[test]
    fn text_from_outside_is_cut_and_has_no_control_characters() {
        let long = format!("a\u{1b}[31m{}", "é".repeat(200));
        let text = short(&long);
        assert!(text.len() <= MAX_TEXT && text.starts_with("a[31mé"), "{text}");
        assert_eq!(name_of("DnsName(\"other.example\")"), "other.example");
        assert_eq!(name_of("other.example"), "other.example");
    }
}
