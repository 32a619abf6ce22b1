//! Decides the outcome of a request with a valid link, in the order of RFC 9110 §13.2.2, with as few requests to the
//! store as possible.

use std::net::IpAddr;
use std::ops::Range;
use std::time::Instant;

use futures_util::{future, stream};
use http::Version as HttpVersion;
use http::header::ACCEPT_ENCODING;

use super::compression::Compressor;
use super::encoding::Coding;
use super::multipart::{self, Multipart};
use super::outcome::{ObjectInfo, Outcome, Payload, Rejection, Representation, Selected};
use super::precondition::{Preconditions, Verdict};
use super::range::{self, RequestedRange};
use super::rendering::{self, Renderer};
use super::request::RequestView;
use crate::asset::{TranscriptFormat, UnknownFormat};
use crate::clock::UnixSeconds;
use crate::server::{Client, Permit};
use crate::signed_url::{Grant, requested_format};
use crate::store::{
    ByteStream, FileContent, Meta, Object, Opened, Span, Store, StoreError, Unsized, Version,
};
use crate::telemetry::AccessRecord;

/// Transcripts up to this many bytes are compressed before the response head is sent, so the head has the exact length.
/// Nearly all transcripts are shorter. Longer ones are compressed while they are sent.
const COMPRESSED_WHOLE: u64 = 1 << 20;

/// A request with a valid link.
#[derive(Debug)]
pub(super) struct ParsedRequest {
    pub(super) grant: Grant,
    /// The format that the transcript is rendered in.
    format: Result<Option<TranscriptFormat>, UnknownFormat>,
    is_head: bool,
    coding: Coding,
    preconditions: Option<Preconditions>,
    range: RequestedRange,
    /// Whether the connection supports zero copy for files.
    sends_files: bool,
    /// Whether the client can tell the end of a body of unknown length from a broken connection.
    knows_ends: bool,
    now: UnixSeconds,
    /// The client address that the limits count for: of requests in flight, and of memory for compression.
    pub(super) share: Option<IpAddr>,
}

impl ParsedRequest {
    pub(super) fn new(request: &RequestView<'_>, grant: Grant, client: &Client, now: UnixSeconds) -> Self {
        let range = request.range().map_or(RequestedRange::Whole, range::parse);
        // A range is always a range of the identity representation: a client that resumes has this one on disk.
        // HTTP/1.0 has no chunked coding: the client could not tell the end of a body of unknown length from a broken
        // connection.
        let knows_ends = request.version > HttpVersion::HTTP_10;
        let is_compressible = grant.asset().kind.is_compressible() && knows_ends;
        let coding = match range {
            RequestedRange::Whole if is_compressible => {
                Coding::negotiate(request.headers.values(&ACCEPT_ENCODING))
            }
            _ => Coding::Identity,
        };
        Self {
            format: requested_format(grant.asset().kind, request.query),
            grant,
            is_head: request.is_head(),
            coding,
            preconditions: Preconditions::of(request),
            range,
            sends_files: client.zero_copy.is_some(),
            knows_ends,
            now,
            share: client.share(),
        }
    }

    /// Fills in the fields of the access record that the link says.
    pub(super) fn describe(&self, record: &mut AccessRecord<'_>) {
        record.granted(&self.grant);
        record.format = self.format.unwrap_or_default();
    }

    /// Decides without waiting, if the kernel has the path of a local file and its first piece in memory. `at` is the
    /// time when the request arrived.
    pub(super) fn decide_cached(&self, store: &Store, at: Instant) -> Option<Outcome> {
        match self.format {
            Ok(None) => {}
            Ok(Some(_)) => return None,
            Err(UnknownFormat) => return Some(Rejection::InvalidFormat.into()),
        }
        let span = match self.range {
            RequestedRange::Whole if self.coding == Coding::Identity => Span::Whole,
            RequestedRange::One(span) => span,
            RequestedRange::Whole | RequestedRange::Several(_) => return None,
        };
        let file = store.get_cached(&self.grant, at)?;
        let meta = file.meta();
        let span = if self.range_holds(meta) { span } else { Span::Whole };
        // The regular path answers a range outside the object.
        let range = span.within(meta.size)?;
        let payload = match self.is_head {
            true => Payload::Unopened,
            false => match file.content().part(&range, self.sends_files, at)? {
                FileContent::Read(bytes) => Payload::Read(bytes),
                FileContent::Open(file) => Payload::File(file),
            },
        };
        self.precondition(&meta.etag, meta.last_modified).or_else(|| {
            let part = (span != Span::Whole).then_some(range);
            Some(self.success(self.coding, file.into(), part, payload))
        })
    }

