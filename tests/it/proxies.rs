//! Which client address the program believes when proxies stand before it, and which clients cannot forge one.

use std::net::SocketAddr;
use std::time::Duration;

use ppp::v2;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use webhook_assets::AssetRef;
use webhook_assets::server::ClientHeader;

use crate::support::tls::{Pair, connect, trusting};
use crate::support::waiting::{WAIT_LIMIT, until};
use crate::support::{Answer, CALL, Plan, Site, noise, store_of_one};

fn sound() -> Vec<u8> {
    noise(8 << 20)
}

/// The trusted proxy of these tests, and an untrusted client.
const PROXY: [u8; 4] = [127, 0, 0, 9];
const STRANGER: [u8; 4] = [127, 0, 0, 1];

async fn plan() -> Plan {
    // Larger than what the kernel holds for a client that reads nothing.
    let mut plan = Plan::on(store_of_one(AssetRef::recording(CALL), sound()).await);
    plan.server.trusted_proxies = "127.0.0.9".parse().unwrap();
    plan
}

async fn with_protocol() -> Site {
    let mut plan = plan().await;
    plan.server.proxy_protocol = true;
    plan.start().await
}

async fn with_header(header: ClientHeader) -> Site {
    let mut plan = plan().await;
    plan.server.client_header = Some(header);
    // One request at a time for each address: shows which address a request counts for.
    plan.server.connections_per_address = Some(1);
    plan.start().await
}

async fn from(address: [u8; 4], site: &Site) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from((address, 0))).unwrap();
    socket.connect(site.address).await.unwrap()
}

fn request(site: &Site, fields: &str) -> String {
    format!("GET {} HTTP/1.1\r\nHost: a\r\n{fields}Connection: close\r\n\r\n", site.recording())
}

async fn said(mut stream: TcpStream, bytes: &[u8]) -> Vec<u8> {
    let _ = stream.write_all(bytes).await;
    let mut said = Vec::new();
    let read = tokio::time::timeout(WAIT_LIMIT, stream.read_to_end(&mut said)).await;
    let _ = read.expect("the connection stays open");
    said
}

async fn status(stream: TcpStream, bytes: &[u8]) -> Option<u16> {
    let said = said(stream, bytes).await;
    (!said.is_empty()).then(|| Answer::parse(&said, false).0.status)
}

fn binary(client: &str) -> Vec<u8> {
    let addresses: (SocketAddr, SocketAddr) = (client.parse().unwrap(), "198.51.100.1:443".parse().unwrap());
    v2::Builder::with_addresses(v2::Version::Two | v2::Command::Proxy, v2::Protocol::Stream, addresses)
        .write_tlv(v2::Type::ALPN, b"http/1.1")
        .unwrap()
        .build()
        .unwrap()
}

#[tokio::test]
async fn both_versions_of_the_proxy_protocol_are_parsed_whole_or_in_single_bytes() {
    let site = with_protocol().await;
    let text = b"PROXY TCP4 192.0.2.1 198.51.100.1 4711 443\r\n".to_vec();
    let unknown = b"PROXY UNKNOWN\r\n".to_vec();
    let local = v2::Builder::new(v2::Version::Two | v2::Command::Local, 0).build().unwrap();
    for header in
        [text, b"PROXY TCP6 2001:db8::1 2001:db8::2 1 2\r\n".to_vec(), unknown, local, binary("192.0.2.1:1")]
    {
        let bytes = [&header[..], request(&site, "").as_bytes()].concat();
        let said = said(from(PROXY, &site).await, &bytes).await;
        assert!(Answer::parse(&said, false).0.body == sound());
        let mut stream = from(PROXY, &site).await;
        stream.set_nodelay(true).unwrap();
        for byte in &header {
            stream.write_all(&[*byte]).await.unwrap();
            tokio::task::yield_now().await;
        }
        assert_eq!(status(stream, request(&site, "").as_bytes()).await, Some(200));
    }
}

#[tokio::test]
async fn a_proxy_must_send_the_header() {
    let site = with_protocol().await;
    for bytes in [
        request(&site, "").into_bytes(),
        b"PROXY TCP4 192.0.2.1\r\n".to_vec(),
        b"PROXY TCP4 a b 1 2\r\n".to_vec(),
        b"PROXY ".repeat(50),
        [0xff; 3_000].to_vec(),
        b"\r\n\r\n\0\r\nQUIT\n\x31\x11\0\x0c".to_vec(),
    ] {
        assert_eq!(status(from(PROXY, &site).await, &bytes).await, None, "{bytes:?}");
    }
    let mut plan = plan().await;
    plan.server.proxy_protocol = true;
    plan.server.header_timeout = Duration::from_millis(500);
    let site = plan.start().await;
    assert_eq!(status(from(PROXY, &site).await, b"PROXY TCP4 192.").await, None, "it waits for the rest");
}

#[tokio::test]
async fn an_untrusted_client_cannot_use_the_proxy_protocol() {
    let site = with_protocol().await;
    assert_eq!(status(from(STRANGER, &site).await, request(&site, "").as_bytes()).await, Some(200));
    for header in [b"PROXY TCP4 192.0.2.1 198.51.100.1 4711 443\r\n".to_vec(), binary("192.0.2.1:1")] {
        let bytes = [&header[..], request(&site, "").as_bytes()].concat();
        assert_eq!(status(from(STRANGER, &site).await, &bytes).await, Some(400));
    }
}

