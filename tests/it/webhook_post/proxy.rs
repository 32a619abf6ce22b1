//! Webhooks through a proxy: what it is asked for, and whose fault a failure is.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::TcpStream;
use webhook_assets::webhook::{
    AllowedNetworks, Phase, PostError, Poster, PosterConfig, PosterError, ProxyConfig, ProxyError,
};

use super::addresses::Hanging;
use super::certificates::{Authority, https};
use super::{Answers, INSIDE, OK, OUTSIDE, Receiver, SHORT, config, error_of, post, read_request, timed_out};

/// A proxy that opens every tunnel, and the heads of the requests for them.
struct Proxy {
    receiver: Receiver,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    /// A name leads to this machine, as with the resolver of the proxy.
    async fn open() -> Self {
        let heads = Arc::new(Mutex::new(Vec::new()));
        let asked = Arc::clone(&heads);
        let receiver = Receiver::new(move |mut stream| {
            let asked = Arc::clone(&asked);
            async move {
                let head = String::from_utf8(read_request(&mut stream).await?).unwrap();
                let target = head.split(' ').nth(1).unwrap().to_owned();
                asked.lock().unwrap().push(head);
                let port = target.rsplit_once(':').unwrap().1.to_owned();
                let mut behind = TcpStream::connect(format!("127.0.0.1:{port}")).await?;
                stream.write_all(b"HTTP/1.1 200 Connection established\r\nVia: test\r\n\r\n").await?;
                copy_bidirectional(&mut stream, &mut behind).await.map(drop)
            }
        })
        .await;
        Self { receiver, heads }
    }

    fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

/// The settings with the proxy at this receiver.
fn through(proxy: &Receiver) -> PosterConfig {
    let url = format!("http://{}", proxy.address).parse().unwrap();
    PosterConfig {
        proxy: Some(ProxyConfig { url, credentials_file: None, resolves_names: false }),
        ..config()
    }
}

fn with_names(mut config: PosterConfig) -> PosterConfig {
    config.proxy.as_mut().unwrap().resolves_names = true;
    config
}

#[tokio::test]
async fn the_proxy_is_asked_for_the_address_that_was_checked() {
    let proxy = Proxy::open().await;
    let receiver = Receiver::answering(OK).await;
    let poster = Poster::with_resolver(&through(&proxy.receiver), Answers::of([vec![OUTSIDE]])).unwrap();
    for _ in 0..2 {
        let exchange = post(&poster, &receiver.at("hooks.example")).await;
        assert!(exchange.is_success(), "{exchange:?}");
    }
    let target = format!("127.0.0.1:{}", receiver.address.port());
    let head = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n");
    // The tunnel stays open for the second webhook.
    assert_eq!((proxy.heads(), receiver.connections()), (vec![head], 1));
}

#[tokio::test]
async fn an_internal_address_is_not_asked_of_the_proxy() {
    let proxy = Proxy::open().await;
    let receiver = Receiver::answering(OK).await;
    for addresses in [vec![INSIDE], vec![OUTSIDE, INSIDE]] {
        let poster = Poster::with_resolver(&through(&proxy.receiver), Answers::of([addresses])).unwrap();
        let error = error_of(&poster, &receiver.at("hooks.example")).await;
        assert!(matches!(error, PostError::NotPublic(_)), "{error:?}");
    }
    // An address in the URL is checked even if the proxy looks up names.
    let poster = Poster::new(&with_names(through(&proxy.receiver))).unwrap();
    let strict =
        PosterConfig { networks: AllowedNetworks::default(), ..with_names(through(&proxy.receiver)) };
    assert!(post(&poster, &receiver.url()).await.is_success());
    let error = error_of(&Poster::new(&strict).unwrap(), &receiver.url()).await;
    assert!(matches!(error, PostError::NotPublic(_)), "{error:?}");
    assert_eq!(proxy.heads().len(), 1);
}

#[tokio::test]
async fn tls_ends_at_the_receiver_and_its_certificate_is_for_the_name() {
    let proxy = Proxy::open().await;
    let authority = Authority::new();
    let (receiver, url) = https(authority.issue(|_| {})).await;
    let exchange = post(&authority.poster_of(through(&proxy.receiver)), &url).await;
    assert!(exchange.is_success(), "{exchange:?}");
    let stranger = post(&Authority::new().poster_of(through(&proxy.receiver)), &url).await;
    assert!(matches!(stranger.result, Err(PostError::Tls(_))), "{stranger:?}");
    assert_eq!((proxy.heads().len(), receiver.connections()), (2, 2));
}

#[tokio::test]
async fn a_proxy_that_resolves_names_is_asked_for_the_name() {
    let proxy = Proxy::open().await;
    let receiver = Receiver::answering(OK).await;
    let poster = Poster::with_resolver(&with_names(through(&proxy.receiver)), Arc::new(Hanging)).unwrap();
    assert!(post(&poster, &receiver.at("hooks.example")).await.is_success());
    let begin = format!("CONNECT hooks.example:{} HTTP/1.1\r\n", receiver.address.port());
    assert!(proxy.heads()[0].starts_with(&begin), "{:?}", proxy.heads());
}

#[tokio::test]
async fn credentials_go_to_the_proxy_alone() {
    let proxy = Proxy::open().await;
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
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut config = through(&proxy.receiver);
    config.proxy.as_mut().unwrap().credentials_file = Some(file.path().to_owned());
    for bad in ["", "no pair", ":password", "two:lines\nmore"] {
        std::fs::write(file.path(), bad).unwrap();
        let error = Poster::new(&config).unwrap_err();
        assert!(matches!(&error, PosterError::ProxyCredentials { .. }), "{error}");
        assert!(error.to_string().ends_with("it takes one line, USER:PASSWORD"), "{error}");
    }
    std::fs::write(file.path(), "Aladdin:open sesame\n").unwrap();
    let poster = Poster::new(&config).unwrap();
    assert!(post(&poster, &receiver.url()).await.is_success());
    assert!(proxy.heads()[0].contains("\r\nProxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==\r\n"));
    assert!(!told.recv().await.unwrap().to_lowercase().contains("proxy-"));
}

/// What a proxy answers, whether the proxy itself is at fault, and whether that may pass.
#[tokio::test]
async fn a_failure_of_the_proxy_differs_from_one_of_the_receiver() {
    let receiver = Receiver::answering(OK).await;
    let error = async |answer: &'static str| {
        let proxy = Receiver::new(move |mut stream| async move {
            read_request(&mut stream).await?;
            stream.write_all(answer.as_bytes()).await
        })
        .await;
        let poster = Poster::new(&through(&proxy)).unwrap();
        let error = error_of(&poster, &receiver.url()).await;
        let PostError::Proxy(trouble) = &error else { panic!("{error:?}") };
        (error.reason(), trouble.is_of_proxy(), trouble.may_pass())
    };
    let rows = [
        (
            "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n",
            "proxy_credentials",
            true,
            true,
        ),
        ("HTTP/1.0 403 Forbidden\r\n\r\nno", "proxy_refused", true, false),
        ("HTTP/1.1 405 No\r\n\r\n", "proxy_refused", true, true),
        ("HTTP/1.1 302 Found\r\nLocation: http://login/\r\n\r\n", "proxy_refused", true, true),
        ("HTTP/1.1 500 Oops\r\n\r\n", "proxy_refused", true, true),
        ("HTTP/1.1 502 Bad Gateway\r\n\r\n", "proxy_no_connection", false, false),
        ("HTTP/1.1 503 Service Unavailable\r\n\r\n", "proxy_no_connection", false, false),
        ("HTTP/1.1 504 Gateway Timeout\r\n\r\n", "proxy_no_connection", false, false),
        ("HTTP/1.1 200 OK\r\nHalf", "proxy_broken", true, true),
        ("SSH-2.0-OpenSSH_9.6\r\n\r\n", "proxy_broken", true, true),
        ("", "proxy_broken", true, true),
    ];
    for (answer, reason, is_of_proxy, may_pass) in rows {
        assert_eq!(error(answer).await, (reason, is_of_proxy, may_pass), "{answer}");
    }
    assert_eq!(receiver.connections(), 0);
}

