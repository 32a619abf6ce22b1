//! A handler for tests of the server alone.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use webhook_assets::server::{Answer, Arrival, Bodies, Client, Handler, Head, PlainRequest};

/// What it says to whoever is not answered at once.
pub const THE_LONG_WAY: &str = "the long way";

/// Answers plain requests at once, as the function does.
#[derive(Clone)]
pub struct AtOnce<F>(F);

/// A handler of that function.
pub fn at_once<F>(answer: F) -> AtOnce<F>
where
    F: Fn(&PlainRequest<'_>, &mut Head<'_>) -> Option<Full<Bytes>> + Clone + Send + Sync + 'static,
{
    AtOnce(answer)
}

impl<F> Handler for AtOnce<F>
where
    F: Fn(&PlainRequest<'_>, &mut Head<'_>) -> Option<Full<Bytes>> + Clone + Send + Sync + 'static,
{
    type Body = Full<Bytes>;

    const BODIES: Bodies = Bodies::Refused;

    fn answer_at_once(
        &self,
        request: &PlainRequest<'_>,
        _client: &Client,
        _arrival: &Arrival,
        head: &mut Head<'_>,
    ) -> Option<Self::Body> {
        self.0(request, head)
    }

    fn answer(&self, _request: Request<Incoming>, _client: Client) -> Answer<Self::Body> {
        Answer::Ready(Response::new(Full::from(THE_LONG_WAY)))
    }
}
