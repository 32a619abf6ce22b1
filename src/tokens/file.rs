//! The tokens file: JSON with the name, the hash and the permissions of each token, never the token.

use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::format::NewToken;
use super::scope::Scope;
use crate::clock::UnixSeconds;
use crate::private_file;

/// The largest tokens file that is read, in bytes; enough for thousands of tokens.
const LARGEST_FILE: u64 = 1 << 20;

/// The longest name of a token, in characters.
const LONGEST_NAME: usize = 64;

/// The file's contents.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokensFile {
    /// The version of the file's format: 1.
    version: u32,
    /// The tokens, oldest first.
    pub tokens: Vec<TokenEntry>,
}

/// One token of the file.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenEntry {
    /// The token's name, for people and for the audit trail.
    pub name: String,
    /// The SHA-256 of the token, in hexadecimal digits.
    pub sha256: String,
    /// What it allows.
    pub scopes: BTreeSet<Scope>,
    /// The workspaces in which it allows that; all if missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workspaces: Option<BTreeSet<String>>,
    /// When the token was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
}

impl TokenEntry {
    /// The hash; `None` if the digits are not those of a SHA-256.
    pub(super) fn hash(&self) -> Option<[u8; 32]> {
        let mut hash = [0; 32];
        hex::decode_to_slice(&self.sha256, &mut hash).ok().map(|()| hash)
    }
}

impl TokensFile {
    const fn empty() -> Self {
        Self { version: 1, tokens: Vec::new() }
    }

    /// Reads the file. A file that does not exist has no tokens.
    ///
    /// # Errors
    /// [`TokensError`], which names the path.
    pub fn read(path: &Path) -> Result<Self, TokensError> {
        let unreadable = |error| TokensError::Unreadable(path.to_owned(), error);
        let length = match std::fs::metadata(path) {
            Ok(file) => file.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::empty()),
            Err(error) => return Err(unreadable(error)),
        };
        if length > LARGEST_FILE {
            return Err(TokensError::Malformed(path.to_owned(), format!("it has {length} bytes")));
        }
        let text = std::fs::read_to_string(path).map_err(unreadable)?;
        Self::from_json(&text).map_err(|why| TokensError::Malformed(path.to_owned(), why))
    }

    fn from_json(text: &str) -> Result<Self, String> {
        // serde_json's message may quote a value, and a hand-written file may hold a token where a hash belongs.
        let file: Self = serde_json::from_str(text).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            format!("line {line}, column {column} is not as `webhook-assets tokens` writes it")
        })?;
        if file.version != 1 {
            return Err(format!("its version is {}, this program reads 1", file.version));
        }
        for entry in &file.tokens {
            if !is_token_name(&entry.name) {
                return Err(
                    "a name in it is none: it has 1 to 64 letters, digits, dots, dashes and underscores"
                        .into(),
                );
            }
            if entry.hash().is_none() {
                return Err(format!("the hash of {} is no SHA-256", entry.name));
            }
        }
        Ok(file)
    }

    /// Adds a token, and returns it: nothing else keeps it.
    ///
    /// # Errors
    /// [`TokensError::Refused`] if the name is taken, or the scopes do not fit the workspaces.
    pub fn add(
        &mut self,
        name: &str,
        scopes: BTreeSet<Scope>,
        workspaces: Option<BTreeSet<String>>,
        now: UnixSeconds,
    ) -> Result<NewToken, TokensError> {
        if self.tokens.iter().any(|entry| entry.name == name) {
            return Err(TokensError::Refused(format!(
                "there is a token {name} already; revoke it, or take another name"
            )));
        }
        if let (Some(scope), Some(_)) =
            (scopes.iter().find(|scope| scope.needs_all_workspaces()), &workspaces)
        {
            return Err(TokensError::Refused(format!(
                "the scope {} reaches all workspaces; leave it out, or name no workspaces",
                scope.name()
            )));
        }
        let token = NewToken::random()
            .map_err(|_| TokensError::Refused("the system gives no random bytes".into()))?;
        self.tokens.push(TokenEntry {
            name: name.to_owned(),
            sha256: hex::encode(token.hash()),
            scopes,
            workspaces,
            created: Some(now.to_string()),
        });
        Ok(token)
    }

    /// Removes a token. Returns whether it was there.
    pub fn remove(&mut self, name: &str) -> bool {
        let before = self.tokens.len();
        self.tokens.retain(|entry| entry.name != name);
        self.tokens.len() < before
    }
}

