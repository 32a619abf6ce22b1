//! A handler for tests of the server alone.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use webhook_assets::clock::Moment;
use webhook_assets::server::{Answer, Bodies, Client, FastPath, Handler, PlainRequest, ResponseWriter};

/// What it says to whoever is not answered at once.
pub const THE_LONG_WAY: &str = "the long way";

/// Answers plain requests at once, as the function does.
#[derive(Clone)]
pub struct AtOnce<F>(F);

/// A handler of that function.
pub fn at_once<F>(answer: F) -> AtOnce<F>
where
    F: for<'w> Fn(&PlainRequest<'_>, ResponseWriter<'w>) -> FastPath<'w, Full<Bytes>>
        + Clone
        + Send
        + Sync
        + 'static,
{
    AtOnce(answer)
}

impl<F> Handler for AtOnce<F>
where
    F: for<'w> Fn(&PlainRequest<'_>, ResponseWriter<'w>) -> FastPath<'w, Full<Bytes>>
        + Clone
        + Send
        + Sync
        + 'static,
{
    type Body = Full<Bytes>;

    const BODIES: Bodies = Bodies::Refused;

    fn try_answer<'w>(
        &self,
        request: &PlainRequest<'_>,
        _client: &Client,
        _at: Moment,
        writer: ResponseWriter<'w>,
    ) -> FastPath<'w, Self::Body> {
        self.0(request, writer)
    }

    fn answer(&self, _request: Request<Incoming>, _client: Client) -> Answer<Self::Body> {
        Answer::Ready(Response::new(Full::from(THE_LONG_WAY)))
    }
}
