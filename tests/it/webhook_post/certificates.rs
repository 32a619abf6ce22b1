//! Receivers over TLS: which certificates the poster trusts, and what it says about the others.

use std::sync::Arc;
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use tempfile::NamedTempFile;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ServerConfig, version};
use webhook_assets::webhook::{Phase, PostError, Poster, PosterConfig, TlsError};

use super::{Answers, OK, OUTSIDE, Receiver, SHORT, answer_all, config, error_of, post, timed_out};

/// A test authority, and the certificates that it issues to `hooks.example`.
pub(super) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    file: NamedTempFile,
}

impl Authority {
    pub(super) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let file = NamedTempFile::new().unwrap();
        std::fs::write(file.path(), issuer.pem()).unwrap();
        Self { issuer, file }
    }

    pub(super) fn issue(&self, change: impl FnOnce(&mut CertificateParams)) -> TlsAcceptor {
        let mut params = CertificateParams::new(["hooks.example".to_owned()]).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        acceptor(certificate.der().clone(), &key)
    }

    /// A poster that trusts this authority, and resolves every name to this machine.
    fn poster(&self) -> Poster {
        self.poster_of(config())
    }

    pub(super) fn poster_of(&self, config: PosterConfig) -> Poster {
        let config = PosterConfig { ca_file: Some(self.file.path().to_owned()), ..config };
        Poster::with_resolver(&config, Answers::of([vec![OUTSIDE]])).unwrap()
    }
}

fn acceptor(certificate: CertificateDer<'static>, key: &KeyPair) -> TlsAcceptor {
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[&version::TLS12, &version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

pub(super) async fn https(acceptor: TlsAcceptor) -> (Receiver, String) {
    let receiver = Receiver::new(move |stream| {
        let acceptor = acceptor.clone();
        async move { answer_all(acceptor.accept(stream).await?, OK.into()).await }
    })
    .await;
    let url = receiver.at("hooks.example").replace("http:", "https:");
    (receiver, url)
}

#[tokio::test]
async fn a_good_certificate_of_a_named_authority_is_trusted() {
    let authority = Authority::new();
    let (receiver, url) = https(authority.issue(|_| {})).await;
    let poster = authority.poster();
    for _ in 0..2 {
        let exchange = post(&poster, &url).await;
        assert!(exchange.is_success(), "{exchange:?}");
    }
    assert_eq!(receiver.connections(), 1);
}

#[tokio::test]
async fn an_unusable_certificate_is_refused_with_the_reason() {
    let authority = Authority::new();
    let poster = authority.poster();
    let trouble = async |acceptor| {
        let (_receiver, url) = https(acceptor).await;
        match error_of(&poster, &url).await {
            PostError::Tls(trouble) => trouble,
            other => panic!("{other:?}"),
        }
    };
    let expired = authority.issue(|params| params.not_after = date_time_ymd(2020, 1, 1));
    let TlsError::Expired { ago: Some(ago) } = trouble(expired).await else { panic!("not expired") };
    assert!(ago > Duration::from_secs(5 * 365 * 86_400), "{ago:?}");
    let early = authority.issue(|params| params.not_before = date_time_ymd(3000, 1, 1));
    assert_eq!(trouble(early).await, TlsError::NotYetValid);
    let other = authority.issue(|params| {
        params.subject_alt_names =
            CertificateParams::new(["other.example".to_owned()]).unwrap().subject_alt_names;
    });
    assert_eq!(trouble(other).await, TlsError::WrongName { presented: vec!["other.example".into()] });
    let stranger = Authority::new().issue(|_| {});
    assert_eq!(trouble(stranger).await, TlsError::UnknownIssuer);
    for is_ca in [IsCa::NoCa, IsCa::Ca(BasicConstraints::Unconstrained)] {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(["hooks.example".to_owned()]).unwrap();
        params.is_ca = is_ca;
        let alone = params.self_signed(&key).unwrap();
        assert_eq!(trouble(acceptor(alone.der().clone(), &key)).await, TlsError::UnknownIssuer);
    }
}

#[tokio::test]
async fn a_port_without_tls_is_distinguished_from_a_bad_certificate() {
    let poster = Authority::new().poster();
    let plain = Receiver::new(|mut stream| async move {
        stream.read_u8().await?;
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await?;
        stream.read_to_end(&mut Vec::new()).await.map(drop)
    })
    .await;
    let url = plain.at("hooks.example").replace("http:", "https:");
    assert_eq!(error_of(&poster, &url).await, PostError::Tls(TlsError::NotTls));
    let silent =
        Receiver::new(|mut stream| async move { stream.read_to_end(&mut Vec::new()).await.map(drop) }).await;
    let config = PosterConfig { deadline: SHORT, ..config() };
    let strict = Poster::with_resolver(&config, Answers::of([vec![OUTSIDE]])).unwrap();
    let url = silent.at("hooks.example").replace("http:", "https:");
    assert_eq!(error_of(&strict, &url).await, timed_out(Phase::Tls));
}

#[tokio::test]
async fn a_file_of_authorities_that_cannot_be_used_is_refused_at_the_start() {
    let said = |path: &std::path::Path| {
        let config = PosterConfig { ca_file: Some(path.to_owned()), ..config() };
        Poster::new(&config).unwrap_err().to_string()
    };
    let empty = NamedTempFile::new().unwrap();
    assert!(said(empty.path()).ends_with("there is no usable certificate in it; it has to be PEM"));
    assert!(said("/nonexistent/ca.pem".as_ref()).starts_with("/nonexistent/ca.pem: "));
}
