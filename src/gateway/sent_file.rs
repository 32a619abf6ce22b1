//! A local file as a body that is never read here: piece by piece it is handed to the connection, which sends it.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;

use super::body;
use super::tracker::{Tracker, with_the_last};
use crate::server::{OnSent, ZeroCopy};
use crate::store::{ContentCheck, FileSlice, StoreError};
use crate::telemetry::BodyEnd;

type Loading = Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send>>;

/// What is left of a file to send.
pub(super) struct SentFile {
    slice: FileSlice,
    zero_copy: ZeroCopy,
    /// Waits for a disk: sending what is not in memory would hold up every connection of the thread.
    loading: Option<Loading>,
    /// The next piece is in memory: somebody has just looked.
    in_memory: bool,
    /// Some of it has gone, or time has passed: it may have been written since it was opened.
    begun: bool,
}

impl fmt::Debug for SentFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SentFile").field("slice", &self.slice).finish_non_exhaustive()
    }
}

impl SentFile {
    pub(super) fn new(slice: FileSlice, zero_copy: ZeroCopy, in_memory: bool) -> Self {
        Self { slice, zero_copy, loading: None, in_memory, begun: false }
    }

    /// How many bytes are still to be handed over.
    pub(super) fn owed(&self) -> u64 {
        self.slice.owed()
    }

    /// So many bytes of it need not be sent any more.
    pub(super) fn step_over(&mut self, bytes: u64) {
        self.slice.advance(bytes);
        self.begun |= bytes > 0;
    }

    /// How many bytes of a piece that is not the last were handed over and not taken by the kernel.
    pub(super) fn not_taken(&self) -> u64 {
        self.zero_copy.unsent()
    }

    /// What stands for the next piece, once the kernel has it in memory. The tracker goes with the last one.
    pub(super) fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
        tracker: &mut Option<Box<Tracker>>,
    ) -> Poll<Option<Result<Bytes, StoreError>>> {
        let piece = self.slice.piece();
        if piece.is_empty() {
            return Poll::Ready(None);
        }
        let in_memory = std::mem::take(&mut self.in_memory) || self.loading.is_some();
        if !in_memory && !self.slice.is_in_memory(&piece, Instant::now()) {
            self.loading = Some(Box::pin(self.slice.load(piece.clone())));
        }
        if let Some(loading) = &mut self.loading {
            let loaded = std::task::ready!(loading.as_mut().poll(cx));
            (self.loading, self.begun) = (None, true);
            if let Err(error) = loaded {
                return Poll::Ready(Some(Err(error)));
            }
        }
        let length = piece.end - piece.start;
        let is_last = length == self.slice.owed();
        let begun = std::mem::replace(&mut self.begun, true);
        let on_sent = with_the_last(tracker, is_last, length).map(|tracker| {
            let last = LastPiece { tracker, check: self.slice.check(), look: begun, changed: false };
            Box::new(last) as Box<dyn OnSent>
        });
        let Some(bytes) = self.zero_copy.queue_file(self.slice.file(), piece, is_last, on_sent) else {
            let under_way = std::io::Error::other("another piece of the file is still under way");
            return Poll::Ready(Some(Err(under_way.into())));
        };
        self.slice.advance(length);
        Poll::Ready(Some(Ok(bytes)))
    }
}

/// Goes with the last piece: unless that is all of it and goes at once, the file is looked at before the kernel takes more.
/// A client that had bytes of two versions in one answer would take them for one.
#[derive(Debug)]
struct LastPiece {
    tracker: Box<Tracker>,
    check: ContentCheck,
    /// Whether to look before the next bytes.
    look: bool,
    changed: bool,
}

impl OnSent for LastPiece {
    fn may_send(&mut self) -> bool {
        let look = std::mem::replace(&mut self.look, true);
        self.changed = look && !self.check.holds();
        !self.changed
    }

    fn finished(self: Box<Self>, left: u64) {
        let Self { mut tracker, changed, .. } = *self;
        if !changed {
            return tracker.finished(left);
        }
        tracker.took_back(left);
        body::report(Some(tracker.record()), &StoreError::Changed);
        tracker.write(BodyEnd::StoreFailed);
    }
}
