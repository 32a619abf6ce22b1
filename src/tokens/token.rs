//! A token that is known as such, without a name or a hash: `admin.token_file` has one.

use std::fmt;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// The fewest characters a token may have.
const SHORTEST_TOKEN: usize = 16;

/// An operator's token: compared in constant time, never printed, wiped when dropped.
#[derive(Clone)]
pub struct Token(Zeroizing<String>);

impl Token {
    /// A token of at least 16 printable characters; `None` otherwise.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let fits = text.len() >= SHORTEST_TOKEN && text.bytes().all(|b| b.is_ascii_graphic());
        fits.then(|| Self(Zeroizing::new(text.to_owned())))
    }

    /// Whether `text` is the token. The time of the comparison does not depend on where they differ.
    #[must_use]
    pub fn is(&self, text: &str) -> bool {
        bool::from(text.as_bytes().ct_eq(self.0.as_bytes()))
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

    #[test]
    fn a_token_is_only_itself_and_shows_nothing() {
        let token = Token::new("0123456789abcdef").unwrap();
        assert!(token.is("0123456789abcdef") && !token.is("0123456789abcdeF") && !token.is(""));
        assert_eq!(format!("{token:?}"), "Token([redacted])");
        assert!(Token::new("short").is_none() && Token::new("with a space in it").is_none());
    }
}
