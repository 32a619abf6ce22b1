//! Secret keys: compared in constant time, never printed, wiped when dropped.

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
#[non_exhaustive]
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
    pub fn verify(&self, message: &[u8], mac: &[u8; MAC_LEN]) -> bool {
        self.signed(message, mac).into()
    }

    /// As [`SecretKey::verify`], for a comparison with several keys.
    pub(crate) fn signed(&self, message: &[u8], mac: &[u8; MAC_LEN]) -> Choice {
        let words = |mac: &[u8; MAC_LEN]| {
            let mut words = [0; MAC_LEN / 8];
            for (word, bytes) in words.iter_mut().zip(mac.chunks_exact(8)) {
                *word = u64::from_ne_bytes(bytes.try_into().unwrap_or_default());
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
    fn a_short_key_is_refused() {
        assert_eq!(SecretKey::from_bytes(&[1; 15]).unwrap_err(), KeyError::BadLength(15));
        assert_eq!(SecretKey::from_hex("abc").unwrap_err(), KeyError::NotHex);
    }
}