    /// Decides with the store's response. Rare ways are boxed, here and in the store: each connection that waits has
    /// memory for all others.
    pub(super) async fn decide(
        &self,
        store: &Store,
        compressor: &Compressor,
        renderer: &Renderer,
    ) -> Outcome {
        let outcome = match self.format {
            Ok(None) => self.ask(store, compressor).await,
            Ok(Some(format)) => Box::pin(self.rendered(format, store, compressor, renderer)).await,
            Err(UnknownFormat) => Ok(Rejection::InvalidFormat.into()),
        };
        match outcome {
            Ok(Outcome::Success(Representation { payload: Payload::UnknownLength(_), .. }))
                if !self.knows_ends =>
            {
                let what = "the object's length is not known, and HTTP/1.0 cannot tell its end from a broken connection";
                Rejection::StoreFailed(StoreError::Broken(what.into())).into()
            }
            Ok(outcome) => outcome,
            Err(StoreError::NotFound) => Rejection::NotFound(self.grant.asset().kind).into(),
            Err(error) => Rejection::StoreFailed(error).into(),
        }
    }

    async fn ask(&self, store: &Store, compressor: &Compressor) -> Result<Outcome, StoreError> {
        match &self.range {
            // HEAD has the same fields as GET. The length of a compressed representation is known only after
            // compressing it.
            RequestedRange::Whole if self.is_head && self.coding == Coding::Identity => {
                let meta = match store.head(&self.grant).await {
                    Err(StoreError::SizeUnknown) => return Box::pin(self.whole(store, compressor)).await,
                    meta => meta?,
                };
                Ok(self
                    .precondition(&meta.etag, meta.last_modified)
                    .unwrap_or_else(|| self.success(Coding::Identity, meta.into(), None, Payload::Unopened)))
            }
            RequestedRange::Whole => self.whole(store, compressor).await,
            RequestedRange::One(span) => self.part(store, *span).await,
            RequestedRange::Several(spans) => Box::pin(self.parts(store, spans, compressor)).await,
        }
    }

    fn success(
        &self,
        coding: Coding,
        object: ObjectInfo,
        part: Option<Range<u64>>,
        payload: Payload,
    ) -> Outcome {
        Outcome::Success(Representation { selected: self.selected(coding), object, part, payload })
    }

    fn selected(&self, coding: Coding) -> Selected {
        Selected::new(&self.grant, self.format.unwrap_or_default(), coding)
    }

    /// Returns the outcome if a precondition fails, `None` if all hold.
    fn precondition(&self, etag: &str, last_modified: UnixSeconds) -> Option<Outcome> {
        let preconditions = self.preconditions.as_ref()?;
        let etag = self.selected(self.coding).etag(etag);
        match preconditions.evaluate(&etag, last_modified) {
            Verdict::Proceed => None,
            Verdict::NotModified => Some(self.not_modified(etag, Some(last_modified))),
            Verdict::Failed => Some(Rejection::PreconditionFailed.into()),
        }
    }

    fn not_modified(&self, etag: String, last_modified: Option<UnixSeconds>) -> Outcome {
        Outcome::NotModified { selected: self.selected(self.coding), etag, last_modified }
    }

    /// Whether `If-Range` allows a partial response.
    fn range_holds(&self, meta: &Meta) -> bool {
        let Some(given) = &self.preconditions else { return true };
        given.if_range_holds(&self.selected(Coding::Identity).etag(&meta.etag), meta.last_modified, self.now)
    }

