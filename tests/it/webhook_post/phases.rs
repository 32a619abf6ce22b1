//! What the poster says of an attempt: how long its phases took, and which header fields went to and fro.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};

use super::certificates::Authority;
use super::{Answers, OUTSIDE, Poster, Receiver, answer_all, config, post, poster, url};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nServer: hooks\r\nSet-Cookie: id=s3cret\r\n\r\nok";

#[tokio::test]
async fn an_attempt_tells_its_phases_and_a_reused_connection_has_only_the_last() {
    let receiver = Receiver::answering(OK).await;
    let poster = Poster::with_resolver(&config(), Answers::of([vec![OUTSIDE]])).unwrap();
    let first = post(&poster, &receiver.at("one.example")).await.phases;
    assert!(first.lookup.is_some() && first.connect.is_some() && first.first_byte.is_some(), "{first:?}");
    assert!(first.tls.is_none() && !first.is_reused(), "{first:?}");
    let second = post(&poster, &receiver.at("one.example")).await.phases;
    assert!(second.is_reused() && second.first_byte.is_some(), "{second:?}");
    assert_eq!((second.lookup, second.connect, second.tls), (None, None, None));
    assert_eq!(receiver.connections(), 1);
}

#[tokio::test]
async fn a_handshake_is_a_phase() {
    let authority = Authority::new();
    let acceptor = authority.issue(|_| {});
    let receiver = Receiver::new(move |stream| {
        let acceptor = acceptor.clone();
        async move { answer_all(acceptor.accept(stream).await?, Bytes::from_static(OK.as_bytes())).await }
    })
    .await;
    let exchange = post(
        &authority.poster_of(config()),
        &format!("https://hooks.example:{}/hook", receiver.address.port()),
    )
    .await;
    assert!(exchange.is_success(), "{exchange:?}");
    assert!(exchange.phases.tls.is_some(), "{exchange:?}");
}

#[tokio::test]
async fn a_phase_that_does_not_end_has_no_time() {
    let silent = Receiver::new(|stream| async move {
        std::future::pending::<()>().await;
        drop(stream);
        Ok(())
    })
    .await;
    let phases = post(&super::poster_with_short_timeout(), &silent.url()).await.phases;
    assert!(phases.connect.is_some() && phases.first_byte.is_none(), "{phases:?}");
    // An address needs no lookup.
    assert_eq!(phases.lookup, None);
    let resolver = Poster::with_resolver(&config(), Answers::of([vec![OUTSIDE]])).unwrap();
    let nowhere = post(&resolver, "http://one.example:1/hook").await.phases;
    assert!(nowhere.lookup.is_some() && nowhere.connect.is_none(), "{nowhere:?}");
}

#[tokio::test]
async fn header_fields_are_told_without_their_secrets() {
    let receiver = Receiver::answering(OK).await;
    let mut headers = HeaderMap::new();
    headers.insert("webhook-id", HeaderValue::from_static("msg_1"));
    headers.insert("webhook-signature", HeaderValue::from_static("v1,s3cret"));
    let mut own = HeaderValue::from_static("s3cret");
    own.set_sensitive(true);
    headers.insert("x-tenant", own);
    let exchange = poster().post("acme", &url(&receiver.url()), headers, Bytes::from_static(b"{}")).await;
    let mut sent: Vec<_> = exchange.sent.iter().collect();
    sent.sort_unstable();
    let agent = concat!("webhook-assets/", env!("CARGO_PKG_VERSION"));
    assert_eq!(
        sent,
        [
            ("accept", "*/*"),
            ("user-agent", agent),
            ("webhook-id", "msg_1"),
            ("webhook-signature", "••••"),
            ("x-tenant", "••••"),
        ]
    );
    let answer = exchange.result.unwrap();
    let answered: Vec<_> = answer.fields.iter().collect();
    assert_eq!(answered, [("content-length", "2"), ("server", "hooks"), ("set-cookie", "••••")]);
    assert!(!format!("{:?}{:?}", exchange.sent, answer.fields).contains("s3cret"));
}

#[tokio::test]
async fn a_post_takes_little_room_in_the_futures_around_it() {
    let (poster, url) = (poster(), url("http://127.0.0.1/hook"));
    let posted = poster.post("acme", &url, HeaderMap::new(), Bytes::new());
    let size = std::mem::size_of_val(&posted);
    assert!(size < 2_048, "{size} bytes, which are copied with every delivery that is spawned");
}
