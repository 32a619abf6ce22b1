//! Changes to the custom header fields of an endpoint, as a person asks for them.

use std::fmt;

use base64::prelude::{BASE64_STANDARD, Engine};
use zeroize::Zeroizing;

use super::check::{check_name, check_value};
use super::error::HeaderError;

/// The field of HTTP Basic authentication (RFC 7617).
const AUTHORIZATION: &str = "Authorization";

/// Changes to header fields, by name. `Debug` shows no value.
#[derive(Clone, Default)]
pub struct HeaderChanges(Vec<(String, Change)>);

/// A change of one header field.
#[derive(Clone)]
pub(super) enum Change {
    /// It gets this value.
    Set(Zeroizing<String>),
    /// It goes.
    Remove,
    /// It stays.
    Keep,
}

impl HeaderChanges {
    /// Sets a header field. Spaces around the value do not count, as in HTTP.
    ///
    /// # Errors
    /// [`HeaderError`], if the name or the value is refused.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), HeaderError> {
        let value = value.trim_matches(' ');
        check_name(name)?;
        check_value(name, value)?;
        self.add(name, Change::Set(Zeroizing::new(value.to_owned())))
    }

    /// Sets `Authorization` for HTTP Basic authentication.
    ///
    /// # Errors
    /// [`HeaderError`], if the user name or the password is refused.
    pub fn set_basic(&mut self, user: &str, password: &str) -> Result<(), HeaderError> {
        if user.is_empty() || user.contains(|c: char| c == ':' || c.is_control()) {
            return Err(HeaderError::BasicUser);
        }
        if password.contains(char::is_control) {
            return Err(HeaderError::BasicPassword);
        }
        let pair = Zeroizing::new([user, ":", password].concat());
        let encoded = Zeroizing::new(BASE64_STANDARD.encode(pair.as_bytes()));
        self.set(AUTHORIZATION, &Zeroizing::new(["Basic ", &encoded].concat()))
    }

    /// Removes a header field, if there is one.
    ///
    /// # Errors
    /// [`HeaderError`], if the name is refused.
    pub fn remove(&mut self, name: &str) -> Result<(), HeaderError> {
        self.add(name, Change::Remove)
    }

    /// Keeps a header field as it is.
    ///
    /// # Errors
    /// [`HeaderError`], if the name is refused.
    pub fn keep(&mut self, name: &str) -> Result<(), HeaderError> {
        self.add(name, Change::Keep)
    }

    fn add(&mut self, name: &str, change: Change) -> Result<(), HeaderError> {
        check_name(name)?;
        if self.names().any(|known| known.eq_ignore_ascii_case(name)) {
            return Err(HeaderError::Twice(name.to_owned()));
        }
        self.0.push((name.to_owned(), change));
        Ok(())
    }

    /// The names of the header fields that change.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(name, _)| name.as_str())
    }

    /// Whether a header field gets another value, or none.
    #[must_use]
    pub fn replaces(&self, name: &str) -> bool {
        let mut changes = self.0.iter();
        changes.any(|(known, change)| known.eq_ignore_ascii_case(name) && !matches!(change, Change::Keep))
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn into_parts(self) -> Vec<(String, Change)> {
        self.0
    }
}

impl fmt::Debug for HeaderChanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HeaderChanges({}, values redacted)", self.names().collect::<Vec<_>>().join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_name_with_a_colon_would_become_another_pair() {
        let mut changes = HeaderChanges::default();
        for (user, password, error) in [
            ("", "x", HeaderError::BasicUser),
            ("a:b", "x", HeaderError::BasicUser),
            ("a\nb", "x", HeaderError::BasicUser),
            ("a", "x\r\n", HeaderError::BasicPassword),
        ] {
            assert_eq!(changes.set_basic(user, password), Err(error), "{user:?}");
        }
        changes.set_basic("é", "a:b").unwrap();
        assert_eq!(changes.names().collect::<Vec<_>>(), ["Authorization"]);
    }
}
