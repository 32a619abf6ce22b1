//! The body of a response: it streams with back-pressure, counts its bytes and records how it ended.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::StreamExt;
use http_body::{Frame, SizeHint};

use super::file_body::FileBody;
use super::outcome::{Outcome, Payload};
use super::pipe_body::PipeBody;
use super::tracker::{self, Tracker};
use crate::server::ZeroCopy;
use crate::store::{ByteStream, Chunks, StoreError};
use crate::telemetry::BodyEnd;
use crate::telemetry::trace::in_trace_sync;

/// Up to this many bytes in memory are handed to the connection at once, so that the record counts a longer body as the
/// client takes it.
const PIECE: usize = 256 * 1024;

/// The body of a response.
#[derive(Debug)]
pub struct Body {
    content: Content,
    tracker: Option<Box<Tracker>>,
}

enum Content {
    /// No bytes: HEAD, 204 or 304. Its length is zero, even if the head announces another.
    Empty,
    /// No bytes and no known length: HEAD of a compressed transcript.
    EmptyOfUnknownLength,
    Ready(Bytes),
    Streamed {
        pieces: ByteStream,
        /// The number of bytes still to send, if known.
        remaining: Option<u64>,
    },
    File(FileBody),
    Pipe(PipeBody),
}

impl Content {
    /// Returns the content of the response to `outcome`. `document` is the problem document, if there is one.
    fn of(outcome: Outcome, document: Option<Bytes>, is_head: bool, zero_copy: Option<&ZeroCopy>) -> Self {
        let sent = match (outcome, document) {
            (Outcome::Success(sent), _) if is_head => {
                return sent.length().map_or(Self::EmptyOfUnknownLength, |_| Self::Empty);
            }
            (Outcome::Success(sent), _) => sent,
            (_, Some(document)) if !is_head => return Self::Ready(document),
            _ => return Self::Empty,
        };
        let remaining = sent.length();
        match (sent.payload, zero_copy) {
            (Payload::Read(bytes), _) => Self::Ready(bytes),
            (Payload::File(file), Some(zero_copy)) => {
                Self::File(FileBody::new(file, zero_copy.clone(), true))
            }
            (Payload::Stored(chunks), zero_copy) => Self::of_chunks(chunks, zero_copy),
            (Payload::UnknownLength(pieces), _) => Self::Streamed { pieces, remaining },
            (Payload::Multipart(parts), _) => {
                Self::Streamed { pieces: Box::pin(parts.into_stream()), remaining }
            }
            (Payload::Unopened | Payload::File(_), _) => Self::Empty,
        }
    }

    /// Returns the content for the rest of an object. If the connection has `zero_copy`, the kernel sends a file itself
    /// (sendfile), and moves the store's bytes from its connection if it can (splice).
    fn of_chunks(mut chunks: Chunks, zero_copy: Option<&ZeroCopy>) -> Self {
        if let Some(bytes) = chunks.take_whole() {
            return Self::Ready(bytes);
        }
        if let Some(zero_copy) = zero_copy {
            if let Some(slice) = chunks.take_file() {
                return Self::File(FileBody::new(slice, zero_copy.clone(), false));
            }
            if chunks.can_be_piped() {
                return Self::Pipe(PipeBody::new(chunks, zero_copy.clone()));
            }
        }
        let remaining = Some(chunks.owed());
        Self::Streamed { pieces: Box::pin(chunks.into_stream()), remaining }
    }

    /// The number of bytes still to send, if known.
    fn remaining(&self) -> Option<u64> {
        match self {
            Self::Empty => Some(0),
            Self::EmptyOfUnknownLength => None,
            Self::Ready(bytes) => Some(bytes.len() as u64),
            Self::Streamed { remaining, .. } => *remaining,
            Self::File(file) => Some(file.remaining()),
            Self::Pipe(pipe) => Some(pipe.remaining()),
        }
    }
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} bytes", self.remaining())
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self { content: Content::Ready(bytes), tracker: None }
    }
}

