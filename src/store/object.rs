//! An object that was opened for reading, and which version of it the caller wants.

use std::ops::Range;

use super::chunks::{ByteStream, Chunks};
use super::meta::Meta;
use crate::clock::UnixSeconds;

/// A condition on the object's version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version<'t> {
    /// Whatever is there.
    Any,
    /// Only the version with this tag; otherwise [`StoreError::Changed`](super::StoreError::Changed).
    Same(&'t str),
    /// Only a version with another tag; otherwise [`StoreError::NotModified`](super::StoreError::NotModified).
    Other(&'t str),
}

/// An object that was opened for reading.
#[derive(Debug)]
pub struct Object {
    /// The whole object's metadata, whatever part was asked for.
    pub meta: Meta,
    /// The positions that [`Object::chunks`] delivers.
    pub range: Range<u64>,
    /// The bytes. The first of them are here already.
    pub chunks: Chunks,
}

/// An object whose size is not known: its end tells, and is far away. There are no ranges of it.
pub struct Unsized {
    /// Its entity tag, as in [`Meta`].
    pub etag: String,
    /// When it was last changed, as in [`Meta`].
    pub last_modified: UnixSeconds,
    /// All of its bytes; an error, if they are not all.
    pub pieces: ByteStream,
}

impl std::fmt::Debug for Unsized {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Unsized").field("etag", &self.etag).finish_non_exhaustive()
    }
}

/// An object that was opened.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "either is taken apart at once, and goes no further")]
pub enum Opened {
    /// The wanted bytes of it.
    Sized(Object),
    /// All of it, whatever part was asked for.
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

    /// Its length in bytes, if that is known.
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
