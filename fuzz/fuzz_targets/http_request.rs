//! Bytes on a connection to the whole gateway, over a real socket. Whatever they are, the answer is HTTP with an
//! intended status, and the gateway keeps running.
#![no_main]

use std::cell::RefCell;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use object_store::ObjectStoreExt;
use object_store::memory::InMemory;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket};
use tokio::runtime::Runtime;
use webhook_assets::clock::{ManualClock, UnixSeconds};
use webhook_assets::gateway::{self, AllowedOrigins, Gateway};
use webhook_assets::keys::ActiveKeyring;
use webhook_assets::server::{self, Drain, Server};
use webhook_assets::store::{self, CloudVariables, Store, StoreUrl};
use webhook_assets::cli::Metrics;
use webhook_assets::{AssetRef, Keyring, Minter, SecretKey};

const NOW: UnixSeconds = UnixSeconds(4_000_000_000);
const ID: uuid::Uuid = uuid::uuid!("550e8400-e29b-41d4-a716-446655440000");

/// Stand for the targets of a good link to the recording and to the transcript in the fuzzer's bytes.
const RECORDING: u8 = 1;
const TRANSCRIPT: u8 = 2;

/// Every status of the contract, that of a preflight, and those of bytes that are no HTTP.
const MEANT: [u16; 15] = [200, 204, 206, 304, 400, 403, 404, 405, 406, 412, 413, 414, 416, 431, 505];

thread_local! {
    static SITE: Site = Site::start();
}

fuzz_target!(|bytes: &[u8]| {
    SITE.with(|site| {
        let answer = site.runtime.block_on(site.ask(&site.with_links(bytes)));
        check(&answer);
    });
});

struct Site {
    runtime: Runtime,
    address: SocketAddr,
    links: [String; 2],
    asked: RefCell<u16>,
}

impl Site {
    fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let keyring = Keyring::of_one("k", SecretKey::from_bytes(&[7; 32]).unwrap());
        let minter = Minter::new("http://h", keyring.clone()).unwrap();
        let link = |asset| {
            let link = minter.mint_at(asset, Duration::from_secs(86_400), NOW).unwrap();
            link.as_str()["http://h".len()..].to_owned()
        };
        let links = [link(AssetRef::recording(ID)), link(AssetRef::transcript(ID))];
        let address = runtime.block_on(serve(keyring));
        Self { runtime, address, links, asked: RefCell::new(0) }
    }

    fn with_links(&self, bytes: &[u8]) -> Vec<u8> {
        let mut request = Vec::with_capacity(bytes.len() + 400);
        for byte in bytes {
            match *byte {
                RECORDING => request.extend_from_slice(self.links[0].as_bytes()),
                TRANSCRIPT => request.extend_from_slice(self.links[1].as_bytes()),
                other => request.push(other),
            }
        }
        request
    }

    /// Sends, closes its half, reads to the end. Each connection comes from another loopback address, so that ports do
    /// not run out.
    async fn ask(&self, bytes: &[u8]) -> Vec<u8> {
        let asked = self.asked.replace_with(|asked| asked.wrapping_add(1));
        let [high, low] = asked.to_be_bytes();
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from(([127, 1, high, low], 0))).unwrap();
        let mut stream = socket.connect(self.address).await.unwrap();
        let _ = stream.write_all(bytes).await;
        let _ = stream.shutdown().await;
        let mut answer = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut answer)).await;
        assert!(read.is_ok(), "the connection hangs");
        answer
    }
}

async fn serve(keyring: Keyring) -> SocketAddr {
    let objects = Arc::new(InMemory::new());
    let bytes: Vec<u8> = (0..5_000_u32).map(|at| (at % 251) as u8).collect();
    for asset in [AssetRef::recording(ID), AssetRef::transcript(ID)] {
        objects.put(&asset.object_path().into(), bytes.clone().into()).await.unwrap();
    }
    let metrics = Metrics::default();
    let second = Duration::from_secs(1);
    let store = store::Config {
        url: StoreUrl::Memory,
        connect_timeout: second,
        first_byte_timeout: second,
        stall_timeout: second,
        resume_tries: 1,
        resume_timeout: second,
        read_ahead: 1,
        ca_file: None,
        options: Vec::new(),
        cloud: CloudVariables::default(),
    };
    let gateway = gateway::Config {
        prefix: "/api".into(),
        longest_lifetime: Duration::from_secs(86_400),
        allowed_origins: AllowedOrigins::Any,
        requests_in_flight: 1_000,
        requests_per_address: None,
        retry_after: second,
    };
    let server = server::Config {
        header_timeout: Duration::from_millis(50),
        idle_timeout: Duration::from_millis(50),
        drain_delay: Duration::ZERO,
        slowest_client: 1_024,
        stall_timeout: second,
        connections: 1_000,
        connections_per_address: None,
        http2_resets: 20,
        trusted_proxies: server::Networks::default(),
        proxy_protocol: false,
        client_header: None,
        drain_timeout: second,
        longest_target: 8_192,
        longest_head: 32_768,
        connection_buffer: 65_536,
        http2_streams: 100,
    };
    let gateway = Gateway::new(
        &gateway,
        ActiveKeyring::new(keyring, metrics.keyring),
        Store::new(objects, &store, metrics.store),
        Arc::new(ManualClock::at(NOW)),
        metrics.requests,
    );
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(Server::new(server, gateway, Drain::new()).serve(listener));
    address
}

/// Nothing at all, HTTP/2 frames, or an HTTP/1 answer with an intended status.
fn check(answer: &[u8]) {
    let Some(status) = answer.strip_prefix(b"HTTP/1.").and_then(|rest| rest.get(2..5)) else {
        let frames = answer.is_empty() || answer[0] == 0;
        assert!(frames, "no HTTP: {:?}", String::from_utf8_lossy(answer));
        return;
    };
    let status = std::str::from_utf8(status).ok().and_then(|digits| digits.parse().ok());
    assert!(status.is_some_and(|status| MEANT.contains(&status)), "{}", String::from_utf8_lossy(answer));
}
