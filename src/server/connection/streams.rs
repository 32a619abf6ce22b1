//! Answers on their way: each body is watched, and each stream of HTTP/2 has a watchdog of its own. (In HTTP/2 a client can
//! leave one answer lying and take others: the socket shows nothing of that.)

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::rt::Executor;

use crate::server::deadlines::activity::{Activity, InFlight, Limits, Watchdog};
use crate::server::listener::eviction::Slot;
use crate::server::listener::limiter::Permit;
use crate::server::zero_copy::write_gate::WriteGate;
use crate::tasks::{self, Task};

tokio::task_local! {
    /// The activity of the stream whose task this is.
    static STREAM: Arc<Activity>;
}

/// Runs the streams of an HTTP/2 connection, and resets those that the client leaves lying.
#[derive(Debug, Clone)]
pub(in crate::server) struct Http2Executor(pub(in crate::server) Limits);

impl<F: Future<Output: Send> + Send + 'static> Executor<F> for Http2Executor {
    fn execute(&self, stream: F) {
        let activity = Activity::of_stream(self.0);
        let mut watchdog = Watchdog::new(Arc::clone(&activity));
        let watched = async move {
            // What is dropped here unfinished resets its stream (RFC 9113 §8.1).
            tokio::select! {
                biased;
                _ = stream => {}
                left = watchdog.expired() => tracing::debug!(reason = left.name(), "a stream was reset"),
            }
        };
        tasks::spawn(Task::Http2Stream, STREAM.scope(activity, watched));
    }
}

/// Says whether an answer ended because its client took too little. The default never ends.
#[derive(Debug, Clone, Default)]
pub struct StallFlag {
    connection: Option<Arc<Activity>>,
    stream: Option<Arc<Activity>>,
}

impl StallFlag {
    /// That of the request which is answered in this task.
    pub(in crate::server) fn here(connection: &Arc<Activity>) -> Self {
        Self { connection: Some(Arc::clone(connection)), stream: STREAM.try_with(Arc::clone).ok() }
    }

    /// That of a connection that has no streams.
    pub(in crate::server) fn of_connection(activity: &Arc<Activity>) -> Self {
        Self { connection: Some(Arc::clone(activity)), stream: None }
    }

    /// Whether the client was disconnected because it read too little.
    #[must_use]
    pub fn is_set(&self) -> bool {
        [&self.connection, &self.stream].into_iter().flatten().any(|activity| activity.was_stalled())
    }

    /// The fewest bytes a second of a body that are waited for.
    pub(in crate::server) fn slowest(&self) -> u32 {
        self.connection.as_ref().map_or(1, |activity| activity.limits().slowest)
    }

    /// The body of the request was read to its end.
    pub(in crate::server) fn body_ended(&self) {
        if let Some(activity) = &self.connection {
            activity.set_unread_input(false);
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
        gate: Option<Arc<WriteGate>>,
    ) -> WatchedBody<B> {
        if let Some(gate) = &gate {
            gate.begin();
        }
        WatchedBody { body, stream: self.stream, gate, _in_flight: in_flight, _share: share }
    }
}

/// A body whose client is watched.
#[derive(Debug)]
pub(in crate::server) struct WatchedBody<B> {
    body: B,
    stream: Option<Arc<Activity>>,
    gate: Option<Arc<WriteGate>>,
    _in_flight: InFlight,
    _share: Option<Permit>,
}

impl<B: Body<Data = Bytes> + Unpin> Body for WatchedBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = &mut *self;
        // hyper asks for more once the client has room for it.
        if let Some(activity) = &this.stream {
            activity.on_written(0);
        }
        if let Some(gate) = &this.gate {
            std::task::ready!(gate.poll_drained(cx));
        }
        let frame = std::task::ready!(Pin::new(&mut this.body).poll_frame(cx));
        if let (Some(gate), Some(Ok(frame))) = (&this.gate, &frame) {
            gate.on_queued(frame.data_ref().map_or(0, Bytes::len));
        }
        if let (Some(activity), Some(Ok(frame))) = (&this.stream, &frame) {
            activity.on_written(frame.data_ref().map_or(0, Bytes::len));
            activity.on_write_blocked();
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
