//! Secret keys and tokens: compared in constant time, never printed, wiped when dropped.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::{Choice, ConstantTimeEq};
use zeroize::Zeroizing;

/// The length of an HMAC-SHA256 in bytes.
pub const MAC_LEN: usize = 32;

/// The fewest bytes that a key may have (128 bits); this program generates keys of 32 bytes.
pub const SHORTEST_KEY: usize = 16;

/// The most bytes that a key may have. HMAC hashes a key of more than 64 bytes, so a longer key adds nothing.
pub const LONGEST_KEY: usize = 256;

/// Why a text is not a valid key. Never contains the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyError {
    /// Not an even number of hexadecimal digits.
    NotHex,
    /// Fewer than [`SHORTEST_KEY`] or more than [`LONGEST_KEY`] bytes.
    BadLength(usize),
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotHex => f.write_str("a key is written as hexadecimal digits, two for each byte"),
            Self::BadLength(got) => {
                write!(f, "a key has {SHORTEST_KEY} to {LONGEST_KEY} bytes (32 is right); this one has {got}")
            }
        }
    }
}

impl std::error::Error for KeyError {}

/// An HMAC-SHA256 key (RFC 2104), prepared once, so that signing does not hash the key again.
#[derive(Clone)]
pub struct SecretKey(Hmac<Sha256>);

impl SecretKey {
    /// Prepares a key from its bytes.
    ///
    /// # Errors
    /// [`KeyError::BadLength`] if there are too few or too many bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, KeyError> {
        if !(SHORTEST_KEY..=LONGEST_KEY).contains(&bytes.len()) {
            return Err(KeyError::BadLength(bytes.len()));
        }
        Hmac::new_from_slice(bytes).map(Self).map_err(|_| KeyError::BadLength(bytes.len()))
    }

    /// Prepares a key from the hexadecimal digits of a keyring file.
    ///
    /// # Errors
    /// [`KeyError`] if the text is not hexadecimal, or is too short or too long.
    pub fn from_hex(digits: &str) -> Result<Self, KeyError> {
        let bytes = Zeroizing::new(hex::decode(digits).map_err(|_| KeyError::NotHex)?);
        Self::from_bytes(&bytes)
    }

    /// The HMAC-SHA256 of `message`.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> [u8; MAC_LEN] {
        let mut mac = self.0.clone();
        mac.update(message);
        mac.finalize().into_bytes().into()
    }

    /// Whether `mac` is this key's MAC of `message`. The time of the comparison does not depend on the values.
    #[must_use]
    pub(crate) fn signed(&self, message: &[u8], mac: &[u8; MAC_LEN]) -> Choice {
        let words = |mac: &[u8; MAC_LEN]| {
            let mut words = [0; MAC_LEN / 8];
            for (word, bytes) in words.iter_mut().zip(mac.as_chunks().0) {
                *word = u64::from_ne_bytes(*bytes);
            }
            words
        };
        // Compares four words instead of 32 bytes: each comparison is an optimisation barrier, which costs time.
        words(&self.sign(message)).as_slice().ct_eq(words(mac).as_slice())
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey([redacted])")
    }
}

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
    fn signs_as_rfc_4231_says() {
        let key = SecretKey::from_bytes(&[0x0b; 20]).unwrap();
        assert_eq!(
            hex::encode(key.sign(b"Hi There")),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
        );
    }

    #[test]
    fn a_key_shows_nothing_of_itself() {
        let key = SecretKey::from_hex(&"5a".repeat(32)).unwrap();
        assert_eq!(format!("{key:?}"), "SecretKey([redacted])");
        let error = SecretKey::from_hex("5a5a5azz").unwrap_err();
        assert!(!format!("{error} {error:?}").contains("5a5a"));
    }

    #[test]
    fn a_token_is_only_itself_and_shows_nothing() {
        let token = Token::new("0123456789abcdef").unwrap();
        assert!(token.is("0123456789abcdef") && !token.is("0123456789abcdeF") && !token.is(""));
        assert_eq!(format!("{token:?}"), "Token([redacted])");
        assert!(Token::new("short").is_none() && Token::new("with a space in it").is_none());
    }

    #[test]
    fn a_short_key_is_refused() {
        assert_eq!(SecretKey::from_bytes(&[1; 15]).unwrap_err(), KeyError::BadLength(15));
        assert_eq!(SecretKey::from_hex("abc").unwrap_err(), KeyError::NotHex);
    }
}
