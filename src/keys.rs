//! The keyring in use: read at startup, watched, and replaced as a whole when its file changes. This file is
//! also the only one that changes the keyring file.

mod metrics;

pub use crate::private_file::{POLL_INTERVAL, is_exposed};
pub use metrics::KeyringMetrics;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::Notify;
use zeroize::Zeroizing;

use crate::AssetKind;
use crate::clock::UnixSeconds;
use crate::private_file;
use crate::signed_url::{KeyId, Keyring, KeyringError, KeyringFile, SigningKey};

/// The keyring that currently signs and verifies. Clones share it; a request loads it once.
#[derive(Debug, Clone)]
pub struct ActiveKeyring {
    current: Arc<ArcSwap<Keyring>>,
    metrics: KeyringMetrics,
}

impl ActiveKeyring {
    /// Starts with `keyring`.
    #[must_use]
    pub fn new(keyring: Keyring, metrics: KeyringMetrics) -> Self {
        metrics.has_keys(keyring.keys().len());
        Self { current: Arc::new(ArcSwap::from_pointee(keyring)), metrics }
    }

    /// The current keyring.
    #[must_use]
    pub fn load(&self) -> Arc<Keyring> {
        self.current.load_full()
    }

    /// Replaces the keyring for all requests that begin later.
    pub fn replace(&self, keyring: Keyring) {
        self.metrics.has_keys(keyring.keys().len());
        self.current.store(Arc::new(keyring));
    }

    /// Whether any key could sign a link at `now`.
    #[must_use]
    pub fn can_sign(&self, now: UnixSeconds) -> bool {
        self.load().signing_key(now, now.plus(Duration::from_secs(1))).is_some()
    }

    /// Counts a link that this keyring signed.
    pub(crate) fn link_minted(&self, kind: AssetKind) {
        self.metrics.link_minted(kind.name());
    }

    /// Sets the metrics: which key now signs links of `lifetime`, since when, and until when any key can.
    pub fn update_metrics(&self, now: UnixSeconds, lifetime: Duration) {
        let keyring = self.load();
        let signer = keyring.signing_key(now, now.plus(lifetime));
        let signer = signer.map(|key| (key.id().as_ref(), key.starts()));
        self.metrics.signs(signer, now, keyring.first_gap(now, lifetime));
    }

    /// Rereads the file. If it is unusable, the old keyring stays in use.
    pub fn reload(&self, path: &Path) {
        self.read_file(path, true);
    }

    fn read_file(&self, path: &Path, always_log: bool) {
        match Keyring::read(path) {
            Ok(keyring) => {
                let before = self.load();
                self.replace(keyring);
                self.metrics.reloaded(true);
                let now = self.load();
                if always_log || now.keys().iter().map(dates).ne(before.keys().iter().map(dates)) {
                    tracing::info!(keys = %now, "the keyring was replaced");
                }
            }
            Err(error) => {
                self.metrics.reloaded(false);
                tracing::error!(%error, "the changed keyring is unusable; the old one stays in force");
            }
        }
    }

    /// Watches the file and reloads it when it changes, or when notified. Never returns.
    pub async fn watch(&self, path: &Path, reload: &Notify) {
        private_file::watch(path, reload, |always_log| self.read_file(path, always_log)).await;
    }
}

fn dates(key: &SigningKey) -> (KeyId, UnixSeconds, Option<UnixSeconds>) {
    (key.id().clone(), key.starts(), key.ends())
}

/// Creates a keyring file with mode 0600. Never overwrites an existing file.
///
/// # Errors
/// [`EditError`].
pub fn create_file(path: &Path, file: &KeyringFile) -> Result<(), EditError> {
    file.to_keyring()?;
    let text = file.to_json()?;
    private_file::create(path, text.as_bytes()).map_err(|error| EditError::Write(path.to_owned(), error))
}

/// Edits the keyring file atomically; concurrent editors wait for each other.
///
/// # Errors
/// [`EditError`], including an error of `change`; the file then stays unchanged.
pub fn edit_file<T>(
    path: &Path,
    change: impl FnOnce(&mut KeyringFile) -> Result<T, EditError>,
) -> Result<T, EditError> {
    edit_text(path, |path| {
        let mut file = KeyringFile::read(path)?;
        let result = change(&mut file)?;
        file.to_keyring()?;
        Ok((result, file.to_json()?))
    })
}

/// Replaces the text of a file with keys atomically, and keeps its owner and mode. `change` reads the file at the path that it
/// gets, and returns the new text. Concurrent editors wait for each other.
///
/// # Errors
/// [`EditError`], including an error of `change`; the file then stays unchanged.
pub(crate) fn edit_text<T>(
    path: &Path,
    change: impl FnOnce(&Path) -> Result<(T, Zeroizing<String>), EditError>,
) -> Result<T, EditError> {
    // A symbolic link (for example of a mounted secret) stays a link; its target is replaced.
    let path =
        &std::fs::canonicalize(path).map_err(|error| KeyringError::Unreadable(path.to_owned(), error))?;
    let locked = private_file::lock(path).map_err(|error| EditError::Write(path.clone(), error))?;
    let (result, text) = change(path)?;
    locked
        .metadata()
        .and_then(|old| private_file::replace(path, &old, text.as_bytes()))
        .map_err(|error| EditError::Write(path.clone(), error))?;
    Ok(result)
}

/// Why the keyring file was not changed.
#[derive(Debug)]
pub enum EditError {
    /// The old or the new content is not a valid keyring.
    Keyring(KeyringError),
    /// The file cannot be written.
    Write(PathBuf, io::Error),
    /// The change itself is not possible, for this reason.
    Refused(String),
}

impl From<KeyringError> for EditError {
    fn from(error: KeyringError) -> Self {
        Self::Keyring(error)
    }
}

impl std::fmt::Display for EditError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Keyring(error) => error.fmt(f),
            Self::Write(path, error) if error.kind() == io::ErrorKind::AlreadyExists => write!(
                f,
                "{0} exists already and is left as it is; to add a key to it: webhook-assets keys rotate --keys {0}",
                path.display()
            ),
            Self::Write(path, error) => {
                write!(f, "the keyring {} cannot be written: {error}", path.display())
            }
            Self::Refused(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for EditError {}
