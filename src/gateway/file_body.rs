//! A body that is a local file, sent by the kernel (sendfile). The gateway queues it piece by piece and reads none of
//! it.

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
    /// Reads the next piece from disk into the page cache. Without it, sendfile would block all connections of the
    /// thread.
    loading: Option<Loading>,
    /// Whether the next piece is in the page cache, because the open-file cache has just checked.
    in_memory: bool,
    /// Whether a part was sent or time has passed since the file was opened. The file may have been written since then.
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

    /// The number of bytes that are not yet queued.
    pub(super) fn remaining(&self) -> u64 {
        self.slice.owed()
    }

    /// Skips bytes that are already sent.
    pub(super) fn skip(&mut self, bytes: u64) {
        self.slice.advance(bytes);
        self.begun |= bytes > 0;
    }

    /// The number of queued bytes that the kernel has not taken, if the queued piece is not the last one.
    pub(super) fn unsent(&self) -> u64 {
        self.zero_copy.unsent()
    }

    /// Returns a placeholder for the next piece once this piece is in the page cache. The last piece takes the tracker.
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

/// Attached to the last piece. Unless the file is a single piece that is sent in one call, it checks the file before
/// each further write: a response must not mix bytes of two versions.
#[derive(Debug)]
struct LastPiece {
    tracker: Box<Tracker>,
    check: ContentCheck,
    /// Whether to check the file before the next write.
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
