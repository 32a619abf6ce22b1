//! The outcome of a request. [`super::respond`] turns it into a status and header fields, [`super::body`] into a body.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::encoding::{self, Coding};
use super::multipart::Multipart;
use crate::asset::{AssetKind, AssetRef, TranscriptFormat};
use crate::clock::UnixSeconds;
use crate::server::LimitReached;
use crate::signed_url::{Denial, Grant};
use crate::store::{
    ByteStream, CachedFile, Chunks, FileSlice, LocalFile, Meta, Object, Opened, StoreError, Unsized,
};
use crate::telemetry::AccessRecord;
use crate::transcript::{RENDERING_VERSION, RenderError};

/// The outcome of a request.
#[expect(
    clippy::large_enum_variant,
    reason = "the large one is the common one, and a box would be an allocation"
)]
pub(super) enum Outcome {
    Options,
    NotModified {
        selected: Selected,
        etag: String,
        /// `None` if the store compared the tag and returned no date.
        last_modified: Option<UnixSeconds>,
    },
    Success(Representation),
    Rejected(Rejection),
}

/// Why a request is answered with a problem document.
#[derive(Debug)]
pub(super) enum Rejection {
    NoSuchRoute,
    MethodNotAllowed,
    Denied(Denial),
    /// The limit of requests in flight is reached: in total, or for the client's address.
    Busy(LimitReached),
    /// The audit log is required, and cannot record the download.
    AuditUnavailable,
    /// The link is valid, but names no format of a transcript.
    InvalidFormat,
    NotFound(AssetKind),
    StoreFailed(StoreError),
    /// The transcript exists, but not in the format that the link names.
    NotRendered(RenderError),
    PreconditionFailed,
    Unsatisfiable {
        size: u64,
    },
}

impl From<Rejection> for Outcome {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(rejection)
    }
}

/// The selected representation (RFC 9110 §3.2), and the expiry of its link.
#[derive(Debug, Clone, Copy)]
pub(super) struct Selected {
    pub(super) asset: AssetRef,
    pub(super) expires: UnixSeconds,
    /// The format that the transcript is rendered in; `None` for the object as it is stored.
    pub(super) format: Option<TranscriptFormat>,
    pub(super) coding: Coding,
}

impl Selected {
    pub(super) fn new(grant: &Grant, format: Option<TranscriptFormat>, coding: Coding) -> Self {
        Self { asset: grant.asset(), expires: grant.expires(), format, coding }
    }

    /// Returns the entity tag, made from the object's: each format and each coding has its own.
    pub(super) fn etag(&self, stored: &str) -> String {
        match self.format {
            None => self.coding.etag(stored),
            Some(format) => self.coding.etag(&encoding::with_suffix(stored, &tag_suffix(format))),
        }
    }

    /// Returns the object's entity tag from which `etag` was made, if `etag` is a tag of this representation.
    pub(super) fn stored_etag(&self, etag: &str) -> Option<String> {
        let identity = self.coding.identity_etag(etag)?;
        match self.format {
            None => Some(identity),
            Some(format) => encoding::without_suffix(&identity, &tag_suffix(format)),
        }
    }

    /// The media type.
    pub(super) fn media_type(&self) -> &'static str {
        self.format.map_or(self.asset.kind.media_type(), TranscriptFormat::media_type)
    }

    /// The value of `Content-Disposition`.
    pub(super) fn disposition(&self) -> String {
        self.format.map_or_else(|| self.asset.disposition(), |format| self.asset.disposition_as(format))
    }
}

/// What a rendering's entity tag has behind the object's.
fn tag_suffix(format: TranscriptFormat) -> String {
    format!("{format}{RENDERING_VERSION}")
}

/// A representation to send, or one range of it.
pub(super) struct Representation {
    pub(super) selected: Selected,
    pub(super) object: ObjectInfo,
    /// The range to send; `None` for the whole object or several ranges.
    pub(super) part: Option<Range<u64>>,
    pub(super) payload: Payload,
}

/// The metadata of an object.
pub(super) enum ObjectInfo {
    /// An open file of the cache.
    Cached(Arc<CachedFile>),
    /// Metadata from the store.
    Stored {
        etag: String,
        last_modified: UnixSeconds,
        /// `None` if the length is known only at the end.
        size: Option<u64>,
    },
}

impl From<Meta> for ObjectInfo {
    fn from(meta: Meta) -> Self {
        Self::Stored { etag: meta.etag, last_modified: meta.last_modified, size: Some(meta.size) }
    }
}

