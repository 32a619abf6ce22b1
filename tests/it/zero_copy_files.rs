//! Zero-copy sending of files: on every path the client gets the file's bytes.

use std::fs::{self, File};
use std::time::Duration;

use rustix::fs::{Advice, fadvise};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio_rustls::rustls::version::TLS13;
use webhook_assets::AssetRef;
use webhook_assets::cli::Metrics;
use webhook_assets::server::Certificate;

use crate::support::client::request_head;
use crate::support::requests::{each_follows_each, expect};
use crate::support::slow_client::SlowClient;
use crate::support::tls::{Pair, connect, trusting};
use crate::support::waiting::until;
use crate::support::{ABSENT, Answer, CALL, Plan, Site, downloads_at_once, http2, noise, transcript};

/// Longer than a batch and a last one, and no multiple of anything.
const LENGTH: usize = 3_777_777;

struct Files {
    folder: TempDir,
    recording: Vec<u8>,
}

impl Files {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for kind in ["recordings", "transcripts"] {
            fs::create_dir(folder.path().join(kind)).unwrap();
        }
        let files = Self { folder, recording: noise(LENGTH) };
        fs::write(files.path(AssetRef::recording(CALL)), &files.recording).unwrap();
        fs::write(files.path(AssetRef::transcript(CALL)), transcript()).unwrap();
        files
    }

    fn path(&self, asset: AssetRef) -> std::path::PathBuf {
        self.folder.path().join(asset.object_path())
    }

    fn plan(&self) -> Plan {
        Plan::on_files(self.folder.path())
    }

    async fn site(&self) -> Site {
        self.plan().start().await
    }
}

#[tokio::test]
async fn answers_of_every_kind_on_one_connection_are_byte_exact() {
    let files = Files::new();
    let site = files.site().await;
    let all = &files.recording;
    let (recording, bad) = (site.recording(), site.recording().replace("sig=", "sig=0"));
    let kinds = [
        expect("GET", &recording, &[], 200, all),
        expect("GET", &recording, &[("Range", "bytes=1000-66535")], 206, &all[1_000..66_536]),
        expect("GET", &site.transcript(), &[], 200, &transcript()),
        expect("HEAD", &recording, &[], 200, all),
        expect("GET", &recording, &[("Range", "bytes=0-16383")], 206, &all[..16_384]),
        expect("GET", &recording, &[("Range", "bytes=0-16384")], 206, &all[..16_385]),
        expect("GET", &recording, &[("Range", "bytes=-1500000")], 206, &all[LENGTH - 1_500_000..]),
        expect("GET", &bad, &[], 403, b""),
        expect("GET", &site.link(AssetRef::recording(ABSENT)), &[], 404, b""),
        expect("GET", &recording, &[("Range", "bytes=9999999-")], 416, b""),
    ];
    each_follows_each(&site, &kinds).await;
}

#[tokio::test]
async fn a_file_on_its_way_through_http_2_is_byte_exact() {
    let files = Files::new();
    let site = files.site().await;
    let mut client = http2::Http2::connect(site.address).await;
    let answer = client.get(&site.recording(), &[]).await;
    let (body, reason) = http2::read(answer.into_body()).await;
    assert!(reason.is_none() && body == files.recording);
}

#[tokio::test]
async fn a_file_on_its_way_through_tls_is_byte_exact() {
    let files = Files::new();
    let (folder, pair) = (tempfile::tempdir().unwrap(), Pair::fresh());
    let mut plan = files.plan();
    plan.certificate =
        Some(Certificate::read(pair.write(folder.path()), Metrics::default().certificate).unwrap());
    let site = plan.start().await;
    let client = trusting(&[&pair], &[&TLS13], &["http/1.1"]);
    let mut stream = connect(&client, site.address).await.unwrap();
    let head = request_head("GET", &site.recording(), &[], b"");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    assert!(Answer::parse(&bytes, false).0.body == files.recording);
}

