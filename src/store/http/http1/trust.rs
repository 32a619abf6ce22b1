//! Decides which stores are trusted: those that object_store's client (reqwest) trusts with the same settings.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use rustls_platform_verifier::Verifier;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;

/// Settings that trust the machine's authorities, and those of a file. Sessions are resumed. `None` if that is not
/// possible: object_store's client then says why.
pub(crate) fn client_config(ca_file: Option<&Path>) -> Option<Arc<ClientConfig>> {
    let extra = match ca_file {
        Some(path) => CertificateDer::pem_slice_iter(&fs::read(path).ok()?).collect::<Result<_, _>>().ok()?,
        None => Vec::new(),
    };
    let default = CryptoProvider::get_default().map(Arc::clone);
    let provider = default.unwrap_or_else(|| Arc::new(default_provider()));
    let verifier = Verifier::new_with_extra_roots(extra, Arc::clone(&provider)).ok()?;
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().ok()?;
    let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = builder.with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Some(Arc::new(config))
}
