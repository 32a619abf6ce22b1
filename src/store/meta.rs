//! Describes an object's metadata, and derives the entity tag that distinguishes its versions.

use object_store::{GetResult, ObjectMeta};

use super::http::response::tag_of;
use crate::clock::UnixSeconds;

/// An object's metadata.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meta {
    /// Its length in bytes.
    pub size: u64,
    /// Its entity tag, quotes included (RFC 9110 §8.8.3): strong if the store sent a tag.
    pub etag: String,
    /// When it was last changed; 1970 if that is unknown.
    pub last_modified: UnixSeconds,
}

impl Meta {
    /// Whether the store has no tag that distinguishes the object's versions.
    #[must_use]
    pub fn has_no_tag(&self) -> bool {
        self.etag.starts_with("W/")
    }
}

impl From<&ObjectMeta> for Meta {
    fn from(meta: &ObjectMeta) -> Self {
        let seconds = u64::try_from(meta.last_modified.timestamp()).unwrap_or_default();
        let etag = tag_of(meta.e_tag.as_deref().unwrap_or_default());
        let etag = strong_etag(etag).unwrap_or_else(|| derived_etag(etag, meta.size, seconds));
        Self { size: meta.size, etag, last_modified: UnixSeconds(seconds) }
    }
}

/// The store's tag as a strong entity tag; `None` if it is weak or has characters that no tag may have.
fn strong_etag(tag: &str) -> Option<String> {
    let bare = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"')).unwrap_or(tag);
    let allowed = |b: u8| b == 0x21 || (0x23..=0x7e).contains(&b);
    (!tag.starts_with("W/") && !bare.is_empty() && bare.bytes().all(allowed)).then(|| format!("\"{bare}\""))
}

/// Derives a tag from everything the store reports about a version. Without a tag from the store, it is weak: an object
/// replaced within a second by another of the same size keeps it.
fn derived_etag(tag: &str, size: u64, seconds: u64) -> String {
    if tag.is_empty() {
        return format!("W/\"{size:x}-{seconds:x}\"");
    }
    format!("\"{}-{size:x}-{seconds:x}\"", hex::encode(tag))
}

/// The data that two bodies of one version share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Validator {
    etag: String,
    size: u64,
}

impl Validator {
    /// The validator of a response; `None` if the object's versions cannot be distinguished.
    pub(super) fn of(result: &GetResult) -> Option<Self> {
        let meta = Meta::from(&result.meta);
        (!meta.has_no_tag()).then_some(Self { etag: meta.etag, size: meta.size })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strong_tag_of_plain_characters_is_kept() {
        assert_eq!(strong_etag("\"abc\""), Some("\"abc\"".into()));
        assert_eq!(strong_etag("abc"), Some("\"abc\"".into()));
        for other in ["W/\"abc\"", "", "\"\"", "a\"b", "a b", "a\r\nb", "é"] {
            assert_eq!(strong_etag(other), None, "{other:?}");
        }
    }

    #[test]
    fn a_derived_tag_changes_with_all_that_the_store_says() {
        let tags = [
            ("W/\"a\"", 1, 1),
            ("W/\"b\"", 1, 1),
            ("W/\"a\"", 2, 1),
            ("W/\"a\"", 1, 2),
            ("", 1, 1),
            ("", 2, 1),
        ];
        let made: std::collections::HashSet<_> =
            tags.iter().map(|(tag, size, seconds)| derived_etag(tag, *size, *seconds)).collect();
        assert_eq!(made.len(), tags.len());
        assert!(derived_etag("W/\"a\"", 1, 1).starts_with('"'), "a weak tag tells versions apart");
        assert!(derived_etag("", 1, 1).starts_with("W/"), "size and second do not");
    }
}