    async fn whole(&self, store: &Store, compressor: &Compressor) -> Result<Outcome, StoreError> {
        let opened = match self.open_whole(store).await? {
            Ok(opened) => opened,
            Err(not_modified) => return Ok(not_modified),
        };
        match self.precondition(opened.etag(), opened.last_modified()) {
            Some(outcome) => Ok(outcome),
            None => self.encoded(opened, compressor).await,
        }
    }

    /// Opens the whole object. The common revalidation, with a single tag, is passed to the store: an unchanged object
    /// costs no body.
    async fn open_whole(&self, store: &Store) -> Result<Result<Opened, Outcome>, StoreError> {
        let selected = self.selected(self.coding);
        let known = self.preconditions.as_ref().and_then(Preconditions::only_tag);
        let known = known.and_then(|tag| selected.stored_etag(tag));
        let version = known.as_deref().map_or(Version::Any, Version::Other);
        match store.get(&self.grant, Span::Whole, version).await {
            Err(StoreError::NotModified) => {
                let etag = selected.etag(known.as_deref().unwrap_or_default());
                Ok(Err(self.not_modified(etag, None)))
            }
            opened => opened.map(Ok),
        }
    }

    /// The rendering of the transcript in `format`. It is made before the preconditions are evaluated: they do not count
    /// if the response without them would be an error (RFC 9110 §13.2.1).
    async fn rendered(
        &self,
        format: TranscriptFormat,
        store: &Store,
        compressor: &Compressor,
        renderer: &Renderer,
    ) -> Result<Outcome, StoreError> {
        let opened = match self.open_whole(store).await? {
            Ok(opened) => opened,
            Err(not_modified) => return Ok(not_modified),
        };
        let etag = opened.etag().to_owned();
        let last_modified = rendering::last_modified(opened.last_modified());
        let text = match renderer.render(opened, format, self.share).await {
            Ok(text) => text,
            Err(rejection) => return Ok(rejection.into()),
        };
        let meta = Meta { size: text.len() as u64, etag, last_modified };
        if let Some(outcome) = self.precondition(&meta.etag, last_modified) {
            return Ok(outcome);
        }
        if self.range != RequestedRange::Whole && self.range_holds(&meta) {
            return Ok(match rendering::ranges(&text, self.range.spans(), self.media_type()) {
                Ok((part, payload)) => self.success(Coding::Identity, meta.into(), part, payload),
                Err(rejection) => rejection.into(),
            });
        }
        match self.compression_permit(Some(meta.size), compressor) {
            Some(permit) => {
                let pieces: ByteStream = Box::pin(stream::once(future::ready(Ok(text))));
                self.compressed(meta.into(), pieces, permit, compressor).await
            }
            None => Ok(self.success(Coding::Identity, meta.into(), None, Payload::Read(text))),
        }
    }

