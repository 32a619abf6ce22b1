//! A body that the kernel moves from the store's connection to the client's through a pipe (splice). The gateway reads
//! only bytes that the kernel cannot move.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::{Stream, StreamExt};

use super::tracker::{Tracker, take_for_last};
use crate::server::{OnSent, ZeroCopy};
use crate::store::{Chunks, StoreError, Transfer};
use crate::telemetry::trace::in_trace_sync;

/// The rest of an object.
pub(super) struct PipeBody {
    passed: Pin<Box<dyn Stream<Item = Result<Transfer, StoreError>> + Send>>,
    remaining: u64,
    zero_copy: ZeroCopy,
}

impl fmt::Debug for PipeBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PipeBody").field("remaining", &self.remaining).finish_non_exhaustive()
    }
}

impl PipeBody {
    pub(super) fn new(chunks: Chunks, zero_copy: ZeroCopy) -> Self {
        Self { remaining: chunks.owed(), passed: Box::pin(chunks.into_transfers()), zero_copy }
    }

    /// The number of bytes that have not been received.
    pub(super) fn remaining(&self) -> u64 {
        self.remaining
    }

    /// The number of queued bytes that the kernel has not taken, if the queued piece is not the last one.
    pub(super) fn unsent(&self) -> u64 {
        self.zero_copy.unsent()
    }

    /// Returns the next bytes, or placeholders for them. The last placeholder takes the tracker.
    pub(super) fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        tracker: &mut Option<Box<Tracker>>,
    ) -> Poll<Option<Result<Bytes, StoreError>>> {
        let trace = tracker.as_ref().and_then(|tracker| tracker.trace.as_ref());
        let passed = match std::task::ready!(in_trace_sync(trace, || self.passed.poll_next_unpin(cx))) {
            Some(Ok(passed)) => passed,
            Some(Err(error)) => return Poll::Ready(Some(Err(error))),
            None => return Poll::Ready(None),
        };
        self.remaining = self.remaining.saturating_sub(passed.length());
        let all = passed.length();
        let (start, pipe, length) = match passed {
            Transfer::Read(bytes) => return Poll::Ready(Some(Ok(bytes))),
            Transfer::Piped(start, pipe, length) => (start, pipe, length),
        };
        let on_sent =
            take_for_last(tracker, self.remaining == 0, all).map(|tracker| tracker as Box<dyn OnSent>);
        let handed_over = self.zero_copy.queue_pipe(start, pipe, length, on_sent);
        Poll::Ready(Some(
            handed_over.ok_or_else(|| {
                std::io::Error::other("what was handed over before is still under way").into()
            }),
        ))
    }
}
