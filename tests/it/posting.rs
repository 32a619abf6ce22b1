//! One POST against receivers that are slow, odd or hostile. "Public" is 127.0.0.1 here, which the poster is told to
//! allow; 127.0.0.2 stands for the inside of our network.

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use tempfile::NamedTempFile;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ServerConfig, version};
use webhook_assets::webhook::{
    AllowedNetworks, Breakage, EndpointUrl, Exchange, Phase, PostError, Poster, PosterConfig, Resolve,
    TlsTrouble, UrlRules,
};

const OUTSIDE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const INSIDE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

/// How long an attempt may take that is meant to time out; others have ten seconds.
const SHORT: Duration = Duration::from_millis(400);

/// What a test waits for at most before it counts as hanging.
const HANGS: Duration = Duration::from_secs(8);

/// A receiver that does the same with every connection, and counts them.
struct Receiver {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl Receiver {
    async fn on<F, Fut>(address: IpAddr, port: u16, serve: F) -> Self
    where
        F: Fn(TcpStream) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = io::Result<()>> + Send + 'static,
    {
        let listener = TcpListener::bind((address, port)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&connections);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counter.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(stream));
            }
        });
        Self { address, connections }
    }

    async fn new<F, Fut>(serve: F) -> Self
    where
        F: Fn(TcpStream) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = io::Result<()>> + Send + 'static,
    {
        Self::on(OUTSIDE, 0, serve).await
    }

    /// Answers every request with these bytes, and keeps the connection open.
    async fn answering(answer: impl Into<Bytes>) -> Self {
        let answer = answer.into();
        Self::new(move |stream| answer_all(stream, answer.clone())).await
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// `http://{host}:{port}/hook`.
    fn at(&self, host: &str) -> String {
        format!("http://{host}:{}/hook?token=1", self.address.port())
    }

    fn url(&self) -> String {
        self.at("127.0.0.1")
    }
}

async fn answer_all(mut stream: impl AsyncRead + AsyncWrite + Unpin, answer: Bytes) -> io::Result<()> {
    loop {
        read_request(&mut stream).await?;
        stream.write_all(&answer).await?;
        stream.flush().await?;
    }
}

/// A whole request: head, and as much body as it announces.
async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let mut read = Vec::new();
    loop {
        if let Some(end) = read.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&read[..end]).to_ascii_lowercase();
            let length = head.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
            let length: usize = length.map_or(0, |length| length.parse().unwrap());
            if read.len() >= end + 4 + length {
                return Ok(read);
            }
        }
        if stream.read_buf(&mut read).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// A resolver that gives its answers in turn, and the last one for ever.
#[derive(Debug)]
struct Answers(Mutex<VecDeque<Vec<IpAddr>>>);

impl Answers {
    fn of(answers: impl IntoIterator<Item = Vec<IpAddr>>) -> Arc<Self> {
        Arc::new(Self(Mutex::new(answers.into_iter().collect())))
    }
}

#[async_trait]
impl Resolve for Answers {
    async fn resolve(&self, _: &str) -> io::Result<Vec<IpAddr>> {
        let mut answers = self.0.lock().unwrap();
        if answers.len() > 1 { Ok(answers.pop_front().unwrap()) } else { Ok(answers[0].clone()) }
    }
}

fn config() -> PosterConfig {
    let networks = AllowedNetworks::parse(["127.0.0.1"]).unwrap();
    PosterConfig { networks, allow_http: true, ..PosterConfig::default() }
}

fn impatient() -> Poster {
    Poster::new(&PosterConfig { deadline: SHORT, ..config() }).unwrap()
}

fn patient() -> Poster {
    Poster::new(&config()).unwrap()
}

/// Posts a small body.
async fn post(poster: &Poster, url: &str) -> Exchange {
    let rules = UrlRules { allow_http: true, networks: &config().networks };
    let url = EndpointUrl::parse(url, &rules).unwrap();
    let mut headers = HeaderMap::new();
    headers.insert("x-webhook-signature", HeaderValue::from_static("00ff"));
    let posted = poster.post(&url, headers, Bytes::from_static(b"{\"test\":true}"));
    tokio::time::timeout(HANGS, posted).await.expect("the attempt ends")
}

