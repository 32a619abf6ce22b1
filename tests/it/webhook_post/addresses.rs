//! Which address a webhook goes to: names that resolve to private addresses, to several, or to none.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use webhook_assets::webhook::{AllowedNetworks, Phase, PostError, Poster, PosterConfig, Resolve};

use super::{
    Answers, INSIDE, OK, OUTSIDE, Receiver, SHORT, answer_all, config, error_of, post,
    poster_with_short_timeout, read_request, timed_out,
};

#[tokio::test]
async fn a_name_that_turns_to_a_private_address_is_refused() {
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
async fn one_private_address_rules_out_the_others() {
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
    let refusing = Poster::with_resolver(&config, Answers::of([vec![INSIDE, INSIDE]])).unwrap();
    assert_eq!(error_of(&refusing, &receiver.at("two.example")).await, PostError::Refused);
}

/// A port whose queue is full: the system drops further connections, so an attempt hangs.
async fn full_port(address: IpAddr, port: u16) -> (TcpListener, Vec<TcpStream>) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((address, port).into()).unwrap();
    let listener = socket.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let mut queued = Vec::new();
    while let Ok(Ok(stream)) =
        tokio::time::timeout(Duration::from_millis(500), TcpStream::connect(address)).await
    {
        queued.push(stream);
    }
    (listener, queued)
}

#[tokio::test]
async fn the_next_address_is_tried_beside_one_that_does_not_answer() {
    let receiver = Receiver::answering(OK).await;
    let _full = full_port(INSIDE, receiver.address.port()).await;
    let networks = AllowedNetworks::parse(["127.0.0.0/8"]).unwrap();
    let config = PosterConfig { networks, ..config() };
    let poster = Poster::with_resolver(&config, Answers::of([vec![INSIDE, OUTSIDE]])).unwrap();
    let exchange = post(&poster, &receiver.at("two.example")).await;
    assert!(exchange.is_success(), "{exchange:?}");
}

#[tokio::test]
async fn the_deadline_covers_the_connection() {
    let (listener, _queued) = full_port(OUTSIDE, 0).await;
    let url = format!("http://{}/", listener.local_addr().unwrap());
    assert_eq!(error_of(&poster_with_short_timeout(), &url).await, timed_out(Phase::Connect));
}

#[tokio::test]
async fn a_name_without_addresses_does_not_exist() {
    let poster = Poster::with_resolver(&config(), Answers::of([vec![]])).unwrap();
    let error = error_of(&poster, "http://nowhere.example/").await;
    assert_eq!(error, PostError::NameNotFound { host: "nowhere.example".into() });
}

/// A resolver that never answers.
#[derive(Debug)]
pub(super) struct Hanging;

#[async_trait]
impl Resolve for Hanging {
    async fn resolve(&self, _: &str, _: &str) -> io::Result<Vec<IpAddr>> {
        std::future::pending().await
    }
}

#[tokio::test]
async fn the_deadline_covers_the_lookup() {
    let poster =
        Poster::with_resolver(&PosterConfig { deadline: SHORT, ..config() }, Arc::new(Hanging)).unwrap();
    assert_eq!(error_of(&poster, "http://slow.example/").await, timed_out(Phase::Resolve));
}
