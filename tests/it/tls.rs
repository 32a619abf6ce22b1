//! The gateway with a TLS certificate.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{CipherSuite, HandshakeKind};
use webhook_assets::AssetRef;
use webhook_assets::cli::Metrics;
use webhook_assets::server::Certificate;

use crate::support::client::request_head;
use crate::support::tls::{Pair, connect, trusting};
use crate::support::{Answer, CALL, Plan, Site, noise, recording, store_of_one};

/// A site that watches its certificate files.
struct Secured {
    site: Site,
    pair: Pair,
    certificate: Certificate,
    reload: Arc<Notify>,
    folder: tempfile::TempDir,
}

impl Secured {
    async fn usual() -> Self {
        Self::on(Plan::usual().await).await
    }

    async fn on(mut plan: Plan) -> Self {
        let (folder, pair) = (tempfile::tempdir().unwrap(), Pair::fresh());
        let certificate =
            Certificate::read(pair.write(folder.path()), Metrics::default().certificate).unwrap();
        let reload = Arc::new(Notify::new());
        let (watched, its) = (certificate.clone(), Arc::clone(&reload));
        tokio::spawn(async move { watched.watch(&its).await });
        plan.certificate = Some(certificate.clone());
        Self { site: plan.start().await, pair, certificate, reload, folder }
    }

    fn client(&self, protocols: &[&str]) -> TlsConnector {
        trusting(&[&self.pair], &[&TLS13, &TLS12], protocols)
    }

    async fn connect(&self, client: &TlsConnector) -> TlsStream<TcpStream> {
        connect(client, self.site.address).await.unwrap()
    }
}

async fn ask(stream: &mut TlsStream<TcpStream>, target: &str) -> Answer {
    stream.write_all(request_head("GET", target, &[], b"").as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    Answer::parse(&bytes, false).0
}

#[tokio::test]
async fn a_link_opens_over_tls_1_2_and_1_3_with_and_without_a_choice_of_protocol() {
    let secured = Secured::usual().await;
    for version in [&TLS12, &TLS13] {
        for protocols in [&[][..], &["http/1.0"], &["http/1.1"], &["http/1.1", "h2"]] {
            let client = trusting(&[&secured.pair], &[version], protocols);
            let mut stream = secured.connect(&client).await;
            if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                continue;
            }
            let answer = ask(&mut stream, &secured.site.recording()).await;
            assert!(answer.status == 200 && answer.body == recording(), "{version:?} {protocols:?}");
        }
    }
}

#[tokio::test]
async fn the_cipher_is_the_one_that_costs_least() {
    let secured = Secured::usual().await;
    // This client prefers AES-256, as OpenSSL's do.
    let stream = secured.connect(&secured.client(&[])).await;
    let suite = stream.get_ref().1.negotiated_cipher_suite().unwrap().suite();
    assert_eq!(suite, CipherSuite::TLS13_AES_128_GCM_SHA256);
}

