//! The tokens in force: the single one of `admin.token_file`, and the named ones of `admin.tokens_file`, which are read
//! again when their file changes.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arc_swap::ArcSwap;
use subtle::ConstantTimeEq;
use tokio::sync::Notify;

use super::file::{TokensError, TokensFile, edit_file};
use super::format::hash;
use super::principal::Principal;
use super::token::Token;
use crate::private_file;

/// The tokens of the private listener. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Tokens {
    single: Option<Token>,
    named: Option<Arc<Named>>,
}

#[derive(Debug)]
struct Named {
    path: PathBuf,
    current: ArcSwap<Vec<NamedToken>>,
}

#[derive(Debug)]
struct NamedToken {
    hash: [u8; 32],
    principal: Arc<Principal>,
}

/// There is no file of named tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoTokensFile;

impl Tokens {
    /// The single token, and the named ones of the file at `path`.
    ///
    /// # Errors
    /// [`TokensError`] if the file is unusable. A file that does not exist has no tokens yet.
    pub fn open(single: Option<Token>, path: Option<&Path>) -> Result<Self, TokensError> {
        let open = |path: &Path| {
            let current = ArcSwap::from_pointee(named(&TokensFile::read(path)?));
            Ok(Arc::new(Named { path: path.to_owned(), current }))
        };
        Ok(Self { single, named: path.map(open).transpose()? })
    }

    /// Whether a request needs a token.
    #[must_use]
    pub fn are_required(&self) -> bool {
        self.single.is_some() || self.named.is_some()
    }

    /// The principal of a token. The time of the search depends neither on which token it is nor on where they differ.
    #[must_use]
    pub fn principal(&self, text: &str) -> Option<Arc<Principal>> {
        let mut found =
            self.single.as_ref().filter(|single| single.is(text)).map(|_| Arc::new(Principal::operator()));
        if let Some(named) = &self.named {
            let hash = hash(text);
            for token in named.current.load().iter() {
                if bool::from(token.hash.ct_eq(&hash)) {
                    found = Some(Arc::clone(&token.principal));
                }
            }
        }
        found
    }

    /// The principal of the named token with this hash, while it is in force.
    #[must_use]
    pub fn by_hash(&self, hash: &str) -> Option<Arc<Principal>> {
        let tokens = self.named.as_ref()?.current.load();
        let token = tokens.iter().find(|token| hex::encode(token.hash) == hash)?;
        Some(Arc::clone(&token.principal))
    }

    /// The hash by which [`Self::by_hash`] finds the named token again; `None` for another text.
    #[must_use]
    pub fn hash_of(&self, text: &str) -> Option<String> {
        let digits = hex::encode(hash(text));
        self.by_hash(&digits).map(|_| digits)
    }

    /// The file of the named tokens.
    ///
    /// # Errors
    /// [`NoTokensFile`].
    pub fn path(&self) -> Result<&Path, NoTokensFile> {
        self.named.as_ref().map(|named| named.path.as_path()).ok_or(NoTokensFile)
    }

    /// Changes the file at `path` and takes the change up at once.
    ///
    /// # Errors
    /// [`TokensError`], including an error of `change`.
    pub fn edit<T>(
        &self,
        path: &Path,
        change: impl FnOnce(&mut TokensFile) -> Result<T, TokensError>,
    ) -> Result<T, TokensError> {
        let changed = edit_file(path, change)?;
        self.reload();
        Ok(changed)
    }

    /// Rereads the file. If it is missing or unusable, the tokens read before stay in force.
    pub fn reload(&self) {
        let Some(of) = &self.named else { return };
        match std::fs::metadata(&of.path)
            .map_err(|error| TokensError::Unreadable(of.path.clone(), error))
            .and_then(|_| TokensFile::read(&of.path))
        {
            Ok(file) => {
                let before = of.current.swap(Arc::new(named(&file)));
                let now = of.current.load();
                if hashes(&before).ne(hashes(&now)) {
                    tracing::info!(tokens = now.len(), "the tokens were replaced");
                }
            }
            Err(error) => {
                tracing::error!(%error, "the changed tokens are unusable; the old ones stay in force");
            }
        }
    }

    /// Watches the file and reloads it when it changes, or when notified. Never returns.
    pub async fn watch(&self, reload: &Notify) {
        match &self.named {
            Some(named) => private_file::watch(&named.path, reload, |_| self.reload()).await,
            None => std::future::pending().await,
        }
    }
}

fn hashes(tokens: &[NamedToken]) -> impl Iterator<Item = &[u8; 32]> {
    tokens.iter().map(|token| &token.hash)
}

fn named(file: &TokensFile) -> Vec<NamedToken> {
    let prepared = file.tokens.iter().filter_map(|entry| {
        let principal = Principal::of_token(&entry.name, entry.scopes.clone(), entry.workspaces.clone());
        Some(NamedToken { hash: entry.hash()?, principal: Arc::new(principal) })
    });
    prepared.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::UnixSeconds;
    use crate::tokens::{Caller, Scope};

    #[test]
    fn a_revoked_token_ends_and_an_unusable_file_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.json");
        let tokens = Tokens::open(Token::new("the-single-token-of-today"), Some(&path)).unwrap();
        let add = |name: &str, scope| {
            tokens.edit(&path, |file| file.add(name, [scope].into(), None, UnixSeconds(0))).unwrap()
        };
        let (crm, backup) = (add("crm", Scope::Calls), add("backup", Scope::Erase));
        let found = tokens.principal(crm.reveal()).unwrap();
        assert_eq!(found.caller(), &Caller::Token("crm".into()));
        assert!(found.has(Scope::Calls) && !found.has(Scope::Erase));
        assert!(
            tokens.principal("the-single-token-of-today").is_some_and(|single| single.has(Scope::Operate))
        );
        assert!(tokens.principal("wat_").is_none());
        assert!(!std::fs::read_to_string(&path).unwrap().contains(crm.reveal()));

        edit_file(&path, |file| Ok(file.remove("crm"))).unwrap();
        tokens.reload();
        assert!(tokens.principal(crm.reveal()).is_none() && tokens.principal(backup.reveal()).is_some());
        std::fs::write(&path, "{").unwrap();
        tokens.reload();
        assert!(tokens.principal(backup.reveal()).is_some());
        std::fs::remove_file(&path).unwrap();
        tokens.reload();
        assert!(tokens.principal(backup.reveal()).is_some());
    }
}
