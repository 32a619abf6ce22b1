//! Several ranges of one version of an object as one `multipart/byteranges` body (RFC 9110 §14.6).

use std::fmt::Write;
use std::ops::Range;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, future, stream};

use crate::signed_url::Grant;
use crate::store::{Chunks, Meta, Object, Opened, Span, Store, StoreError, Version};

/// The length of a boundary, in bytes.
const BOUNDARY_LEN: usize = 32;

/// The ranges of a response.
pub(super) struct Multipart {
    /// The media type of each part.
    part_type: &'static str,
    size: u64,
    ranges: Vec<Range<u64>>,
    source: Source,
    boundary: String,
}

/// Where the bytes of the ranges come from.
#[expect(clippy::large_enum_variant, reason = "it is part of a box")]
enum Source {
    Object {
        grant: Grant,
        etag: String,
        /// The first range, which is already open. The others are opened in turn, and only if the object is still the
        /// same version.
        first: Chunks,
        store: Store,
    },
    Bytes(Bytes),
}

/// Returns the length of the body for these ranges of `size` bytes.
pub(super) fn length_of(part_type: &str, ranges: &[Range<u64>], size: u64) -> u64 {
    let boundary = "-".repeat(BOUNDARY_LEN);
    let head = |range: &Range<u64>| part_head(part_type, &boundary, range, size).len() as u64;
    let parts: u64 = ranges.iter().map(|range| head(range) + range.end - range.start).sum();
    parts + closing(&boundary).len() as u64
}

/// Returns the lines before a part's bytes.
fn part_head(part_type: &str, boundary: &str, range: &Range<u64>, size: u64) -> String {
    format!(
        "\r\n--{boundary}\r\nContent-Type: {part_type}\r\nContent-Range: bytes {}-{}/{size}\r\n\r\n",
        range.start,
        range.end.saturating_sub(1),
    )
}

/// Returns the lines after the last part.
fn closing(boundary: &str) -> String {
    format!("\r\n--{boundary}--\r\n")
}

/// Returns a range of bytes in memory.
pub(super) fn slice(bytes: &Bytes, range: &Range<u64>) -> Bytes {
    let at = |position: u64| usize::try_from(position).unwrap_or(usize::MAX).min(bytes.len());
    bytes.slice(at(range.start)..at(range.end))
}

/// Returns a random boundary, so that an object cannot contain it on purpose.
fn new_boundary() -> String {
    let mut bytes = [0; BOUNDARY_LEN / 2];
    if getrandom::fill(&mut bytes).is_err() {
        tracing::error!("the system gives no random bytes");
    }
    bytes.iter().fold(String::with_capacity(BOUNDARY_LEN), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

impl Multipart {
    /// The ranges of an object, the first of which is open.
    pub(super) fn of_object(
        part_type: &'static str,
        grant: &Grant,
        meta: &Meta,
        first: Object,
        ranges: Vec<Range<u64>>,
        store: &Store,
    ) -> Self {
        let (grant, etag, store) = (grant.clone(), meta.etag.clone(), store.clone());
        let source = Source::Object { grant, etag, first: first.chunks, store };
        Self { part_type, size: meta.size, ranges, source, boundary: new_boundary() }
    }

    /// The ranges of bytes in memory.
    pub(super) fn of_bytes(part_type: &'static str, bytes: Bytes, ranges: Vec<Range<u64>>) -> Self {
        let size = bytes.len() as u64;
        Self { part_type, size, ranges, source: Source::Bytes(bytes), boundary: new_boundary() }
    }

    /// The value of `Content-Type`.
    pub(super) fn media_type(&self) -> String {
        format!("multipart/byteranges; boundary={}", self.boundary)
    }

    /// The length of the body, in bytes.
    pub(super) fn length(&self) -> u64 {
        length_of(self.part_type, &self.ranges, self.size)
    }

    /// Returns the body, part after part.
    pub(super) fn into_stream(self) -> impl Stream<Item = Result<Bytes, StoreError>> + Send {
        let head = |range: &Range<u64>| part_head(self.part_type, &self.boundary, range, self.size);
        let heads: Vec<Bytes> = self.ranges.iter().map(|range| head(range).into()).collect();
        let end = stream::once(future::ready(Ok(closing(&self.boundary).into())));
        let parts = self.ranges.into_iter().zip(heads);
        match self.source {
            Source::Object { grant, etag, first, store } => {
                parts_of_object(parts, grant, etag, first, store).chain(end).left_stream()
            }
            Source::Bytes(bytes) => {
                let parts = parts.flat_map(move |(range, head)| [Ok(head), Ok(slice(&bytes, &range))]);
                stream::iter(parts).chain(end).right_stream()
            }
        }
    }
}

/// Returns each range of an object behind its head.
fn parts_of_object(
    mut parts: impl Iterator<Item = (Range<u64>, Bytes)> + Send,
    grant: Grant,
    etag: String,
    first: Chunks,
    store: Store,
) -> impl Stream<Item = Result<Bytes, StoreError>> + Send {
    let first_head = parts.next().map(|(_, head)| Ok(head));
    let first = stream::iter(first_head).chain(first.into_stream());
    let others = stream::iter(parts).then(move |(range, head)| {
        let (store, grant, etag) = (store.clone(), grant.clone(), etag.clone());
        async move {
            let span = Span::FromTo(range.start, range.end - 1);
            let Opened::Sized(object) = store.get(&grant, span, Version::Same(&etag)).await? else {
                return Err(StoreError::Changed);
            };
            Ok(stream::iter([Ok(head)]).chain(object.chunks.into_stream()))
        }
    });
    first.chain(others.flat_map(|part: Result<_, StoreError>| match part {
        Ok(part) => part.left_stream(),
        Err(error) => stream::iter([Err(error)]).right_stream(),
    }))
}
