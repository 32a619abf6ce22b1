//! A store on a socket whose answers a test chooses, over plain HTTP and over TLS.

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{HandshakeKind, ServerConfig};

use super::tls::Pair;
use super::{Plan, Site, sample_store};

/// A request to the store.
#[derive(Debug, Clone)]
pub struct StoreRequest {
    pub method: String,
    /// With the bucket and the prefix before the object.
    pub path: String,
    head: String,
}

impl StoreRequest {
    fn read(head: String) -> Self {
        let mut words = head.split(' ');
        let (method, path) = (words.next().unwrap().to_owned(), words.next().unwrap().to_owned());
        Self { method, path, head }
    }

    pub fn field(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().skip(1).filter_map(|line| line.split_once(':'));
        lines.find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }

    pub fn is_head(&self) -> bool {
        self.method == "HEAD"
    }

    /// The length of the whole head.
    pub fn length(&self) -> usize {
        self.head.len()
    }

    /// Whether it is a probe, which requests an object that no store has.
    pub fn is_probe(&self) -> bool {
        self.path.contains("00000000-0000-0000-0000-000000000000")
    }

    /// The requested range of an object of this size.
    pub fn range(&self, size: usize) -> Option<Range<usize>> {
        let (first, last) = self.field("range")?.strip_prefix("bytes=")?.split_once('-')?;
        if first.is_empty() {
            return Some(size - last.parse::<usize>().unwrap().min(size)..size);
        }
        let last = last.parse::<usize>().map_or(size, |last| (last + 1).min(size));
        Some(first.parse().unwrap()..last)
    }
}

/// What the store sends.
#[derive(Debug, Clone)]
pub struct Reply {
    bytes: Vec<u8>,
    close: bool,
    hang: bool,
}

impl Reply {
    /// A status line and these fields, and nothing behind them.
    pub fn head(status: u16, fields: &[(&str, &str)]) -> Self {
        let mut head = format!("HTTP/1.1 {status} As Told\r\n");
        fields.iter().for_each(|(name, value)| head.push_str(&format!("{name}: {value}\r\n")));
        Self { bytes: (head + "\r\n").into_bytes(), close: false, hang: false }
    }

    /// With a body and its length; HEAD gets the length alone.
    pub fn whole(request: &StoreRequest, status: u16, fields: &[(&str, &str)], body: &[u8]) -> Self {
        let length = body.len().to_string();
        let mut reply = Self::head(status, &[fields, &[("Content-Length", &length)]].concat());
        if !request.is_head() {
            reply.bytes.extend(body);
        }
        reply
    }

    /// With a body in chunks.
    pub fn chunked(request: &StoreRequest, status: u16, fields: &[(&str, &str)], body: &[u8]) -> Self {
        let mut reply = Self::head(status, &[fields, &[("Transfer-Encoding", "chunked")]].concat());
        if !request.is_head() {
            for chunk in body.chunks(10_000) {
                reply.bytes.extend(format!("{:x}\r\n", chunk.len()).into_bytes());
                reply.bytes.extend(chunk);
                reply.bytes.extend(b"\r\n");
            }
            reply.bytes.extend(b"0\r\n\r\n");
        }
        reply
    }

    /// An error in S3's format.
    pub fn error(request: &StoreRequest, status: u16, code: &str) -> Self {
        let text = format!(
            "<Error><Code>{code}</Code><Message>see http://secret.example/?sig=hunter2</Message>\
             <Resource>/bucket/prefix</Resource></Error>"
        );
        Self::whole(request, status, &[("Content-Type", "application/xml")], text.as_bytes())
    }

    /// The same; the store closes the connection behind it.
    pub fn and_close(mut self) -> Self {
        self.close = true;
        self
    }

    /// The same without the last bytes; the store closes the connection.
    pub fn cut_by(mut self, bytes: usize) -> Self {
        self.bytes.truncate(self.bytes.len().saturating_sub(bytes));
        self.and_close()
    }

    /// The same with these bytes behind it.
    pub fn and(mut self, bytes: &[u8]) -> Self {
        self.bytes.extend(bytes);
        self
    }

    /// The same, and nothing more, on a connection that stays open.
    pub fn and_hang(mut self) -> Self {
        self.hang = true;
        self
    }

    /// No answer.
    pub fn none() -> Self {
        Self { bytes: Vec::new(), close: false, hang: true }
    }
}

/// An object as a good store would serve it, but with these fields.
pub fn served(request: &StoreRequest, fields: &[(&str, &str)], object: &[u8]) -> Reply {
    match request.range(object.len()) {
        None => Reply::whole(request, 200, fields, object),
        Some(range) if range.is_empty() => {
            let size = format!("bytes */{}", object.len());
            Reply::whole(request, 416, &[("Content-Range", &size)], b"")
        }
        Some(range) => {
            let said = format!("bytes {}-{}/{}", range.start, range.end - 1, object.len());
            let fields = [fields, &[("Content-Range", &said)]].concat();
            Reply::whole(request, 206, &fields, &object[range])
        }
    }
}

/// The fields of a usual object.
pub const USUAL: [(&str, &str); 2] = [("ETag", "\"v1\""), ("Last-Modified", "Mon, 23 Nov 2026 09:00:00 GMT")];

/// How the gateway connects to the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Plain,
    Tls,
}

pub const WAYS: [Way; 2] = [Way::Plain, Way::Tls];