async fn error_of(poster: &Poster, url: &str) -> PostError {
    post(poster, url).await.result.unwrap_err()
}

fn timed_out(phase: Phase) -> PostError {
    PostError::TimedOut { phase, after: SHORT }
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[tokio::test]
async fn a_request_is_what_a_receiver_expects() {
    let (tell, mut told) = tokio::sync::mpsc::channel(1);
    let receiver = Receiver::new(move |mut stream| {
        let tell = tell.clone();
        async move {
            let request = read_request(&mut stream).await?;
            tell.send(String::from_utf8(request).unwrap()).await.unwrap();
            stream.write_all(OK.as_bytes()).await
        }
    })
    .await;
    let exchange = post(&patient(), &receiver.url()).await;
    assert!(exchange.is_success());
    let answer = exchange.result.unwrap();
    assert_eq!((answer.status, answer.excerpt.as_str()), (200, "ok"));
    let request = told.recv().await.unwrap();
    let (head, body) = request.split_once("\r\n\r\n").unwrap();
    let mut lines: Vec<_> = head.lines().collect();
    assert_eq!(lines.remove(0), "POST /hook?token=1 HTTP/1.1");
    lines.sort();
    assert_eq!(
        lines,
        [
            "Accept: */*",
            "Content-Length: 13",
            &format!("Host: {}", receiver.address),
            concat!("User-Agent: webhook-assets/", env!("CARGO_PKG_VERSION")),
            "X-Webhook-Signature: 00ff",
        ]
    );
    assert_eq!(body, "{\"test\":true}");
}

#[tokio::test]
async fn a_silent_receiver_times_out_and_loses_its_connection() {
    let (tell, mut told) = tokio::sync::mpsc::channel(1);
    let receiver = Receiver::new(move |mut stream| {
        let tell = tell.clone();
        async move {
            read_request(&mut stream).await?;
            let after = stream.read(&mut [0]).await;
            tell.send(matches!(after, Ok(0) | Err(_))).await.unwrap();
            Ok(())
        }
    })
    .await;
    let exchange = post(&impatient(), &receiver.url()).await;
    assert_eq!(exchange.result.unwrap_err(), timed_out(Phase::Answer));
    assert!(exchange.took >= SHORT && exchange.took < HANGS, "{:?}", exchange.took);
    let closed = tokio::time::timeout(HANGS, told.recv()).await.unwrap();
    assert_eq!(closed, Some(true));
}

#[tokio::test]
async fn the_deadline_ends_a_head_or_a_body_that_trickles() {
    let trickle = |begin: &'static str, drop: &'static str| {
        move |mut stream: TcpStream| async move {
            read_request(&mut stream).await?;
            stream.write_all(begin.as_bytes()).await?;
            loop {
                stream.write_all(drop.as_bytes()).await?;
                tokio::time::sleep(Duration::from_millis(30)).await;
            }
        }
    };
    let head = Receiver::new(trickle("HTTP/1.1 200 OK\r\n", "X-A: b\r\n")).await;
    assert_eq!(error_of(&impatient(), &head.url()).await, timed_out(Phase::Answer));
    let interim = Receiver::new(trickle("", "HTTP/1.1 102 Processing\r\n\r\n")).await;
    assert_eq!(error_of(&impatient(), &interim.url()).await, timed_out(Phase::Answer));
    let body = Receiver::new(trickle("HTTP/1.1 200 OK\r\nContent-Length: 4000\r\n\r\n", "x")).await;
    assert_eq!(error_of(&impatient(), &body.url()).await, timed_out(Phase::Body));
    let chunks =
        Receiver::new(trickle("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\nx\r\n"));
    assert_eq!(error_of(&impatient(), &chunks.await.url()).await, timed_out(Phase::Body));
}

#[tokio::test]
async fn a_long_body_is_cut_and_its_connection_given_up() {
    let (tell, mut told) = tokio::sync::mpsc::channel(2);
    let endless = Receiver::new(move |mut stream| {
        let tell = tell.clone();
        async move {
            read_request(&mut stream).await?;
            stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await?;
            let chunk = [b"400\r\n".as_slice(), &[b'x'; 1024], b"\r\n"].concat();
            while stream.write_all(&chunk).await.is_ok() {}
            tell.send(()).await.unwrap();
            Ok(())
        }
    })
    .await;
    let answer = post(&patient(), &endless.url()).await.result.unwrap();
    assert_eq!(answer.excerpt, "x".repeat(4096));
    tokio::time::timeout(HANGS, told.recv()).await.expect("the receiver is cut off");

    let mut five_megabytes = b"HTTP/1.1 200 OK\r\nContent-Length: 5000000\r\n\r\n".to_vec();
    five_megabytes.resize(five_megabytes.len() + 5_000_000, b'y');
    let large = Receiver::answering(five_megabytes).await;
    let answer = post(&patient(), &large.url()).await.result.unwrap();
    assert_eq!(answer.excerpt, "y".repeat(4096));
}

#[tokio::test]
async fn a_redirect_is_told_and_not_followed() {
    let inside = Receiver::on(INSIDE, 0, |stream| answer_all(stream, OK.into())).await;
    let answer = format!(
        "HTTP/1.1 302 Found\r\nLocation: http://{}/\r\nRetry-After: 7\r\nContent-Type: text/html\r\n\
         Content-Length: 0\r\n\r\n",
        inside.address
    );
    let receiver = Receiver::answering(answer).await;
    let exchange = post(&patient(), &receiver.url()).await;
    assert!(!exchange.is_success());
    let answer = exchange.result.unwrap();
    assert_eq!(answer.status, 302);
    assert_eq!(answer.location, Some(format!("http://{}/", inside.address)));
    assert_eq!(answer.retry_after, Some(Duration::from_secs(7)));
    assert_eq!(answer.content_type.as_deref(), Some("text/html"));
    assert_eq!((receiver.connections(), inside.connections()), (1, 0));
}

#[tokio::test]
async fn an_answer_that_breaks_says_how() {
    let broken = |phase, how| PostError::Broken { phase, how };
    let closing = Receiver::new(|mut stream| async move { read_request(&mut stream).await.map(drop) }).await;
    assert_eq!(error_of(&patient(), &closing.url()).await, broken(Phase::Answer, Breakage::Closed));
    // Closing with unread bytes in the buffer resets the connection.
    let resetting = Receiver::new(|mut stream| async move { stream.read_u8().await.map(drop) }).await;
    assert_eq!(error_of(&patient(), &resetting.url()).await, broken(Phase::Answer, Breakage::Reset));
    let odd = Receiver::answering("SSH-2.0-OpenSSH_9.6\r\n\r\n").await;
    assert_eq!(error_of(&patient(), &odd.url()).await, broken(Phase::Answer, Breakage::NotHttp));
    for giant in [
        format!("HTTP/1.1 200 OK\r\nX-Giant: {}\r\n\r\n", "x".repeat(200_000)),
        format!("HTTP/1.1 200 OK\r\n{}\r\n", "X-A: b\r\n".repeat(300)),
    ] {
        let giant = Receiver::answering(giant).await;
        assert_eq!(error_of(&patient(), &giant.url()).await, broken(Phase::Answer, Breakage::HeadTooLarge));
    }
    let half = Receiver::new(|mut stream| async move {
        read_request(&mut stream).await?;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf").await
    })
    .await;
    assert_eq!(error_of(&patient(), &half.url()).await, broken(Phase::Body, Breakage::Closed));
}

#[tokio::test]
async fn a_body_without_a_length_ends_with_the_connection() {
    let receiver = Receiver::new(|mut stream| async move {
        read_request(&mut stream).await?;
        stream.write_all(b"HTTP/1.0 200 OK\r\n\r\nfine").await
    })
    .await;
    assert_eq!(post(&patient(), &receiver.url()).await.result.unwrap().excerpt, "fine");
}

#[tokio::test]
async fn nothing_that_a_receiver_sends_brings_the_poster_down() {
    let answers: [&[u8]; 9] = [
        b"\0\0\0\0",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 999 \xff\xfe\r\nLocation: \xff\xfe\x1b\r\nRetry-After: 99999999999999999999\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n\xff\xff\xff\xffHTTP/1.1 200 OK\r\n\r\n",
    ];
    for answer in answers {
        let receiver = Receiver::answering(answer).await;
        let exchange = post(&impatient(), &receiver.url()).await;
        assert_eq!(receiver.connections(), 1, "{} {exchange:?}", answer.escape_ascii());
    }
}

#[tokio::test]
async fn a_connection_is_used_again_for_the_same_host_alone() {
    let receiver = Receiver::answering(OK).await;
    let poster = Poster::with_resolver(&config(), Answers::of([vec![OUTSIDE]])).unwrap();
    for _ in 0..3 {
        assert!(post(&poster, &receiver.at("one.example")).await.is_success());
    }
    assert_eq!(receiver.connections(), 1);
    assert!(post(&poster, &receiver.at("two.example")).await.is_success());
    assert_eq!(receiver.connections(), 2);
}

#[tokio::test]
async fn a_connection_that_the_receiver_has_closed_meanwhile_is_replaced() {
    let receiver = Receiver::new(|mut stream| async move {
        read_request(&mut stream).await?;
        stream.write_all(OK.as_bytes()).await
    })
    .await;
    let poster = patient();
    for posted in 1..=5 {
        let exchange = post(&poster, &receiver.url()).await;
        assert!(exchange.is_success(), "{exchange:?}");
        assert_eq!(receiver.connections(), posted);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn a_request_that_may_have_arrived_is_not_sent_again() {
    let requests = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&requests);
    // Answers the first request of a connection, and hangs up on the second.
    let receiver = Receiver::new(move |mut stream| {
        let counter = Arc::clone(&counter);
        async move {
            read_request(&mut stream).await?;
            counter.fetch_add(1, Ordering::SeqCst);
            stream.write_all(OK.as_bytes()).await?;
            read_request(&mut stream).await?;
            counter.fetch_add(1, Ordering::SeqCst);
            Ok(())
        }
    })
    .await;
    let poster = patient();
    assert!(post(&poster, &receiver.url()).await.is_success());
    let error = error_of(&poster, &receiver.url()).await;
    assert_eq!(error, PostError::Broken { phase: Phase::Answer, how: Breakage::Closed });
    assert_eq!((requests.load(Ordering::SeqCst), receiver.connections()), (2, 1));
}

#[tokio::test]
async fn a_name_that_turns_inside_is_refused() {
    let closing = |mut stream: TcpStream| async move {
        read_request(&mut stream).await?;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await
    };
    let outside = Receiver::new(closing).await;
    let inside = Receiver::on(INSIDE, outside.address.port(), closing).await;
    let rebinding = Answers::of([vec![OUTSIDE], vec![INSIDE]]);
    let poster = Poster::with_resolver(&config(), rebinding).unwrap();
    assert!(post(&poster, &outside.at("rebind.example")).await.is_success());
    let PostError::NotPublic(refused) = error_of(&poster, &outside.at("rebind.example")).await else {
        panic!("it was connected to")
    };
    assert_eq!((refused.address, refused.range), (INSIDE, "a loopback address"));
    assert_eq!((outside.connections(), inside.connections()), (1, 0));
}

#[tokio::test]
async fn one_address_inside_spoils_the_others() {
    let outside = Receiver::answering(OK).await;
    let inside = Receiver::on(INSIDE, outside.address.port(), |stream| answer_all(stream, OK.into())).await;
    for answer in [
        vec![OUTSIDE, INSIDE],
        vec![INSIDE, OUTSIDE],
        vec![OUTSIDE, "::ffff:127.0.0.2".parse().unwrap()],
        vec![OUTSIDE, "::1".parse().unwrap()],
        vec!["169.254.169.254".parse().unwrap()],
    ] {
        let poster = Poster::with_resolver(&config(), Answers::of([answer.clone()])).unwrap();
        let error = error_of(&poster, &outside.at("mixed.example")).await;
        assert!(matches!(error, PostError::NotPublic(_)), "{answer:?} {error:?}");
    }
    assert_eq!((outside.connections(), inside.connections()), (0, 0));
}

#[tokio::test]
async fn an_allowed_address_is_connected_to_in_its_ipv6_form_too() {
    let receiver = Receiver::answering(OK).await;
    let mapped = Answers::of([vec!["::ffff:127.0.0.1".parse().unwrap()]]);
    let poster = Poster::with_resolver(&config(), mapped).unwrap();
    assert!(post(&poster, &receiver.at("mapped.example")).await.is_success());
    assert!(post(&poster, &receiver.at("[::ffff:127.0.0.1]")).await.is_success());
}

#[tokio::test]
async fn an_address_that_was_allowed_when_it_was_entered_is_checked_again() {
    let receiver = Receiver::answering(OK).await;
    let strict = Poster::new(&PosterConfig { allow_http: true, ..PosterConfig::default() }).unwrap();
    assert!(matches!(error_of(&strict, &receiver.url()).await, PostError::NotPublic(_)));
    let secure = Poster::new(&PosterConfig { allow_http: false, ..config() }).unwrap();
    assert_eq!(error_of(&secure, &receiver.url()).await, PostError::PlainHttp);
    assert_eq!(receiver.connections(), 0);
}

#[tokio::test]
async fn the_next_address_is_tried_when_one_refuses() {
    let receiver = Receiver::answering(OK).await;
    let networks = AllowedNetworks::parse(["127.0.0.0/8"]).unwrap();
    let config = PosterConfig { networks, ..config() };
    let poster = Poster::with_resolver(&config, Answers::of([vec![INSIDE, OUTSIDE]])).unwrap();
    assert!(post(&poster, &receiver.at("two.example")).await.is_success());
    let nobody = Poster::with_resolver(&config, Answers::of([vec![INSIDE, INSIDE]])).unwrap();
    assert_eq!(error_of(&nobody, &receiver.at("two.example")).await, PostError::Refused);
}

/// A port whose queue is full: the system drops what else wants to connect, so an attempt hangs.
async fn deaf(address: IpAddr, port: u16) -> (TcpListener, Vec<TcpStream>) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((address, port).into()).unwrap();
    let listener = socket.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let mut queued = Vec::new();
    while let Ok(Ok(stream)) =
        tokio::time::timeout(Duration::from_millis(100), TcpStream::connect(address)).await
    {
        queued.push(stream);
    }
    (listener, queued)
}

#[tokio::test]
async fn an_address_that_does_not_answer_gets_company_from_the_next() {
    let receiver = Receiver::answering(OK).await;
    let _deaf = deaf(INSIDE, receiver.address.port()).await;
    let networks = AllowedNetworks::parse(["127.0.0.0/8"]).unwrap();
    let config = PosterConfig { networks, ..config() };
    let poster = Poster::with_resolver(&config, Answers::of([vec![INSIDE, OUTSIDE]])).unwrap();
    let exchange = post(&poster, &receiver.at("two.example")).await;
    assert!(exchange.is_success(), "{exchange:?}");
}

#[tokio::test]
async fn the_deadline_covers_the_connection() {
    let (listener, _queued) = deaf(OUTSIDE, 0).await;
    let url = format!("http://{}/", listener.local_addr().unwrap());
    assert_eq!(error_of(&impatient(), &url).await, timed_out(Phase::Connect));
}

#[tokio::test]
async fn many_webhooks_to_one_host_go_at_once() {
    let receiver = Receiver::answering(OK).await;
    let poster = patient();
    let url = receiver.url();
    let posts = (0..200).map(|_| post(&poster, &url));
    let exchanges = futures_util::future::join_all(posts).await;
    assert!(exchanges.iter().all(Exchange::is_success));
}

#[tokio::test]
async fn a_name_without_addresses_does_not_exist() {
    let poster = Poster::with_resolver(&config(), Answers::of([vec![]])).unwrap();
    let error = error_of(&poster, "http://nowhere.example/").await;
    assert_eq!(error, PostError::NameNotFound { host: "nowhere.example".into() });
}

/// A resolver that never answers.
#[derive(Debug)]
struct Hanging;

#[async_trait]
impl Resolve for Hanging {
    async fn resolve(&self, _: &str) -> io::Result<Vec<IpAddr>> {
        std::future::pending().await
    }
}

#[tokio::test]
async fn the_deadline_covers_the_lookup() {
    let poster =
        Poster::with_resolver(&PosterConfig { deadline: SHORT, ..config() }, Arc::new(Hanging)).unwrap();
    assert_eq!(error_of(&poster, "http://slow.example/").await, timed_out(Phase::Resolve));
}

/// An authority of our own, and the certificates that it gives to `hooks.example`.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    file: NamedTempFile,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let file = NamedTempFile::new().unwrap();
        std::fs::write(file.path(), issuer.pem()).unwrap();
        Self { issuer, file }
    }

    fn issue(&self, change: impl FnOnce(&mut CertificateParams)) -> TlsAcceptor {
        let mut params = CertificateParams::new(["hooks.example".to_owned()]).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        acceptor(certificate.der().clone(), &key)
    }

    /// A poster that trusts this authority, and finds every name at home.
    fn poster(&self) -> Poster {
        let config = PosterConfig { ca_file: Some(self.file.path().to_owned()), ..config() };
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

async fn https(acceptor: TlsAcceptor) -> (Receiver, String) {
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
async fn a_certificate_that_will_not_do_says_why() {
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
    let TlsTrouble::Expired { ago: Some(ago) } = trouble(expired).await else { panic!("not expired") };
    assert!(ago > Duration::from_secs(5 * 365 * 86_400), "{ago:?}");
    let early = authority.issue(|params| params.not_before = date_time_ymd(3000, 1, 1));
    assert_eq!(trouble(early).await, TlsTrouble::NotYetValid);
    let other = authority.issue(|params| {
        params.subject_alt_names =
            CertificateParams::new(["other.example".to_owned()]).unwrap().subject_alt_names;
    });
    assert_eq!(trouble(other).await, TlsTrouble::WrongName { presented: vec!["other.example".into()] });
    let stranger = Authority::new().issue(|_| {});
    assert_eq!(trouble(stranger).await, TlsTrouble::UnknownIssuer);
    for is_ca in [IsCa::NoCa, IsCa::Ca(BasicConstraints::Unconstrained)] {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(["hooks.example".to_owned()]).unwrap();
        params.is_ca = is_ca;
        let alone = params.self_signed(&key).unwrap();
        assert_eq!(trouble(acceptor(alone.der().clone(), &key)).await, TlsTrouble::UnknownIssuer);
    }
}

#[tokio::test]
async fn a_port_without_tls_is_told_from_a_bad_certificate() {
    let poster = Authority::new().poster();
    let plain = Receiver::new(|mut stream| async move {
        stream.read_u8().await?;
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await?;
        stream.read_to_end(&mut Vec::new()).await.map(drop)
    })
    .await;
    let url = plain.at("hooks.example").replace("http:", "https:");
    assert_eq!(error_of(&poster, &url).await, PostError::Tls(TlsTrouble::NotTls));
    let silent =
        Receiver::new(|mut stream| async move { stream.read_to_end(&mut Vec::new()).await.map(drop) }).await;
    let config = PosterConfig { deadline: SHORT, ..config() };
    let hurried = Poster::with_resolver(&config, Answers::of([vec![OUTSIDE]])).unwrap();
    let url = silent.at("hooks.example").replace("http:", "https:");
    assert_eq!(error_of(&hurried, &url).await, timed_out(Phase::Tls));
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
