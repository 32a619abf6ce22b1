//! Errors of keyrings and keyring files. They never contain key bytes.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::secret::KeyError;

/// Why a keyring cannot be used: always something for the operator to mend. Displays as a sentence that names the file and a
/// remedy; [`source`](std::error::Error::source) has nothing to add to it.
#[derive(Debug)]
#[non_exhaustive]
pub enum KeyringError {
    /// The file cannot be read.
    Unreadable(PathBuf, io::Error),
    /// The file is not a keyring file.
    Malformed(String),
    /// The key with this id is invalid.
    BadKey(String, KeyError),
    /// An id is empty, longer than 64 characters, or not printable ASCII.
    BadId,
    /// Two keys share an id.
    RepeatedId(String),
    /// The keyring has no key.
    Empty,
    /// An error in this file.
    InFile(PathBuf, Box<KeyringError>),
}

impl KeyringError {
    /// Adds the file's path to the error.
    pub(super) fn in_file(self, path: &Path) -> Self {
        match self {
            Self::Unreadable(..) | Self::InFile(..) => self,
            other => Self::InFile(path.to_owned(), Box::new(other)),
        }
    }
}

impl fmt::Display for KeyringError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(path, error) => {
                let path = path.display();
                match error.kind() {
                    io::ErrorKind::NotFound => write!(
                        f,
                        "there is no keyring at {path}; copy it from a replica, or, if none has one yet, make one: \
                         webhook-assets keys new --keys {path}"
                    ),
                    io::ErrorKind::PermissionDenied => {
                        write!(
                            f,
                            "the keyring {path} cannot be read ({error}); give this user read permission"
                        )
                    }
                    _ => write!(f, "the keyring {path} cannot be read ({error})"),
                }
            }
            Self::Malformed(why) => {
                write!(f, "the keyring file is damaged: {why}; restore it from a replica")
            }
            Self::BadKey(id, error) => write!(f, "key {id} of the keyring is unusable: {error}"),
            Self::BadId => f.write_str("a key id has 1 to 64 printable ASCII characters and no space"),
            Self::RepeatedId(id) => write!(f, "the keyring has two keys with id {id}; rename or remove one"),
            Self::InFile(path, error) => write!(f, "{}: {error}", path.display()),
            Self::Empty => f.write_str("the keyring has no key; make one: webhook-assets keys new"),
        }
    }
}

impl std::error::Error for KeyringError {}
