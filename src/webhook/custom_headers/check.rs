//! Checks the names and values of header fields.

use http::HeaderName;

use super::error::HeaderError;
use super::limits::{MAX_NAME, MAX_VALUE};

/// What the sender sets itself, and what frames a request or concerns one connection (RFC 9110 §7.6.1).
const OURS: [&str; 12] = [
    "accept",
    "accept-encoding",
    "connection",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
];

/// The beginnings of such names.
const OUR_PREFIXES: [&str; 4] = ["content-", "proxy-", "webhook-", "x-webhook-"];

/// Checks a name.
pub(super) fn check_name(name: &str) -> Result<(), HeaderError> {
    let parsed = HeaderName::from_bytes(name.as_bytes()).map_err(|_| HeaderError::NotAName)?;
    let lower = parsed.as_str();
    if lower.len() > MAX_NAME {
        return Err(HeaderError::LongName);
    }
    let is_ours = OURS.contains(&lower) || OUR_PREFIXES.iter().any(|prefix| lower.starts_with(prefix));
    if is_ours { Err(HeaderError::Ours(name.to_owned())) } else { Ok(()) }
}

/// Checks a value without spaces around it.
pub(super) fn check_value(name: &str, value: &str) -> Result<(), HeaderError> {
    let name = || name.to_owned();
    if value.is_empty() {
        Err(HeaderError::Empty(name()))
    } else if !value.chars().all(|c| matches!(c, ' '..='~')) {
        Err(HeaderError::NotPrintable(name()))
    } else if value.len() > MAX_VALUE {
        Err(HeaderError::LongValue(name()))
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_the_sender_sets_itself_cannot_be_replaced() {
        for ours in [
            "Content-Type",
            "content-length",
            "Content-Encoding",
            "USER-AGENT",
            "Host",
            "Connection",
            "Keep-Alive",
            "Transfer-Encoding",
            "TE",
            "Trailer",
            "Upgrade",
            "Expect",
            "Accept",
            "Accept-Encoding",
            "Proxy-Authorization",
            "webhook-id",
            "Webhook-Anything",
            "X-Webhook-Signature",
            "x-webhook-event",
        ] {
            assert_eq!(check_name(ours), Err(HeaderError::Ours(ours.to_owned())));
        }
        for other in ["Authorization", "X-API-Key", "x-make-apikey", "Cookie", "X-Web-Hook", "Webhooks"] {
            assert_eq!(check_name(other), Ok(()), "{other}");
        }
    }

    #[test]
    fn a_name_is_one_of_http() {
        for bad in ["", "X API", "X:Y", "Authorization: Bearer x", "X-É", "X\r\nY", ":path", "a\0"] {
            assert_eq!(check_name(bad), Err(HeaderError::NotAName), "{bad:?}");
        }
        assert_eq!(check_name(&"x".repeat(101)), Err(HeaderError::LongName));
        assert_eq!(check_name(&"x".repeat(100)), Ok(()));
    }

    #[test]
    fn a_value_is_one_line_of_ascii() {
        let refused = |value: &str| check_value("A", value).unwrap_err();
        for bad in ["a\nb", "a\r\nX-Other: b", "a\0", "a\tb", "é", "\u{7f}", "\u{200b}"] {
            assert_eq!(refused(bad), HeaderError::NotPrintable("A".into()), "{bad:?}");
        }
        assert_eq!(refused(""), HeaderError::Empty("A".into()));
        assert_eq!(refused(&"x".repeat(4_097)), HeaderError::LongValue("A".into()));
        assert_eq!(check_value("A", &"x".repeat(4_096)), Ok(()));
    }

    proptest! {
        #[test]
        fn no_accepted_name_or_value_ends_a_line(name: String, value: String) {
            prop_assert!(check_name(&name).is_err() || !name.contains(|c: char| c.is_control() || c == ':'));
            prop_assert!(check_value("A", &value).is_err() || !value.contains(char::is_control));
        }
    }
}
