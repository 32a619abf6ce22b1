//! Reading ahead: the segments of a long object, several of them on their way at once, delivered in order.
//!
//! One stream over a long way is as slow as its window of unacknowledged bytes. Memory stays bounded: so many segments
//! are held and no more, and the next is asked for when the client has taken one. When the client leaves, all end.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use object_store::path::Path;
use tokio_util::task::AbortOnDropHandle;

use super::chunks::{ByteStream, reopen_stream};
use super::error::StoreError;
use super::metrics::StoreOperation;
use super::source::Source;
use super::span::Span;
use super::validator::Validator;
use crate::clock::running;
use crate::tasks::{self, Task};
use crate::telemetry::trace;

/// The bytes of a segment.
const SEGMENT: u64 = 4 << 20;

/// The segment to begin with, if `span` may be long and is to be read ahead. Its answer tells the object's size.
pub(super) fn first_segment(span: Span, at_once: usize) -> Option<Range<u64>> {
    let start = match span {
        Span::Whole => 0,
        Span::From(start) => start,
        Span::FromTo(..) | Span::Last(_) => return None,
    };
    (at_once > 1).then(|| start..start.saturating_add(SEGMENT))
}

/// What follows the first segment, on its way from now on. An error ends it; whoever reads takes up the rest as one
/// stream.
pub(super) fn rest(
    source: &Arc<Source>,
    path: &Path,
    version: &Validator,
    range: Range<u64>,
) -> impl Stream<Item = Result<Bytes, StoreError>> + Send + use<> {
    let at_once = source.timeouts.read_ahead;
    let (source, path, version) = (Arc::clone(source), path.clone(), Arc::new(version.clone()));
    // Tasks of their own: a stream would only move while it is polled, and this one is polled one segment at a time.
    let mut to_come = segments(range).map(move |segment| {
        let fetch = fetch(Arc::clone(&source), path.clone(), Arc::clone(&version), segment);
        AbortOnDropHandle::new(tasks::spawn(Task::Prefetch, trace::in_trace(trace::current(), fetch)))
    });
    let under_way: VecDeque<_> = to_come.by_ref().take(at_once).collect();
    stream::unfold((under_way, to_come), |(mut under_way, mut to_come)| async move {
        let segment = under_way.pop_front()?.await;
        under_way.extend(to_come.next());
        let segment = segment.unwrap_or_else(|error| Err(std::io::Error::from(error).into()));
        Some((segment, (under_way, to_come)))
    })
    .flat_map(|segment| match segment {
        Ok(pieces) => stream::iter(pieces).map(Ok).left_stream(),
        Err(error) => stream::iter([Err(error)]).right_stream(),
    })
}

fn segments(range: Range<u64>) -> impl Iterator<Item = Range<u64>> + Send {
    let end = range.end;
    std::iter::successors(Some(range.start), |start| start.checked_add(SEGMENT))
        .take_while(move |start| *start < end)
        .map(move |start| start..start.saturating_add(SEGMENT).min(end))
}

/// All of a segment.
async fn fetch(
    source: Arc<Source>,
    path: Path,
    version: Arc<Validator>,
    segment: Range<u64>,
) -> Result<Vec<Bytes>, StoreError> {
    let mut left = segment.end - segment.start;
    let mut arriving = reopen_stream(&source, StoreOperation::Ahead, &path, &version, segment).await?;
    let mut arrived = Vec::new();
    while left > 0 {
        let piece = next(&mut arriving, source.timeouts.stall).await?;
        left = left
            .checked_sub(piece.len() as u64)
            .ok_or(StoreError::broken("it sent more than the announced length"))?;
        arrived.push(piece);
    }
    Ok(arrived)
}

async fn next(arriving: &mut ByteStream, waited: Duration) -> Result<Bytes, StoreError> {
    let piece = running::timeout(waited, arriving.next()).await;
    let piece = piece.map_err(|_| StoreError::TimedOut { waited, for_what: "more bytes" })?;
    piece.unwrap_or(Err(StoreError::broken("it ended the object before its announced length")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_cover_the_range_without_gap_or_overlap() {
        for (range, count) in
            [(0..1, 1), (5..SEGMENT + 5, 1), (0..SEGMENT + 1, 2), (7..10 * SEGMENT, 10), (9..9, 0)]
        {
            let parts: Vec<_> = segments(range.clone()).collect();
            assert_eq!(parts.len(), count, "{range:?}");
            assert!(parts.windows(2).all(|pair| pair[0].end == pair[1].start));
            assert_eq!(parts.first().map_or(range.end, |first| first.start), range.start);
            assert_eq!(parts.last().map_or(range.end, |last| last.end), range.end);
        }
        assert_eq!(segments(u64::MAX - 1..u64::MAX).count(), 1);
    }

    #[test]
    fn only_what_may_be_long_is_read_ahead() {
        assert_eq!(first_segment(Span::Whole, 4), Some(0..SEGMENT));
        assert_eq!(first_segment(Span::From(9), 4), Some(9..SEGMENT + 9));
        assert_eq!(first_segment(Span::Whole, 1), None);
        assert_eq!(first_segment(Span::FromTo(0, u64::MAX), 4), None);
    }
}