    fn media_type(&self) -> &'static str {
        self.selected(Coding::Identity).media_type()
    }

    async fn part(&self, store: &Store, span: Span) -> Result<Outcome, StoreError> {
        let (meta, object) = match store.get(&self.grant, span, Version::Any).await {
            Ok(Opened::Sized(object)) => (object.meta.clone(), Some(object)),
            Err(StoreError::Unsatisfiable(meta)) => (meta, None),
            // The length is unknown, so the range has to be ignored, as RFC 9110 §14.2 allows.
            Ok(whole) => {
                let outcome = self.precondition(whole.etag(), whole.last_modified());
                return Ok(outcome.unwrap_or_else(|| self.as_stored(whole)));
            }
            Err(error) => return Err(error),
        };
        if let Some(outcome) = self.precondition(&meta.etag, meta.last_modified) {
            return Ok(outcome);
        }
        match object {
            _ if !self.range_holds(&meta) => Box::pin(self.whole_instead(store)).await,
            Some(object) => Ok(self.one_range(object)),
            None => Ok(Rejection::Unsatisfiable { size: meta.size }.into()),
        }
    }

    async fn parts(
        &self,
        store: &Store,
        spans: &[Span],
        compressor: &Compressor,
    ) -> Result<Outcome, StoreError> {
        let meta = match store.head(&self.grant).await {
            Err(StoreError::SizeUnknown) => return self.whole(store, compressor).await,
            meta => meta?,
        };
        if let Some(outcome) = self.precondition(&meta.etag, meta.last_modified) {
            return Ok(outcome);
        }
        if !self.range_holds(&meta) {
            return self.whole_instead(store).await;
        }
        let ranges = range::coalesce(spans, meta.size);
        let Some(first) = ranges.first() else {
            return Ok(Rejection::Unsatisfiable { size: meta.size }.into());
        };
        if ranges.len() > 1 && self.is_better_whole(&meta, &ranges) {
            return self.whole_instead(store).await;
        }
        let span = Span::FromTo(first.start, first.end - 1);
        let object = match store.get(&self.grant, span, Version::Same(&meta.etag)).await? {
            Opened::Sized(object) => object,
            whole => return Ok(self.as_stored(whole)),
        };
        if ranges.len() == 1 {
            return Ok(self.one_range(object));
        }
        let parts = Multipart::of_object(self.media_type(), &self.grant, &meta, object, ranges, store);
        let parts = Box::new(parts);
        Ok(self.success(Coding::Identity, meta.into(), None, Payload::Multipart(parts)))
    }

    /// Whether to send the whole object instead of several ranges: the ranges would be longer, or the object has no
    /// tag. The ranges are opened one after the other, and without a tag they could be of different versions.
    fn is_better_whole(&self, meta: &Meta, ranges: &[Range<u64>]) -> bool {
        meta.has_no_tag() || multipart::length_of(self.media_type(), ranges, meta.size) > meta.size
    }

    /// Returns the whole object although the client asks for a range.
    async fn whole_instead(&self, store: &Store) -> Result<Outcome, StoreError> {
        Ok(self.as_stored(store.get(&self.grant, Span::Whole, Version::Any).await?))
    }

    fn one_range(&self, object: Object) -> Outcome {
        let Object { meta, range, chunks } = object;
        self.success(Coding::Identity, meta.into(), Some(range), Payload::Stored(chunks))
    }

    /// Returns an opened object uncompressed.
    fn as_stored(&self, opened: Opened) -> Outcome {
        let (object, payload) = match opened {
            Opened::Sized(Object { meta, chunks, .. }) => (meta.into(), Payload::Stored(chunks)),
            Opened::Unsized(Unsized { etag, last_modified, pieces }) => {
                (ObjectInfo::Stored { etag, last_modified, size: None }, Payload::UnknownLength(pieces))
            }
        };
        self.success(Coding::Identity, object, None, payload)
    }

    /// Returns an opened object in the selected coding, or uncompressed if no memory is free to compress it.
    async fn encoded(&self, opened: Opened, compressor: &Compressor) -> Result<Outcome, StoreError> {
        let Some(permit) = self.compression_permit(opened.size(), compressor) else {
            return Ok(self.as_stored(opened));
        };
        let (object, pieces) = ObjectInfo::and_pieces(opened);
        self.compressed(object, pieces, permit, compressor).await
    }

    /// Reserves memory for a compressor of `size` bytes, if the client takes a coding and the memory is free.
    fn compression_permit(&self, size: Option<u64>, compressor: &Compressor) -> Option<Permit> {
        match self.coding {
            Coding::Identity => None,
            _ => compressor.reserve(size.unwrap_or(u64::MAX), short_size(size).is_some(), self.share),
        }
    }

    /// Compresses in the selected coding: at once if it is short, otherwise while it is sent.
    async fn compressed(
        &self,
        object: ObjectInfo,
        pieces: ByteStream,
        permit: Permit,
        compressor: &Compressor,
    ) -> Result<Outcome, StoreError> {
        let payload = match short_size(object.size()) {
            Some(size) => {
                let whole = compressor.whole(self.coding, size, pieces, permit);
                Payload::Read(Box::pin(whole).await?)
            }
            None => Payload::UnknownLength(compressor.pieces(self.coding, pieces, permit)),
        };
        Ok(self.success(self.coding, object, None, payload))
    }
}

/// The size, if bytes of this size are compressed before the response head is sent.
fn short_size(size: Option<u64>) -> Option<u64> {
    size.filter(|size| *size <= COMPRESSED_WHOLE)
}
