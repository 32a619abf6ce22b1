//! A handler for tests of the server alone.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use webhook_assets::clock::Moment;
use webhook_assets::server::{Answer, Bodies, Client, FastPath, Handler, PlainRequest, ResponseWriter};

/// The answer of the slow path, through hyper.
pub const THROUGH_HYPER: &str = "through hyper";

/// Answers plain requests on the fast path with this function.
#[derive(Clone)]
pub struct FastHandler<F>(F);

/// A handler with this function on its fast path.
pub fn fast_handler<F>(answer: F) -> FastHandler<F>
where
    F: for<'w> Fn(&PlainRequest<'_>, ResponseWriter<'w>) -> FastPath<'w, Full<Bytes>>
        + Clone
        + Send
        + Sync
        + 'static,
{
    FastHandler(answer)
}

impl<F> Handler for FastHandler<F>
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
        Answer::Ready(Response::new(Full::from(THROUGH_HYPER)))
    }
}