impl Body {
    /// Returns the body of the response to `outcome`. `document` is the problem document, if there is one.
    pub(super) fn of(
        outcome: Outcome,
        document: Option<Bytes>,
        is_head: bool,
        zero_copy: Option<&ZeroCopy>,
    ) -> Self {
        Self { content: Content::of(outcome, document, is_head, zero_copy), tracker: None }
    }

    pub(super) fn empty() -> Self {
        Self { content: Content::Empty, tracker: None }
    }

    pub(super) fn tracked(mut self, mut tracker: Box<Tracker>) -> Self {
        tracker.record.length = self.content.remaining();
        self.tracker = Some(tracker);
        self
    }

    /// Returns the same body without the first `sent` bytes of its file, which are already sent.
    pub(super) fn skip(mut self, sent: u64) -> Self {
        if let (Content::File(file), Some(tracker)) = (&mut self.content, &mut self.tracker) {
            file.skip(sent);
            tracker.add_sent(sent);
        }
        self
    }

    fn finish(&mut self, ending: BodyEnd) {
        if let Some(tracker) = self.tracker.take() {
            tracker.finish(ending);
        }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Aborted;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Aborted>>> {
        let this = &mut *self;
        let piece = match &mut this.content {
            Content::Empty | Content::EmptyOfUnknownLength => None,
            Content::Ready(bytes) if bytes.is_empty() => None,
            Content::Ready(bytes) if bytes.len() > PIECE => Some(Ok(bytes.split_to(PIECE))),
            Content::Ready(bytes) => Some(Ok(std::mem::take(bytes))),
            Content::Streamed { pieces, remaining } => {
                // Requests to the store while the body is sent belong to this request's trace.
                let trace = this.tracker.as_ref().and_then(|tracker| tracker.trace.as_ref());
                let piece = std::task::ready!(in_trace_sync(trace, || pieces.poll_next_unpin(cx)));
                if let (Some(Ok(piece)), Some(remaining)) = (&piece, remaining) {
                    *remaining = remaining.saturating_sub(piece.len() as u64);
                }
                piece
            }
            Content::File(file) => std::task::ready!(file.poll_next(cx, &mut this.tracker)),
            Content::Pipe(pipe) => std::task::ready!(pipe.poll_next(cx, &mut this.tracker)),
        };
        Poll::Ready(match piece {
            None => {
                this.finish(BodyEnd::Complete);
                None
            }
            Some(Ok(piece)) => {
                if let Some(tracker) = &mut this.tracker {
                    tracker.add_sent(piece.len() as u64);
                }
                Some(Ok(Frame::data(piece)))
            }
            Some(Err(error)) => {
                tracker::report(this.tracker.as_ref().map(|tracker| &tracker.record), &error);
                this.finish(BodyEnd::StoreFailed);
                Some(Err(Aborted(error)))
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.content.remaining() == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        self.content.remaining().map_or_else(SizeHint::new, SizeHint::with_exact)
    }
}

impl Drop for Body {
    /// hyper drops a body of known length after it has taken all of it. If it drops the body earlier, the client has
    /// disconnected.
    fn drop(&mut self) {
        let Some(mut tracker) = self.tracker.take() else { return };
        match &self.content {
            Content::File(file) => tracker.subtract_unsent(file.unsent()),
            Content::Pipe(pipe) => tracker.subtract_unsent(pipe.unsent()),
            _ => {}
        }
        let is_complete =
            matches!(self.content, Content::EmptyOfUnknownLength) || self.content.remaining() == Some(0);
        let ending = tracker.ending(is_complete);
        tracker.finish(ending);
    }
}

/// The store failed after the response had begun. The connection is closed, so that the client does not take a part of
/// the object for all of it.
#[derive(Debug)]
pub struct Aborted(StoreError);

impl fmt::Display for Aborted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "broken off: {}", self.0)
    }
}

impl std::error::Error for Aborted {}
