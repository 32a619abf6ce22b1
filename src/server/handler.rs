//! The interface of request handlers.

use std::fmt;
use std::net::SocketAddr;
use std::pin::Pin;

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::{Body, Incoming};

use super::client::Client;
use super::fast_path::plain_request::PlainRequest;
use super::fast_path::response::{FastPath, ResponseWriter};
use super::request::validate::Bodies;
use crate::clock::Moment;

/// Answers requests. Each connection has a clone.
pub trait Handler: Clone + Send + Sync + 'static {
    /// The body of a response. The server converts bytes into it when it rejects a request itself.
    type Body: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>>
        + From<Bytes>
        + Unpin
        + Send
        + 'static;

    /// The requests that may have a body.
    const BODIES: Bodies;

    /// Answers a plain HTTP/1.1 request that had arrived by `at`, if this needs no waiting. The handler writes the
    /// status line and the header fields, each with its line end, and returns the body. The server adds `Date`,
    /// `Connection` and the empty line. If the handler declines, the request goes to [`Handler::answer`], and the
    /// handler must not have recorded it.
    fn try_answer<'w>(
        &self,
        _request: &PlainRequest<'_>,
        _client: &Client,
        _at: Moment,
        writer: ResponseWriter<'w>,
    ) -> FastPath<'w, Self::Body> {
        FastPath::Declined(writer)
    }

    /// Answers one request. Every failure is a response too.
    fn answer(&self, request: Request<Incoming>, client: Client) -> Answer<Self::Body>;

    /// Completes the response to a request that the server has rejected, with the fields of all responses of this
    /// handler.
    fn refuse(
        &self,
        _request: &Request<Incoming>,
        _peer: SocketAddr,
        refused: Response<Bytes>,
    ) -> Response<Self::Body> {
        refused.map(Self::Body::from)
    }
}

/// The response of a handler.
pub enum Answer<B> {
    /// A response that is ready.
    Ready(Response<B>),
    /// A response that has to be awaited.
    Awaited(Pin<Box<dyn Future<Output = Response<B>> + Send>>),
}

impl<B> Answer<B> {
    /// A response that has to be awaited.
    pub fn awaited(answer: impl Future<Output = Response<B>> + Send + 'static) -> Self {
        Self::Awaited(Box::pin(answer))
    }
}

impl<B> fmt::Debug for Answer<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if matches!(self, Self::Ready(_)) { "Ready" } else { "Awaited" })
    }
}
