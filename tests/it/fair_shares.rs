//! Limits shared by all clients, one of which takes all it can get: the gateway serves the others.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use webhook_assets::AssetRef;
use webhook_assets::server::ClientHeader;

use crate::http2_attacks::{Attacker, END_HEADERS, END_STREAM, HEADERS, WINDOW_UPDATE, frame, get};
use crate::support::waiting::{WAIT_LIMIT, until};
use crate::support::{Answer, CALL, Plan, Site, noise, request_head, store_of_one};

/// More than the buffers between server and client hold.
const LARGE: usize = 8 << 20;
/// The attacker's address is that of every client that names no other.
const OTHER: [u8; 4] = [127, 0, 0, 2];
const THIRD: [u8; 4] = [127, 0, 0, 3];

async fn plan() -> Plan {
    let mut plan = Plan::on(store_of_one(AssetRef::recording(CALL), noise(LARGE)).await);
    // Who reads nothing keeps its share as long as a test takes.
    plan.server.stall_timeout = 10 * WAIT_LIMIT;
    plan
}

/// A download from this address that reads only the first byte.
async fn unread_download_from(address: [u8; 4], site: &Site, fields: &[(&str, &str)]) -> TcpStream {
    let mut stream = slow_socket(address, site).await;
    let head = request_head("GET", &site.recording(), fields, b"");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.read_exact(&mut [0; 1]).await.unwrap();
    stream
}

async fn slow_socket(address: [u8; 4], site: &Site) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(8 * 1_024).unwrap();
    socket.bind(SocketAddr::from((address, 0))).unwrap();
    socket.connect(site.address).await.unwrap()
}

/// The answer to a request for ten bytes of the recording from this address.
async fn answer_from(address: [u8; 4], site: &Site, fields: &[(&str, &str)]) -> Answer {
    let mut stream = slow_socket(address, site).await;
    let fields = [fields, &[("Range", "bytes=0-9")]].concat();
    let head = request_head("GET", &site.recording(), &fields, b"");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    Answer::parse(&bytes, false).0
}

fn code(answer: &Answer) -> (u16, String) {
    assert!(answer.must("retry-after").parse::<u32>().is_ok_and(|seconds| seconds > 0));
    (answer.status, answer.code())
}

fn counted(site: &Site, line: &str) -> u64 {
    let page = site.metrics.render();
    page.lines().find_map(|found| found.strip_prefix(line)).map_or(0, |count| count.trim().parse().unwrap())
}

const REFUSED: &str =
    "webhook_assets_requests_total{asset=\"recording\",status=\"503\",outcome=\"too_many_from_address\"} ";

#[tokio::test]
async fn the_streams_of_one_address_leave_room_for_the_requests_of_others() {
    let mut plan = plan().await;
    plan.gateway.requests_in_flight = 1_024;
    plan.server.connections_per_address = Some(100);
    let site = plan.start().await;
    let block = get(&site.recording());
    let mut held = Vec::new();
    for _ in 0..11 {
        // The clients open their windows by a kilobyte now and then: as slow as a client may be.
        let mut attacker = Attacker::of(&site, &[0, 4, 0, 0, 4, 0]).await;
        let streams = (0..100).map(|at| 2 * at + 1);
        let burst: Vec<u8> = streams
            .clone()
            .flat_map(|stream| frame(HEADERS, END_STREAM | END_HEADERS, stream, &block))
            .collect();
        assert!(attacker.send(&burst).await);
        let drip: Vec<u8> =
            streams.flat_map(|stream| frame(WINDOW_UPDATE, 0, stream, &1_024_u32.to_be_bytes())).collect();
        held.push((attacker, drip));
    }
    let refused = async || (counted(&site, REFUSED) >= 500).then_some(());
    until(refused, || format!("only {} refused", counted(&site, REFUSED))).await;
    for (attacker, drip) in &mut held {
        assert!(attacker.send(drip).await);
    }
    for _ in 0..50 {
        for victim in [OTHER, THIRD] {
            let answer = answer_from(victim, &site, &[]).await;
            assert_eq!((answer.status, answer.body.len()), (206, 10));
        }
    }
    let own = answer_from([127, 0, 0, 1], &site, &[]).await;
    assert_eq!(code(&own), (503, "too_many_requests_from_address".into()));
    let busy = "webhook_assets_requests_total{asset=\"recording\",status=\"503\",outcome=\"busy\"} ";
    assert_eq!(counted(&site, busy), 0, "{}", site.metrics.render());
    assert!(counted(&site, "webhook_assets_requests_in_flight ") >= 512, "the attacker holds its share");
}

