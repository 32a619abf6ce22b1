//! Encrypts endpoints' secrets and header fields at rest with XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha), whose 24-byte nonces may be
//! random. The key is in a file beside the database. A running program follows the file: it reads it again before it seals, and
//! when its keys do not open a secret.

use std::fmt;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwapOption;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use zeroize::Zeroizing;

use super::error::{LedgerError, Result};
use crate::webhook::{CustomHeaders, WebhookSecret};

const KEY_LEN: usize = 32;
const NONCE_LEN: usize = 24;

/// Room for the header fields of an endpoint as JSON.
const HEADERS_CAPACITY: usize = 32 * 1024;

/// Seals and opens secrets. The first key in the file seals; all keys open. Clones share the keys, which may be loaded later.
#[derive(Clone, Default)]
pub(super) struct Seal(Arc<Shared>);

#[derive(Default)]
struct Shared {
    file: ArcSwapOption<KeyFile>,
    /// Whether a secret did not open since the file was read.
    failed: AtomicBool,
}

/// A key file as it was read.
struct KeyFile {
    path: PathBuf,
    keys: Box<[XChaCha20Poly1305]>,
    fingerprint: Option<Fingerprint>,
}

/// The metadata that changes when a file is written or replaced: inode, length, time of the last change.
type Fingerprint = (u64, u64, i64, i64);

fn fingerprint(path: &Path) -> Option<Fingerprint> {
    let file = std::fs::metadata(path).ok()?;
    Some((file.ino(), file.len(), file.ctime(), file.ctime_nsec()))
}

impl KeyFile {
    /// Reads lines of 64 hexadecimal digits; empty lines and lines that begin with `#` are skipped.
    fn read(path: &Path) -> Result<Self> {
        let failed = |why: String| LedgerError::KeyFile(format!("{}: {why}", path.display()));
        // Taken before the file is read: a change in between is noticed by the next look.
        let fingerprint = fingerprint(path);
        let text = Zeroizing::new(std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))?);
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let keys: Option<Vec<_>> = lines.map(cipher).collect();
        match keys {
            Some(keys) if !keys.is_empty() => {
                Ok(Self { path: path.to_owned(), keys: keys.into_boxed_slice(), fingerprint })
            }
            _ => {
                Err(failed("each line is 64 hexadecimal digits; `openssl rand -hex 32` makes one".to_owned()))
            }
        }
    }

    fn has_changed(&self) -> bool {
        let found = fingerprint(&self.path);
        found.is_some() && found != self.fingerprint
    }

    fn open(&self, nonce: &XNonce, sealed: &[u8], context: &str) -> Option<Zeroizing<Vec<u8>>> {
        let open = |cipher: &XChaCha20Poly1305| {
            let payload = Payload { msg: sealed, aad: context.as_bytes() };
            cipher.decrypt(nonce, payload).ok().map(Zeroizing::new)
        };
        self.keys.iter().find_map(open)
    }
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Seal({} keys, redacted)", self.0.file.load().as_ref().map_or(0, |file| file.keys.len()))
    }
}

impl Seal {
    /// Takes the keys of another seal, unless this one has keys.
    pub(super) fn take(&self, other: &Self) {
        if self.0.file.load().is_none() {
            self.0.file.store(other.0.file.load_full());
        }
    }

    /// The keys of the file as it was last read.
    fn loaded(&self) -> Result<Arc<KeyFile>> {
        self.0
            .file
            .load_full()
            .ok_or_else(|| LedgerError::Unavailable("its key file was not read yet".to_owned()))
    }

    /// The keys of the file as it is now. While it is unreadable, the old keys stay in use.
    fn current(&self) -> Result<Arc<KeyFile>> {
        let loaded = self.loaded()?;
        if !loaded.has_changed() {
            return Ok(loaded);
        }
        match KeyFile::read(&loaded.path) {
            Ok(file) => {
                tracing::info!(
                    keys = file.keys.len(),
                    "the key file of the endpoints' secrets was read again"
                );
                let file = Arc::new(file);
                self.0.file.store(Some(Arc::clone(&file)));
                self.set_failed(false);
                Ok(file)
            }
            Err(error) => {
                tracing::error!(%error, "the changed key file is unusable; the old keys stay in use");
                Ok(loaded)
            }
        }
    }

