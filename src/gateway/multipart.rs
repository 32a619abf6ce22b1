//! Several ranges of one version of an object as one `multipart/byteranges` body (RFC 9110 §14.6).

use std::fmt::Write;
use std::ops::Range;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};

use crate::AssetKind;
use crate::signed_url::Grant;
use crate::store::{Meta, Object, Opened, Span, Store, StoreError, Version};

/// The length of a boundary, in bytes.
const BOUNDARY_LEN: usize = 32;

/// The ranges of a response. The first one is already open. The others are opened in turn, and only if the object is
/// still the same version.
pub(super) struct Multipart {
    pub(super) grant: Grant,
    pub(super) meta: Meta,
    pub(super) first: Object,
    pub(super) others: Vec<Range<u64>>,
    pub(super) store: Store,
    boundary: String,
}

/// Returns the length of the body for these ranges of an object of `size` bytes.
pub(super) fn length_of(kind: AssetKind, ranges: &[&Range<u64>], size: u64) -> u64 {
    let boundary = "-".repeat(BOUNDARY_LEN);
    let head = |range: &Range<u64>| part_head(kind, &boundary, range, size).len() as u64;
    let parts: u64 = ranges.iter().map(|range| head(range) + range.end - range.start).sum();
    parts + closing(&boundary).len() as u64
}

/// Returns the lines before a part's bytes.
fn part_head(kind: AssetKind, boundary: &str, range: &Range<u64>, size: u64) -> String {
    format!(
        "\r\n--{boundary}\r\nContent-Type: {}\r\nContent-Range: bytes {}-{}/{size}\r\n\r\n",
        kind.media_type(),
        range.start,
        range.end.saturating_sub(1),
    )
}

/// Returns the lines after the last part.
fn closing(boundary: &str) -> String {
    format!("\r\n--{boundary}--\r\n")
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
    pub(super) fn new(
        grant: &Grant,
        meta: Meta,
        first: Object,
        others: Vec<Range<u64>>,
        store: &Store,
    ) -> Self {
        Self { grant: grant.clone(), meta, first, others, store: store.clone(), boundary: new_boundary() }
    }

    /// The value of `Content-Type`.
    pub(super) fn media_type(&self) -> String {
        format!("multipart/byteranges; boundary={}", self.boundary)
    }

    /// The length of the body, in bytes.
    pub(super) fn length(&self) -> u64 {
        let ranges: Vec<_> = std::iter::once(&self.first.range).chain(&self.others).collect();
        length_of(self.grant.asset().kind, &ranges, self.meta.size)
    }

    fn head_of(&self, range: &Range<u64>) -> Bytes {
        part_head(self.grant.asset().kind, &self.boundary, range, self.meta.size).into()
    }

    /// Returns the body, part after part.
    pub(super) fn into_stream(self) -> impl Stream<Item = Result<Bytes, StoreError>> + Send {
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
        first.chain(others).chain(stream::iter([Ok(closing(&boundary).into())]))
    }
}
