//! Parses the range that a store sent, and drops bytes that were not requested.

use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http::header::{CONTENT_RANGE, HeaderMap};
use http_body::{Body, Frame, SizeHint};
use object_store::client::{HttpError, HttpResponseBody};

use super::error_response::InvalidResponse;

/// How many bytes at the start of a body are read and dropped if a store ignores Range: about an hour of a call.
const MAX_SKIPPED: u64 = 64 << 20;

/// The range of bytes in a 206 response, and the object's size.
pub(super) fn sent(fields: &HeaderMap) -> Result<(Range<u64>, u64), InvalidResponse> {
    let value = fields.get(CONTENT_RANGE).ok_or(InvalidResponse("its answer 206 has no Content-Range"))?;
    let read = || {
        let text = value.to_str().ok()?.trim();
        let unit = text.get(..6).filter(|unit| unit.eq_ignore_ascii_case("bytes "))?.len();
        let (range, size) = text.get(unit..)?.split_once('/')?;
        let (first, last) = range.trim().split_once('-')?;
        let (first, last, size): (u64, u64, u64) =
            (first.parse().ok()?, last.parse().ok()?, size.trim().parse().ok()?);
        (first <= last && last < size).then(|| (first..last + 1, size))
    };
    read().ok_or(InvalidResponse("its Content-Range does not say which bytes of how many it has"))
}

/// The wanted bytes of a longer body.
#[derive(Debug)]
pub(crate) struct Slice {
    body: HttpResponseBody,
    skip: u64,
    left: u64,
}

impl Slice {
    /// Returns the range `wanted` of a body that has the range `has`.
    pub(crate) fn of(
        body: HttpResponseBody,
        has: &Range<u64>,
        wanted: &Range<u64>,
    ) -> Result<Self, InvalidResponse> {
        if wanted.start < has.start || wanted.end > has.end {
            return Err(InvalidResponse("it answered with another range than was asked for"));
        }
        let (skip, left) = (wanted.start - has.start, wanted.end - wanted.start);
        if skip > MAX_SKIPPED {
            return Err(InvalidResponse(
                "it ignores Range, and what is wanted stands too far behind the beginning",
            ));
        }
        Ok(Self { body, skip, left })
    }

    fn take(&mut self, mut bytes: Bytes) -> Bytes {
        let skipped = self.skip.min(bytes.len() as u64);
        bytes.advance(usize::try_from(skipped).unwrap_or_default());
        bytes.truncate(usize::try_from(self.left).unwrap_or(usize::MAX));
        self.skip -= skipped;
        self.left -= bytes.len() as u64;
        bytes
    }
}

impl Body for Slice {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        while self.left > 0 {
            let Some(frame) = ready!(Pin::new(&mut self.body).poll_frame(cx)) else { break };
            // Trailers are ignored.
            let Ok(bytes) = frame?.into_data() else { continue };
            let bytes = self.take(bytes);
            if !bytes.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
        }
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn content_range(text: &'static str) -> Result<(Range<u64>, u64), InvalidResponse> {
        let mut fields = HeaderMap::new();
        fields.insert(CONTENT_RANGE, HeaderValue::from_static(text));
        sent(&fields)
    }

    #[test]
    fn a_content_range_names_the_bytes_and_the_size_or_is_invalid() {
        assert_eq!(content_range("bytes 0-9/100").unwrap(), (0..10, 100));
        assert_eq!(content_range(" Bytes 5-5/6 ").unwrap(), (5..6, 6));
        for odd in [
            "",
            "bytes 0-9/*",
            "bytes */9",
            "bytes 9-0/10",
            "bytes 0-10/10",
            "items 0-1/9",
            "0-9/10",
            "bytes x",
        ] {
            assert!(content_range(odd).is_err(), "{odd}");
        }
        assert!(sent(&HeaderMap::new()).is_err());
    }

    #[test]
    fn the_wanted_bytes_are_cut_out_of_more() {
        let cut = |has: Range<u64>, wanted: Range<u64>| {
            let mut slice = Slice::of(Bytes::new().into(), &has, &wanted)?;
            let pieces =
                [&b"abc"[..], b"", b"defg", b"hij"].map(Bytes::from_static).map(|piece| slice.take(piece));
            Ok::<_, InvalidResponse>(pieces.concat())
        };
        assert_eq!(cut(0..10, 2..5).unwrap(), b"cde");
        assert_eq!(cut(0..10, 0..10).unwrap(), b"abcdefghij");
        assert_eq!(cut(20..30, 29..30).unwrap(), b"j");
        for (has, wanted) in [(0..10, 5..11), (3..10, 2..5), (0..u64::MAX, MAX_SKIPPED + 1..MAX_SKIPPED + 2)]
        {
            assert!(cut(has, wanted).is_err());
        }
    }
}
