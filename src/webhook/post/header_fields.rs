//! The header fields of a request or an answer, in the form in which the history keeps them.

use std::fmt::Write;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::printable::shown;
use crate::webhook::custom_headers::CustomHeaders;

/// The longest value to keep, and the most bytes of all fields: the sender writes them for each attempt (row *hundred* of its
/// benchmark).
const MAX_VALUE: usize = 256;
const MAX_TOTAL: usize = 2 * 1024;

/// Stands for a secret value.
const MASK: &str = "••••";

/// What the name of a field with a secret contains.
const SECRET: [&str; 10] =
    ["auth", "cookie", "credential", "key", "nonce", "password", "secret", "session", "signature", "token"];

/// Header fields, each on a line of text: `name: value`, or the name alone if the value is a secret, which is never kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HeaderFields(String);

impl HeaderFields {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let mut text = String::new();
        let mut cut = 0_u32;
        for (name, value) in headers {
            let line = line_of(name, value);
            if text.len() + line.len() > MAX_TOTAL {
                cut += 1;
            } else {
                text.push_str(&line);
            }
        }
        if cut > 0 {
            let _ = writeln!(text, "…: +{cut}");
        }
        Self(text)
    }

    /// The fields as the database keeps them; `None` if there are none.
    #[must_use]
    pub fn stored(&self) -> Option<&str> {
        Some(self.0.as_str()).filter(|text| !text.is_empty())
    }

    /// The names and values, with a mask for each secret value.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.lines().map(|line| line.split_once(": ").unwrap_or((line, MASK)))
    }

    /// Masks the values of the endpoint's own header fields, which a receiver may repeat.
    pub(super) fn redact(&mut self, headers: &CustomHeaders) {
        headers.redact(&mut self.0);
    }
}

impl From<Option<String>> for HeaderFields {
    fn from(stored: Option<String>) -> Self {
        Self(stored.unwrap_or_default())
    }
}

fn line_of(name: &HeaderName, value: &HeaderValue) -> String {
    let name = name.as_str();
    // A challenge says what the receiver wants; the answer to it would be the secret.
    let is_secret = name != "www-authenticate" && SECRET.iter().any(|part| name.contains(part));
    if value.is_sensitive() || is_secret {
        format!("{name}\n")
    } else {
        format!("{name}: {}\n", shown(value.as_bytes(), MAX_VALUE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(given: &[(&'static str, &str)]) -> HeaderFields {
        let pairs = given.iter().map(|(name, value)| {
            (HeaderName::from_static(name), HeaderValue::from_bytes(value.as_bytes()).unwrap())
        });
        HeaderFields::of(&pairs.collect())
    }

    #[test]
    fn secrets_are_named_and_never_kept() {
        let mut headers = HeaderMap::new();
        let mut own = HeaderValue::from_static("s3cret");
        own.set_sensitive(true);
        headers.insert("x-tenant", own);
        let kept = HeaderFields::of(&headers);
        assert_eq!(kept.stored(), Some("x-tenant\n"));
        assert_eq!(kept.iter().collect::<Vec<_>>(), [("x-tenant", "••••")]);
        for name in [
            "set-cookie",
            "x-webhook-signature",
            "authorization",
            "x-csrf-token",
            "x-api-key",
            "x-session-id",
        ] {
            assert_eq!(fields(&[(name, "s3cret")]).stored(), Some(format!("{name}\n").as_str()));
        }
        let challenge = ("www-authenticate", "Basic realm=\"n8n\"");
        assert_eq!(fields(&[challenge]).iter().collect::<Vec<_>>(), [challenge]);
    }

    #[test]
    fn a_stored_text_gives_the_same_fields() {
        let given = [("date", "Tue, 24 Nov 2026 09:30:00 GMT"), ("server", ""), ("x-colons", "a: b: c")];
        let kept = fields(&given);
        let read = HeaderFields::from(kept.stored().map(str::to_owned));
        assert_eq!(read.iter().collect::<Vec<_>>(), given);
        assert_eq!(HeaderFields::from(None).stored(), None);
    }

    #[test]
    fn long_fields_are_cut_and_many_are_counted() {
        let long = "x".repeat(10_000);
        assert_eq!(fields(&[("a", &long)]).iter().next().unwrap().1.len(), MAX_VALUE);
        let mut headers = HeaderMap::new();
        for number in 0..100 {
            let name = HeaderName::from_bytes(format!("x-{number}").as_bytes()).unwrap();
            headers.insert(name, HeaderValue::from_str(&long).unwrap());
        }
        let kept = HeaderFields::of(&headers);
        assert!(kept.stored().unwrap().len() < MAX_TOTAL + 16);
        assert_eq!(kept.iter().last(), Some(("…", "+93")));
    }

    #[test]
    fn bytes_that_are_no_text_do_not_become_lines() {
        let headers = HeaderMap::from_iter([(
            HeaderName::from_static("x-odd"),
            HeaderValue::from_bytes(b"caf\xe9 \x85").unwrap(),
        )]);
        assert_eq!(
            HeaderFields::of(&headers).iter().collect::<Vec<_>>(),
            [("x-odd", "caf\u{fffd} \u{fffd}")]
        );
    }
}
