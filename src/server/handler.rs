//! What answers requests.

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

/// Answers the requests of connections; one clone for each connection.
pub trait Handler: Clone + Send + Sync + 'static {
    /// The bodies of its answers. The server makes one from bytes for requests that it rejects itself.
    type Body: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>>
        + From<Bytes>
        + Unpin
        + Send
        + 'static;

    /// Which requests may have a body.
    const BODIES: Bodies;

    /// Answers a plain request of HTTP/1.1, which had arrived by `at`, if nothing has to be waited for: writes the status line
    /// and the header fields, each line with its end, and returns the body; the server adds `Date`, `Connection` and the end
    /// of the head. A request that it declines goes to [`Handler::answer`]; the handler must not have recorded it.
    fn try_answer<'w>(
        &self,
        _request: &PlainRequest<'_>,
        _client: &Client,
        _at: Moment,
        writer: ResponseWriter<'w>,
    ) -> FastPath<'w, Self::Body> {
        FastPath::Declined(writer)
    }

    /// Answers one request. Every failure is an answer too.
    fn answer(&self, request: Request<Incoming>, client: Client) -> Answer<Self::Body>;

    /// Adds what all answers of this handler have to the answer to a request that the server has rejected.
    fn refuse(
        &self,
        _request: &Request<Incoming>,
        _peer: SocketAddr,
        refused: Response<Bytes>,
    ) -> Response<Self::Body> {
        refused.map(Self::Body::from)
    }
}

/// What a handler answers with.
pub enum Answer<B> {
    /// The answer, without any waiting.
    Ready(Response<B>),
    /// An answer that has to be waited for.
    Awaited(Pin<Box<dyn Future<Output = Response<B>> + Send>>),
}

impl<B> Answer<B> {
    /// An answer that has to be waited for.
    pub fn awaited(answer: impl Future<Output = Response<B>> + Send + 'static) -> Self {
        Self::Awaited(Box::pin(answer))
    }
}

impl<B> fmt::Debug for Answer<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if matches!(self, Self::Ready(_)) { "Ready" } else { "Awaited" })
    }
}