#[tokio::test]
async fn the_share_of_an_address_can_be_set() {
    let mut plan = plan().await;
    plan.gateway.requests_per_address = Some(2);
    let site = plan.start().await;
    let held = [unread_download_from(OTHER, &site, &[]).await, unread_download_from(OTHER, &site, &[]).await];
    let refused = answer_from(OTHER, &site, &[]).await;
    assert_eq!(code(&refused), (503, "too_many_requests_from_address".into()));
    assert_eq!(answer_from(THIRD, &site, &[]).await.status, 206);
    drop(held);
    let served = async || (answer_from(OTHER, &site, &[]).await.status == 206).then_some(());
    until(served, || "the permits are not given back".to_owned()).await;
}

#[tokio::test]
async fn addresses_at_their_shares_leave_room_for_a_new_address() {
    let mut plan = plan().await;
    plan.gateway.requests_in_flight = 40;
    let site = plan.start().await;
    let mut held = Vec::new();
    for last in 10..15 {
        let address = [127, 0, 0, last];
        while answer_from(address, &site, &[]).await.status == 206 {
            held.push(unread_download_from(address, &site, &[]).await);
        }
    }
    assert!(held.len() < 40, "{} are held", held.len());
    assert_eq!(answer_from(OTHER, &site, &[]).await.status, 206);
}

#[tokio::test]
async fn requests_through_a_proxy_count_for_the_client_that_it_names() {
    let mut plan = plan().await;
    plan.server.trusted_proxies = "127.0.0.2".parse().unwrap();
    plan.server.client_header = Some(ClientHeader::XForwardedFor);
    plan.gateway.requests_in_flight = 4;
    let site = plan.start().await;
    let named = |name| [("X-Forwarded-For", name)];
    let (greedy, other) = (named("2001:db8::1"), named("2001:db8:0:1::1"));
    let _held = [
        unread_download_from(OTHER, &site, &greedy).await,
        unread_download_from(OTHER, &site, &greedy).await,
    ];
    let refused = answer_from(OTHER, &site, &named("2001:db8::ffff")).await;
    assert_eq!(code(&refused), (503, "too_many_requests_from_address".into()), "the same /64");
    assert_eq!(answer_from(OTHER, &site, &other).await.status, 206);
}

#[tokio::test]
async fn a_trusted_proxy_that_names_no_client_has_no_share() {
    let mut plan = plan().await;
    plan.server.trusted_proxies = "127.0.0.2".parse().unwrap();
    plan.server.connections = 6;
    plan.gateway.requests_in_flight = 4;
    let site = plan.start().await;
    let mut held = Vec::new();
    for _ in 0..4 {
        held.push(unread_download_from(OTHER, &site, &[]).await);
    }
    let refused = answer_from(OTHER, &site, &[]).await;
    assert_eq!(code(&refused), (503, "too_many_requests_in_flight".into()));
}

#[tokio::test]
async fn one_address_leaves_connections_for_others_when_nothing_is_set() {
    let mut plan = plan().await;
    plan.server.connections = 10;
    let site = plan.start().await;
    let mut held = Vec::new();
    for _ in 0..5 {
        held.push(site.client().connect().await);
    }
    site.counts("webhook_assets_connections 5").await;
    let mut refused = site.client().connect().await;
    let mut said = Vec::new();
    refused.read_to_end(&mut said).await.unwrap();
    assert_eq!(code(&Answer::parse(&said, false).0), (503, "too_many_connections".into()));
    assert_eq!(
        counted(&site, "webhook_assets_connections_refused_total{reason=\"too_many_from_address\"} "),
        1
    );
    assert_eq!(answer_from(OTHER, &site, &[]).await.status, 206);
}
