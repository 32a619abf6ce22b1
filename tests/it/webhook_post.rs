//! One POST to receivers that are slow, odd or hostile. "Public" is 127.0.0.1 here, which the poster's settings allow;
//! 127.0.0.2 stands for a private network.

mod addresses;
mod certificates;
mod phases;
mod proxy;

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use webhook_assets::webhook::{
    AllowedNetworks, BreakReason, EndpointUrl, Exchange, Phase, PostError, Poster, PosterConfig, Resolve,
    UrlRules,
};

use crate::support::waiting::WAIT_LIMIT;

const OUTSIDE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const INSIDE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

/// The timeout of attempts that should time out; others have ten seconds.
const SHORT: Duration = Duration::from_millis(400);

/// A receiver that treats every connection alike, and counts them.
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

/// A resolver that returns its answers in turn, and repeats the last one.
#[derive(Debug)]
struct Answers(Mutex<VecDeque<Vec<IpAddr>>>);

impl Answers {
    fn of(answers: impl IntoIterator<Item = Vec<IpAddr>>) -> Arc<Self> {
        Arc::new(Self(Mutex::new(answers.into_iter().collect())))
    }
}

#[async_trait]
impl Resolve for Answers {
    async fn resolve(&self, _: &str, _: &str) -> io::Result<Vec<IpAddr>> {
        let mut answers = self.0.lock().unwrap();
        if answers.len() > 1 { Ok(answers.pop_front().unwrap()) } else { Ok(answers[0].clone()) }
    }
}

fn config() -> PosterConfig {
    let networks = AllowedNetworks::parse(["127.0.0.1"]).unwrap();
    PosterConfig { networks, allow_http: true, ..PosterConfig::default() }
}

fn poster_with_short_timeout() -> Poster {
    Poster::new(&PosterConfig { deadline: SHORT, ..config() }).unwrap()
}

fn poster() -> Poster {
    Poster::new(&config()).unwrap()
}

fn url(text: &str) -> EndpointUrl {
    let rules = UrlRules { allow_http: true, networks: &config().networks };
    EndpointUrl::parse(text, &rules).unwrap()
}

/// Posts a small body.
async fn post(poster: &Poster, text: &str) -> Exchange {
    let url = url(text);
    let mut headers = HeaderMap::new();
    headers.insert("x-webhook-signature", HeaderValue::from_static("00ff"));
    let posted = poster.post("acme", &url, headers, Bytes::from_static(b"{\"test\":true}"));
    tokio::time::timeout(WAIT_LIMIT, posted).await.expect("the attempt ends")
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
    let exchange = post(&poster(), &receiver.url()).await;
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
    let exchange = post(&poster_with_short_timeout(), &receiver.url()).await;
    assert_eq!(exchange.result.unwrap_err(), timed_out(Phase::Response));
    assert!(exchange.took >= SHORT && exchange.took < WAIT_LIMIT, "{:?}", exchange.took);
    let closed = tokio::time::timeout(WAIT_LIMIT, told.recv()).await.unwrap();
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
    assert_eq!(error_of(&poster_with_short_timeout(), &head.url()).await, timed_out(Phase::Response));
    let interim = Receiver::new(trickle("", "HTTP/1.1 102 Processing\r\n\r\n")).await;
    assert_eq!(error_of(&poster_with_short_timeout(), &interim.url()).await, timed_out(Phase::Response));
    let body = Receiver::new(trickle("HTTP/1.1 200 OK\r\nContent-Length: 4000\r\n\r\n", "x")).await;
    assert_eq!(error_of(&poster_with_short_timeout(), &body.url()).await, timed_out(Phase::Body));
    let chunks =
        Receiver::new(trickle("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\nx\r\n"));
    assert_eq!(error_of(&poster_with_short_timeout(), &chunks.await.url()).await, timed_out(Phase::Body));
}

