//! Zero-copy relaying from a store without TLS: on every path, whatever breaks, the client gets the object's bytes, or
//! the connection breaks.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::rustls::version::TLS13;
use webhook_assets::cli::Metrics;
use webhook_assets::server::Certificate;

use crate::broken_bucket::plan_on;
use crate::support::bucket::{Act, Bucket};
use crate::support::client::request_head;
use crate::support::requests::{each_follows_each, expect};
use crate::support::slow_client::SlowClient;
use crate::support::tls::{Pair, connect, trusting};
use crate::support::{Answer, Plan, Site, downloads_at_once, http2, noise};

/// Longer than many pipes, and no multiple of anything.
const LENGTH: usize = 3_777_777;

/// A bucket with a long object, and a site on it.
async fn relaying() -> (Arc<Bucket>, Site) {
    let (bucket, plan) = planned(LENGTH).await;
    (bucket, plan.start().await)
}

async fn planned(length: usize) -> (Arc<Bucket>, Plan) {
    let bucket = Bucket::holding(noise(length)).await;
    let plan = plan_on(&bucket).await;
    (bucket, plan)
}

async fn download(site: &Site) -> Answer {
    let request = request_head("GET", &site.recording(), &[], b"");
    Answer::parse_loosely(&site.client().exchange(request.as_bytes()).await, false).0
}

#[tokio::test]
async fn answers_of_every_kind_on_one_connection_are_byte_exact() {
    let (_bucket, site) = relaying().await;
    let (all, recording) = (noise(LENGTH), site.recording());
    let bad = recording.replace("sig=", "sig=0");
    let range =
        |range: &str, status: u16, body: &[u8]| expect("GET", &recording, &[("Range", range)], status, body);
    let kinds = [
        expect("GET", &recording, &[], 200, &all),
        range("bytes=1000-66535", 206, &all[1_000..66_536]),
        expect("HEAD", &recording, &[], 200, &all),
        range("bytes=0-99999", 206, &all[..100_000]),
        range("bytes=7-8199", 206, &all[7..8_200]),
        range("bytes=0-0", 206, &all[..1]),
        range("bytes=2000000-", 206, &all[2_000_000..]),
        expect("GET", &bad, &[], 403, b""),
        range("bytes=9999999-", 416, b""),
    ];
    each_follows_each(&site, &kinds).await;
}

