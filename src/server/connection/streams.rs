//! Watches responses while they are sent. Each body is watched, and each HTTP/2 stream has a watchdog: an HTTP/2 client
//! can leave one response unread and read others, which the socket does not show.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::CONNECTION;
use http::{HeaderValue, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::rt::Executor;

use crate::server::deadlines::activity::{Activity, InFlight};
use crate::server::deadlines::stall_flag::STREAM;
use crate::server::deadlines::timeouts::Timeouts;
use crate::server::deadlines::watchdog::Watchdog;
use crate::server::listener::limiter::Permit;
use crate::server::zero_copy::write_gate::WriteGate;
use crate::tasks::{self, Task};

/// Runs the streams of an HTTP/2 connection, and resets streams that the client does not read.
#[derive(Debug, Clone)]
pub(super) struct Http2Executor(pub(super) Timeouts);

impl<F: Future<Output: Send> + Send + 'static> Executor<F> for Http2Executor {
    fn execute(&self, stream: F) {
        let activity = Activity::of_stream(self.0);
        let mut watchdog = Watchdog::new(Arc::clone(&activity));
        let watched = async move {
            // Dropping a stream before its end resets it (RFC 9113 §8.1).
            tokio::select! {
                biased;
                _ = stream => {}
                timeout = watchdog.expired() => tracing::debug!(reason = timeout.name(), "a stream was reset"),
            }
        };
        tasks::spawn(Task::Http2Stream, STREAM.scope(activity, watched));
    }
}

/// Resources held while the body of a response is sent, and the places where its progress is reported. The request is
/// in flight until this is dropped.
#[derive(Debug)]
pub(super) struct BodyWatch {
    /// The activity of the stream (HTTP/2).
    pub(super) stream: Option<Arc<Activity>>,
    /// The gate before the socket (HTTP/1).
    pub(super) gate: Option<Arc<WriteGate>>,
    pub(super) in_flight: InFlight,
    pub(super) _share: Option<Permit>,
}

impl BodyWatch {
    pub(super) fn over<B>(self, mut response: Response<B>) -> Response<WatchedBody<B>> {
        if self.in_flight.is_last() {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        if let Some(gate) = &self.gate {
            gate.begin();
        }
        response.map(|body| WatchedBody { body, watch: self })
    }
}

/// A body that reports its progress.
#[derive(Debug)]
pub(super) struct WatchedBody<B> {
    body: B,
    watch: BodyWatch,
}

impl<B: Body<Data = Bytes> + Unpin> Body for WatchedBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let Self { body, watch: BodyWatch { stream, gate, .. } } = &mut *self;
        // hyper polls for more when the client has room for it.
        if let Some(activity) = stream {
            activity.on_written(0);
        }
        if let Some(gate) = gate {
            ready!(gate.poll_drained(cx));
        }
        let frame = ready!(Pin::new(body).poll_frame(cx));
        if let Some(Ok(frame)) = &frame {
            let length = frame.data_ref().map_or(0, Bytes::len);
            if let Some(gate) = gate {
                gate.on_queued(length);
            }
            if let Some(activity) = stream {
                activity.on_written(length);
                activity.on_write_blocked();
            }
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