    /// Reads the key file.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let seal = Self::default();
        seal.0.file.store(Some(Arc::new(KeyFile::read(path)?)));
        Ok(seal)
    }

    /// Whether a secret did not open since the file was read.
    pub(super) fn has_failed(&self) -> bool {
        self.0.failed.load(Ordering::Relaxed)
    }

    pub(super) fn set_failed(&self, failed: bool) {
        self.0.failed.store(failed, Ordering::Relaxed);
    }

    /// Creates a key file that only its owner may read, unless it exists; then reads it.
    pub(super) fn read_or_make(path: &Path) -> Result<Self> {
        let failed = |error: std::io::Error| match LedgerError::at_path(path, &error) {
            passing if passing.is_transient() => passing,
            _ => LedgerError::KeyFile(format!("{} cannot be made: {error}", path.display())),
        };
        let made = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        match made {
            Ok(mut file) => {
                let mut key = Zeroizing::new([0_u8; KEY_LEN]);
                getrandom::fill(key.as_mut_slice())
                    .map_err(|error| LedgerError::Unavailable(error.to_string()))?;
                let line = Zeroizing::new(format!("{}\n", hex::encode(key.as_slice())));
                if let Err(error) = file.write_all(line.as_bytes()).and_then(|()| file.sync_all()) {
                    // The next start would reject a half-written key.
                    let _ = std::fs::remove_file(path);
                    return Err(failed(error));
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(failed(error)),
        }
        Self::read(path)
    }

    /// Seals a secret for one endpoint. It opens only for that endpoint.
    pub(super) fn seal(&self, secret: &WebhookSecret, endpoint: &str) -> Result<Vec<u8>> {
        self.encrypt(secret.reveal().as_bytes(), endpoint)
    }

    /// Opens a secret that [`Seal::seal`] sealed for this endpoint.
    pub(super) fn open(&self, sealed: &[u8], endpoint: &str) -> Result<WebhookSecret> {
        let text = self.decrypt(sealed, endpoint)?;
        let text = std::str::from_utf8(&text).map_err(|_| LedgerError::Sealed)?;
        WebhookSecret::parse(text).map_err(|_| LedgerError::Sealed)
    }

    /// Seals header fields for one endpoint and its URL. They open only for both: whatever changes the URL in the
    /// database, their values do not go to another receiver.
    pub(super) fn seal_headers(&self, headers: &CustomHeaders, endpoint: &str, url: &str) -> Result<Vec<u8>> {
        // A buffer that grows would leave copies behind that are not wiped.
        let mut json = Zeroizing::new(Vec::with_capacity(HEADERS_CAPACITY));
        serde_json::to_writer(&mut *json, headers).map_err(|_| LedgerError::Sealed)?;
        self.encrypt(&json, &format!("{endpoint} {url}"))
    }

    /// Opens header fields that [`Seal::seal_headers`] sealed for this endpoint and this URL.
    pub(super) fn open_headers(&self, sealed: &[u8], endpoint: &str, url: &str) -> Result<CustomHeaders> {
        let json = self.decrypt(sealed, &format!("{endpoint} {url}"))?;
        serde_json::from_slice(&json).map_err(|_| LedgerError::Sealed)
    }

    fn encrypt(&self, text: &[u8], context: &str) -> Result<Vec<u8>> {
        let mut nonce = [0_u8; NONCE_LEN];
        getrandom::fill(&mut nonce).map_err(|error| LedgerError::KeyFile(error.to_string()))?;
        let payload = Payload { msg: text, aad: context.as_bytes() };
        let file = self.current()?;
        let cipher = file.keys.first().ok_or(LedgerError::Sealed)?;
        let sealed = cipher.encrypt(&XNonce::from(nonce), payload).map_err(|_| LedgerError::Sealed)?;
        Ok([nonce.as_slice(), &sealed].concat())
    }

    fn decrypt(&self, sealed: &[u8], context: &str) -> Result<Zeroizing<Vec<u8>>> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_LEN>().ok_or(LedgerError::Sealed)?;
        let (nonce, loaded) = (XNonce::from(*nonce), self.loaded()?);
        if let Some(opened) = loaded.open(&nonce, sealed, context) {
            return Ok(opened);
        }
        let current = if loaded.has_changed() { self.current()? } else { loaded };
        current.open(&nonce, sealed, context).ok_or_else(|| {
            self.set_failed(true);
            LedgerError::Sealed
        })
    }
}

