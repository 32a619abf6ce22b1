//! What a link costs without a socket: verifying, minting, and a request from its bytes to the bytes of a 403.
//!
//! `cargo bench --bench micro` prints the time and the allocations of each; the limit stands in its name.
#![expect(clippy::unwrap_used, reason = "a benchmark may stop at an error")]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use divan::{AllocProfiler, Bencher, black_box};
use http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use object_store::memory::InMemory;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::runtime::Runtime;
use webhook_assets::cli::Metrics;
use webhook_assets::clock::{ManualClock, Moment, UnixSeconds};
use webhook_assets::gateway::{self, AllowedOrigins, Gateway};
use webhook_assets::keys::ActiveKeyring;
use webhook_assets::server::{Answer, Client, FastPath, Handler, HeadLimits, PlainRequest, ResponseWriter};
use webhook_assets::signed_url::{SigningKey, split_route};
use webhook_assets::store::{self, CloudVariables, Store, StoreUrl};
use webhook_assets::{AssetRef, Keyring, Minter, SecretKey, Verifier};

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

const NOW: UnixSeconds = UnixSeconds(1_800_000_000);
const DAY: Duration = Duration::from_secs(86_400);
const ID: uuid::Uuid = uuid::uuid!("550e8400-e29b-41d4-a716-446655440000");
const PEER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 4711);
const BASE: &str = "https://app.example.com/api";

fn main() {
    divan::main();
}

/// A keyring of `count` keys, one of which signs.
fn keyring(keys: u8) -> Keyring {
    let key = |number: u8| {
        let secret = SecretKey::from_bytes(&[number + 1; 32]).unwrap();
        SigningKey::new(format!("key-{number}"), secret, UnixSeconds(u64::from(number)), None)
    };
    Keyring::new((0..keys).map(key).collect()).unwrap()
}

/// Path and query of a good link, below the public prefix.
fn target() -> String {
    let link = Minter::new(BASE, keyring(1)).unwrap().mint_at(AssetRef::recording(ID), DAY, NOW).unwrap();
    link.as_str().strip_prefix(BASE).unwrap().to_owned()
}

/// From path and query as received to a grant.
#[divan::bench(name = "verify (at most 400 ns)")]
fn verify(bencher: Bencher<'_, '_>) {
    verify_with(bencher, 1);
}

/// Verification compares with every key, whichever fits.
#[divan::bench(name = "verify, so many keys", args = [2, 8, 64])]
fn verify_among(bencher: Bencher<'_, '_>, keys: u8) {
    verify_with(bencher, keys);
}

fn verify_with(bencher: Bencher<'_, '_>, keys: u8) {
    let (keyring, verifier, target) = (keyring(keys), Verifier::default(), target());
    let check = |target: &str| {
        let (path, query) = target.split_once('?').unwrap();
        let (kind, id) = split_route(path).unwrap();
        verifier.verify(&keyring, kind, id, query, NOW)
    };
    assert!(check(&target).is_ok());
    bencher.bench_local(|| check(black_box(&target)));
}

/// A whole link as text.
#[divan::bench(name = "mint (at most 300 ns)")]
fn mint(bencher: Bencher<'_, '_>) {
    let minter = Minter::new(BASE, keyring(1)).unwrap();
    bencher.bench_local(|| minter.mint_at(black_box(AssetRef::recording(ID)), DAY, NOW).unwrap());
}

/// From the bytes of a request with a bad signature to head and body of the answer: what the fast path does between two
/// system calls. Logging is off here; `benches/peers/run` includes it.
#[divan::bench(name = "plain request to 403")]
fn plain_request_to_403(bencher: Bencher<'_, '_>) {
    let (gateway, client, at) = (gateway(), Client::from(PEER), Moment::now());
    let (request, mut head) = (bad_request(), Vec::new());
    let limits = HeadLimits { target: 2_048, fields: 16_384 };
    let mut answer = || {
        head.clear();
        PlainRequest::read(request.as_bytes(), limits, |request| {
            match gateway.try_answer(request, &client, at, ResponseWriter::new(&mut head)) {
                FastPath::Answered(_, body) => Some(body),
                FastPath::Declined(_) | FastPath::Sent(..) | FastPath::Awaited(_) => None,
            }
        })
    };
    assert!(answer().is_some());
    bencher.bench_local(answer);
    assert!(head.starts_with(b"HTTP/1.1 403 "));
}

/// The same through hyper: on a kept connection, in memory.
#[divan::bench(name = "request to 403, the long way")]
fn request_to_403(bencher: Bencher<'_, '_>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (mut client, request) = (connect(&runtime), bad_request());
    let mut buffer = vec![0; 16 * 1024];
    let mut ask = || {
        runtime.block_on(async {
            client.write_all(request.as_bytes()).await.unwrap();
            let read = client.read(&mut buffer).await.unwrap();
            buffer.get(..read).unwrap().to_vec()
        })
    };
    // Head and body come together: one read is one answer.
    let answer = String::from_utf8(ask()).unwrap();
    assert!(answer.starts_with("HTTP/1.1 403 ") && answer.ends_with("}\n"), "{answer}");
    bencher.bench_local(|| ask().len());
}

fn bad_request() -> String {
    let target = target().replace("sig=", "sig=0");
    let target = target.get(..target.len() - 1).unwrap();
    format!("GET /api{target} HTTP/1.1\r\nHost: app.example.com\r\nUser-Agent: n8n\r\n\r\n")
}

/// A gateway whose store is empty.
fn gateway() -> Gateway {
    let metrics = Metrics::default();
    Gateway::new(
        &gateway_config(),
        ActiveKeyring::new(keyring(1), metrics.keyring),
        Store::new(Arc::new(InMemory::new()), &store_config(), metrics.store),
        Arc::new(ManualClock::at(NOW)),
        metrics.requests,
    )
}

/// A connection to such a gateway.
fn connect(runtime: &Runtime) -> DuplexStream {
    let gateway = gateway();
    let (client, server) = tokio::io::duplex(64 * 1024);
    runtime.spawn(async move {
        let answer = service_fn(move |request: Request<Incoming>| {
            let gateway = gateway.clone();
            async move {
                Ok::<_, std::convert::Infallible>(match Handler::answer(&gateway, request, PEER.into()) {
                    Answer::Ready(response) => response,
                    Answer::Awaited(answer) => answer.await,
                })
            }
        });
        let _ =
            hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(server), answer).await;
    });
    client
}

fn gateway_config() -> gateway::Config {
    gateway::Config {
        prefix: "/api".into(),
        longest_lifetime: DAY,
        allowed_origins: AllowedOrigins::Any,
        requests_in_flight: 1_000,
        requests_per_address: None,
        retry_after: Duration::from_secs(5),
    }
}

fn store_config() -> store::Config {
    let second = Duration::from_secs(1);
    store::Config {
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
    }
}
