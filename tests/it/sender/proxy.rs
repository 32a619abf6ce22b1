//! A proxy that fails is the operator's fault: it costs no delivery an attempt, and no endpoint its health.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use webhook_assets::ledger::DeliveryState;
use webhook_assets::sender;
use webhook_assets::webhook::ProxyConfig;

use super::Sending;
use crate::support::receiver::Receiver;
use crate::support::{Plan, sending};

/// A proxy that answers its first requests with these answers, and opens a tunnel for the later ones.
async fn proxy(answers: &'static [&'static str]) -> (ProxyConfig, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let answer = answers.get(counter.fetch_add(1, Ordering::SeqCst)).copied();
            tokio::spawn(answer_or_tunnel(stream, answer));
        }
    });
    (ProxyConfig { url, credentials_file: None, resolves_names: false }, asked)
}

async fn answer_or_tunnel(mut stream: TcpStream, answer: Option<&'static str>) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    if let Some(answer) = answer {
        return stream.write_all(answer.as_bytes()).await;
    }
    let head = String::from_utf8(head).unwrap();
    let mut behind = TcpStream::connect(head.split(' ').nth(1).unwrap()).await?;
    stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
    copy_bidirectional(&mut stream, &mut behind).await.map(drop)
}

impl Sending {
    async fn through(proxy: ProxyConfig) -> Self {
        let config = sender::Config { proxy: Some(proxy), ..sending() };
        Self::of(Plan { sender: Some(config), ..Plan::sending().await }, Receiver::willing().await).await
    }

    /// Whether nothing counts against the endpoint.
    async fn is_well(&self) -> bool {
        let endpoint = self.sender.ledger().endpoint("acme", &self.endpoint.id).await.unwrap().unwrap();
        endpoint.health.failing_since.is_none() && endpoint.health.failures == 0
    }
}

#[tokio::test]
async fn deliveries_wait_while_the_proxy_is_broken_and_lose_no_attempt() {
    let broken = ["HTTP/1.1 407 No\r\n\r\n", "nonsense\r\n\r\n", "", "HTTP/1.1 500 No\r\n\r\n"];
    let (proxy, asked) = proxy(Box::leak(Box::new(broken))).await;
    let sending = Sending::through(proxy).await;
    let id = sending.call("call-1").await.deliveries[0].clone();
    // It waits longer each time, but no longer than the proxy has been broken.
    for (round, pause) in [(1, 5), (2, 10), (3, 20), (4, 40)] {
        sending.settle().await;
        let waiting = sending.until(&id, DeliveryState::Waiting).await;
        assert_eq!((asked.load(Ordering::SeqCst), waiting.attempts), (round, 0));
        assert!(waiting.note.as_ref().unwrap().contains("this service's proxy"), "{waiting:?}");
        assert_eq!(
            waiting.due_at.unwrap().since(sending.sender.now()),
            Duration::from_secs(pause),
            "{round}"
        );
        assert!(sending.is_well().await);
        sending.pass(Duration::from_secs(pause));
    }
    let delivered = sending.until(&id, DeliveryState::Delivered).await;
    assert_eq!((delivered.attempts, asked.load(Ordering::SeqCst)), (1, 5));
}

#[tokio::test]
async fn a_receiver_that_the_proxy_forbids_fails_its_deliveries_and_not_its_health() {
    let (proxy, asked) = proxy(&["HTTP/1.1 403 Forbidden\r\n\r\n"; 4]).await;
    let sending = Sending::through(proxy).await;
    let id = sending.call("call-1").await.deliveries[0].clone();
    for (attempts, pause) in [(1, 1), (2, 2), (3, 4)] {
        sending.settle().await;
        assert_eq!(sending.until(&id, DeliveryState::Waiting).await.attempts, attempts);
        sending.pass(Duration::from_secs(pause));
    }
    let failed = sending.until(&id, DeliveryState::Failed).await;
    let (_, attempts) = sending.sender.ledger().delivery("acme", &id).await.unwrap().unwrap();
    assert_eq!((failed.attempts, asked.load(Ordering::SeqCst)), (4, 4));
    assert!(attempts.iter().all(|attempt| attempt.code == "proxy_refused" && attempt.advice.is_some()));
    assert!(sending.is_well().await);
}

#[tokio::test]
async fn a_receiver_that_the_proxy_cannot_reach_counts_as_failing() {
    let (proxy, _) = proxy(&["HTTP/1.1 504 Gateway Timeout\r\n\r\n"]).await;
    let sending = Sending::through(proxy).await;
    let id = sending.call("call-1").await.deliveries[0].clone();
    sending.until(&id, DeliveryState::Waiting).await;
    sending.settle().await;
    assert!(!sending.is_well().await);
    sending.pass(Duration::from_secs(1));
    sending.until(&id, DeliveryState::Delivered).await;
}
