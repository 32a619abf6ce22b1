//! Certificates as files, and clients that trust them.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use webhook_assets::server::TlsConfig;

/// A self-signed certificate for `localhost`, and its key.
pub struct Pair {
    pub certificate: String,
    pub key: String,
    der: CertificateDer<'static>,
}

impl Pair {
    pub fn fresh() -> Self {
        Self::good_for(365)
    }

    /// Valid for this number of days from now; a negative number means expired.
    pub fn good_for(days: i64) -> Self {
        use rcgen::{CertificateParams, KeyPair};

        let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        let today = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs() as i64;
        let at = |seconds: i64| (std::time::UNIX_EPOCH + Duration::from_secs(seconds.unsigned_abs())).into();
        params.not_before = at(today - 400 * 86_400);
        params.not_after = at(today + days * 86_400 + 3_600);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Self { certificate: certificate.pem(), key: key.serialize_pem(), der: certificate.der().clone() }
    }

    /// Writes both; replaces each file as a whole.
    pub fn write(&self, folder: &Path) -> TlsConfig {
        let write = |name: &str, text: &str| -> PathBuf {
            let (new, path) = (folder.join(format!("{name}.new")), folder.join(name));
            std::fs::write(&new, text).unwrap();
            std::fs::set_permissions(&new, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
            std::fs::rename(&new, &path).unwrap();
            path
        };
        TlsConfig {
            certificate: write("cert.pem", &self.certificate),
            key: write("key.pem", &self.key),
            handshake_timeout: Duration::from_secs(1),
        }
    }

    pub fn der(&self) -> &CertificateDer<'static> {
        &self.der
    }
}

/// A client's settings: trusts these certificates, and offers these protocols.
pub fn trusting(
    pairs: &[&Pair],
    versions: &[&'static SupportedProtocolVersion],
    protocols: &[&str],
) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    pairs.iter().for_each(|pair| roots.add(pair.der.clone()).unwrap());
    let mut client = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    client.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    TlsConnector::from(Arc::new(client))
}

/// A connection with its handshake done.
pub async fn connect(client: &TlsConnector, address: SocketAddr) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    client.connect(ServerName::try_from("localhost").unwrap(), stream).await
}