#[tokio::test]
async fn a_long_body_is_cut_and_its_connection_closed() {
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
    let answer = post(&poster(), &endless.url()).await.result.unwrap();
    assert_eq!(answer.excerpt, "x".repeat(4096));
    tokio::time::timeout(WAIT_LIMIT, told.recv()).await.expect("the receiver is cut off");

    let mut five_megabytes = b"HTTP/1.1 200 OK\r\nContent-Length: 5000000\r\n\r\n".to_vec();
    five_megabytes.resize(five_megabytes.len() + 5_000_000, b'y');
    let large = Receiver::answering(five_megabytes).await;
    let answer = post(&poster(), &large.url()).await.result.unwrap();
    assert_eq!(answer.excerpt, "y".repeat(4096));
}

#[tokio::test]
async fn a_redirect_is_reported_and_not_followed() {
    let inside = Receiver::on(INSIDE, 0, |stream| answer_all(stream, OK.into())).await;
    let answer = format!(
        "HTTP/1.1 302 Found\r\nLocation: http://{}/\r\nRetry-After: 7\r\nContent-Type: text/html\r\n\
         Content-Length: 0\r\n\r\n",
        inside.address
    );
    let receiver = Receiver::answering(answer).await;
    let exchange = post(&poster(), &receiver.url()).await;
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
    assert_eq!(error_of(&poster(), &closing.url()).await, broken(Phase::Response, BreakReason::Closed));
    // Closing with unread bytes in the buffer resets the connection.
    let resetting = Receiver::new(|mut stream| async move { stream.read_u8().await.map(drop) }).await;
    assert_eq!(error_of(&poster(), &resetting.url()).await, broken(Phase::Response, BreakReason::Reset));
    let odd = Receiver::answering("SSH-2.0-OpenSSH_9.6\r\n\r\n").await;
    assert_eq!(error_of(&poster(), &odd.url()).await, broken(Phase::Response, BreakReason::NotHttp));
    let giant = format!("HTTP/1.1 102 Processing\r\nX-Giant: {}\r\n\r\n", "x".repeat(200_000));
    let giant = Receiver::answering(giant).await;
    assert_eq!(error_of(&poster(), &giant.url()).await, broken(Phase::Response, BreakReason::HeadTooLarge));
    let half = Receiver::new(|mut stream| async move {
        read_request(&mut stream).await?;
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf").await
    })
    .await;
    assert_eq!(error_of(&poster(), &half.url()).await, broken(Phase::Body, BreakReason::Closed));
}

/// The status says whether the receiver accepted the webhook. An odd head is no reason to send the event again.
#[tokio::test]
async fn an_odd_head_keeps_its_status() {
    let giant = format!("X-Giant: {}", "x".repeat(200_000));
    let many = "X-A: b\r\n".repeat(300);
    let odd: [&[u8]; 15] = [
        b"Server : old",
        b"X Powered By: php",
        b"X-Folded: one\r\n two\r\n\tthree",
        b"no colon at all",
        b": no name",
        "Größe: 1".as_bytes(),
        b"X-Latin: \xe9t\xe9",
        b"X-Control: \x01\x02",
        b"X-Empty:",
        b"Content-Type: text/html\r\nContent-Type: text/plain",
        b"Content-Length: two",
        b"Content-Length: 1\r\nContent-Length: 2",
        b"Transfer-Encoding: identity",
        giant.as_bytes(),
        many.trim_end().as_bytes(),
    ];
    for (status, taken) in [("200 OK", true), ("500 Oops", false)] {
        for field in odd {
            let answer =
                [b"HTTP/1.1 ", status.as_bytes(), b"\r\n", field, b"\r\nConnection: close\r\n\r\n"].concat();
            let receiver = Receiver::new(move |mut stream| {
                let answer = answer.clone();
                async move {
                    read_request(&mut stream).await?;
                    stream.write_all(&answer).await
                }
            })
            .await;
            let exchange = post(&poster(), &receiver.url()).await;
            let field = &field[..field.len().min(40)].escape_ascii();
            assert_eq!(exchange.is_success(), taken, "{field}: {exchange:?}");
            assert!(exchange.result.is_ok(), "{field}: {exchange:?}");
            assert_eq!(receiver.connections(), 1, "{field}");
        }
    }
    for line in
        ["HTTP/1.1 200", "HTTP/1.1  200  OK", "HTTP/1.1 200 Tr\u{e8}s bien", "HTTP/1.0 204 ", "HTTP/2 200"]
    {
        let receiver = Receiver::answering(format!("{line}\r\nContent-Length: 0\r\n\r\n")).await;
        let exchange = post(&poster(), &receiver.url()).await;
        assert!(exchange.is_success(), "{line}: {exchange:?}");
    }
}