#[tokio::test]
async fn clients_behind_the_proxy_protocol_are_counted_separately() {
    let mut plan = plan().await;
    plan.server.proxy_protocol = true;
    plan.server.connections_per_address = Some(2);
    let site = plan.start().await;
    let mut open = Vec::new();
    for client in ["192.0.2.1", "192.0.2.1", "192.0.2.2"] {
        let mut stream = from(PROXY, &site).await;
        let header = format!("PROXY TCP4 {client} 198.51.100.1 4711 443\r\n");
        let head = format!("HEAD {} HTTP/1.1\r\nHost: a\r\n\r\n", site.recording());
        stream.write_all((header + &head).as_bytes()).await.unwrap();
        // One that is answered is counted.
        stream.read_exact(&mut [0; 12]).await.unwrap();
        open.push(stream);
    }
    for (client, expected) in [("192.0.2.1", 503), ("192.0.2.2", 200), ("192.0.2.3", 200)] {
        let header = format!("PROXY TCP4 {client} 198.51.100.1 4711 443\r\n");
        let bytes = header + &request(&site, "");
        assert_eq!(status(from(PROXY, &site).await, bytes.as_bytes()).await, Some(expected), "{client}");
    }
}

#[tokio::test]
async fn tls_may_stand_behind_the_proxy_protocol() {
    let folder = tempfile::tempdir().unwrap();
    let pair = Pair::fresh();
    let mut plan = plan().await;
    plan.server.proxy_protocol = true;
    let metrics = webhook_assets::cli::Metrics::default();
    plan.certificate = Some(
        webhook_assets::server::Certificate::read(pair.write(folder.path()), metrics.certificate).unwrap(),
    );
    let site = plan.start().await;
    let mut stream = from(PROXY, &site).await;
    stream.write_all(&binary("192.0.2.1:4711")).await.unwrap();
    let client = trusting(&[&pair], &[&tokio_rustls::rustls::version::TLS13], &[]);
    let name = "localhost".try_into().unwrap();
    let mut stream = client.connect(name, stream).await.unwrap();
    stream.write_all(request(&site, "").as_bytes()).await.unwrap();
    let mut said = Vec::new();
    stream.read_to_end(&mut said).await.unwrap();
    assert!(Answer::parse(&said, false).0.body == sound());
    // An untrusted client begins with TLS at once.
    assert!(connect(&client, site.address).await.is_ok());
}

/// An endless download through the proxy, for the client that `fields` name.
async fn busy(site: &Site, fields: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(8 * 1_024).unwrap();
    socket.bind(SocketAddr::from((PROXY, 0))).unwrap();
    let mut stream = socket.connect(site.address).await.unwrap();
    stream.write_all(request(site, fields).as_bytes()).await.unwrap();
    stream.read_exact(&mut [0; 12]).await.unwrap();
    stream
}

#[tokio::test]
async fn requests_count_for_the_client_that_the_proxy_names_last() {
    use ClientHeader::{Forwarded, XForwardedFor};

    for (header, held, same, other) in [
        (
            XForwardedFor,
            "X-Forwarded-For: 203.0.113.7, 192.0.2.1\r\n",
            // What a client claims stands further left, or in the other field.
            "X-Forwarded-For: 203.0.113.8, 192.0.2.1\r\nForwarded: for=203.0.113.9\r\n",
            "X-Forwarded-For: 192.0.2.1, 192.0.2.2\r\n",
        ),
        (
            Forwarded,
            "Forwarded: for=203.0.113.7, for=\"192.0.2.1:5\"\r\n",
            "Forwarded: for=203.0.113.8\r\nForwarded: for=192.0.2.1;proto=https\r\nX-Forwarded-For: 203.0.113.9\r\n",
            "Forwarded: for=192.0.2.1, for=192.0.2.2\r\n",
        ),
    ] {
        let site = with_header(header).await;
        let held = busy(&site, held).await;
        let asked = async |fields| status(from(PROXY, &site).await, request(&site, fields).as_bytes()).await;
        assert_eq!(asked(same).await, Some(503), "{header:?}");
        assert_eq!(asked(other).await, Some(200), "{header:?}");
        assert_eq!(asked("").await, Some(200), "the proxy itself has no limit");
        drop(held);
        let served = async || (asked(same).await == Some(200)).then_some(());
        until(served, || "the permit is not returned".to_owned()).await;
    }
}

#[tokio::test]
async fn an_untrusted_client_cannot_name_another_address() {
    for (header, fields) in [
        (ClientHeader::XForwardedFor, "X-Forwarded-For: 192.0.2.1\r\n"),
        (ClientHeader::Forwarded, "Forwarded: for=192.0.2.1\r\n"),
    ] {
        let site = with_header(header).await;
        // If the program believed it, each request would count for another client.
        let mut held = from(STRANGER, &site).await;
        held.write_all(b"GET /").await.unwrap();
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(status(from(STRANGER, &site).await, request(&site, fields).as_bytes()).await, Some(503));
    }
}
