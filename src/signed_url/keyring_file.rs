//! The keyring file: JSON that `webhook-assets keys` writes and every minter and gateway reads.

use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::keyring::{Keyring, SigningKey};
use super::keyring_error::KeyringError;
use crate::clock::UnixSeconds;
use crate::secret::SecretKey;

/// The largest keyring file that is read, in bytes; enough for thousands of keys.
const LARGEST_FILE: u64 = 1 << 20;

/// The file's contents, including the keys' digits; wiped when dropped. [`KeyringFile::to_keyring`] prepares the keys.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyringFile {
    /// The version of the file's format: 1.
    pub version: u32,
    /// The keys; this program writes them oldest first.
    pub keys: Vec<KeyEntry>,
}

/// One key of the file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyEntry {
    /// The key's public id.
    pub id: String,
    /// The key in hexadecimal digits.
    pub secret: Zeroizing<String>,
    /// When the key was made.
    #[serde(with = "rfc3339", default, skip_serializing_if = "Option::is_none")]
    pub created: Option<UnixSeconds>,
    /// When the key starts to sign; `None` means always.
    #[serde(with = "rfc3339", default, skip_serializing_if = "Option::is_none")]
    pub starts: Option<UnixSeconds>,
    /// When the key ends; `None` means never.
    #[serde(with = "rfc3339", default, skip_serializing_if = "Option::is_none")]
    pub ends: Option<UnixSeconds>,
}

impl fmt::Debug for KeyEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyEntry")
            .field("id", &self.id)
            .field("secret", &"[redacted]")
            .field("starts", &self.starts)
            .field("ends", &self.ends)
            .finish_non_exhaustive()
    }
}

impl KeyringFile {
    /// A file without keys.
    #[must_use]
    pub fn empty() -> Self {
        Self { version: 1, keys: Vec::new() }
    }

    /// Reads the file.
    ///
    /// # Errors
    /// [`KeyringError`]; it names the path and a remedy, never key bytes.
    pub fn read(path: &Path) -> Result<Self, KeyringError> {
        let fail = |error| KeyringError::Unreadable(path.to_owned(), error);
        let length = std::fs::metadata(path).map_err(fail)?.len();
        if length > LARGEST_FILE {
            return Err(KeyringError::Malformed(format!(
                "it has {length} bytes, a keyring at most {LARGEST_FILE}"
            )));
        }
        let text = Zeroizing::new(std::fs::read_to_string(path).map_err(fail)?);
        Self::from_json(&text).map_err(|error| error.in_file(path))
    }

    /// Parses the file's text.
    ///
    /// # Errors
    /// [`KeyringError::Malformed`] names the position, never the text there.
    pub fn from_json(text: &str) -> Result<Self, KeyringError> {
        // serde_json's message may quote a value, and a value may be a key, so only the position is passed on.
        let file: Self = serde_json::from_str(text).map_err(|error| {
            KeyringError::Malformed(format!(
                "line {}, column {} is not as `webhook-assets keys` writes it",
                error.line(),
                error.column()
            ))
        })?;
        if file.version != 1 {
            return Err(KeyringError::Malformed(format!(
                "its version is {}, this program reads 1",
                file.version
            )));
        }
        Ok(file)
    }

    /// Formats the file's text.
    ///
    /// # Errors
    /// [`KeyringError::Malformed`] if a date cannot be written.
    pub fn to_json(&self) -> Result<Zeroizing<String>, KeyringError> {
        let text = serde_json::to_string_pretty(self).map_err(|e| KeyringError::Malformed(e.to_string()))?;
        Ok(Zeroizing::new(text + "\n"))
    }

    /// Prepares the keys for use.
    ///
    /// # Errors
    /// [`KeyringError`] if there is no key, or an invalid one.
    pub fn to_keyring(&self) -> Result<Keyring, KeyringError> {
        let key = |entry: &KeyEntry| {
            if entry.id.is_empty() || entry.id.len() > 64 || !entry.id.bytes().all(|b| b.is_ascii_graphic()) {
                return Err(KeyringError::BadId);
            }
            let secret = SecretKey::from_hex(&entry.secret)
                .map_err(|error| KeyringError::BadKey(entry.id.clone(), error))?;
            Ok(SigningKey::new(entry.id.as_str(), secret, entry.starts.unwrap_or(UnixSeconds(0)), entry.ends))
        };
        Keyring::new(self.keys.iter().map(key).collect::<Result<_, _>>()?)
    }
}

impl Keyring {
    /// Reads a keyring file as `webhook-assets keys` writes it.
    ///
    /// # Errors
    /// [`KeyringError`] if the file cannot be read or is not a keyring; the error never contains key bytes.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, KeyringError> {
        let path = path.as_ref();
        KeyringFile::read(path)?.to_keyring().map_err(|error| error.in_file(path))
    }
}

/// Serialises the file's dates as RFC 3339.
mod rfc3339 {
    use serde::ser::Error as _;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use crate::clock::UnixSeconds;

    #[expect(clippy::ref_option, reason = "serde's `with` hands over a reference to the field")]
    pub(super) fn serialize<S: Serializer>(time: &Option<UnixSeconds>, to: S) -> Result<S::Ok, S::Error> {
        match time {
            // Does not write a date that it could not read again.
            Some(time) if humantime::parse_rfc3339(&time.to_string()).is_err() => {
                Err(S::Error::custom("a date after the year 9999"))
            }
            Some(time) => to.collect_str(time),
            None => to.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<UnixSeconds>, D::Error> {
        let Some(text) = Option::<String>::deserialize(from)? else { return Ok(None) };
        let time = humantime::parse_rfc3339(&text).map_err(|_| D::Error::custom("not an RFC 3339 date"))?;
        Ok(Some(UnixSeconds::from_system_time(time)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

    #[test]
    fn a_file_survives_writing_and_reading() {
        let text = format!(
            r#"{{"version":1,"keys":[{{"id":"k1","secret":"{SECRET}","starts":"2026-11-23T09:00:00Z","ends":null}}]}}"#
        );
        let file = KeyringFile::from_json(&text).unwrap();
        let again = KeyringFile::from_json(&file.to_json().unwrap()).unwrap();
        assert_eq!(again.keys[0].starts, Some(UnixSeconds(1_795_424_400)));
        assert_eq!(again.to_keyring().unwrap().keys()[0].id().as_ref(), "k1");
    }

    #[test]
    fn no_error_and_no_debug_text_shows_key_bytes() {
        let damaged = [
            format!(r#"{{"version":1,"keys":[{{"id":"k","secret":{SECRET}}}]}}"#),
            format!(r#"{{"version":1,"keys":[{{"id":"k","secret":"x","{SECRET}":1}}]}}"#),
            format!(r#"{{"version":"{SECRET}","keys":[]}}"#),
            format!(r#"{{"version":1,"keys":[{{"id":"k","secret":"{SECRET}zz"}}]}}"#),
            format!(r#"{{"version":1,"keys":[{{"id":"{SECRET}{SECRET}","secret":"00"}}]}}"#),
        ];
        for text in damaged {
            let error = KeyringFile::from_json(&text).and_then(|file| file.to_keyring()).unwrap_err();
            assert!(!format!("{error} {error:?}").contains(SECRET), "{text}");
        }
        let text = format!(r#"{{"version":1,"keys":[{{"id":"k","secret":"{SECRET}"}}]}}"#);
        let file = KeyringFile::from_json(&text).unwrap();
        assert!(!format!("{file:?} {:?}", file.to_keyring().unwrap()).contains(SECRET));
    }
}
