//! TLS for clients: the certificate in force, watched, replaced whole when its files change.

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
use tokio_rustls::rustls::{self, CipherSuite, ServerConfig, ServerConnection};

use crate::clock::UnixSeconds;
use crate::server::connection::protocol::Protocol;
use crate::telemetry::metrics::Metrics;

/// How often the files are looked at for a change. SIGHUP looks at once.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What one TLS connection may hold in encrypted form for a client that does not take it, in bytes. In HTTP/1 pieces of
/// bodies are held back, and a slow client's are short, so that it never comes near.
const BUFFER: usize = 272 * 1024;
const HTTP2_BUFFER: usize = 16 * 1024;

/// Where certificate and key are. Defaults stand in `defaults.toml`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsConfig {
    /// The certificate, and those between it and the root (PEM).
    pub certificate: PathBuf,
    /// Its private key (PEM).
    pub key: PathBuf,
    /// How long a handshake may take.
    pub handshake_timeout: Duration,
}

/// The certificate that connections are made with now. Clones share it; a connection keeps what it began with.
#[derive(Clone)]
pub struct Certificate {
    files: Arc<TlsConfig>,
    current: Arc<ArcSwap<InForce>>,
    /// Tickets outlive certificates: who comes again need not do the whole handshake.
    tickets: Arc<dyn ProducesTickets>,
    /// What the files looked like before they were read for the first time.
    looked: [Option<Fingerprint>; 2],
    metrics: Metrics,
}

/// One certificate, ready for use.
struct InForce {
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
    /// [`TlsError`], which says what to do.
    pub fn read(files: TlsConfig, metrics: Metrics) -> Result<Self, TlsError> {
        let tickets = aws_lc_rs::Ticketer::new()
            .map_err(|error| TlsError::Unusable(files.key.clone(), error.to_string()))?;
        let looked = [fingerprint(&files.certificate), fingerprint(&files.key)];
        let current = read(&files, &tickets)?;
        metrics.connections().certificate_expires(current.expires);
        let current = Arc::new(ArcSwap::from_pointee(current));
        Ok(Self { files: Arc::new(files), current, tickets, looked, metrics })
    }

    /// The second from which on it is no longer good.
    #[must_use]
    pub fn expires(&self) -> UnixSeconds {
        self.current.load().expires
    }

    /// What the next connection is made with.
    pub(super) fn in_force(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current.load().server)
    }

    pub(super) fn handshake_timeout(&self) -> Duration {
        self.files.handshake_timeout
    }

    fn read_again(&self) {
        match read(&self.files, &self.tickets) {
            Ok(new) => {
                let expires = new.expires;
                self.current.store(Arc::new(new));
                self.metrics.connections().certificate_reloaded(true);
                self.metrics.connections().certificate_expires(expires);
                tracing::info!(%expires, "the certificate was replaced");
            }
            Err(error) => {
                self.metrics.connections().certificate_reloaded(false);
                tracing::error!(%error, "the changed certificate is unusable; the old one stays in force");
            }
        }
    }

    /// Watches the files and reads them again when they change, or when notified. Never returns.
    pub async fn watch(&self, reload: &Notify) {
        let mut seen = self.looked;
        // Files that are still being written are read once they stand still: two files never change in one moment.
        let mut changed = false;
        loop {
            let asked = tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => false,
                () = reload.notified() => true,
            };
            let found = self.fingerprint();
            let moving = found != seen;
            seen = found;
            changed |= moving;
            if asked || (changed && !moving) {
                changed = false;
                self.read_again();
            }
        }
    }

    fn fingerprint(&self) -> [Option<Fingerprint>; 2] {
        [fingerprint(&self.files.certificate), fingerprint(&self.files.key)]
    }
}

type Fingerprint = (u64, u64, i64, i64, i64, i64);

/// What changes when a file is written, replaced, or made readable.
fn fingerprint(path: &Path) -> Option<Fingerprint> {
    let file = std::fs::metadata(path).ok()?;
    Some((file.ino(), file.len(), file.mtime(), file.mtime_nsec(), file.ctime(), file.ctime_nsec()))
}

fn read(files: &TlsConfig, tickets: &Arc<dyn ProducesTickets>) -> Result<InForce, TlsError> {
    let chain = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| TlsError::Unreadable(files.certificate.clone(), error.to_string()))?;
    let expires = chain.first().and_then(|first| expiry(first));
    let expires = expires.ok_or_else(|| TlsError::NoCertificate(files.certificate.clone()))?;
    let key = PrivateKeyDer::from_pem_file(&files.key)
        .map_err(|error| TlsError::Unreadable(files.key.clone(), error.to_string()))?;
    let unusable = |error: rustls::Error| TlsError::Unusable(files.key.clone(), error.to_string());
    let mut provider = aws_lc_rs::default_provider();
    // The one that every client of TLS 1.3 has to know (RFC 8446 §9.1). Processors have instructions for its hash, and
    // seldom for the other's, which costs a sixth of a handshake.
    provider.cipher_suites.sort_by_key(|suite| suite.suite() != CipherSuite::TLS13_AES_128_GCM_SHA256);
    let mut server = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(unusable)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(unusable)?;
    server.ignore_client_order = true;
    server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    server.ticketer = Arc::clone(tickets);
    // Each costs a signed answer's worth of processor time; who comes again gets a new one.
    server.send_tls13_tickets = 1;
    Ok(InForce { server: Arc::new(server), expires })
}

/// The end of a certificate's validity.
fn expiry(certificate: &CertificateDer<'_>) -> Option<UnixSeconds> {
    let (_, certificate) = x509_parser::parse_x509_certificate(certificate).ok()?;
    u64::try_from(certificate.validity().not_after.timestamp()).ok().map(UnixSeconds)
}

/// How much encrypted data a connection may hold.
pub(super) fn bound(session: &mut ServerConnection, protocol: Protocol) {
    let buffer = if protocol == Protocol::Http1 { BUFFER } else { HTTP2_BUFFER };
    session.set_buffer_limit(Some(buffer));
}

/// Why certificate and key cannot be used. Never shows anything of the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TlsError {
    /// A file cannot be read, or is not PEM.
    Unreadable(PathBuf, String),
    /// There is no certificate in the file.
    NoCertificate(PathBuf),
    /// Certificate and key do not go together, or are of a kind that is not supported.
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