#[tokio::test]
async fn where_relaying_is_impossible_the_bytes_are_the_same() {
    let (_bucket, mut plan) = planned(LENGTH).await;
    let (folder, pair) = (tempfile::tempdir().unwrap(), Pair::fresh());
    plan.certificate =
        Some(Certificate::read(pair.write(folder.path()), Metrics::default().certificate).unwrap());
    let site = plan.start().await;
    let client = trusting(&[&pair], &[&TLS13], &["http/1.1"]);
    let mut stream = connect(&client, site.address).await.unwrap();
    stream.write_all(request_head("GET", &site.recording(), &[], b"").as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    assert!(Answer::parse(&bytes, false).0.body == noise(LENGTH), "TLS");

    let (_bucket, site) = relaying().await;
    let mut client = http2::Http2::connect(site.address).await;
    let answer = client.get(&site.recording(), &[]).await;
    let (body, reason) = http2::read(answer.into_body()).await;
    assert!(reason.is_none() && body == noise(LENGTH), "HTTP/2");

    let answer = site.get(&site.recording(), &[("Range", "bytes=0-99999,2000000-2099999")]).await;
    for part in [&noise(LENGTH)[..100_000], &noise(LENGTH)[2_000_000..2_100_000]] {
        assert!(answer.body.windows(part.len()).any(|window| window == part), "several ranges");
    }
}

#[tokio::test]
async fn an_answer_of_http_1_0_is_byte_exact() {
    let (_bucket, site) = relaying().await;
    let head = format!("GET {} HTTP/1.0\r\nHost: localhost\r\n\r\n", site.recording());
    let bytes = site.client().exchange(head.as_bytes()).await;
    assert!(Answer::parse(&bytes, false).0.body == noise(LENGTH));
}

#[tokio::test]
async fn many_at_once_each_get_their_own() {
    let (_bucket, site) = relaying().await;
    downloads_at_once(site, noise(LENGTH)).await;
}

#[tokio::test]
async fn a_body_that_breaks_while_it_is_relayed_is_resumed() {
    let (bucket, site) = relaying().await;
    for acts in [
        &[Act::CutAfter(1_000_000)][..],
        &[Act::ResetAfter(1_000_000)],
        &[Act::StallAfter(1_000_000)],
        &[Act::CutAfter(LENGTH - 1)],
        &[Act::CutAfter(200_000), Act::Status(503, "SlowDown"), Act::StallAfter(300_000), Act::CutAfter(0)],
        &[Act::CutAfter(20_000), Act::HintFirst],
        // The rest is too short to be worth a pipe.
        &[Act::CutAfter(LENGTH - 30_000), Act::CutAfter(10_000)],
        &[Act::Drips(70_000), Act::Serve],
        &[Act::Drips(1_000_000), Act::Serve],
        &[Act::Late(Duration::from_millis(100)), Act::CutAfter(1_500_000), Act::Drips(100_000)],
    ] {
        bucket.play(acts, Act::Serve);
        let answer = download(&site).await;
        assert_eq!((answer.status, answer.complete), (200, true), "{acts:?}: {} bytes", answer.body.len());
        assert!(answer.body == noise(LENGTH), "{acts:?}");
    }
}

#[tokio::test]
async fn each_resumption_requests_only_the_missing_bytes() {
    let (bucket, site) = relaying().await;
    bucket.play(&[Act::CutAfter(1_000_000), Act::CutAfter(500_000)], Act::Serve);
    assert!(download(&site).await.complete);
    let heads = bucket.heads.lock().unwrap().clone();
    let ranges: Vec<_> = heads.iter().map(|head| head.to_lowercase()).collect();
    let last = LENGTH - 1;
    assert_eq!(ranges.len(), 3);
    assert!(ranges[1].contains(&format!("range: bytes=1000000-{last}\r\n")), "{}", ranges[1]);
    assert!(ranges[2].contains(&format!("range: bytes=1500000-{last}\r\n")), "{}", ranges[2]);
    site.counts("webhook_assets_store_resumed_total 2").await;
}

#[tokio::test]
async fn a_body_that_cannot_be_completed_breaks_the_connection() {
    for act in [Act::CutAfter(1_000_000), Act::ResetAfter(1_000_000), Act::StallAfter(1_000_000)] {
        let (bucket, mut plan) = planned(LENGTH).await;
        plan.store.resume_tries = 0;
        let site = plan.start().await;
        bucket.play(&[act], Act::Serve);
        let answer = download(&site).await;
        assert_eq!((answer.status, answer.complete), (200, false), "{act:?}");
        assert!(noise(LENGTH).starts_with(&answer.body), "{act:?}: wrong bytes");
        site.counts("webhook_assets_bodies_total{asset=\"recording\",ending=\"store_failed\"} 1").await;
    }
}

#[tokio::test]
async fn an_object_replaced_while_it_is_relayed_breaks_the_connection() {
    let (bucket, site) = relaying().await;
    bucket.play(&[Act::CutAfter(1_000_000), Act::Late(Duration::from_millis(200))], Act::Serve);
    let replaced = async {
        while bucket.requests.load(Ordering::SeqCst) < 2 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        bucket.replace();
    };
    let (answer, ()) = tokio::join!(download(&site), replaced);
    assert!(!answer.complete && noise(LENGTH).starts_with(&answer.body), "{} bytes", answer.body.len());
}

#[tokio::test]
async fn a_client_that_reads_nothing_holds_the_store_back() {
    // More than the kernel holds on both sides.
    const LONG: usize = 48 << 20;
    let (bucket, plan) = planned(LONG).await;
    let site = plan.start().await;
    let mut client = SlowClient::get(site.address, &site.recording(), &[]).await;
    client.read_the_head().await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(bucket.whole.load(Ordering::SeqCst), 0, "the store sends no more than the client reads");
    client.read_to_the_end().await;
    assert!(Answer::parse(&client.bytes, false).0.body == noise(LONG));
    site.counts(&format!("webhook_assets_sent_bytes_total{{asset=\"recording\"}} {LONG}")).await;
}

#[tokio::test]
async fn a_client_that_disconnects_early_is_counted_and_harms_no_other() {
    const LONG: usize = 48 << 20;
    let (_bucket, plan) = planned(LONG).await;
    let site = plan.start().await;
    for at in 1..=20 {
        let mut client = SlowClient::get(site.address, &site.recording(), &[]).await;
        client.read_the_head().await;
        drop(client);
        let left = "webhook_assets_bodies_total{asset=\"recording\",ending=\"client_left\"}";
        site.counts(&format!("{left} {at}")).await;
    }
    let sent = site.metrics.render();
    let sent = sent
        .lines()
        .find_map(|line| line.strip_prefix("webhook_assets_sent_bytes_total{asset=\"recording\"} "));
    assert!(sent.unwrap().parse::<usize>().unwrap() < 20 * LONG, "{sent:?}");
    let answer = site.get(&site.recording(), &[("Range", "bytes=1000000-3999999")]).await;
    assert!(answer.body == noise(LONG)[1_000_000..4_000_000]);
}

#[tokio::test]
async fn one_connection_serves_one_request_after_the_other() {
    for length in [0, 1, 8_000, 100_000, LENGTH] {
        let (bucket, plan) = planned(length).await;
        let site = plan.start().await;
        for _ in 0..5 {
            assert!(download(&site).await.body == noise(length), "{length}");
            assert_eq!(site.head(&site.recording(), &[]).await.status, 200);
            bucket.play(&[Act::Status(404, "NoSuchKey")], Act::Serve);
            assert_eq!(site.get(&site.recording(), &[]).await.status, 404);
        }
        assert_eq!(bucket.connections.load(Ordering::SeqCst), 1, "{length}");
    }
}

#[tokio::test]
async fn a_connection_that_is_closed_or_spoilt_while_it_waits_is_not_used_again() {
    for length in [8_000, LENGTH] {
        for act in
            [Act::ServeAndClose, Act::SayClose, Act::AsOf1996, Act::RunsOverBy(1), Act::RunsOverBy(300_000)]
        {
            let (bucket, plan) = planned(length).await;
            let site = plan.start().await;
            bucket.play(&[act, act], act);
            for _ in 0..3 {
                let answer = download(&site).await;
                assert!(
                    answer.complete && answer.body == noise(length),
                    "{act:?}: {} bytes",
                    answer.body.len()
                );
                tokio::time::sleep(Duration::from_millis(40)).await;
            }
            assert_eq!(bucket.requests.load(Ordering::SeqCst), 3, "{act:?}: nothing is asked twice");
            assert_eq!(bucket.connections.load(Ordering::SeqCst), 3, "{act:?}");
        }
    }
}

#[tokio::test]
async fn answers_that_are_framed_otherwise_are_understood_too() {
    let (bucket, site) = relaying().await;
    for (act, status) in [
        (Act::HintFirst, 200),
        (Act::AsOf1996, 200),
        (Act::Chunked(404, "NoSuchKey"), 404),
        (Act::Chunked(404, "NoSuchBucket"), 502),
        (Act::Chunked(403, "SignatureDoesNotMatch"), 502),
    ] {
        bucket.play(&[], act);
        let answer = download(&site).await;
        assert_eq!(answer.status, status, "{act:?}");
        assert!(status != 200 || answer.body == noise(LENGTH), "{act:?}");
    }
    bucket.play(&[Act::Chunked(503, "SlowDown"), Act::HintFirst], Act::Serve);
    assert!(download(&site).await.body == noise(LENGTH));
}

/// What the kernel holds at both ends of the relayed downloads, in bytes: bytes that clients have not acknowledged, and
/// bytes that the store has sent and the gateway has not read (`local remote state tx_queue:rx_queue`, see proc(5)).
fn held_by_the_kernel(site: &Site, bucket: &Bucket) -> usize {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let (gateway, store) =
        (format!(":{:04X}", site.address.port()), format!(":{:04X}", bucket.address.port()));
    let of_line = |line: &str| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let (unsent, unread) = columns[4].split_once(':').unwrap();
        let queue = match (columns[1].ends_with(&gateway), columns[2].ends_with(&store)) {
            (true, _) => unsent,
            (_, true) => unread,
            _ => "0",
        };
        usize::from_str_radix(queue, 16).unwrap()
    };
    table.lines().skip(1).map(of_line).sum()
}

/// Clients with the receive buffers that systems give them, which grow to megabytes: bytes that these buffers take
/// before the program reads any must not make the client look fast.
#[tokio::test]
async fn slow_clients_cost_the_kernel_little() {
    const CLIENTS: usize = 20;

    let bucket = Bucket::holding(noise(8 << 20)).await;
    let mut plan = plan_on(&bucket).await;
    plan.server.stall_timeout = Duration::from_secs(60);
    let site = plan.start().await;
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let mut client = TcpStream::connect(site.address).await.unwrap();
        client.write_all(request_head("GET", &site.recording(), &[], b"").as_bytes()).await.unwrap();
        clients.push(client);
    }
    let mut piece = vec![0; 5_000];
    for _ in 0..12 {
        for client in &mut clients {
            client.read_exact(&mut piece).await.unwrap();
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    let each = held_by_the_kernel(&site, &bucket) / CLIENTS;
    assert!(each < 2_000_000, "{each} bytes for each client");
}
