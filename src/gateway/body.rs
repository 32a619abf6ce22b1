//! Bodies: streamed with back-pressure, counted, and recorded when they end.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use http_body::{Frame, SizeHint};

use super::range;
use super::relayed::Relayed;
use super::sent_file::SentFile;
use super::tracker::Tracker;
use crate::server::ZeroCopy;
use crate::signed_url::Grant;
use crate::store::{ByteStream, Chunks, FileSlice, Meta, Object, Opened, Span, Store, StoreError, Version};
use crate::telemetry::trace::in_trace_sync;
use crate::telemetry::{AccessRecord, BodyEnd};

/// The body of an answer of the gateway.
#[derive(Debug)]
pub struct Body {
    content: Content,
    tracker: Option<Box<Tracker>>,
}

enum Content {
    /// No bytes, whatever the header says (HEAD, 204, 304).
    None,
    /// No bytes, and no length either: HEAD of a compressed transcript.
    Unsaid,
    Ready(Bytes),
    Streamed {
        pieces: ByteStream,
        left: Option<u64>,
    },
    Sent(SentFile),
    Relayed(Relayed),
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Unsaid => f.write_str("Unsaid"),
            Self::Ready(bytes) => write!(f, "Ready({} bytes)", bytes.len()),
            Self::Streamed { left, .. } => write!(f, "Streamed({left:?} bytes left)"),
            Self::Sent(file) => write!(f, "Sent({} bytes left)", file.owed()),
            Self::Relayed(object) => write!(f, "Relayed({} bytes left)", object.owed()),
        }
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self { content: Content::Ready(bytes), tracker: None }
    }
}

impl Body {
    pub(super) fn none() -> Self {
        Self { content: Content::None, tracker: None }
    }

    pub(super) fn unsaid() -> Self {
        Self { content: Content::Unsaid, tracker: None }
    }

    /// The rest of an object; its length is known. If the connection has `zero_copy`, a file goes there as it is, and
    /// so does what the kernel can move there from the store's connection.
    pub(super) fn of_chunks(mut chunks: Chunks, zero_copy: Option<&ZeroCopy>) -> Self {
        if let Some(zero_copy) = zero_copy {
            if let Some(slice) = chunks.take_file() {
                return Self::of_file(slice, zero_copy, false);
            }
            if chunks.can_be_piped() {
                let content = Content::Relayed(Relayed::new(chunks, zero_copy.clone()));
                return Self { content, tracker: None };
            }
        }
        let left = Some(chunks.owed());
        Self { content: Content::Streamed { pieces: Box::pin(chunks.into_stream()), left }, tracker: None }
    }

    /// A file that goes to the connection as it is. Whether its next piece is in memory, if that is known.
    pub(super) fn of_file(slice: FileSlice, zero_copy: &ZeroCopy, in_memory: bool) -> Self {
        let file = SentFile::new(slice, zero_copy.clone(), in_memory);
        Self { content: Content::Sent(file), tracker: None }
    }

    /// A long transcript in a content coding; how long it gets is not known beforehand.
    pub(super) fn of_unknown_length(pieces: ByteStream) -> Self {
        Self { content: Content::Streamed { pieces, left: None }, tracker: None }
    }

    /// Several ranges as `multipart/byteranges`.
    pub(super) fn multipart(parts: Multipart) -> Self {
        let left = Some(parts.length());
        Self { content: Content::Streamed { pieces: Box::pin(parts.into_stream()), left }, tracker: None }
    }

    /// The length, where it is known.
    pub(super) fn length(&self) -> Option<u64> {
        match &self.content {
            Content::None => Some(0),
            Content::Unsaid => None,
            Content::Ready(bytes) => Some(bytes.len() as u64),
            Content::Streamed { left, .. } => *left,
            Content::Sent(file) => Some(file.owed()),
            Content::Relayed(object) => Some(object.owed()),
        }
    }

    /// The same, when so many bytes of the file have gone before.
    pub(super) fn behind(mut self, gone: u64) -> Self {
        if let (Content::Sent(file), Some(tracker)) = (&mut self.content, &mut self.tracker) {
            file.step_over(gone);
            tracker.sends(gone);
        }
        self
    }

