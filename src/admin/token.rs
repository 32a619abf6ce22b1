//! The bearer token of the private listener (RFC 6750).

use http::HeaderMap;
use http::header::AUTHORIZATION;

use crate::secret::Token;

/// Whether a request bears the token: in exactly one `Authorization` field.
pub(super) fn is_borne_by(token: &Token, headers: &HeaderMap) -> bool {
    let mut fields = headers.get_all(AUTHORIZATION).iter();
    let (Some(field), None) = (fields.next(), fields.next()) else { return false };
    let Some((scheme, borne)) = field.to_str().ok().and_then(|text| text.split_once(' ')) else {
        return false;
    };
    scheme.eq_ignore_ascii_case("bearer") && token.is(borne.trim())
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
            is_borne_by(&token, &headers)
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
