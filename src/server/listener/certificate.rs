//! The TLS certificate of a listener: reads it, and reloads it when its files change. The files are polled because
//! inotify reports no changes on network file systems.

use std::fmt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::Notify;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::ProducesTickets;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{self, CipherSuite, ServerConfig};
use x509_cert::der::Decode;

use crate::clock::UnixSeconds;
use crate::server::metrics::CertificateMetrics;

/// The interval at which the files are checked for changes. SIGHUP reloads without waiting.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// The files of the certificate and its key. `defaults.toml` has their defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsConfig {
    /// The certificate chain, without the root (PEM).
    pub certificate: PathBuf,
    /// The private key (PEM).
    pub key: PathBuf,
    /// The time limit of a handshake.
    pub handshake_timeout: Duration,
}

/// The certificate of new connections. Clones share it. A reload does not affect open connections.
#[derive(Clone)]
pub struct Certificate {
    files: Arc<TlsConfig>,
    current: Arc<ArcSwap<Loaded>>,
    /// Kept across reloads, so that clients can still resume their sessions.
    ticketer: Arc<dyn ProducesTickets>,
    /// The fingerprints of the files before they were first read.
    initial: [Option<Fingerprint>; 2],
    metrics: CertificateMetrics,
}

/// A certificate that was read and checked.
struct Loaded {
    server: Arc<ServerConfig>,
    expires: UnixSeconds,
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate").field("files", &self.files).finish_non_exhaustive()
    }
}

impl Certificate {
    /// Reads the files for the first time.
    ///
    /// # Errors
    /// [`TlsError`], whose text tells the operator what to do.
    pub fn read(files: TlsConfig, metrics: CertificateMetrics) -> Result<Self, TlsError> {
        let ticketer = aws_lc_rs::Ticketer::new()
            .map_err(|error| TlsError::Unusable(files.key.clone(), error.to_string()))?;
        let initial = [fingerprint(&files.certificate), fingerprint(&files.key)];
        let current = read(&files, &ticketer)?;
        metrics.expires(current.expires);
        let current = Arc::new(ArcSwap::from_pointee(current));
        Ok(Self { files: Arc::new(files), current, ticketer, initial, metrics })
    }

    /// When the certificate expires.
    #[must_use]
    pub fn expires(&self) -> UnixSeconds {
        self.current.load().expires
    }

    /// Returns the configuration for the next connection.
    pub(crate) fn server_config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current.load().server)
    }

    pub(crate) fn handshake_timeout(&self) -> Duration {
        self.files.handshake_timeout
    }

    fn reload(&self) {
        match read(&self.files, &self.ticketer) {
            Ok(new) => {
                let expires = new.expires;
                self.current.store(Arc::new(new));
                self.metrics.reloaded(true);
                self.metrics.expires(expires);
                tracing::info!(%expires, "the certificate was replaced");
            }
            Err(error) => {
                self.metrics.reloaded(false);
                tracing::error!(%error, "the changed certificate is unusable; the old one stays in force");
            }
        }
    }

    /// Watches the files. Reloads them when they change or when notified. Never returns.
    pub async fn watch(&self, reload: &Notify) {
        let mut seen = self.initial;
        // Certificate and key never change at the same moment, so they are reloaded once neither has changed for a
        // second.
        let mut changed = false;
        loop {
            let requested = tokio::select! {
                () = tokio::time::sleep(CHECK_INTERVAL) => false,
                () = reload.notified() => true,
            };
            let found = self.fingerprints();
            let is_changing = found != seen;
            seen = found;
            changed |= is_changing;
            if requested || (changed && !is_changing) {
                changed = false;
                self.reload();
            }
        }
    }

    fn fingerprints(&self) -> [Option<Fingerprint>; 2] {
        [fingerprint(&self.files.certificate), fingerprint(&self.files.key)]
    }
}

type Fingerprint = (u64, u64, i64, i64, i64, i64);

/// Returns metadata that changes when a file is written, replaced or made readable.
fn fingerprint(path: &Path) -> Option<Fingerprint> {
    let file = std::fs::metadata(path).ok()?;
    Some((file.ino(), file.len(), file.mtime(), file.mtime_nsec(), file.ctime(), file.ctime_nsec()))
}

fn read(files: &TlsConfig, ticketer: &Arc<dyn ProducesTickets>) -> Result<Loaded, TlsError> {
    let chain = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| TlsError::Unreadable(files.certificate.clone(), error.to_string()))?;
    let expires = chain.first().and_then(|first| expiry(first));
    let expires = expires.ok_or_else(|| TlsError::NoCertificate(files.certificate.clone()))?;
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|error| TlsError::Unreadable(files.key.clone(), error.to_string()))?;
    let unusable = |error: rustls::Error| TlsError::Unusable(files.key.clone(), error.to_string());
    let mut provider = aws_lc_rs::default_provider();
    // Every TLS 1.3 client supports this suite (RFC 8446 §9.1). Most processors have instructions for its SHA-256, few
    // for the SHA-384 of the default suite, which costs a sixth of a handshake.
    provider.cipher_suites.sort_by_key(|suite| suite.suite() != CipherSuite::TLS13_AES_128_GCM_SHA256);
    let mut server = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(unusable)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(unusable)?;
    server.ignore_client_order = true;
    // A client that speaks HTTP/1.0 alone may say so (RFC 7301 §6); without the name its handshake would fail.
    server.alpn_protocols = ["h2", "http/1.1", "http/1.0"].map(|name| name.as_bytes().to_vec()).into();
    server.ticketer = Arc::clone(ticketer);
    // A ticket costs as much CPU time as a small response, and each resumed session gets a new one.
    server.send_tls13_tickets = 1;
    Ok(Loaded { server: Arc::new(server), expires })
}

/// Returns the end of a certificate's validity.
fn expiry(certificate: &CertificateDer<'_>) -> Option<UnixSeconds> {
    let certificate = x509_cert::Certificate::from_der(certificate).ok()?;
    Some(UnixSeconds(certificate.tbs_certificate().validity().not_after.to_unix_duration().as_secs()))
}

/// Why the certificate and its key cannot be used. Never contains any part of the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TlsError {
    /// A file cannot be read, or is not PEM.
    Unreadable(PathBuf, String),
    /// The file contains no certificate.
    NoCertificate(PathBuf),
    /// The certificate and the key do not match, or are of an unsupported type.
    Unusable(PathBuf, String),
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(path, why) => write!(
                f,
                "tls: {} cannot be used: {why}; it has to be a PEM file that this user may read",
                path.display()
            ),
            Self::NoCertificate(path) => write!(
                f,
                "tls.certificate: {} has no X.509 certificate; give the certificate and those above it, in PEM",
                path.display()
            ),
            Self::Unusable(path, why) => write!(
                f,
                "tls.key: {} does not fit the certificate, or is of a kind that is not supported ({why})",
                path.display()
            ),
        }
    }
}

impl std::error::Error for TlsError {}
