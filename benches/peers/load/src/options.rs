//! The options of the command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use crate::answer::Head;

pub(crate) struct Target {
    pub(crate) path: String,
    pub(crate) request: Vec<u8>,
    pub(crate) file: Option<PathBuf>,
}

pub(crate) struct Options {
    pub(crate) address: SocketAddr,
    pub(crate) targets: Vec<Target>,
    pub(crate) first: usize,
    pub(crate) connections: usize,
    pub(crate) time: Duration,
    pub(crate) requests: Option<u64>,
    pub(crate) status: u16,
    pub(crate) length: Option<u64>,
    pub(crate) close: bool,
    pub(crate) cold: bool,
    pub(crate) compare: bool,
    pub(crate) slow: Option<u32>,
    pub(crate) streams: Option<usize>,
    pub(crate) tls: Option<Arc<ClientConfig>>,
}

impl Options {
    pub(crate) fn read(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self {
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            targets: Vec::new(),
            first: 0,
            connections: 1,
            time: Duration::from_secs(1),
            requests: None,
            status: 200,
            length: None,
            close: false,
            cold: false,
            compare: false,
            slow: None,
            streams: None,
            tls: None,
        };
        let (mut targets, mut fields) = (String::new(), String::new());
        while let Some(name) = arguments.next() {
            match name.as_str() {
                "--close" => options.close = true,
                "--cold" => options.cold = true,
                "--compare" => options.compare = true,
                _ => {
                    let value = arguments.next().ok_or_else(|| format!("{name} needs a value"))?;
                    match name.as_str() {
                        "--address" => options.address = parsed(&name, &value)?,
                        "--targets" => {
                            targets =
                                std::fs::read_to_string(&value).map_err(|why| format!("{value}: {why}"))?;
                        }
                        "--first" => options.first = parsed(&name, &value)?,
                        "--connections" => options.connections = parsed(&name, &value)?,
                        "--seconds" => options.time = Duration::from_secs_f64(parsed(&name, &value)?),
                        "--requests" => options.requests = Some(parsed(&name, &value)?),
                        "--status" => options.status = parsed(&name, &value)?,
                        "--length" => options.length = Some(parsed(&name, &value)?),
                        "--field" => fields = format!("{fields}{value}\r\n"),
                        "--slow" => options.slow = Some(parsed(&name, &value)?),
                        "--streams" => options.streams = Some(parsed(&name, &value)?),
                        "--trust" => options.tls = Some(tls(&value)?),
                        _ => return Err(format!("{name} is not known")),
                    }
                }
            }
        }
        if let (Some(tls), Some(_)) = (&mut options.tls, options.streams) {
            Arc::make_mut(tls).alpn_protocols = vec![b"h2".to_vec()];
        }
        if options.close {
            fields += "Connection: close\r\n";
        }
        options.targets = targets.lines().map(|line| target(line, &fields)).collect();
        if options.targets.is_empty() {
            return Err("no targets".into());
        }
        Ok(options)
    }

    /// Checks that every answer is the expected one.
    pub(crate) fn check(&self, head: Head, text: &[u8]) -> Result<(), String> {
        if head.status == self.status && (self.length.is_none() || self.length == head.body) {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&text[..text.len().min(1024)]);
        Err(format!("expected {} with {:?} bytes, got:\n{text}", self.status, self.length))
    }
}

fn parsed<T: std::str::FromStr>(name: &str, value: &str) -> Result<T, String> {
    value.parse().map_err(|_| format!("{name} {value} cannot be read"))
}

fn target(line: &str, fields: &str) -> Target {
    let (target, file) =
        line.split_once('\t').map_or((line, None), |(target, file)| (target, Some(file.into())));
    let request = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n").into_bytes();
    Target { path: target.into(), request, file }
}

/// TLS 1.3 with AES-128-GCM over X25519, and every handshake a full one.
fn tls(certificate: &str) -> Result<Arc<ClientConfig>, String> {
    let certificate =
        CertificateDer::from_pem_file(certificate).map_err(|why| format!("{certificate}: {why}"))?;
    let mut roots = RootCertStore::empty();
    roots.add(certificate).map_err(|why| why.to_string())?;
    let provider = CryptoProvider {
        cipher_suites: vec![ring::cipher_suite::TLS13_AES_128_GCM_SHA256],
        kx_groups: vec![ring::kx_group::X25519],
        ..ring::default_provider()
    };
    let builder = ClientConfig::builder_with_provider(Arc::new(provider));
    let builder =
        builder.with_protocol_versions(&[&rustls::version::TLS13]).map_err(|why| why.to_string())?;
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}
