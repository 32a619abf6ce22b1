//! The keyring file: JSON that `webhook-assets keys` writes and every minter and gateway reads.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use zeroize::Zeroizing;

use super::keyring::{Keyring, SigningKey};
use super::keyring_error::KeyringError;
use super::keyring_json::{self, Json};
use crate::secret::SecretKey;
use crate::time::UnixSeconds;

/// The version of the format.
const VERSION: u64 = 1;

/// The largest keyring file that is read, in bytes; enough for thousands of keys.
const LARGEST_FILE: u64 = 1 << 20;

/// The file's contents, including the keys' digits; wiped when dropped. [`KeyringFile::to_keyring`] prepares the keys.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct KeyringFile {
    /// The keys; `webhook-assets keys` writes them oldest first.
    pub keys: Vec<KeyEntry>,
}

/// One key of the file.
#[non_exhaustive]
pub struct KeyEntry {
    /// The key's public id.
    pub id: String,
    /// The key in hexadecimal digits.
    pub secret: Zeroizing<String>,
    /// When the key was made.
    pub created: Option<UnixSeconds>,
    /// When the key starts to sign; `None` means always.
    pub starts: Option<UnixSeconds>,
    /// When the key ends; `None` means never.
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

impl KeyEntry {
    /// A key of `secret`, in hexadecimal digits, that always signs and verifies. [`KeyringFile::to_keyring`] checks both.
    #[must_use]
    pub fn new(id: impl Into<String>, secret: Zeroizing<String>) -> Self {
        Self { id: id.into(), secret, created: None, starts: None, ends: None }
    }

    fn from_json(json: Json) -> Result<Self, String> {
        let Json::Object(fields) = json else { return Err("is not an object".to_owned()) };
        let (mut id, mut secret) = (None, None);
        let mut entry = Self::new("", Zeroizing::default());
        for (name, value) in fields {
            match (name.as_str(), value) {
                ("id", Json::Text(text)) => id = Some(text),
                ("secret", Json::Text(text)) => secret = Some(text),
                ("id" | "secret", _) => return Err(format!("has a `{}` that is not a text", *name)),
                ("created", value) => entry.created = date_of("created", value)?,
                ("starts", value) => entry.starts = date_of("starts", value)?,
                ("ends", value) => entry.ends = date_of("ends", value)?,
                _ => return Err("has a field that this version does not know".to_owned()),
            }
        }
        entry.id = id.ok_or("has no `id`")?.to_string();
        entry.secret = secret.ok_or("has no `secret`")?;
        Ok(entry)
    }

    /// Writes the fields, each in a line.
    fn write_json(&self, text: &mut String) -> Result<(), KeyringError> {
        let dates = [("created", self.created), ("starts", self.starts), ("ends", self.ends)];
        write_field(text, "\n", "id", &self.id);
        write_field(text, ",\n", "secret", &self.secret);
        for (name, date) in dates.into_iter().filter_map(|(name, date)| Some((name, date?))) {
            if date > UnixSeconds::LAST_WRITABLE {
                return Err(malformed(format!("`{name}` of a key would be {date}")));
            }
            write_field(text, ",\n", name, &date.to_string());
        }
        Ok(())
    }
}

fn write_field(text: &mut String, before: &str, name: &str, value: &str) {
    for part in [before, "      \"", name, "\": "] {
        text.push_str(part);
    }
    keyring_json::write_text(value, text);
}

fn date_of(name: &str, value: Json) -> Result<Option<UnixSeconds>, String> {
    let parsed = match value {
        Json::Null => return Ok(None),
        Json::Text(text) => humantime::parse_rfc3339(&text).ok(),
        _ => None,
    };
    let time =
        parsed.ok_or_else(|| format!("has a `{name}` that is not a date such as 2026-11-29T09:00:00Z"))?;
    Ok(Some(UnixSeconds::from_system_time(time)))
}

fn malformed(why: impl Into<String>) -> KeyringError {
    KeyringError::Malformed(why.into())
}

impl KeyringFile {
    /// Reads the file.
    ///
    /// # Errors
    /// [`KeyringError`]; it names the path and a remedy, never key bytes.
    pub fn read(path: &Path) -> Result<Self, KeyringError> {
        let fail = |error| KeyringError::Unreadable(path.to_owned(), error);
        let file = File::open(path).map_err(fail)?;
        let length = file.metadata().map_err(fail)?.len().min(LARGEST_FILE + 1);
        // With room for all of it, the text never moves and leaves a copy that nothing wipes.
        let room = usize::try_from(length).unwrap_or_default() + 1;
        let mut text = Zeroizing::new(Vec::with_capacity(room));
        // Not all files have a length that is known before.
        file.take(LARGEST_FILE + 1).read_to_end(&mut text).map_err(fail)?;
        let parsed = match std::str::from_utf8(&text) {
            _ if text.len() as u64 > LARGEST_FILE => {
                Err(malformed(format!("it has more than {LARGEST_FILE} bytes")))
            }
            Ok(text) => Self::from_json(text),
            Err(_) => Err(malformed("it is not text in UTF-8")),
        };
        parsed.map_err(|error| error.in_file(path))
    }

    /// Parses the file's text.
    ///
    /// # Errors
    /// [`KeyringError::Malformed`] names the place, never the text there.
    pub fn from_json(text: &str) -> Result<Self, KeyringError> {
        let fields = match keyring_json::parse(text).map_err(KeyringError::Malformed)? {
            Json::Object(fields) => fields,
            _ => return Err(malformed("it is not an object")),
        };
        let (mut version, mut keys) = (None, None);
        for (name, value) in fields {
            match (name.as_str(), value) {
                ("version", Json::Number(number)) => version = Some(number),
                ("version", _) => return Err(malformed("its `version` is not a whole number")),
                ("keys", Json::List(list)) => keys = Some(list),
                ("keys", _) => return Err(malformed("its `keys` are not a list")),
                _ => return Err(malformed("it has a field beside `version` and `keys`")),
            }
        }
        match version {
            Some(VERSION) => {}
            Some(other) => {
                return Err(malformed(format!("its version is {other}, this program reads {VERSION}")));
            }
            None => return Err(malformed("its `version` is missing")),
        }
        let keys = keys.ok_or_else(|| malformed("its `keys` are missing"))?;
        let numbered = (1..).zip(keys).map(|(number, key)| {
            // Not by its id: where fields are mixed up, that may be the secret.
            KeyEntry::from_json(key).map_err(|why| malformed(format!("key {number} of the file {why}")))
        });
        Ok(Self { keys: numbered.collect::<Result<_, _>>()? })
    }

    /// Formats the file's text.
    ///
    /// # Errors
    /// [`KeyringError::Malformed`] if a date cannot be written.
    pub fn to_json(&self) -> Result<Zeroizing<String>, KeyringError> {
        // Room for every key, so that the text never moves and leaves a copy that nothing wipes.
        let room = self.keys.iter().map(|entry| 300 + 6 * entry.id.len() + entry.secret.len()).sum::<usize>();
        let mut text = Zeroizing::new(String::with_capacity(64 + room));
        text.push_str(&format!("{{\n  \"version\": {VERSION},\n  \"keys\": ["));
        for (number, entry) in self.keys.iter().enumerate() {
            text.push_str(if number == 0 { "\n    {" } else { ",\n    {" });
            entry.write_json(&mut text)?;
            text.push_str("\n    }");
        }
        text.push_str(if self.keys.is_empty() { "]\n}\n" } else { "\n  ]\n}\n" });
        Ok(text)
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
