//! The bearer token of the minting API (RFC 6750).

use std::fmt;

use http::HeaderMap;
use http::header::AUTHORIZATION;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// The fewest characters a token may have.
const SHORTEST: usize = 16;

/// A bearer token: compared in constant time, never printed, wiped when dropped.
#[derive(Clone)]
pub struct Token(Zeroizing<String>);

impl Token {
    /// A token of at least 16 printable characters; `None` otherwise.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let fits = text.len() >= SHORTEST && text.bytes().all(|b| b.is_ascii_graphic());
        fits.then(|| Self(Zeroizing::new(text.to_owned())))
    }

    /// Whether a request bears it: in exactly one `Authorization` field.
    pub(super) fn is_borne_by(&self, headers: &HeaderMap) -> bool {
        let mut fields = headers.get_all(AUTHORIZATION).iter();
        let (Some(field), None) = (fields.next(), fields.next()) else { return false };
        let Some((scheme, token)) = field.to_str().ok().and_then(|text| text.split_once(' ')) else {
            return false;
        };
        scheme.eq_ignore_ascii_case("bearer") && bool::from(token.trim().as_bytes().ct_eq(self.0.as_bytes()))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token([redacted])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn only_the_token_itself_is_accepted() {
        let token = Token::new("0123456789abcdef").unwrap();
        let borne = |fields: &[&str]| {
            let mut headers = HeaderMap::new();
            for field in fields {
                headers.append(AUTHORIZATION, HeaderValue::from_str(field).unwrap());
            }
            token.is_borne_by(&headers)
        };
        assert!(borne(&["Bearer 0123456789abcdef"]) && borne(&["bearer  0123456789abcdef"]));
        for wrong in
            ["", "Bearer", "Bearer ", "Bearer 0123456789abcdeF", "Basic 0123456789abcdef", "0123456789abcdef"]
        {
            assert!(!borne(&[wrong]), "{wrong}");
        }
        assert!(!borne(&["Bearer 0123456789abcdef", "Bearer 0123456789abcdef"]) && !borne(&[]));
        assert_eq!(format!("{token:?}"), "Token([redacted])");
        assert!(Token::new("short").is_none() && Token::new("with a space in it").is_none());
    }
}