/// Whether a token may have this name.
#[must_use]
pub fn is_token_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    (1..=LONGEST_NAME).contains(&name.len()) && name.bytes().all(fits)
}

/// Edits the tokens file atomically; concurrent editors wait for each other. Makes it, with mode 0600, if it is missing.
///
/// # Errors
/// [`TokensError`], including an error of `change`; the file then stays unchanged.
pub fn edit_file<T>(
    path: &Path,
    change: impl FnOnce(&mut TokensFile) -> Result<T, TokensError>,
) -> Result<T, TokensError> {
    let unwritable = |error| TokensError::Unwritable(path.to_owned(), error);
    if !path.exists() {
        match private_file::create(path, to_json(&TokensFile::empty())?.as_bytes()) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(unwritable(error)),
            Ok(()) | Err(_) => {}
        }
    }
    // A symbolic link (for example of a mounted secret) stays a link; its target is replaced.
    let target = std::fs::canonicalize(path).map_err(unwritable)?;
    let locked = private_file::lock(&target).map_err(unwritable)?;
    let mut file = TokensFile::read(&target)?;
    let result = change(&mut file)?;
    let text = to_json(&file)?;
    let old = locked.metadata().map_err(unwritable)?;
    private_file::replace(&target, &old, text.as_bytes()).map_err(unwritable)?;
    Ok(result)
}

fn to_json(file: &TokensFile) -> Result<String, TokensError> {
    let text = serde_json::to_string_pretty(file).map_err(|error| TokensError::Refused(error.to_string()))?;
    Ok(text + "\n")
}

/// Why the tokens file cannot be read or changed.
#[derive(Debug)]
pub enum TokensError {
    /// The file cannot be read.
    Unreadable(PathBuf, io::Error),
    /// The file is not as this program writes it.
    Malformed(PathBuf, String),
    /// The file cannot be written.
    Unwritable(PathBuf, io::Error),
    /// The change itself is not possible, for this reason.
    Refused(String),
}

impl fmt::Display for TokensError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(path, error) => {
                write!(f, "the tokens file {} cannot be read: {error}", path.display())
            }
            Self::Malformed(path, why) => write!(f, "the tokens file {} is unusable: {why}", path.display()),
            Self::Unwritable(path, error) => {
                write!(f, "the tokens file {} cannot be written: {error}", path.display())
            }
            Self::Refused(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for TokensError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_error_shows_what_stands_in_the_file() {
        let token = NewToken::random().unwrap();
        let token = token.reveal();
        for text in [
            format!(r#"{{"version":1,"tokens":["{token}"]}}"#),
            format!(r#"{{"version":"{token}","tokens":[]}}"#),
            format!(r#"{{"version":1,"tokens":[{{"name":"{token} {token}","sha256":"","scopes":[]}}]}}"#),
            format!(r#"{{"version":1,"tokens":[{{"name":"a","sha256":"{token}","scopes":[]}}]}}"#),
            format!(r#"{{"version":1,"tokens":[{{"name":"a","sha256":"","scopes":["{token}"]}}]}}"#),
        ] {
            let why = TokensFile::from_json(&text).unwrap_err();
            assert!(!why.contains(token), "{why}");
        }
    }

    #[test]
    fn a_token_for_some_workspaces_reaches_no_other() {
        let mut file = TokensFile::empty();
        let acme = || Some(BTreeSet::from(["acme".to_owned()]));
        let now = UnixSeconds(0);
        for scope in Scope::ALL {
            let added = file.add(scope.name(), [scope].into(), acme(), now);
            assert_eq!(added.is_err(), matches!(scope, Scope::Mint | Scope::Operate), "{scope:?}");
        }
        assert!(file.add("read", [Scope::Read].into(), acme(), now).is_err(), "a name was given twice");
        assert!(file.remove("read") && !file.remove("read"));
    }
}
