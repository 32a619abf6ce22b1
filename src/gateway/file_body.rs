//! A body that is a local file, which the kernel sends (sendfile): the connection gets it piece by piece, and the gateway
//! reads none of it.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;

use super::tracker::{self, Tracker, take_for_last};
use crate::server::{OnSent, ZeroCopy};
use crate::store::{ContentCheck, FileSlice, StoreError};
use crate::telemetry::BodyEnd;

type Loading = Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send>>;

/// The rest of a file.
pub(super) struct FileBody {
    slice: FileSlice,
    zero_copy: ZeroCopy,
    /// Reads the next piece from the disk into memory. Sending it without that would block all connections of the thread.
    loading: Option<Loading>,
    /// The next piece is in memory: the cache has just checked.
    in_memory: bool,
    /// Some of it has gone, or time has passed: it may have been written since it was opened.
    begun: bool,
}

impl fmt::Debug for FileBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileBody").field("slice", &self.slice).finish_non_exhaustive()
    }
}

impl FileBody {
    pub(super) fn new(slice: FileSlice, zero_copy: ZeroCopy, in_memory: bool) -> Self {
        Self { slice, zero_copy, loading: None, in_memory, begun: false }
    }

    /// How many bytes are still to be handed over.
    pub(super) fn remaining(&self) -> u64 {
        self.slice.owed()
    }

    /// Skips bytes that were sent already.
    pub(super) fn skip(&mut self, bytes: u64) {
        self.slice.advance(bytes);
        self.begun |= bytes > 0;
    }

    /// How many bytes of a piece that is not the last the connection has got and the kernel has not taken.
    pub(super) fn unsent(&self) -> u64 {
        self.zero_copy.unsent()
    }

    /// A placeholder for the next piece, once the kernel has it in memory. The tracker goes with the last one.
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
        let on_sent = take_for_last(tracker, is_last, length).map(|tracker| {
            let last = LastPiece { tracker, check: self.slice.check(), check_first: begun, changed: false };
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

/// Goes with the last piece. Unless that is all of the file and goes in one call, it checks the file before the kernel takes
/// more: a client that got bytes of two versions in one answer would take them for one.
#[derive(Debug)]
struct LastPiece {
    tracker: Box<Tracker>,
    check: ContentCheck,
    /// Whether to check before the next bytes.
    check_first: bool,
    changed: bool,
}

impl OnSent for LastPiece {
    fn may_send(&mut self) -> bool {
        let check_first = std::mem::replace(&mut self.check_first, true);
        self.changed = check_first && !self.check.holds();
        !self.changed
    }

    fn finished(self: Box<Self>, left: u64) {
        let Self { mut tracker, changed, .. } = *self;
        if !changed {
            return tracker.finished(left);
        }
        tracker.subtract_unsent(left);
        tracker::report(Some(&tracker.record), &StoreError::Changed);
        tracker.finish(BodyEnd::StoreFailed);
    }
}
