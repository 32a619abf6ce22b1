//! The text of a token: a prefix and a checksum, so that scanners for leaked secrets recognize it, around 160 random
//! bits.

use std::fmt;

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// The prefix of every token.
pub const PREFIX: &str = "wat_";

/// Random bytes of a token.
const RANDOM: usize = 20;

/// Bytes of the checksum: the first of the SHA-256 of prefix and random digits.
const CHECKSUM: usize = 4;

/// A token that was just made: `wat_`, 40 random hexadecimal digits, and 8 of their checksum. It is shown once.
pub struct NewToken(Zeroizing<String>);

impl NewToken {
    /// Makes a token.
    ///
    /// # Errors
    /// If the system provides no random bytes.
    pub fn random() -> Result<Self, getrandom::Error> {
        let mut random = Zeroizing::new([0; RANDOM]);
        getrandom::fill(random.as_mut_slice())?;
        let mut text = Zeroizing::new(String::with_capacity(PREFIX.len() + 2 * (RANDOM + CHECKSUM)));
        text.push_str(PREFIX);
        text.push_str(&Zeroizing::new(hex::encode(*random)));
        let checksum: Vec<u8> = hash(&text).into_iter().take(CHECKSUM).collect();
        text.push_str(&hex::encode(checksum));
        Ok(Self(text))
    }

    /// The token.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// The hash that the file keeps. A token has 160 random bits, so its hash needs neither salt nor a slow function.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        hash(&self.0)
    }
}

impl fmt::Debug for NewToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NewToken([redacted])")
    }
}

/// The SHA-256 of a token.
pub(super) fn hash(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_the_form_that_scanners_look_for_and_its_checksum() {
        let (token, other) = (NewToken::random().unwrap(), NewToken::random().unwrap());
        let (body, checksum) = token.reveal().split_at(44);
        assert!(body.starts_with("wat_") && body[4..].bytes().all(|byte| byte.is_ascii_hexdigit()));
        assert_eq!(checksum, &hex::encode(Sha256::digest(body))[..8]);
        assert_ne!(token.reveal(), other.reveal());
        assert!(!format!("{token:?}").contains("wat_"));
    }
}
