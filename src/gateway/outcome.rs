//! What a request can come to. [`super::respond`] turns it into status and header fields, [`super::body`] into a body.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::encoding::Coding;
use super::multipart::Multipart;
use crate::asset::{AssetKind, AssetRef};
use crate::clock::UnixSeconds;
use crate::server::LimitReached;
use crate::signed_url::{Denial, Grant};
use crate::store::{ByteStream, CachedFile, Chunks, Meta, StoreError};
use crate::telemetry::AccessRecord;

/// Everything that a request can come to.
#[expect(
    clippy::large_enum_variant,
    reason = "the large one is the common one, and a box would be an allocation"
)]
pub(super) enum Outcome {
    Options,
    NotModified {
        selected: Selected,
        etag: String,
        /// If the store was asked for it.
        last_modified: Option<UnixSeconds>,
    },
    Success(Representation),
    Rejected(Rejection),
}

/// Why a request is answered with a problem document.
pub(super) enum Rejection {
    NoSuchRoute,
    MethodNotAllowed,
    Denied(Denial),
    /// Too many are in flight: of all, or of the client's address.
    Busy(LimitReached),
    /// The download would have to be recorded, and cannot be.
    AuditUnavailable,
    NotFound(AssetKind),
    StoreFailed(StoreError),
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

/// Which representation of which asset was selected (RFC 9110 §3.2), and until when its link is good.
#[derive(Debug, Clone, Copy)]
pub(super) struct Selected {
    pub(super) asset: AssetRef,
    pub(super) expires: UnixSeconds,
    pub(super) coding: Coding,
}

impl Selected {
    pub(super) fn new(grant: &Grant, coding: Coding) -> Self {
        Self { asset: grant.asset(), expires: grant.expires(), coding }
    }
}

/// A representation that is sent, or one range of it.
pub(super) struct Representation {
    pub(super) selected: Selected,
    pub(super) object: ObjectInfo,
    /// The one range that is sent, unless it is all.
    pub(super) part: Option<Range<u64>>,
    pub(super) payload: Payload,
}

/// The metadata of an object.
pub(super) enum ObjectInfo {
    /// Of a file that is open.
    Cached(Arc<CachedFile>),
    /// From the store.
    Stored {
        etag: String,
        last_modified: UnixSeconds,
        /// Unless only its end tells.
        size: Option<u64>,
    },
}

impl From<Meta> for ObjectInfo {
    fn from(meta: Meta) -> Self {
        Self::Stored { etag: meta.etag, last_modified: meta.last_modified, size: Some(meta.size) }
    }
}

impl ObjectInfo {
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

    /// The object's length, if it is known.
    pub(super) fn size(&self) -> Option<u64> {
        match self {
            Self::Cached(file) => Some(file.meta.size),
            Self::Stored { size, .. } => *size,
        }
    }
}

/// The bytes that are sent.
pub(super) enum Payload {
    /// None were opened: for HEAD.
    Unopened,
    /// All of them: from the cache, or compressed.
    Read(Bytes),
    /// Those of the cached file, whose first piece is in memory.
    CachedFile,
    Stored(Chunks),
    /// As they come: how many is not known.
    UnknownLength(ByteStream),
    /// Several ranges.
    Multipart(Box<Multipart>),
}

impl Representation {
    /// The length of what GET sends, if it is known.
    pub(super) fn length(&self) -> Option<u64> {
        match (&self.payload, &self.part) {
            (_, Some(range)) => Some(range.end - range.start),
            (Payload::Multipart(parts), None) => Some(parts.length()),
            (Payload::UnknownLength(_), None) => None,
            (Payload::Read(bytes), None) => Some(bytes.len() as u64),
            (Payload::Unopened | Payload::CachedFile | Payload::Stored(_), None) => self.object.size(),
        }
    }
}

impl Outcome {
    /// The file of the cache that is the body, and which positions of it.
    pub(super) fn cached_file(&self) -> Option<(&CachedFile, Range<u64>)> {
        match self {
            Self::Success(Representation {
                object: ObjectInfo::Cached(file),
                part,
                payload: Payload::CachedFile,
                ..
            }) => Some((file, part.clone().unwrap_or(0..file.meta.size))),
            _ => None,
        }
    }

    /// Puts what is known before the answer is sent into its record.
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

    /// The outcome in a word of a fixed set, for the access record.
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
            Self::PreconditionFailed => "precondition_failed",
            Self::Unsatisfiable { .. } => "unsatisfiable",
        }
    }
}
