//! Defines an opened object, and the version of it that a caller wants.

use std::ops::Range;

use super::chunks::Chunks;
use super::meta::Meta;
use super::object_body::ByteStream;
use crate::clock::UnixSeconds;

/// A condition on the object's version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version<'t> {
    /// Any version.
    Any,
    /// Only the version with this tag; otherwise [`StoreError::Changed`](super::StoreError::Changed).
    Same(&'t str),
    /// Only a version with another tag; otherwise [`StoreError::NotModified`](super::StoreError::NotModified).
    Other(&'t str),
}

/// An object that was opened for reading.
#[derive(Debug)]
pub struct Object {
    /// The whole object's metadata, even if only a part was requested.
    pub meta: Meta,
    /// The range of positions that [`Object::chunks`] covers.
    pub range: Range<u64>,
    /// The bytes. The first of them have arrived.
    pub chunks: Chunks,
}

/// An object of unknown size, too long to be read for finding its end. It does not support ranges.
pub struct Unsized {
    /// Its entity tag, as in [`Meta`].
    pub etag: String,
    /// When it was last changed, as in [`Meta`].
    pub last_modified: UnixSeconds,
    /// All of its bytes, or an error at the end.
    pub pieces: ByteStream,
}

impl std::fmt::Debug for Unsized {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Unsized").field("etag", &self.etag).finish_non_exhaustive()
    }
}

/// An object that was opened.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "the caller takes either apart at once")]
pub enum Opened {
    /// The requested bytes.
    Sized(Object),
    /// All bytes, even if only a part was requested.
    Unsized(Unsized),
}

impl Opened {
    /// The object's entity tag.
    #[must_use]
    pub fn etag(&self) -> &str {
        match self {
            Self::Sized(object) => &object.meta.etag,
            Self::Unsized(object) => &object.etag,
        }
    }

    /// Its length in bytes, if known.
    #[must_use]
    pub fn size(&self) -> Option<u64> {
        match self {
            Self::Sized(object) => Some(object.meta.size),
            Self::Unsized(_) => None,
        }
    }

    /// When it was last changed.
    #[must_use]
    pub fn last_modified(&self) -> UnixSeconds {
        match self {
            Self::Sized(object) => object.meta.last_modified,
            Self::Unsized(object) => object.last_modified,
        }
    }
}
