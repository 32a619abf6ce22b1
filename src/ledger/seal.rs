//! Encrypts endpoints' secrets and header fields at rest with XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha), whose 24-byte nonces may be
//! random. The key is in a file beside the database.

use std::fmt;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use zeroize::Zeroizing;

use super::error::{LedgerError, Result};
use crate::webhook::{CustomHeaders, WebhookSecret};

const KEY_LEN: usize = 32;
const NONCE_LEN: usize = 24;

/// Room for the header fields of an endpoint as JSON.
const HEADERS_CAPACITY: usize = 32 * 1024;

/// Seals and opens secrets. The first key in the file seals; all keys open. An operator rotates the key by adding a
/// line above the old one. Clones share the keys, which may be loaded later.
#[derive(Clone, Default)]
pub(super) struct Seal(Arc<OnceLock<Keys>>);

type Keys = Box<[XChaCha20Poly1305]>;

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Seal({} keys, redacted)", self.0.get().map_or(0, |keys| keys.len()))
    }
}

impl Seal {
    /// Takes the keys of another seal, unless this one has keys.
    pub(super) fn take(&self, other: &Self) {
        if let Some(keys) = other.0.get() {
            let _ = self.0.set(keys.clone());
        }
    }

    fn keys(&self) -> Result<&Keys> {
        self.0.get().ok_or_else(|| LedgerError::Unavailable("its key file was not read yet".to_owned()))
    }

    /// Reads the key file: lines of 64 hexadecimal digits; empty lines and lines that begin with `#` are skipped.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let failed = |why: String| LedgerError::KeyFile(format!("{}: {why}", path.display()));
        let text = Zeroizing::new(std::fs::read_to_string(path).map_err(|error| failed(error.to_string()))?);
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let keys: Option<Vec<_>> = lines.map(cipher).collect();
        match keys {
            Some(keys) if !keys.is_empty() => Ok(Self(Arc::new(OnceLock::from(keys.into_boxed_slice())))),
            _ => {
                Err(failed("each line is 64 hexadecimal digits; `openssl rand -hex 32` makes one".to_owned()))
            }
        }
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
        let cipher = self.keys()?.first().ok_or(LedgerError::Sealed)?;
        let sealed = cipher.encrypt(&XNonce::from(nonce), payload).map_err(|_| LedgerError::Sealed)?;
        Ok([nonce.as_slice(), &sealed].concat())
    }

    fn decrypt(&self, sealed: &[u8], context: &str) -> Result<Zeroizing<Vec<u8>>> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_LEN>().ok_or(LedgerError::Sealed)?;
        let nonce = XNonce::from(*nonce);
        let open = |cipher: &XChaCha20Poly1305| {
            let payload = Payload { msg: sealed, aad: context.as_bytes() };
            cipher.decrypt(&nonce, payload).ok().map(Zeroizing::new)
        };
        self.keys()?.iter().find_map(open).ok_or(LedgerError::Sealed)
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