#[tokio::test]
async fn a_client_that_offers_http_2_gets_it() {
    let secured = Secured::usual().await;
    let stream = secured.connect(&secured.client(&["h2", "http/1.1"])).await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (mut requests, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    for _ in 0..3 {
        let uri = format!("https://localhost{}", secured.site.recording());
        requests = requests.ready().await.unwrap();
        let answer = requests.send_request(http::Request::get(uri).body(()).unwrap(), true).unwrap().0;
        let (bytes, reset) = crate::support::http2::read(answer.await.unwrap().into_body()).await;
        assert!(bytes == recording() && reset.is_none());
    }
}

#[tokio::test]
async fn an_unsupported_protocol_is_refused_in_the_handshake() {
    let secured = Secured::usual().await;
    assert!(connect(&secured.client(&["spdy/1"]), secured.site.address).await.is_err());
}

#[tokio::test]
async fn a_returning_client_resumes_its_session() {
    let secured = Secured::usual().await;
    for version in [&TLS12, &TLS13] {
        let client = trusting(&[&secured.pair], &[version], &["http/1.1"]);
        for at in 0..3 {
            let mut stream = secured.connect(&client).await;
            assert_eq!(ask(&mut stream, &secured.site.transcript()).await.status, 200);
            let kind = stream.get_ref().1.handshake_kind();
            assert_eq!(kind == Some(HandshakeKind::Resumed), at > 0, "{version:?} {at} {kind:?}");
        }
    }
}

#[tokio::test]
async fn plain_http_is_answered_that_this_port_speaks_https() {
    let secured = Secured::usual().await;
    let answer = secured.site.get(&secured.site.recording(), &[]).await;
    assert_eq!((answer.status, answer.code().as_str()), (400, "tls_expected"));
    assert_eq!(answer.must("connection"), "close");
}

#[tokio::test]
async fn an_unfinished_or_invalid_handshake_is_disconnected() {
    let mut plan = Plan::usual().await;
    plan.server.header_timeout = Duration::from_secs(1);
    let secured = Secured::on(plan).await;
    for said in [&b""[..], b"\x16", b"\x16\x03\x01\x02\x00\x01", b"\x16\x03\x01\xff\xff", &[0xff; 300]] {
        let mut stream = secured.site.client().connect().await;
        stream.write_all(said).await.unwrap();
        let mut rest = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(30), stream.read_to_end(&mut rest)).await;
        let _ = read.unwrap_or_else(|_| panic!("the connection stays open after {said:?}"));
    }
    let mut stream = secured.connect(&secured.client(&[])).await;
    assert_eq!(ask(&mut stream, &secured.site.transcript()).await.status, 200);
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_disconnected_over_tls_too() {
    let mut plan = Plan::on(store_of_one(AssetRef::recording(CALL), noise(16 << 20)).await);
    plan.server.stall_timeout = Duration::from_secs(1);
    let secured = Secured::on(plan).await;
    let mut stream = secured.connect(&secured.client(&[])).await;
    let head = request_head("GET", &secured.site.recording(), &[], b"");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.read_exact(&mut [0; 100]).await.unwrap();
    let began = Instant::now();
    while secured.site.metrics.render().contains("webhook_assets_requests_in_flight 1") {
        assert!(began.elapsed() < Duration::from_secs(30), "it is not disconnected");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(began.elapsed() > Duration::from_millis(700));
}

#[tokio::test]
async fn a_large_download_over_tls_is_exact() {
    let bytes = noise(8 << 20);
    let plan = Plan::on(store_of_one(AssetRef::recording(CALL), bytes.clone()).await);
    let secured = Secured::on(plan).await;
    let mut stream = secured.connect(&secured.client(&[])).await;
    assert!(ask(&mut stream, &secured.site.recording()).await.body == bytes);
}

/// The certificate that a new connection gets.
async fn shown(client: &TlsConnector, site: &Site) -> Vec<u8> {
    let stream = connect(client, site.address).await.unwrap();
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

#[tokio::test]
async fn a_certificate_is_replaced_under_load_without_a_failed_request() {
    let secured = Secured::usual().await;
    let new = Pair::good_for(100);
    // A fresh client has no tickets, so it gets the certificate in force.
    let client = || trusting(&[&secured.pair, &new], &[&TLS13], &["http/1.1"]);
    let (done, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut load = Vec::new();
    for _ in 0..8 {
        let (client, done, served) = (client(), Arc::clone(&done), Arc::clone(&served));
        let (address, link) = (secured.site.address, secured.site.recording());
        load.push(tokio::spawn(async move {
            while !done.load(Ordering::Relaxed) {
                let mut stream = connect(&client, address).await.unwrap();
                assert!(ask(&mut stream, &link).await.body == recording());
                served.fetch_add(1, Ordering::Relaxed);
            }
        }));
    }
    let mut kept = secured.connect(&client()).await;
    let before = secured.certificate.expires();
    new.write(secured.folder.path());
    let began = Instant::now();
    while shown(&client(), &secured.site).await != new.der().to_vec() || served.load(Ordering::Relaxed) < 10 {
        assert!(began.elapsed() < Duration::from_secs(60), "the new certificate is not in force under load");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(secured.certificate.expires() < before);
    done.store(true, Ordering::Relaxed);
    for task in load {
        task.await.unwrap();
    }
    assert_eq!(
        ask(&mut kept, &secured.site.transcript()).await.status,
        200,
        "a connection keeps what it has"
    );
}

#[tokio::test]
async fn a_bad_new_file_leaves_the_old_certificate_in_force() {
    let secured = Secured::usual().await;
    let other = Pair::fresh();
    let old = secured.pair.der().to_vec();
    for (name, text) in [
        ("cert.pem", "no PEM"),
        ("cert.pem", ""),
        ("key.pem", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"),
        ("key.pem", other.key.as_str()),
        ("cert.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
    ] {
        std::fs::write(secured.folder.path().join(name), text).unwrap();
        secured.reload.notify_one();
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(shown(&secured.client(&[]), &secured.site).await, old, "{name} {text}");
        secured.pair.write(secured.folder.path());
    }
    // A reload checks at once.
    let new = Pair::fresh();
    new.write(secured.folder.path());
    secured.reload.notify_one();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(shown(&trusting(&[&new], &[&TLS13], &[]), &secured.site).await, new.der().to_vec());
}

#[tokio::test]
async fn an_idle_connection_gets_a_close_notify() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("recordings")).unwrap();
    std::fs::write(folder.path().join(AssetRef::recording(CALL).object_path()), noise(100_000)).unwrap();
    for drains in [true, false] {
        let mut plan = Plan::on_files(folder.path());
        plan.server.idle_timeout = Duration::from_secs(if drains { 60 } else { 1 });
        let secured = Secured::on(plan).await;
        let mut stream = secured.connect(&secured.client(&[])).await;
        let forged = secured.site.recording().replace("sig=", "sig=0");
        for _ in 0..3 {
            // The fast path answers, and the connection stays open.
            let request = format!("GET {forged} HTTP/1.1\r\nHost: localhost\r\n\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut bytes = vec![0; 4_096];
            let count = stream.read(&mut bytes).await.unwrap();
            assert!(bytes[..count].starts_with(b"HTTP/1.1 403 "));
        }
        if drains {
            secured.site.drain.begin();
        }
        let mut rest = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut rest)).await;
        // Without the close_notify this would be an error: a truncated stream.
        assert_eq!(read.expect("the connection stays open").unwrap(), 0, "drains: {drains}");
    }
}