fn cipher(line: &str) -> Option<XChaCha20Poly1305> {
    let mut key = Zeroizing::new([0_u8; KEY_LEN]);
    hex::decode_to_slice(line, key.as_mut_slice()).ok()?;
    XChaCha20Poly1305::new_from_slice(key.as_slice()).ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::webhook::HeaderChanges;

    #[test]
    fn a_secret_opens_for_its_endpoint_alone_and_with_its_key_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (one, other) = (folder.path().join("one"), folder.path().join("other"));
        let seal = Seal::read_or_make(&one).unwrap();
        assert_eq!(std::fs::metadata(&one).unwrap().permissions().mode() & 0o777, 0o600);
        let secret = WebhookSecret::generate().unwrap();
        let sealed = seal.seal(&secret, "ep_1").unwrap();
        assert!(!String::from_utf8_lossy(&sealed).contains("whsec"));
        assert_eq!(seal.open(&sealed, "ep_1").unwrap().reveal(), secret.reveal());
        assert_eq!(seal.open(&sealed, "ep_2").unwrap_err(), LedgerError::Sealed);
        assert_eq!(seal.open(&sealed[..10], "ep_1").unwrap_err(), LedgerError::Sealed);
        assert_eq!(
            Seal::read_or_make(&other).unwrap().open(&sealed, "ep_1").unwrap_err(),
            LedgerError::Sealed
        );
        // The new key goes above the old one, and sealed secrets still open.
        let both = std::fs::read_to_string(&other).unwrap() + &std::fs::read_to_string(&one).unwrap();
        std::fs::write(&other, both).unwrap();
        assert_eq!(Seal::read(&other).unwrap().open(&sealed, "ep_1").unwrap().reveal(), secret.reveal());
    }

    #[test]
    fn a_changed_key_file_is_followed_and_an_unusable_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let (old, new) = ("5a".repeat(32), "a5".repeat(32));
        let replace = |text: &str| {
            std::fs::write(folder.path().join("next"), text).unwrap();
            std::fs::rename(folder.path().join("next"), &path).unwrap();
        };
        replace(&old);
        let (running, secret) = (Seal::read(&path).unwrap(), WebhookSecret::generate().unwrap());
        let by_old = running.seal(&secret, "ep_1").unwrap();
        replace(&format!("{new}\n{old}"));
        let by_new = running.seal(&secret, "ep_1").unwrap();
        replace(&new);
        let restarted = Seal::read(&path).unwrap();
        assert_eq!(restarted.open(&by_new, "ep_1").unwrap().reveal(), secret.reveal());
        assert_eq!(restarted.open(&by_old, "ep_1").unwrap_err(), LedgerError::Sealed);
        assert_eq!(running.open(&by_new, "ep_1").unwrap().reveal(), secret.reveal());

        let late = Seal::read(&path).unwrap();
        replace(&old);
        assert_eq!(late.open(&by_old, "ep_1").unwrap().reveal(), secret.reveal());
        replace("no key");
        assert_eq!(late.open(&by_old, "ep_1").unwrap().reveal(), secret.reveal());
        assert!(late.open(&late.seal(&secret, "ep_2").unwrap(), "ep_2").is_ok());
    }

    #[test]
    fn header_fields_open_for_their_endpoint_and_its_url_alone() {
        let folder = tempfile::tempdir().unwrap();
        let seal = Seal::read_or_make(&folder.path().join("key")).unwrap();
        let mut changes = HeaderChanges::default();
        changes.set("X-API-Key", "whsec_or_not").unwrap();
        let headers = CustomHeaders::default().with(changes).unwrap();
        let sealed = seal.seal_headers(&headers, "ep_1", "https://a.example/").unwrap();
        assert!(!String::from_utf8_lossy(&sealed).contains("whsec"));
        assert_eq!(seal.open_headers(&sealed, "ep_1", "https://a.example/").unwrap(), headers);
        for (endpoint, url) in [("ep_2", "https://a.example/"), ("ep_1", "https://b.example/"), ("ep_1", "")]
        {
            assert_eq!(seal.open_headers(&sealed, endpoint, url).unwrap_err(), LedgerError::Sealed);
        }
        let secret = seal.seal(&WebhookSecret::generate().unwrap(), "ep_1").unwrap();
        assert_eq!(
            seal.open_headers(&secret, "ep_1", "https://a.example/").unwrap_err(),
            LedgerError::Sealed
        );
    }

    #[test]
    fn a_key_file_that_is_none_says_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        for bad in ["", "\n# nothing\n", "abc", &"zz".repeat(32)] {
            std::fs::write(&path, bad).unwrap();
            let error = Seal::read(&path).unwrap_err().to_string();
            assert!(error.contains("openssl rand -hex 32"), "{error}");
        }
    }
}
