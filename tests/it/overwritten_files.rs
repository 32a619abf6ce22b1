//! A local file that is overwritten while the gateway sends it: the answer breaks on every path. A client with bytes of
//! two versions in one answer would take them for one recording.

use std::fs::{self, File};
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::rustls::version::TLS13;
use webhook_assets::AssetRef;
use webhook_assets::cli::Metrics;
use webhook_assets::server::Certificate;

use crate::support::client::request_head;
use crate::support::slow_client::SlowClient;
use crate::support::tls::{Pair, connect, trusting};
use crate::support::{Answer, CALL, Plan, Site, http2};

/// Longer than a batch, and than what the kernel buffers ahead of a client.
const LONG: usize = 9_777_777;

/// Incompressible bytes (xorshift).
fn original(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let step = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    std::iter::repeat_with(step).take(length).collect()
}

struct Files {
    folder: TempDir,
}

impl Files {
    /// A recording and a transcript of these sizes, written an hour ago.
    fn of(length: usize) -> Self {
        let files = Self { folder: tempfile::tempdir().unwrap() };
        for asset in [AssetRef::recording(CALL), AssetRef::transcript(CALL)] {
            let path = files.path(asset);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, original(length)).unwrap();
            let hour_ago = fs::metadata(&path).unwrap().modified().unwrap() - Duration::from_secs(3_600);
            File::options().write(true).open(&path).unwrap().set_modified(hour_ago).unwrap();
        }
        files
    }

    fn path(&self, asset: AssetRef) -> PathBuf {
        self.folder.path().join(asset.object_path())
    }

    async fn site(&self) -> Site {
        let site = Plan::on_files(self.folder.path()).start().await;
        // A connection from before the listener was ready may have more in the kernel.
        assert_eq!(site.head(&site.recording(), &[]).await.status, 200);
        site
    }

    /// Writes the same file again, with `length` bytes.
    fn overwrite(&self, asset: AssetRef, length: usize) {
        let mut file = File::options().write(true).open(self.path(asset)).unwrap();
        file.write_all(&vec![7; length]).unwrap();
        file.set_len(length as u64).unwrap();
    }
}

/// What a slow client gets of the recording when it is overwritten halfway.
async fn broken(files: &Files, site: &Site, fields: &[(&str, &str)], length: usize) -> Answer {
    let mut client = SlowClient::get(site.address, &site.recording(), fields).await;
    client.read_the_head().await;
    files.overwrite(AssetRef::recording(CALL), length);
    client.read_to_the_end().await;
    Answer::parse_loosely(&client.bytes, false).0
}

#[tokio::test]
async fn a_long_file_that_is_overwritten_while_it_is_sent_breaks_off_however_long_it_is_then() {
    for length in [LONG, LONG - 1, LONG + 1, 2 * LONG, 100_000] {
        let files = Files::of(LONG);
        let site = files.site().await;
        let answer = broken(&files, &site, &[], length).await;
        assert_eq!((answer.status, answer.complete), (200, false), "{length}");
    }
}

#[tokio::test]
async fn a_file_of_one_batch_or_a_range_breaks_off_too() {
    // A slow client reads the rest later, both of an answer sent in one call with its head and of one sent in one
    // batch.
    for (length, fields) in [
        (1_500_000, &[][..]),
        (600_000, &[]),
        (LONG, &[("Range", "bytes=100000-")]),
        (LONG, &[("Range", "bytes=0-999999")]),
        (LONG, &[("Range", "bytes=5000-265000")]),
        (LONG, &[("Range", "bytes=0-3999999,5000000-9000000")]),
    ] {
        let files = Files::of(length);
        let site = files.site().await;
        let answer = broken(&files, &site, fields, length).await;
        assert!(
            matches!(answer.status, 200 | 206) && !answer.complete,
            "{length} {fields:?}: {}",
            answer.status
        );
    }
}

