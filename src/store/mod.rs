//! Opens the object that a [`Grant`] allows, with deadlines, as a stream that never ends short without an error.
//!
//! Nothing below takes a path from outside: the object's place comes from the grant.

mod advice;
mod ahead;
mod answer;
mod buffers;
mod cause;
mod changes;
mod chunks;
mod circuit_breaker;
mod client_settings;
mod config;
mod decode;
mod error;
mod file;
mod guard;
mod held;
mod local;
mod open;
mod opening;
mod pipe;
mod plain_http;
mod rehearsal;
mod root;
mod sample;
mod source;
mod traced;
mod url;
mod validator;
mod warm;

pub use cause::Cause;
pub use chunks::{Chunks, Passed, Pieces};
pub use config::{CloudVariables, Config};
pub use error::StoreError;
pub use file::{ContentCheck, FileSlice};
pub use held::{Held, HeldBytes, held_at_most};
pub use open::{OpenError, unknown_variables};
pub use pipe::{Pipe, pipes_at_most};
pub use root::unusable_folders;
pub use sample::SAMPLE;
pub use url::{Bucket, StoreUrl};

use std::ops::Range;
use std::sync::Arc;

use object_store::path::Path;
use object_store::{GetRange, ObjectMeta, ObjectStore};
use std::time::Instant;
use uuid::Uuid;

use crate::asset::{AssetKind, AssetRef};
use crate::clock::UnixSeconds;
use crate::signed_url::Grant;
use crate::telemetry::metrics::{Metrics, StoreOperation};
use held::HeldFiles;
use opening::{Opening, is_plain};
use source::Source;

/// What is known of an object without its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meta {
    /// Its length in bytes.
    pub size: u64,
    /// Its entity tag, quotes included (RFC 9110 §8.8.3): strong, if the store tells versions apart by any tag.
    pub etag: String,
    /// When it was last changed; 1970 begins where nobody knows.
    pub last_modified: UnixSeconds,
}

impl Meta {
    /// Whether the store gives nothing that tells the object's versions apart.
    #[must_use]
    pub fn has_no_tag(&self) -> bool {
        self.etag.starts_with("W/")
    }
}

impl From<&ObjectMeta> for Meta {
    fn from(meta: &ObjectMeta) -> Self {
        let seconds = u64::try_from(meta.last_modified.timestamp()).unwrap_or_default();
        let etag = answer::tag_of(meta.e_tag.as_deref().unwrap_or_default());
        let etag = strong_etag(etag).unwrap_or_else(|| made_etag(etag, meta.size, seconds));
        Self { size: meta.size, etag, last_modified: UnixSeconds(seconds) }
    }
}

/// The store's tag as a strong entity tag; `None` if it is weak or has characters that a tag may not have.
fn strong_etag(tag: &str) -> Option<String> {
    let bare = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')).unwrap_or(tag);
    let allowed = |b: u8| b == 0x21 || (0x23..=0x7e).contains(&b);
    (!tag.starts_with("W/") && !bare.is_empty() && bare.bytes().all(allowed)).then(|| format!("\"{bare}\""))
}

/// A tag of everything that the store says of a version. Without any tag of the store's it is weak: an object that is
/// replaced within a second by another of its size keeps it.
fn made_etag(tag: &str, size: u64, seconds: u64) -> String {
    if tag.is_empty() {
        return format!("W/\"{size:x}-{seconds:x}\"");
    }
    format!("\"{}-{size:x}-{seconds:x}\"", hex::encode(tag))
}

/// Which bytes of an object are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Span {
    /// All of them.
    Whole,
    /// From the first to the last position, both included (RFC 9110 §14.1.2).
    FromTo(u64, u64),
    /// From a position to the end.
    From(u64),
    /// The last so many.
    Last(u64),
}

impl Span {
    /// The positions of an object of `size` bytes; `None` if there are none (unsatisfiable).
    #[must_use]
    pub fn within(self, size: u64) -> Option<Range<u64>> {
        let range = match self {
            Self::Whole => return Some(0..size),
            Self::FromTo(first, last) => first..last.saturating_add(1).min(size),
            Self::From(first) => first..size,
            Self::Last(count) => size.saturating_sub(count)..size,
        };
        (range.start < range.end).then_some(range)
    }

    fn as_get_range(self) -> Option<GetRange> {
        match self {
            Self::Whole => None,
            Self::FromTo(first, last) => {
                Some(last.checked_add(1).map_or(GetRange::Offset(first), |end| GetRange::Bounded(first..end)))
            }
            Self::From(first) => Some(GetRange::Offset(first)),
            Self::Last(count) => Some(GetRange::Suffix(count)),
        }
    }
}

