//! Fetches several segments of a long object concurrently, and delivers them in order.
//!
//! The speed of a single stream over a long distance is limited by its TCP window. Memory stays bounded: the next
//! segment is requested when the client has taken one. All requests end when the client disconnects.

use std::collections::VecDeque;
use std::ops::Range;
use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use object_store::path::Path;
use tokio_util::task::AbortOnDropHandle;

use super::error::StoreError;
use super::meta::Validator;
use super::metrics::StoreOperation;
use super::object_body::ObjectBody;
use super::source::{Source, in_time};
use super::span::Span;
use crate::tasks::{self, Task};
use crate::telemetry::trace;

/// The length of a segment, in bytes.
const SEGMENT: u64 = 4 << 20;

/// The first segment, if `span` may be long enough to prefetch. Its response has the object's size.
pub(super) fn first_segment(span: Span, at_once: usize) -> Option<Range<u64>> {
    let start = match span {
        Span::Whole => 0,
        Span::From(start) => start,
        Span::FromTo(..) | Span::Last(_) => return None,
    };
    (at_once > 1).then(|| start..start.saturating_add(SEGMENT))
}

/// Requests the segments after the first. An error ends the stream; the caller resumes the rest as one stream.
pub(super) fn rest(
    source: &Arc<Source>,
    path: &Path,
    version: &Validator,
    range: Range<u64>,
) -> impl Stream<Item = Result<Bytes, StoreError>> + Send + use<> {
    let at_once = source.timeouts.read_ahead;
    let (source, path, version) = (Arc::clone(source), path.clone(), Arc::new(version.clone()));
    // Each segment has a task: a stream makes progress only while it is polled, and this one is polled one segment at a
    // time.
    let mut segments_left = segments(range).map(move |segment| {
        let fetch = fetch(Arc::clone(&source), path.clone(), Arc::clone(&version), segment);
        AbortOnDropHandle::new(tasks::spawn(Task::Prefetch, trace::in_trace(trace::current(), fetch)))
    });
    let in_flight: VecDeque<_> = segments_left.by_ref().take(at_once).collect();
    stream::unfold((in_flight, segments_left), |(mut in_flight, mut segments_left)| async move {
        let segment = in_flight.pop_front()?.await;
        in_flight.extend(segments_left.next());
        let segment = segment.unwrap_or_else(|error| Err(std::io::Error::from(error).into()));
        Some((segment, (in_flight, segments_left)))
    })
    .flat_map(|segment| match segment {
        Ok(chunks) => stream::iter(chunks).map(Ok).left_stream(),
        Err(error) => stream::iter([Err(error)]).right_stream(),
    })
}

fn segments(range: Range<u64>) -> impl Iterator<Item = Range<u64>> + Send {
    let end = range.end;
    std::iter::successors(Some(range.start), |start| start.checked_add(SEGMENT))
        .take_while(move |start| *start < end)
        .map(move |start| start..start.saturating_add(SEGMENT).min(end))
}

/// Fetches a whole segment.
async fn fetch(
    source: Arc<Source>,
    path: Path,
    version: Arc<Validator>,
    segment: Range<u64>,
) -> Result<Vec<Bytes>, StoreError> {
    let mut left = segment.end - segment.start;
    let mut body = ObjectBody::reopen(&source, StoreOperation::Ahead, &path, &version, segment).await?;
    let mut chunks = Vec::new();
    while left > 0 {
        let chunk = in_time(source.timeouts.stall, "more bytes", pin!(body.next())).await?;
        let chunk =
            chunk.ok_or(StoreError::broken("it ended the object before its announced length")).flatten()?;
        left = left
            .checked_sub(chunk.len() as u64)
            .ok_or(StoreError::broken("it sent more than the announced length"))?;
        chunks.push(chunk);
    }
    Ok(chunks)
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
    fn only_spans_that_may_be_long_are_prefetched() {
        assert_eq!(first_segment(Span::Whole, 4), Some(0..SEGMENT));
        assert_eq!(first_segment(Span::From(9), 4), Some(9..SEGMENT + 9));
        assert_eq!(first_segment(Span::Whole, 1), None);
        assert_eq!(first_segment(Span::FromTo(0, u64::MAX), 4), None);
    }
}