#[tokio::test]
async fn a_proxy_that_is_down_or_silent_ends_the_attempt_in_time() {
    let receiver = Receiver::answering(OK).await;
    let dead = Receiver { address: "127.0.0.1:9".parse().unwrap(), connections: Arc::default() };
    let error = error_of(&Poster::new(&through(&dead)).unwrap(), &receiver.url()).await;
    assert!(matches!(&error, PostError::Proxy(ProxyError::Unreachable { .. })), "{error:?}");
    // Its address is for the log alone.
    assert!(!error.to_string().contains("127.0.0.1"), "{error}");

    let silent = Receiver::new(|mut stream| async move { stream.read(&mut [0; 1]).await.map(drop) }).await;
    let hanging = Receiver::new(|stream| async move {
        let _stream = stream;
        std::future::pending().await
    })
    .await;
    let endless = Receiver::new(|mut stream| async move {
        read_request(&mut stream).await?;
        stream.write_all(b"HTTP/1.1 200 OK\r\n").await?;
        loop {
            stream.write_all(&[b'x'; 1024]).await?;
        }
    })
    .await;
    let error = async |proxy: &Receiver| {
        let poster = Poster::new(&PosterConfig { deadline: SHORT, ..through(proxy) }).unwrap();
        error_of(&poster, &receiver.url()).await
    };
    assert!(matches!(error(&silent).await, PostError::Proxy(ProxyError::Broken { .. })));
    assert_eq!(error(&hanging).await, timed_out(Phase::Connect));
    assert!(matches!(error(&endless).await, PostError::Proxy(ProxyError::Broken { .. })));
}

#[tokio::test]
async fn another_address_of_the_receiver_is_asked_for_if_one_gives_no_connection() {
    let receiver = Receiver::answering(OK).await;
    let refused = format!("{INSIDE}:{}", receiver.address.port());
    let proxy = Receiver::new(move |mut stream| {
        let refused = refused.clone();
        async move {
            let head = String::from_utf8(read_request(&mut stream).await?).unwrap();
            let target = head.split(' ').nth(1).unwrap();
            if target == refused {
                return stream.write_all(b"HTTP/1.1 502 Bad Gateway\r\n\r\n").await;
            }
            let mut behind = TcpStream::connect(target).await?;
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
            copy_bidirectional(&mut stream, &mut behind).await.map(drop)
        }
    })
    .await;
    let networks = AllowedNetworks::parse(["127.0.0.0/8"]).unwrap();
    let config = PosterConfig { networks, ..through(&proxy) };
    let poster = Poster::with_resolver(&config, Answers::of([vec![INSIDE, OUTSIDE]])).unwrap();
    let exchange = post(&poster, &receiver.at("hooks.example")).await;
    assert!(exchange.is_success(), "{exchange:?}");
    assert_eq!((proxy.connections(), receiver.connections()), (2, 1));
}