/// A condition on the object's version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version<'t> {
    /// Whatever is there.
    Any,
    /// Only the version with this tag; otherwise [`StoreError::Changed`].
    Same(&'t str),
    /// Only a version with another tag; otherwise [`StoreError::NotModified`].
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
    pub pieces: Pieces,
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

/// The object storage behind the gateway. Clones share one client.
#[derive(Debug, Clone)]
pub struct Store {
    source: Arc<Source>,
    samples: Arc<Source>,
    held: Option<HeldFiles>,
}

impl Store {
    /// A store on `objects`, whose root holds `recordings/` and `transcripts/`.
    #[must_use]
    pub fn new(objects: Arc<dyn ObjectStore>, config: &Config, metrics: Metrics) -> Self {
        let samples = Arc::new(Source::new(sample::samples(), config, metrics.clone()));
        Self { source: Arc::new(Source::new(objects, config, metrics)), samples, held: None }
    }

    /// Where an asset is.
    fn source_of(&self, asset: AssetRef) -> &Arc<Source> {
        if asset.id == SAMPLE { &self.samples } else { &self.source }
    }

    /// Opens the store that `config` names.
    ///
    /// # Errors
    /// [`OpenError`] if the URL or the credentials' form cannot be used. No connection is made yet.
    pub fn open(config: &Config, metrics: Metrics) -> Result<Self, OpenError> {
        let opened = open::open(config)?;
        Ok(Self { held: opened.held, ..Self::new(opened.objects, config, metrics) })
    }

    /// A local file, if it can be had without waiting, for a request that arrived at this moment, just now: the file is as it
    /// was then or later. The caller that gets none asks as for any other object.
    #[must_use]
    pub fn get_cached(&self, grant: &Grant, arrived: Instant) -> Option<Arc<Held>> {
        let held =
            self.held.as_ref().filter(|_| grant.asset().id != SAMPLE && self.source.breaker.is_closed())?;
        let (found, waited) = held.get(grant.asset(), arrived.into())?;
        self.source.metrics.store_answered(StoreOperation::Get, waited, None);
        Some(found)
    }

    /// Asks for metadata alone.
    ///
    /// # Errors
    /// [`StoreError`]; [`StoreError::SizeUnknown`] if the object has to be opened to know its size.
    pub async fn head(&self, grant: &Grant) -> Result<Meta, StoreError> {
        let result = self.source_of(grant.asset()).head(&path_of(grant.asset())).await?;
        if !is_plain(&result)? {
            return Err(StoreError::SizeUnknown);
        }
        Ok(Meta::from(&result.meta))
    }

    /// Opens the wanted bytes of the granted object and waits for the first of them, so that whatever fails early
    /// can still become a clear answer.
    ///
    /// # Errors
    /// [`StoreError`]; [`StoreError::Unsatisfiable`] carries the metadata, for a span that has no bytes.
    pub async fn get(&self, grant: &Grant, span: Span, version: Version<'_>) -> Result<Opened, StoreError> {
        let (source, path) = (self.source_of(grant.asset()), path_of(grant.asset()));
        Opening { source, path, version }.open(span).await
    }

    /// How far the store's clock was ahead of this machine's when it last answered something else than an object, in words,
    /// if that matters.
    #[must_use]
    pub fn clocks_differ(&self) -> Option<String> {
        self.source.clocks_differ()
    }

    /// Whether the store answers at all and lets us read.
    ///
    /// # Errors
    /// [`StoreError`] if it does not answer, refuses us, or has no such bucket.
    pub async fn probe(&self) -> Result<(), StoreError> {
        self.source.probe().await
    }

    /// Deletes both assets of a call, for good: nothing is cached, so every replica answers 404 from then on.
    /// Downloads in flight may complete. Says for each kind whether it was there.
    ///
    /// # Errors
    /// [`StoreError`] if the store fails; then some of it may be deleted, and doing it again is safe.
    pub async fn erase(&self, call: Uuid) -> Result<Vec<(AssetKind, bool)>, StoreError> {
        let mut erased = Vec::new();
        for kind in AssetKind::ALL {
            let path = path_of(AssetRef { kind, id: call });
            let there = match self.source.head(&path).await {
                Ok(_) => true,
                // What cannot be read may still be deleted.
                Err(StoreError::Withheld(_)) => true,
                Err(StoreError::NotFound) => false,
                Err(error) => return Err(error),
            };
            if there {
                self.source.delete(&path).await?;
            }
            if let Some(held) = &self.held {
                held.forget(AssetRef { kind, id: call });
            }
            // The record of the erasure: who may ask for personal data may ask what became of it.
            tracing::info!(target: "webhook_assets::audit", call = %call, asset = kind.name(), there, "erased an asset");
            erased.push((kind, there));
        }
        Ok(erased)
    }
}

fn path_of(asset: AssetRef) -> Path {
    // Kind, UUID and extension are plain ASCII without a delimiter: nothing is left to encode.
    Path::from(asset.object_path())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_clipped_to_the_object() {
        assert_eq!(Span::Whole.within(0), Some(0..0));
        assert_eq!(Span::FromTo(0, u64::MAX).within(10), Some(0..10));
        assert_eq!(Span::FromTo(3, 3).within(10), Some(3..4));
        assert_eq!(Span::From(9).within(10), Some(9..10));
        assert_eq!(Span::From(10).within(10), None);
        assert_eq!(Span::Last(3).within(10), Some(7..10));
        assert_eq!(Span::Last(30).within(10), Some(0..10));
        assert_eq!(Span::Last(0).within(10), None);
        assert_eq!(Span::Last(5).within(0), None);
    }

    #[test]
    fn only_a_strong_tag_of_plain_characters_is_passed_on() {
        assert_eq!(strong_etag("\"abc\""), Some("\"abc\"".into()));
        assert_eq!(strong_etag("abc"), Some("\"abc\"".into()));
        for other in ["W/\"abc\"", "", "\"\"", "a\"b", "a b", "a\r\nb", "é"] {
            assert_eq!(strong_etag(other), None, "{other:?}");
        }
    }

    #[test]
    fn a_made_tag_changes_with_everything_that_the_store_says() {
        let tags = [
            ("W/\"a\"", 1, 1),
            ("W/\"b\"", 1, 1),
            ("W/\"a\"", 2, 1),
            ("W/\"a\"", 1, 2),
            ("", 1, 1),
            ("", 2, 1),
        ];
        let made: std::collections::HashSet<_> =
            tags.iter().map(|(tag, size, seconds)| made_etag(tag, *size, *seconds)).collect();
        assert_eq!(made.len(), tags.len());
        assert!(made_etag("W/\"a\"", 1, 1).starts_with('"'), "a weak tag tells versions apart");
        assert!(made_etag("", 1, 1).starts_with("W/"), "size and second do not");
    }
}
