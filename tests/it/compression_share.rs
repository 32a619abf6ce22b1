//! A small request beside clients that have long transcripts compressed waits no longer than beside clients that do
//! not.

use std::sync::Arc;
use std::time::{Duration, Instant};

use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use webhook_assets::AssetRef;

use crate::support::waiting::until;
use crate::support::{ABSENT, CALL, Plan, Site, recording, request_head, transcript};

/// How many requests the measured client sends.
const ASKED: usize = 40;

/// What scheduling costs on a busy machine. One unoptimized brotli step on the serving thread takes as long.
const FLOOR: Duration = Duration::from_millis(60);

/// A transcript of about `length` bytes without repeated text.
fn transcript_of(length: usize) -> Vec<u8> {
    let mut text = Vec::with_capacity(length + 8_192);
    let mut dice = 1_u64;
    while text.len() < length {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        text.extend_from_slice(format!("{dice:x} ").as_bytes());
        text.extend_from_slice(&transcript()[..256]);
    }
    text
}

/// A site with a transcript of about `length` bytes, and a recording.
async fn site_with(length: usize) -> Site {
    let store = Arc::new(InMemory::new());
    let put = async |asset: AssetRef, bytes: Vec<u8>| {
        store.put(&Path::from(asset.object_path()), bytes.into()).await.unwrap();
    };
    put(AssetRef::recording(CALL), recording()).await;
    put(AssetRef::transcript(ABSENT), transcript_of(length)).await;
    Plan::on(store as Arc<dyn ObjectStore>).start().await
}

/// Downloads the transcript again and again.
async fn takes_without_end(site: Arc<Site>, coding: &'static str) {
    let head =
        request_head("GET", &site.link(AssetRef::transcript(ABSENT)), &[("Accept-Encoding", coding)], b"");
    loop {
        let mut stream = site.client().connect().await;
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut some = vec![0; 64 * 1024];
        while stream.read(&mut some).await.unwrap() > 0 {}
    }
}

/// How long the slowest but one of the measured client's requests waits for ten bytes, beside four clients that download the
/// transcript in this coding.
async fn waits_beside(site: &Arc<Site>, coding: &'static str) -> Duration {
    let others: Vec<_> = (0..4).map(|_| tokio::spawn(takes_without_end(Arc::clone(site), coding))).collect();
    let mut stream = TcpStream::connect(site.address).await.unwrap();
    let request = format!("GET {} HTTP/1.1\r\nHost: a\r\nRange: bytes=100-109\r\n\r\n", site.recording());
    let mut waited = Vec::new();
    for _ in 0..ASKED {
        let began = Instant::now();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(&recording()[100..110]) {
            assert!(stream.read_buf(&mut answer).await.unwrap() > 0, "{coding}: the connection has ended");
        }
        waited.push(began.elapsed());
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    for other in &others {
        assert!(!other.is_finished(), "{coding}: a client has stopped");
        other.abort();
    }
    waited.sort();
    waited[ASKED - 2]
}

async fn assert_neighbours_of(site: Site) {
    let site = Arc::new(site);
    let mut identity = waits_beside(&site, "identity").await;
    for coding in ["br", "gzip", "zstd"] {
        // A busy machine spoils a comparison now and then. Compression on the serving thread would spoil all of them.
        let no_longer = async || {
            let compressed = waits_beside(&site, coding).await;
            eprintln!("p99 of a neighbour: {compressed:?} beside {coding}, {identity:?} beside identity");
            if compressed <= 3 * identity + FLOOR {
                return Some(());
            }
            identity = waits_beside(&site, "identity").await;
            None
        };
        until(no_longer, || format!("beside {coding} it always waits longer")).await;
    }
}

#[tokio::test]
async fn compressing_long_transcripts_delays_no_other_client() {
    assert_neighbours_of(site_with(4 << 20).await).await;
}

#[tokio::test]
async fn compressing_short_transcripts_delays_no_other_client() {
    assert_neighbours_of(site_with(1_000_000).await).await;
}
