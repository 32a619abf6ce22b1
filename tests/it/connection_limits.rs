//! Connection limits: a connection too many is refused at once, and health checks get in.

use std::net::SocketAddr;
use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::support::waiting::{WAIT_LIMIT, until};
use crate::support::{Answer, Plan, Site};

async fn with_room_for(connections: usize, per_address: usize) -> Site {
    let mut plan = Plan::usual().await;
    plan.server.connections = connections;
    plan.server.connections_per_address = Some(per_address);
    plan.start().await
}

/// Connections that send nothing, once the server has accepted them.
async fn silent(site: &Site, count: usize) -> Vec<TcpStream> {
    let mut streams = Vec::new();
    for _ in 0..count {
        streams.push(site.client().connect().await);
    }
    site.counts(&format!("webhook_assets_connections {count}")).await;
    streams
}

async fn from(address: [u8; 4], site: &Site) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from((address, 0))).unwrap();
    socket.connect(site.address).await.unwrap()
}

/// The answer to a request for the recording on this connection.
async fn answer_on(mut stream: TcpStream, site: &Site) -> Answer {
    let request = format!("GET {} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", site.recording());
    let _ = stream.write_all(request.as_bytes()).await;
    let mut said = Vec::new();
    stream.read_to_end(&mut said).await.unwrap();
    Answer::parse(&said, false).0
}

/// Waits until a connection is accepted.
async fn has_room(site: &Site) {
    let served = async || (answer_on(site.client().connect().await, site).await.status == 200).then_some(());
    until(served, || "every connection is refused".to_owned()).await;
}

fn assert_refused(answer: &Answer) {
    assert_eq!((answer.status, answer.code().as_str()), (503, "too_many_connections"));
    assert!(answer.must("retry-after").parse::<u32>().is_ok_and(|seconds| seconds > 0));
    assert_eq!((answer.must("connection"), answer.must("cache-control")), ("close", "no-store"));
}

#[tokio::test]
async fn one_connection_too_many_is_answered_503_at_once_without_a_request() {
    let site = with_room_for(5, 5).await;
    let _silent = silent(&site, 5).await;
    let began = Instant::now();
    for _ in 0..20 {
        let mut stream = site.client().connect().await;
        let mut said = Vec::new();
        stream.read_to_end(&mut said).await.unwrap();
        assert_refused(&Answer::parse(&said, false).0);
        assert_refused(&answer_on(site.client().connect().await, &site).await);
    }
    assert!(began.elapsed() < WAIT_LIMIT, "a silent connection made room: {:?}", began.elapsed());
    let page = site.metrics.render();
    assert!(page.contains("webhook_assets_connections_refused_total{reason=\"too_many\"} 40"), "{page}");
}

#[tokio::test]
async fn a_closed_connection_makes_room() {
    let site = with_room_for(3, 3).await;
    let mut streams = silent(&site, 3).await;
    assert_eq!(answer_on(site.client().connect().await, &site).await.status, 503);
    streams.pop();
    has_room(&site).await;
}

#[tokio::test]
async fn health_is_answered_when_no_connection_is_free() {
    let site = with_room_for(2, 2).await;
    let _silent = silent(&site, 2).await;
    for path in ["/healthz", "/readyz", "/metrics"] {
        assert_eq!(site.admin().request("GET", path, &[], b"").await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn an_address_at_its_limit_leaves_room_for_others() {
    let site = with_room_for(100, 3).await;
    let _silent = silent(&site, 3).await;
    assert_refused(&answer_on(site.client().connect().await, &site).await);
    assert_eq!(answer_on(from([127, 0, 0, 2], &site).await, &site).await.status, 200);
}

#[tokio::test]
async fn clients_that_do_not_read_the_refusal_are_disconnected_soon() {
    let site = with_room_for(1, 1).await;
    let silent = silent(&site, 1).await;
    let mut unread = Vec::new();
    for _ in 0..300 {
        unread.push(site.client().connect().await);
    }
    drop(silent);
    has_room(&site).await;
}
