//! Answers while they are sent: each body is watched, and each stream of HTTP/2 has a watchdog. (In HTTP/2 a client can leave
//! one answer unread and read others: the socket shows nothing of that.)

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

/// Runs the streams of an HTTP/2 connection, and resets those that the client leaves unread.
#[derive(Debug, Clone)]
pub(super) struct Http2Executor(pub(super) Timeouts);

impl<F: Future<Output: Send> + Send + 'static> Executor<F> for Http2Executor {
    fn execute(&self, stream: F) {
        let activity = Activity::of_stream(self.0);
        let mut watchdog = Watchdog::new(Arc::clone(&activity));
        let watched = async move {
            // A stream that is dropped before its end is reset (RFC 9113 §8.1).
            tokio::select! {
                biased;
                _ = stream => {}
                timeout = watchdog.expired() => tracing::debug!(reason = timeout.name(), "a stream was reset"),
            }
        };
        tasks::spawn(Task::Http2Stream, STREAM.scope(activity, watched));
    }
}

/// What is held, and where it is reported, while the body of an answer is sent. Its request is in flight until then.
#[derive(Debug)]
pub(super) struct BodyWatch {
    /// In HTTP/2, the activity of the stream.
    pub(super) stream: Option<Arc<Activity>>,
    /// In HTTP/1, the gate before the socket.
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

/// A body whose client is watched.
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
        // hyper asks for more once the client has room for it.
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