    pub(super) fn tracked(mut self, mut tracker: Box<Tracker>) -> Self {
        tracker.announces(self.length());
        self.tracker = Some(tracker);
        self
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        let this = &mut *self;
        let piece = match &mut this.content {
            Content::None | Content::Unsaid => None,
            Content::Ready(bytes) if bytes.is_empty() => None,
            Content::Ready(bytes) => Some(Ok(std::mem::take(bytes))),
            Content::Streamed { pieces, left } => {
                // What is asked of the store while the body is sent belongs to the request, too.
                let trace = this.tracker.as_ref().and_then(|tracker| tracker.trace());
                let piece = std::task::ready!(in_trace_sync(trace, || pieces.poll_next_unpin(cx)));
                if let (Some(Ok(piece)), Some(left)) = (&piece, left) {
                    *left = left.saturating_sub(piece.len() as u64);
                }
                piece
            }
            Content::Sent(file) => std::task::ready!(file.poll_next(cx, &mut this.tracker)),
            Content::Relayed(object) => std::task::ready!(object.poll_next(cx, &mut this.tracker)),
        };
        Poll::Ready(match piece {
            None => {
                this.finish(BodyEnd::Complete);
                None
            }
            Some(Ok(piece)) => {
                if let Some(tracker) = &mut this.tracker {
                    tracker.sends(piece.len() as u64);
                }
                Some(Ok(Frame::data(piece)))
            }
            Some(Err(error)) => {
                report(this.tracker.as_ref().map(|tracker| tracker.record()), &error);
                this.finish(BodyEnd::StoreFailed);
                Some(Err(BrokenOff(error)))
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::None => true,
            Content::Unsaid => false,
            Content::Ready(bytes) => bytes.is_empty(),
            Content::Streamed { left, .. } => *left == Some(0),
            Content::Sent(file) => file.owed() == 0,
            Content::Relayed(object) => object.owed() == 0,
        }
    }

    fn size_hint(&self) -> SizeHint {
        self.length().map_or_else(SizeHint::new, SizeHint::with_exact)
    }
}

impl Body {
    fn finish(&mut self, ending: BodyEnd) {
        if let Some(tracker) = self.tracker.take() {
            tracker.write(ending);
        }
    }
}

pub(super) fn report(record: Option<&AccessRecord<'static>>, error: &StoreError) {
    let asset = record.and_then(|record| record.asset);
    let sent = record.map_or(0, |record| record.sent);
    tracing::warn!(
        asset = asset.map(tracing::field::display),
        sent,
        %error,
        "the store failed in the middle of a body, so the client's connection is broken off"
    );
}

impl Drop for Body {
    /// A body of known length is dropped by hyper once all of it is taken; dropped earlier, the client has left.
    fn drop(&mut self) {
        let complete = match &self.content {
            Content::None | Content::Unsaid => true,
            Content::Ready(bytes) => bytes.is_empty(),
            Content::Streamed { left, .. } => *left == Some(0),
            Content::Sent(file) => file.owed() == 0,
            Content::Relayed(object) => object.owed() == 0,
        };
        if let Some(tracker) = &mut self.tracker {
            match &self.content {
                Content::Sent(file) => tracker.took_back(file.not_taken()),
                Content::Relayed(object) => tracker.took_back(object.not_taken()),
                _ => {}
            }
            let ending = tracker.ending(complete);
            self.finish(ending);
        }
    }
}

/// The store failed after the answer had begun: the connection ends here, so that nobody takes the part for the whole.
#[derive(Debug)]
pub struct BrokenOff(StoreError);

impl fmt::Display for BrokenOff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "broken off: {}", self.0)
    }
}

impl std::error::Error for BrokenOff {}

/// Several ranges of one version of an object.
pub(super) struct Multipart {
    pub(super) grant: Grant,
    pub(super) meta: Meta,
    pub(super) first: Object,
    pub(super) others: Vec<std::ops::Range<u64>>,
    pub(super) store: Store,
    pub(super) boundary: String,
}

impl Multipart {
    fn length(&self) -> u64 {
        let kind = self.grant.asset().kind;
        let ranges = std::iter::once(&self.first.range).chain(&self.others);
        let bytes: u64 = ranges.map(|range| range.end - range.start).sum();
        bytes + range::multipart_overhead(kind, &self.first.range, &self.others, self.meta.size)
    }

    fn head_of(&self, range: &std::ops::Range<u64>) -> Bytes {
        range::part_head(self.grant.asset().kind, &self.boundary, range, self.meta.size).into()
    }

    /// Part after part; each but the first is opened when its turn comes, if it still is the same version.
    fn into_stream(self) -> impl Stream<Item = Result<Bytes, StoreError>> + Send {
        let heads: Vec<Bytes> = self.others.iter().map(|range| self.head_of(range)).collect();
        let first_head = self.head_of(&self.first.range);
        let Self { grant, meta, first, others, store, boundary } = self;
        let first = stream::iter([Ok(first_head)]).chain(first.chunks.into_stream());
        let others = stream::iter(others.into_iter().zip(heads)).then(move |(range, head)| {
            let (store, grant, etag) = (store.clone(), grant.clone(), meta.etag.clone());
            async move {
                let span = Span::FromTo(range.start, range.end - 1);
                let Opened::Sized(object) = store.get(&grant, span, Version::Same(&etag)).await? else {
                    return Err(StoreError::Changed);
                };
                Ok(stream::iter([Ok(head)]).chain(object.chunks.into_stream()))
            }
        });
        let others = others.flat_map(|part: Result<_, StoreError>| match part {
            Ok(part) => part.left_stream(),
            Err(error) => stream::iter([Err(error)]).right_stream(),
        });
        first.chain(others).chain(stream::iter([Ok(range::closing(&boundary).into())]))
    }
}