#[tokio::test]
async fn the_status_of_an_earlier_answer_is_not_that_of_a_later_one() {
    let receiver = Receiver::new(|mut stream| async move {
        read_request(&mut stream).await?;
        stream.write_all(OK.as_bytes()).await?;
        read_request(&mut stream).await?;
        stream.write_all(b"nonsense\r\n\r\n").await
    })
    .await;
    let poster = poster();
    assert!(post(&poster, &receiver.url()).await.is_success());
    let error = error_of(&poster, &receiver.url()).await;
    assert_eq!(error, PostError::Broken { phase: Phase::Response, how: BreakReason::NotHttp });
    assert_eq!(receiver.connections(), 1);
}

#[tokio::test]
async fn a_body_without_a_length_ends_with_the_connection() {
    let receiver = Receiver::new(|mut stream| async move {
        read_request(&mut stream).await?;
        stream.write_all(b"HTTP/1.0 200 OK\r\n\r\nfine").await
    })
    .await;
    assert_eq!(post(&poster(), &receiver.url()).await.result.unwrap().excerpt, "fine");
}

#[tokio::test]
async fn no_answer_of_a_receiver_panics_the_poster() {
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
        let exchange = post(&poster_with_short_timeout(), &receiver.url()).await;
        assert_eq!(receiver.connections(), 1, "{} {exchange:?}", answer.escape_ascii());
    }
}

#[tokio::test]
async fn a_connection_is_reused_only_for_the_same_host() {
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
    let poster = poster();
    for posted in 1..=5 {
        let exchange = post(&poster, &receiver.url()).await;
        assert!(exchange.is_success(), "{exchange:?}");
        assert_eq!(receiver.connections(), posted);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Answers the first request of a connection, and closes it on the second; counts both.
async fn hanging_up_on_the_second(requests: &Arc<AtomicUsize>) -> Receiver {
    let counter = Arc::clone(requests);
    Receiver::new(move |mut stream| {
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
    .await
}

#[tokio::test]
async fn a_connection_is_closed_before_most_receivers_close_it() {
    let requests = Arc::default();
    let receiver = hanging_up_on_the_second(&requests).await;
    let poster = poster();
    assert!(post(&poster, &receiver.url()).await.is_success());
    tokio::time::pause();
    tokio::time::advance(Duration::from_millis(1_900)).await;
    tokio::time::resume();
    assert!(post(&poster, &receiver.url()).await.is_success());
    assert_eq!(receiver.connections(), 2);
}

#[tokio::test]
async fn a_check_uses_a_separate_connection() {
    let requests = Arc::default();
    let receiver = hanging_up_on_the_second(&requests).await;
    let poster = poster();
    assert!(post(&poster, &receiver.url()).await.is_success());
    for looks in 1..=2 {
        let exchange = poster.probe("acme", &url(&receiver.url())).await;
        assert!(exchange.is_success(), "{exchange:?}");
        assert_eq!(receiver.connections(), 1 + looks);
    }
}

#[tokio::test]
async fn a_request_that_may_have_arrived_is_not_sent_again() {
    let requests = Arc::default();
    let receiver = hanging_up_on_the_second(&requests).await;
    let poster = poster();
    assert!(post(&poster, &receiver.url()).await.is_success());
    let error = error_of(&poster, &receiver.url()).await;
    assert_eq!(error, PostError::Broken { phase: Phase::Response, how: BreakReason::Closed });
    assert_eq!((requests.load(Ordering::SeqCst), receiver.connections()), (2, 1));
}

#[tokio::test]
async fn many_webhooks_to_one_host_go_at_once() {
    let receiver = Receiver::answering(OK).await;
    let poster = poster();
    let url = receiver.url();
    let posts = (0..200).map(|_| post(&poster, &url));
    let exchanges = futures_util::future::join_all(posts).await;
    assert!(exchanges.iter().all(Exchange::is_success));
}
