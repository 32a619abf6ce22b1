//! A request as the gateway reads it: a view borrowed from httparse's request (the fast path) or from hyper's.

use std::net::SocketAddr;
use std::time::Duration;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, StatusCode, Version};

use crate::clock::Moment;
use crate::server::PlainRequest;
use crate::telemetry::{AccessLog, AccessRecord, RequestId, RequestLogs, Untrusted};

/// The header fields of a request.
#[derive(Debug, Clone, Copy)]
pub(super) enum Headers<'r> {
    /// Fields that httparse parsed.
    Plain(&'r PlainRequest<'r>),
    /// The map of hyper.
    Map(&'r HeaderMap),
}

impl<'r> Headers<'r> {
    /// Returns the values of all lines of a field, in order.
    pub(super) fn values(self, name: &HeaderName) -> impl Iterator<Item = &'r [u8]> {
        let (plain, map) = match self {
            Self::Plain(request) => (Some(request), None),
            Self::Map(map) => (None, Some(map.get_all(name))),
        };
        let plain = plain.into_iter().flat_map(PlainRequest::fields);
        let plain =
            plain.filter(|(other, _)| other.eq_ignore_ascii_case(name.as_str())).map(|(_, value)| value);
        plain.chain(map.into_iter().flatten().map(HeaderValue::as_bytes))
    }
}

/// Returns the text of a header field's value, if it consists of visible ASCII, spaces and tabs.
pub(super) fn visible_text(value: &[u8]) -> Option<&str> {
    let is_visible = |byte: &u8| matches!(byte, b'\t' | b' '..=b'~');
    std::str::from_utf8(value).ok().filter(|_| value.iter().all(is_visible))
}

/// The header fields that decide most requests.
#[derive(Debug, Default)]
pub(super) struct Fields<'r> {
    user_agent: Option<&'r [u8]>,
    /// The first `Range`.
    range: Option<&'r [u8]>,
    repeats_range: bool,
    pub(super) origin: Option<&'r [u8]>,
    /// Whether the request is a CORS preflight.
    pub(super) is_preflight: bool,
    /// Whether there are preconditions, `If-Range` included.
    pub(super) has_conditions: bool,
    /// Whether the request belongs to a trace.
    pub(super) is_traced: bool,
}

impl<'r> Fields<'r> {
    /// Adds one line of the header. Most names differ in length.
    fn with(mut self, (name, value): (&'r str, &'r [u8])) -> Self {
        let is = |other: &str| name.eq_ignore_ascii_case(other);
        match name.len() {
            5 if is("range") => {
                self.repeats_range = self.range.is_some();
                self.range.get_or_insert(value);
            }
            6 if is("origin") => _ = self.origin.get_or_insert(value),
            10 if is("user-agent") => _ = self.user_agent.get_or_insert(value),
            11 if is("traceparent") => self.is_traced = true,
            29 if is("access-control-request-method") => self.is_preflight = true,
            8.. if name.get(..3).is_some_and(|start| start.eq_ignore_ascii_case("if-")) => {
                self.has_conditions = true;
            }
            _ => {}
        }
        self
    }
}

/// The parts of a request that the gateway reads.
#[derive(Debug)]
pub(super) struct RequestView<'r> {
    pub(super) method: Method,
    pub(super) version: Version,
    pub(super) path: &'r str,
    pub(super) query: &'r str,
    /// Path and query as received.
    target: Option<&'r [u8]>,
    pub(super) headers: Headers<'r>,
    pub(super) fields: Fields<'r>,
}

impl<'r> RequestView<'r> {
    /// Returns the view of a request that the fast path parsed.
    pub(super) fn of_plain(request: &'r PlainRequest<'r>) -> Self {
        let (path, query) = request.target.split_once('?').unwrap_or((request.target, ""));
        Self {
            method: if request.is_head { Method::HEAD } else { Method::GET },
            version: Version::HTTP_11,
            path,
            query,
            target: Some(request.target.as_bytes()),
            headers: Headers::Plain(request),
            fields: request.fields().fold(Fields::default(), Fields::with),
        }
    }

    /// Returns the view of a request that hyper parsed.
    pub(super) fn of_hyper<B>(request: &'r Request<B>) -> Self {
        let (uri, headers) = (request.uri(), request.headers());
        let fields = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
        Self {
            method: request.method().clone(),
            version: request.version(),
            path: uri.path(),
            query: uri.query().unwrap_or_default(),
            target: uri.path_and_query().map(|target| target.as_str().as_bytes()),
            headers: Headers::Map(headers),
            fields: fields.fold(Fields::default(), Fields::with),
        }
    }

    pub(super) fn is_head(&self) -> bool {
        self.method == Method::HEAD
    }

    /// Returns the value of `Range`, if it counts: Range is defined only for GET (RFC 9110 §14.2), and a repeated field
    /// is ignored.
    pub(super) fn range(&self) -> Option<&'r [u8]> {
        self.fields.range.filter(|_| !self.fields.repeats_range && !self.is_head())
    }

    /// Returns the access record of this request. It contains the client's text only if a log will write it.
    pub(super) fn record(&self, peer: SocketAddr, started: Moment, logs: &RequestLogs) -> AccessRecord<'r> {
        let target = self.target.filter(|_| logs.access.as_ref().is_some_and(AccessLog::is_enabled));
        let audited = logs.audit.is_some();
        let agent = self.fields.user_agent.filter(|_| target.is_some() || audited);
        AccessRecord {
            peer,
            method: self.method.clone(),
            version: self.version,
            request_id: audited.then(RequestId::next),
            user_agent: agent.map(Untrusted::of),
            target: target.map(Untrusted::of).unwrap_or_default(),
            range: self.fields.range.filter(|_| audited).map(Untrusted::of),
            asset: None,
            format: None,
            link_expires: None,
            key_id: None,
            status: StatusCode::OK,
            outcome: "ok",
            length: None,
            sent: 0,
            size: None,
            started,
            head_after: Duration::ZERO,
        }
    }
}
