//! Answers on their way: each body is watched, and each stream of HTTP/2 has a vigil of its own. (In HTTP/2 a client can
//! leave one answer lying and take others: the socket shows nothing of that.)

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::rt::Executor;

use crate::server::deadlines::activity::{InFlight, Limits, Signs, Vigil};
use crate::server::listener::eviction::Slot;
use crate::server::listener::limiter::Permit;
use crate::server::zero_copy::write_gate::Outlet;
use crate::tasks::{self, Task};

tokio::task_local! {
    /// The signs of the stream whose task this is.
    static STREAM: Arc<Signs>;
}

/// Runs the streams of an HTTP/2 connection, and resets those that the client leaves lying.
#[derive(Debug, Clone)]
pub(in crate::server) struct Streams(pub(in crate::server) Limits);

impl<F: Future<Output: Send> + Send + 'static> Executor<F> for Streams {
    fn execute(&self, stream: F) {
        let signs = Signs::of_stream(self.0);
        let mut vigil = Vigil::over(Arc::clone(&signs));
        let watched = async move {
            // What is dropped here unfinished resets its stream (RFC 9113 §8.1).
            tokio::select! {
                biased;
                _ = stream => {}
                left = vigil.left() => tracing::debug!(reason = left.name(), "a stream was reset"),
            }
        };
        tasks::spawn(Task::Http2Stream, STREAM.scope(signs, watched));
    }
}

/// Says whether an answer ended because its client took too little. The default never ends.
#[derive(Debug, Clone, Default)]
pub struct Patience {
    connection: Option<Arc<Signs>>,
    stream: Option<Arc<Signs>>,
}

impl Patience {
    /// That of the request which is answered in this task.
    pub(in crate::server) fn here(connection: &Arc<Signs>) -> Self {
        Self { connection: Some(Arc::clone(connection)), stream: STREAM.try_with(Arc::clone).ok() }
    }

    /// That of a connection that has no streams.
    pub(in crate::server) fn of_connection(signs: &Arc<Signs>) -> Self {
        Self { connection: Some(Arc::clone(signs)), stream: None }
    }

    /// Whether the server's patience has ended.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        [&self.connection, &self.stream].into_iter().flatten().any(|signs| signs.was_stalled())
    }

    /// The fewest bytes a second of a body that are waited for.
    pub(in crate::server) fn slowest(&self) -> u32 {
        self.connection.as_ref().map_or(1, |signs| signs.limits().slowest)
    }

    /// The body of the request was read to its end.
    pub(in crate::server) fn body_ended(&self) {
        if let Some(signs) = &self.connection {
            signs.expects_more(false);
        }
    }

    pub(in crate::server) fn slot(&self) -> Option<&Slot> {
        self.connection.as_ref()?.slot()
    }

    /// The body, watched until it ends; its request is in flight until then.
    pub(in crate::server) fn watch<B>(
        self,
        body: B,
        in_flight: InFlight,
        share: Option<Permit>,
        outlet: Option<Arc<Outlet>>,
    ) -> Watched<B> {
        if let Some(outlet) = &outlet {
            outlet.begin();
        }
        Watched { body, stream: self.stream, outlet, _in_flight: in_flight, _share: share }
    }
}

/// A body whose client is watched.
#[derive(Debug)]
pub(in crate::server) struct Watched<B> {
    body: B,
    stream: Option<Arc<Signs>>,
    outlet: Option<Arc<Outlet>>,
    _in_flight: InFlight,
    _share: Option<Permit>,
}

impl<B: Body<Data = Bytes> + Unpin> Body for Watched<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = &mut *self;
        // hyper asks for more once the client has room for it.
        if let Some(signs) = &this.stream {
            signs.took(0);
        }
        if let Some(outlet) = &this.outlet {
            std::task::ready!(outlet.poll_empty(cx));
        }
        let frame = std::task::ready!(Pin::new(&mut this.body).poll_frame(cx));
        if let (Some(outlet), Some(Ok(frame))) = (&this.outlet, &frame) {
            outlet.gives(frame.data_ref().map_or(0, Bytes::len));
        }
        if let (Some(signs), Some(Ok(frame))) = (&this.stream, &frame) {
            signs.took(frame.data_ref().map_or(0, Bytes::len));
            signs.waits();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