#[tokio::test]
async fn several_ranges_of_a_file_are_byte_exact() {
    let files = Files::new();
    let site = files.site().await;
    let answer = site.get(&site.recording(), &[("Range", "bytes=0-99999,2000000-2099999")]).await;
    assert_eq!(answer.status, 206);
    for part in [&files.recording[..100_000], &files.recording[2_000_000..2_100_000]] {
        assert!(answer.body.windows(part.len()).any(|window| window == part));
    }
}

#[tokio::test]
async fn an_answer_of_http_1_0_is_byte_exact() {
    let files = Files::new();
    let site = files.site().await;
    let head = format!("GET {} HTTP/1.0\r\nHost: localhost\r\n\r\n", site.recording());
    let bytes = site.client().exchange(head.as_bytes()).await;
    assert!(Answer::parse(&bytes, false).0.body == files.recording);
}

#[tokio::test]
async fn a_file_that_is_not_in_memory_arrives_byte_for_byte() {
    let files = Files::new();
    let site = files.site().await;
    for _ in 0..3 {
        let file = File::open(files.path(AssetRef::recording(CALL))).unwrap();
        file.sync_all().unwrap();
        fadvise(&file, 0, None, Advice::DontNeed).unwrap();
        assert!(site.get(&site.recording(), &[]).await.body == files.recording);
    }
}

#[tokio::test]
async fn many_at_once_each_get_their_own() {
    let files = Files::new();
    downloads_at_once(files.site().await, files.recording.clone()).await;
}

#[tokio::test]
async fn bytes_that_the_socket_does_not_take_at_once_follow_and_count_once() {
    // More than the kernel buffers, taken together.
    const COUNT: u64 = 60;
    let files = Files::new();
    let site = files.site().await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(16 * 1024).unwrap();
    let mut stream = socket.connect(site.address).await.unwrap();
    let head =
        format!("GET {} HTTP/1.1\r\nHost: localhost\r\nRange: bytes=1000-250999\r\n\r\n", site.recording());
    stream.write_all(head.repeat(60).as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let answered = |site: &Site| sum_of(&site.metrics.render(), "webhook_assets_sent_bytes_total");
    assert!(answered(&site) < COUNT * 250_000, "all was taken at once, which is not what is tested here");
    stream.shutdown().await.unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.unwrap();
    let mut rest = &bytes[..];
    for _ in 0..COUNT {
        let (answer, behind) = Answer::parse(rest, false);
        assert_eq!(answer.status, 206);
        assert!(answer.body[..250_000] == files.recording[1_000..251_000]);
        rest = behind;
    }
    assert!(rest.is_empty(), "{} bytes more", rest.len());
    assert_eq!(answered(&site), COUNT * 250_000);
}

/// All samples of a metric together.
fn sum_of(metrics: &str, name: &str) -> u64 {
    let samples = metrics.lines().filter(|line| line.starts_with(name));
    samples.map(|line| line.rsplit(' ').next().unwrap().parse::<u64>().unwrap()).sum()
}

/// The bytes that the kernel accepted count as sent, and no more.
#[tokio::test]
async fn an_abandoned_file_counts_no_more_bytes_than_the_kernel_took() {
    // More than the kernel buffers, even for a client that seems fast at first.
    const LONG: u64 = 64 * 1024 * 1024;
    let files = Files::new();
    File::create(files.path(AssetRef::recording(CALL))).unwrap().set_len(LONG).unwrap();
    let site = files.site().await;
    let mut client = SlowClient::get(site.address, &site.recording(), &[]).await;
    client.read_the_head().await;
    let taken = client.in_kernel();
    drop(client);
    let Some(taken) = taken else {
        eprintln!("skipped: the kernel does not tell how much it holds");
        return;
    };
    let counted = async || {
        Some(sum_of(&site.metrics.render(), "webhook_assets_sent_bytes_total")).filter(|sent| *sent > 0)
    };
    let sent = until(counted, || "the download is not counted".to_owned()).await;
    assert!(sent < LONG, "{sent} of {LONG}, {taken} in the kernel");
}