/// The store.
pub struct OddStore {
    pub address: SocketAddr,
    way: Way,
    requests: Arc<Mutex<Vec<StoreRequest>>>,
    /// Whether each TLS handshake resumed a session.
    resumed: Arc<Mutex<Vec<bool>>>,
    folder: tempfile::TempDir,
}

type Answering = dyn Fn(&StoreRequest) -> Reply + Send + Sync;

impl OddStore {
    /// A store with these answers. A probe gets 404.
    pub async fn answering(
        way: Way,
        answer: impl Fn(&StoreRequest) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, requests) = (listener.local_addr().unwrap(), Arc::default());
        let (pair, folder) = (Pair::fresh(), tempfile::tempdir().unwrap());
        pair.write(folder.path());
        let tls = (way == Way::Tls).then(|| acceptor(&pair));
        let (answer, seen): (Arc<Answering>, Arc<Mutex<Vec<StoreRequest>>>) =
            (Arc::new(answer), Arc::clone(&requests));
        let resumed: Arc<Mutex<Vec<bool>>> = Arc::default();
        let handshakes = Arc::clone(&resumed);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (answer, seen, tls) = (Arc::clone(&answer), Arc::clone(&seen), tls.clone());
                let handshakes = Arc::clone(&handshakes);
                tokio::spawn(async move {
                    match tls {
                        None => speak(stream, &*answer, &seen).await,
                        Some(tls) => {
                            let Ok(stream) = tls.accept(stream).await else { return };
                            let kind = stream.get_ref().1.handshake_kind();
                            handshakes.lock().unwrap().push(kind == Some(HandshakeKind::Resumed));
                            speak(stream, &*answer, &seen).await;
                        }
                    }
                });
            }
        });
        Self { address, way, requests, resumed, folder }
    }

    /// The requests that it got, without probes.
    pub fn requests(&self) -> Vec<StoreRequest> {
        self.requests.lock().unwrap().iter().filter(|request| !request.is_probe()).cloned().collect()
    }

    /// The number of full TLS handshakes, and of those that resumed a session.
    pub fn handshakes(&self) -> (usize, usize) {
        let resumed = self.resumed.lock().unwrap();
        let count = resumed.iter().filter(|resumed| **resumed).count();
        (resumed.len() - count, count)
    }

    /// A plan for a site on it, with long timeouts.
    pub async fn plan(&self) -> Plan {
        let mut plan = Plan::on(sample_store().await);
        plan.store.url = "s3://bucket/prefix".parse().unwrap();
        let scheme = if self.way == Way::Tls { "https" } else { "http" };
        plan.store.options = [
            ("endpoint", format!("{scheme}://localhost:{}", self.address.port())),
            ("allow_http", (self.way == Way::Plain).to_string()),
            ("region", "eu".into()),
            ("access_key_id", "AKIAEXAMPLE".into()),
            ("secret_access_key", "nobody-may-see-this".into()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec();
        plan.store.ca_file = Some(self.folder.path().join("cert.pem")).filter(|_| self.way == Way::Tls);
        plan.store.first_byte_timeout = Duration::from_secs(10);
        plan.store.stall_timeout = Duration::from_secs(10);
        plan.store.resume_tries = 4;
        plan
    }

    /// A site with short timeouts.
    pub async fn site_with_short_timeouts(&self) -> Site {
        let mut plan = self.plan().await;
        plan.store.first_byte_timeout = Duration::from_secs(2);
        plan.store.stall_timeout = Duration::from_secs(2);
        plan.store.resume_tries = 1;
        plan.start().await
    }

    pub async fn site(&self) -> Site {
        self.plan().await.start().await
    }

    /// The variables for a program that uses it.
    pub fn variables(&self) -> Vec<(&'static str, String)> {
        let scheme = if self.way == Way::Tls { "https" } else { "http" };
        let mut variables = vec![
            ("WEBHOOK_ASSETS_STORE", "s3://bucket/prefix".to_owned()),
            ("AWS_ENDPOINT_URL", format!("{scheme}://localhost:{}", self.address.port())),
            ("AWS_ALLOW_HTTP", (self.way == Way::Plain).to_string()),
            ("AWS_REGION", "eu-central-1".to_owned()),
            ("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE".to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "nobody-may-see-this".to_owned()),
        ];
        if self.way == Way::Tls {
            let path = self.folder.path().join("cert.pem");
            variables.push(("WEBHOOK_ASSETS_STORE_CA_FILE", path.display().to_string()));
        }
        variables
    }
}

fn acceptor(pair: &Pair) -> TlsAcceptor {
    let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![pair.der().clone()], key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

async fn speak(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    answer: &Answering,
    seen: &Mutex<Vec<StoreRequest>>,
) {
    while let Some(head) = read_head(&mut stream).await {
        let request = StoreRequest::read(head);
        seen.lock().unwrap().push(request.clone());
        let reply = if request.is_probe() { probed(&request, answer) } else { answer(&request) };
        let sent = stream.write_all(&reply.bytes).await.is_ok() && stream.flush().await.is_ok();
        if reply.hang {
            return std::future::pending().await;
        }
        if !sent || reply.close {
            let _ = stream.shutdown().await;
            return;
        }
    }
}

/// The answer to a probe: the test's, unless that is an object.
fn probed(request: &StoreRequest, answer: &Answering) -> Reply {
    let reply = answer(request);
    let is_object = reply.bytes.starts_with(b"HTTP/1.1 20");
    if is_object { Reply::error(request, 404, "NoSuchKey") } else { reply }
}

async fn read_head(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    String::from_utf8(head).ok()
}
