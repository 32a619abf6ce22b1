//! What is known of an object without its bytes.

use object_store::ObjectMeta;

use super::http::response::tag_of;
use crate::clock::UnixSeconds;

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
        let etag = tag_of(meta.e_tag.as_deref().unwrap_or_default());
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

#[cfg(test)]
mod tests {
    use super::*;

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