impl From<LocalFile> for ObjectInfo {
    fn from(file: LocalFile) -> Self {
        match file {
            LocalFile::Cached(file) => Self::Cached(file),
            LocalFile::Opened(file) => file.meta.into(),
        }
    }
}

impl ObjectInfo {
    /// Returns the metadata and the bytes of an opened object.
    pub(super) fn and_pieces(opened: Opened) -> (Self, ByteStream) {
        match opened {
            Opened::Sized(Object { meta, chunks, .. }) => (meta.into(), Box::pin(chunks.into_stream())),
            Opened::Unsized(Unsized { etag, last_modified, pieces }) => {
                (Self::Stored { etag, last_modified, size: None }, pieces)
            }
        }
    }

    pub(super) fn etag(&self) -> &str {
        match self {
            Self::Cached(file) => &file.meta.etag,
            Self::Stored { etag, .. } => etag,
        }
    }

    pub(super) fn last_modified(&self) -> UnixSeconds {
        match self {
            Self::Cached(file) => file.meta.last_modified,
            Self::Stored { last_modified, .. } => *last_modified,
        }
    }

    /// The object's length, if known.
    pub(super) fn size(&self) -> Option<u64> {
        match self {
            Self::Cached(file) => Some(file.meta.size),
            Self::Stored { size, .. } => *size,
        }
    }
}

/// The bytes to send.
pub(super) enum Payload {
    /// The object was not opened: HEAD.
    Unopened,
    /// All bytes, in memory: of a short file, or compressed.
    Read(Bytes),
    /// A local file that the kernel sends. Its first piece is in the page cache.
    File(FileSlice),
    Stored(Chunks),
    /// A stream of unknown length.
    UnknownLength(ByteStream),
    /// Several ranges.
    Multipart(Box<Multipart>),
}

impl Representation {
    /// The length of the body of a GET, if known.
    pub(super) fn length(&self) -> Option<u64> {
        match (&self.payload, &self.part) {
            (_, Some(range)) => Some(range.end - range.start),
            (Payload::Multipart(parts), None) => Some(parts.length()),
            (Payload::UnknownLength(_), None) => None,
            (Payload::Read(bytes), None) => Some(bytes.len() as u64),
            (Payload::File(file), None) => Some(file.owed()),
            (Payload::Unopened | Payload::Stored(_), None) => self.object.size(),
        }
    }
}

impl Outcome {
    /// Returns the local file that the kernel sends as the body.
    pub(super) fn file(&self) -> Option<&FileSlice> {
        match self {
            Self::Success(Representation { payload: Payload::File(file), .. }) => Some(file),
            _ => None,
        }
    }

    /// Fills in the fields of the access record that are known before the response is sent.
    pub(super) fn describe(&self, record: &mut AccessRecord<'_>) {
        record.outcome = self.name();
        if let Self::Rejected(Rejection::Denied(denial)) = self {
            record.denied(denial);
        }
        record.size = match self {
            Self::Success(sent) => sent.object.size(),
            Self::Rejected(Rejection::Unsatisfiable { size }) => Some(*size),
            _ => None,
        };
    }

    /// The outcome as one word of a fixed set, for the access record.
    fn name(&self) -> &'static str {
        match self {
            Self::Options => "options",
            Self::NotModified { .. } => "not_modified",
            Self::Success(_) => "ok",
            Self::Rejected(rejection) => rejection.name(),
        }
    }
}

impl Rejection {
    fn name(&self) -> &'static str {
        match self {
            Self::NoSuchRoute => "no_such_route",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::Denied(denial) => denial.reason(),
            Self::Busy(LimitReached::Total) => "busy",
            Self::Busy(LimitReached::Address) => "too_many_from_address",
            Self::AuditUnavailable => "unrecorded",
            Self::InvalidFormat => "invalid_format",
            Self::NotFound(_) => "not_found",
            Self::StoreFailed(error) => match error.reason() {
                "timed_out" => "store_timed_out",
                "refused" => "store_refused",
                "misplaced" => "store_misplaced",
                "withheld" => "store_withheld",
                "broken" => "store_broken",
                "down" => "store_down",
                "changed" => "store_changed",
                _ => "store_unavailable",
            },
            Self::NotRendered(RenderError::UnknownSchema) => "unknown_schema",
            Self::NotRendered(RenderError::TooLarge) => "too_large_to_render",
            Self::PreconditionFailed => "precondition_failed",
            Self::Unsatisfiable { .. } => "unsatisfiable",
        }
    }
}
