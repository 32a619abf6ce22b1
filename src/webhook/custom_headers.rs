//! Custom header fields of an endpoint, such as the credentials that its receiver asks for.

mod changes;
mod check;
mod error;
mod limits;
mod redact;

use std::fmt;

use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use changes::Change;
pub use changes::HeaderChanges;
pub use error::HeaderError;
use limits::{MAX_HEADERS, MAX_TOTAL};

/// The header fields that attempts carry beside ours. `Debug` shows only the names; values are wiped when dropped.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CustomHeaders(Vec<CustomHeader>);

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
struct CustomHeader {
    /// As a person wrote it.
    name: String,
    value: Zeroizing<String>,
}

impl CustomHeaders {
    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|header| header.name.as_str())
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The header fields after changes.
    ///
    /// # Errors
    /// [`HeaderError`] if there are too many, or if a name has no value to keep.
    pub fn with(mut self, changes: HeaderChanges) -> Result<Self, HeaderError> {
        for (name, change) in changes.into_parts() {
            let at = self.0.iter().position(|header| header.name.eq_ignore_ascii_case(&name));
            match (change, at) {
                (Change::Set(value), _) => {
                    at.map(|at| self.0.remove(at));
                    self.0.push(CustomHeader { name, value });
                }
                (Change::Remove, _) => drop(at.map(|at| self.0.remove(at))),
                (Change::Keep, Some(_)) => {}
                (Change::Keep, None) => return Err(HeaderError::NothingToKeep(name)),
            }
        }
        self.0.sort_by_cached_key(|header| header.name.to_ascii_lowercase());
        self.check_size()
    }

    fn check_size(self) -> Result<Self, HeaderError> {
        let total: usize = self.0.iter().map(|header| header.name.len() + header.value.len()).sum();
        match (self.0.len(), total) {
            (..=MAX_HEADERS, ..=MAX_TOTAL) => Ok(self),
            (..=MAX_HEADERS, _) => Err(HeaderError::TooLarge),
            _ => Err(HeaderError::TooMany),
        }
    }

    /// The header fields of a request. `HeaderMap`'s `Debug` does not show their values.
    #[must_use]
    pub fn to_map(&self) -> HeaderMap {
        let field = |header: &CustomHeader| {
            let mut value = HeaderValue::from_str(&header.value).ok()?;
            value.set_sensitive(true);
            Some((HeaderName::from_bytes(header.name.as_bytes()).ok()?, value))
        };
        self.0.iter().filter_map(field).collect()
    }

    /// Masks the values in a text from outside.
    pub fn redact(&self, text: &mut String) {
        for header in &self.0 {
            redact::redact(text, &header.value);
        }
    }
}

impl fmt::Debug for CustomHeaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CustomHeaders({}, values redacted)", self.names().collect::<Vec<_>>().join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(name: &str, value: &str) -> Result<CustomHeaders, HeaderError> {
        let mut changes = HeaderChanges::default();
        changes.set(name, value)?;
        CustomHeaders::default().with(changes)
    }

    #[test]
    fn credentials_of_all_kinds_become_header_fields() {
        let mut changes = HeaderChanges::default();
        changes.set("X-API-Key", "k3y").unwrap();
        changes.set("x-make-apikey", " abc def ").unwrap();
        changes.set_basic("Aladdin", "open sesame").unwrap();
        let headers = CustomHeaders::default().with(changes).unwrap();
        let map = headers.to_map();
        assert_eq!(map["authorization"], "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        assert_eq!(
            (&map["x-api-key"], &map["x-make-apikey"]),
            (&"k3y".parse().unwrap(), &"abc def".parse().unwrap())
        );
        assert_eq!(headers.names().collect::<Vec<_>>(), ["Authorization", "X-API-Key", "x-make-apikey"]);
    }

    #[test]
    fn no_form_of_debug_shows_a_value() {
        let headers = set("Authorization", "Bearer s3cr3t").unwrap();
        let mut changes = HeaderChanges::default();
        changes.set("X-Api-Key", "s3cr3t").unwrap();
        let shown = format!("{headers:?} {:?} {changes:?}", headers.to_map());
        assert!(shown.contains("Authorization") && shown.contains("X-Api-Key"), "{shown}");
        assert!(!shown.contains("s3cr3t"), "{shown}");
    }

    #[test]
    fn changes_set_remove_and_keep_by_name_whatever_its_case() {
        let before = set("X-API-Key", "one").unwrap();
        let mut changes = HeaderChanges::default();
        changes.set("x-api-key", "two").unwrap();
        let after = before.clone().with(changes).unwrap();
        assert_eq!((after.names().count(), &after.to_map()["x-api-key"]), (1, &"two".parse().unwrap()));
        let mut changes = HeaderChanges::default();
        changes.keep("X-Api-Key").unwrap();
        changes.remove("Authorization").unwrap();
        assert_eq!(before.clone().with(changes.clone()).unwrap(), before);
        assert_eq!(
            CustomHeaders::default().with(changes).unwrap_err(),
            HeaderError::NothingToKeep("X-Api-Key".into())
        );
        let mut changes = HeaderChanges::default();
        changes.remove("x-API-key").unwrap();
        assert!(before.clone().with(changes).unwrap().is_empty());
        let mut twice = HeaderChanges::default();
        twice.set("A", "1").unwrap();
        assert_eq!(twice.set("a", "2").unwrap_err(), HeaderError::Twice("a".into()));
    }

    #[test]
    fn an_endpoint_has_only_so_many_headers_of_a_limited_length() {
        let mut changes = HeaderChanges::default();
        for number in 0..MAX_HEADERS {
            changes.set(&format!("X-{number}"), "v").unwrap();
        }
        assert_eq!(CustomHeaders::default().with(changes.clone()).unwrap().names().count(), MAX_HEADERS);
        changes.set("X-More", "v").unwrap();
        assert_eq!(CustomHeaders::default().with(changes).unwrap_err(), HeaderError::TooMany);
        let mut long = HeaderChanges::default();
        for name in ["A", "B"] {
            long.set(name, &"x".repeat(4_096)).unwrap();
        }
        assert_eq!(CustomHeaders::default().with(long).unwrap_err(), HeaderError::TooLarge);
    }
}
