//! An object of a store as a body that is read here only where it has to be: what the kernel can move from the store's
//! connection into a pipe is handed to the client's connection, which sends it.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::{Stream, StreamExt};

use super::tracker::{Tracker, with_the_last};
use crate::server::{OnSent, ZeroCopy};
use crate::store::{Chunks, StoreError, Transfer};
use crate::telemetry::trace::in_trace_sync;

/// What is left of an object to relay.
pub(super) struct Relayed {
    passed: Pin<Box<dyn Stream<Item = Result<Transfer, StoreError>> + Send>>,
    owed: u64,
    zero_copy: ZeroCopy,
}

impl fmt::Debug for Relayed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relayed").field("owed", &self.owed).finish_non_exhaustive()
    }
}

impl Relayed {
    pub(super) fn new(chunks: Chunks, zero_copy: ZeroCopy) -> Self {
        Self { owed: chunks.owed(), passed: Box::pin(chunks.into_transfers()), zero_copy }
    }

    /// How many bytes are still to come.
    pub(super) fn owed(&self) -> u64 {
        self.owed
    }

    /// How many bytes of what is not the last of it were handed over and not taken by the kernel.
    pub(super) fn not_taken(&self) -> u64 {
        self.zero_copy.unsent()
    }

    /// The next bytes, or what stands for them. The tracker goes with the last of these.
    pub(super) fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        tracker: &mut Option<Box<Tracker>>,
    ) -> Poll<Option<Result<Bytes, StoreError>>> {
        let trace = tracker.as_ref().and_then(|tracker| tracker.trace());
        let passed = match std::task::ready!(in_trace_sync(trace, || self.passed.poll_next_unpin(cx))) {
            Some(Ok(passed)) => passed,
            Some(Err(error)) => return Poll::Ready(Some(Err(error))),
            None => return Poll::Ready(None),
        };
        self.owed = self.owed.saturating_sub(passed.length());
        let all = passed.length();
        let (start, pipe, length) = match passed {
            Transfer::Read(bytes) => return Poll::Ready(Some(Ok(bytes))),
            Transfer::Piped(start, pipe, length) => (start, pipe, length),
        };
        let on_sent = with_the_last(tracker, self.owed == 0, all).map(|tracker| tracker as Box<dyn OnSent>);
        let handed_over = self.zero_copy.queue_pipe(start, pipe, length, on_sent);
        Poll::Ready(Some(
            handed_over.ok_or_else(|| {
                std::io::Error::other("what was handed over before is still under way").into()
            }),
        ))
    }
}
