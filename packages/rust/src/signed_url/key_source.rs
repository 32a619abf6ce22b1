//! Where a minter takes its keys from: a keyring that stays, or a keyring file that it follows.

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::keyring::Keyring;
use super::keyring_error::KeyringError;
use crate::time::UnixSeconds;

/// The keyring of a file, read again while the process runs, so that it follows `webhook-assets keys rotate`. Clones
/// share it.
///
/// [`Minter::new`](crate::Minter::new) takes it in place of a [`Keyring`]:
///
/// ```
/// # use std::time::Duration;
/// # use webhook_assets_links::Uuid;
/// use webhook_assets_links::{AssetRef, Minter, ReloadingKeyring};
///
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("keys.json");
/// # std::fs::write(&path, format!(r#"{{"version": 1, "keys": [{{"id": "a", "secret": "{}"}}]}}"#, "0a".repeat(32)))?;
/// # let id = Uuid::from_u128(1);
/// let keyring = ReloadingKeyring::read(path)?; // "/etc/webhook-assets/keys.json"
/// let minter = Minter::new("https://app.example.com/api", keyring.clone())?;
/// let link = minter.mint(AssetRef::recording(id), Duration::from_secs(3_600))?;
///
/// // In the service's health check: why the file cannot be used, if it cannot.
/// keyring.reload()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct ReloadingKeyring(Arc<KeyringAtPath>);

#[derive(Debug)]
struct KeyringAtPath {
    path: PathBuf,
    read: Mutex<LastRead>,
}

#[derive(Debug)]
struct LastRead {
    keyring: Arc<Keyring>,
    /// The second for which the file was read; `None` before the first use.
    at: Option<UnixSeconds>,
    /// Whether a thread reads the file.
    reading: bool,
    /// Why the file could not be used when it was read last.
    problem: Option<Arc<KeyringError>>,
}

impl ReloadingKeyring {
    /// Reads the file for the first time.
    ///
    /// # Errors
    /// As [`Keyring::read`].
    pub fn read(path: impl Into<PathBuf>) -> Result<Self, KeyringError> {
        let path = path.into();
        let keyring = Arc::new(Keyring::read(&path)?);
        let read = LastRead { keyring, at: None, reading: false, problem: None };
        Ok(Self(Arc::new(KeyringAtPath { path, read: Mutex::new(read) })))
    }

    /// The keyring at `now`. Reads the file once for each second in which it is asked, which takes some microseconds. One
    /// thread reads at a time; the others go on with the keyring that was read before, and so do all while the file is
    /// unusable: [`problem`](Self::problem) says why.
    #[must_use]
    pub fn current(&self, now: UnixSeconds) -> Arc<Keyring> {
        let mut read = self.last_read();
        let due = read.at.replace(now) != Some(now);
        if !due || read.reading {
            return Arc::clone(&read.keyring);
        }
        read.reading = true;
        drop(read);
        // Without the lock: a file on a network may keep its reader waiting.
        let result = Keyring::read(&self.0.path);
        let mut read = self.last_read();
        read.reading = false;
        // The caller of `reload` gets an error as a value.
        let _ = read.note(result);
        Arc::clone(&read.keyring)
    }

    /// Reads the file at once, for example in a health check.
    ///
    /// # Errors
    /// As [`Keyring::read`]; the keyring that was read before stays in force.
    pub fn reload(&self) -> Result<(), Arc<KeyringError>> {
        let result = Keyring::read(&self.0.path);
        self.last_read().note(result)
    }

    /// Why the file could not be used when it was read last; `None` if it could. For a service's log, which has no part in
    /// [`current`](Self::current).
    #[must_use]
    pub fn problem(&self) -> Option<Arc<KeyringError>> {
        self.last_read().problem.clone()
    }

    fn last_read(&self) -> MutexGuard<'_, LastRead> {
        self.0.read.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LastRead {
    fn note(&mut self, result: Result<Keyring, KeyringError>) -> Result<(), Arc<KeyringError>> {
        self.problem = match result {
            Ok(keyring) => {
                self.keyring = Arc::new(keyring);
                None
            }
            Err(error) => Some(Arc::new(error)),
        };
        self.problem.clone().map_or(Ok(()), Err)
    }
}

/// Where a [`Minter`](crate::Minter) takes its keys from; made from a [`Keyring`] or a [`ReloadingKeyring`].
#[derive(Debug, Clone)]
pub struct KeySource(Source);

#[derive(Debug, Clone)]
enum Source {
    Keyring(Arc<Keyring>),
    File(ReloadingKeyring),
}

impl KeySource {
    /// The keyring at `now`.
    pub(super) fn current(&self, now: UnixSeconds) -> Cow<'_, Arc<Keyring>> {
        match &self.0 {
            Source::Keyring(keyring) => Cow::Borrowed(keyring),
            Source::File(file) => Cow::Owned(file.current(now)),
        }
    }
}

impl From<Keyring> for KeySource {
    fn from(keyring: Keyring) -> Self {
        Arc::new(keyring).into()
    }
}

impl From<Arc<Keyring>> for KeySource {
    fn from(keyring: Arc<Keyring>) -> Self {
        Self(Source::Keyring(keyring))
    }
}

impl From<ReloadingKeyring> for KeySource {
    fn from(file: ReloadingKeyring) -> Self {
        Self(Source::File(file))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use uuid::Uuid;

    use super::*;
    use crate::{AssetRef, Minter};

    fn write(path: &Path, keys: &[(&str, &str)]) {
        let key = |(id, starts): &(&str, &str)| {
            format!(r#"{{"id": "{id}", "secret": "{}", "starts": "{starts}"}}"#, "0a".repeat(32))
        };
        let keys: Vec<_> = keys.iter().map(key).collect();
        std::fs::write(path, format!(r#"{{"version": 1, "keys": [{}]}}"#, keys.join(","))).unwrap();
    }

    #[test]
    fn a_minter_of_a_file_signs_with_the_keys_that_the_file_has_now() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.json");
        write(&path, &[("a", "1970-01-01T00:01:00Z")]);
        let keyring = ReloadingKeyring::read(&path).unwrap();
        let minter = Minter::new("https://app.example.com", keyring.clone()).unwrap();
        let signer = |now| {
            let asset = AssetRef::recording(Uuid::nil());
            let link = minter.mint_at(asset, Duration::from_secs(60), UnixSeconds(now)).unwrap();
            link.grant().key_id().to_string()
        };
        assert_eq!(signer(100), "a");
        write(&path, &[("a", "1970-01-01T00:01:00Z"), ("b", "1970-01-01T00:03:20Z")]);
        assert_eq!((signer(199), signer(200)), ("a".into(), "b".into()), "each key from its start on");

        std::fs::write(&path, "damaged").unwrap();
        assert_eq!(signer(201), "b", "the last good keyring stays in force");
        let error = keyring.reload().unwrap_err().to_string();
        assert!(error.contains("keys.json") && error.contains("damaged"), "{error}");

        write(&path, &[("c", "1970-01-01T00:01:00Z")]);
        assert_eq!(signer(201), "b", "the file is read once a second");
        keyring.reload().unwrap();
        assert_eq!(signer(201), "c", "or at once");
        std::fs::remove_file(&path).unwrap();
        assert_eq!(signer(202), "c");
    }
}