#[tokio::test]
async fn an_answer_through_hyper_breaks_off_too() {
    let files = Files::of(LONG);
    let mut plan = Plan::on_files(files.folder.path());
    plan.through_hyper = true;
    let site = plan.start().await;
    let answer = broken(&files, &site, &[], LONG).await;
    assert_eq!((answer.status, answer.complete), (200, false));
}

#[tokio::test]
async fn over_tls_it_breaks_off_too() {
    let files = Files::of(LONG);
    let (folder, pair) = (tempfile::tempdir().unwrap(), Pair::fresh());
    let mut plan = Plan::on_files(files.folder.path());
    plan.certificate =
        Some(Certificate::read(pair.write(folder.path()), Metrics::default().certificate).unwrap());
    let site = plan.start().await;
    let client = trusting(&[&pair], &[&TLS13], &["http/1.1"]);
    for fields in [&[][..], &[("Range", "bytes=1000-")]] {
        let mut stream = connect(&client, site.address).await.unwrap();
        let head = request_head("GET", &site.recording(), fields, b"");
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut bytes = vec![0; 10_000];
        stream.read_exact(&mut bytes).await.unwrap();
        files.overwrite(AssetRef::recording(CALL), LONG);
        // The read may end with an error: the connection broke.
        let _ = stream.read_to_end(&mut bytes).await;
        assert!(!Answer::parse_loosely(&bytes, false).0.complete, "{fields:?}");
    }
}

#[tokio::test]
async fn a_stream_of_http_2_is_reset_and_the_others_go_on() {
    let files = Files::of(LONG);
    let site = files.site().await;
    let mut client = http2::Http2::roomy(site.address).await;
    let answer = client.get(&site.recording(), &[]).await;
    let other = client.get(&site.transcript(), &[]).await;
    files.overwrite(AssetRef::recording(CALL), LONG);
    let (_, reason) = http2::read(answer.into_body()).await;
    assert!(reason.is_some(), "it ended as if it were whole");
    let (body, reason) = http2::read(other.into_body()).await;
    assert!(reason.is_none() && body == original(LONG));
}

#[tokio::test]
async fn a_transcript_that_is_compressed_while_it_is_sent_breaks_off_too() {
    for coding in ["br", "gzip", "zstd", "identity"] {
        let files = Files::of(LONG);
        let site = files.site().await;
        let fields = [("Accept-Encoding", coding)];
        let mut client = SlowClient::get(site.address, &site.transcript(), &fields).await;
        client.read_the_head().await;
        files.overwrite(AssetRef::transcript(CALL), LONG);
        client.read_to_the_end().await;
        let answer = Answer::parse_loosely(&client.bytes, false).0;
        assert_eq!((answer.status, answer.complete), (200, false), "{coding}");
    }
}

#[tokio::test]
async fn it_is_recorded_as_a_failure_of_the_store_and_the_next_answer_is_the_new_file() {
    let files = Files::of(LONG);
    let site = files.site().await;
    let answer = broken(&files, &site, &[], LONG).await;
    assert!(!answer.complete);
    let whole = site.get(&site.recording(), &[]).await;
    assert!(whole.status == 200 && whole.body == vec![7; LONG]);
    let metrics = site.metrics.render();
    let ended = metrics.lines().find(|line| line.contains("store_failed") && !line.ends_with(" 0"));
    assert!(ended.is_some(), "{metrics}");
}

/// Neither changes a byte of the answer.
#[tokio::test]
async fn another_name_or_mode_of_the_file_breaks_nothing() {
    let files = Files::of(LONG);
    let site = files.site().await;
    let mut client = SlowClient::get(site.address, &site.recording(), &[]).await;
    client.read_the_head().await;
    let path = files.path(AssetRef::recording(CALL));
    fs::hard_link(&path, files.folder.path().join("another")).unwrap();
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    fs::rename(&path, files.folder.path().join("moved")).unwrap();
    client.read_to_the_end().await;
    assert!(Answer::parse(&client.bytes, false).0.body == original(LONG));
}
