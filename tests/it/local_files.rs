//! Files of this machine: no way around the root folder, no short body, no waiting.

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::Instant;

use rustix::fs::{CWD, Mode, mkfifoat};
use tempfile::TempDir;
use webhook_assets::AssetRef;

use crate::support::slow_client::SlowClient;
use crate::support::waiting::WAIT_LIMIT;
use crate::support::{ABSENT, Answer, CALL, Plan, Site, recording, transcript};

/// 20 MB without repetitions nearby: a pattern whose length is prime.
static LARGE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let pattern: Vec<u8> =
        (0..1_000_003_u64).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    pattern.iter().copied().cycle().take(20_000_000).collect()
});

/// A folder as the store's root, and a site on it.
struct Files {
    folder: TempDir,
    site: Site,
}

impl Files {
    /// With the sample call.
    async fn sample() -> Self {
        let files = Self::empty().await;
        fs::write(files.recording(), recording()).unwrap();
        fs::write(files.path(AssetRef::transcript(CALL)), transcript()).unwrap();
        files
    }

    /// With a recording of 20 MB.
    async fn large() -> Self {
        let files = Self::empty().await;
        fs::write(files.recording(), &*LARGE).unwrap();
        files
    }

    async fn empty() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for kind in ["recordings", "transcripts"] {
            fs::create_dir(folder.path().join(kind)).unwrap();
        }
        let site = Plan::on_files(folder.path()).start().await;
        Self { folder, site }
    }

    fn path(&self, asset: AssetRef) -> PathBuf {
        self.folder.path().join(asset.object_path())
    }

    /// The path of the call's recording.
    fn recording(&self) -> PathBuf {
        self.path(AssetRef::recording(CALL))
    }

    async fn get(&self, fields: &[(&str, &str)]) -> Answer {
        self.site.get(&self.site.recording(), fields).await
    }

    /// Checks that the gateway answers, to every kind of request, that the recording is absent.
    async fn recording_is_absent(&self) {
        let started = Instant::now();
        let reference = self.site.get(&self.site.link(AssetRef::recording(ABSENT)), &[]).await;
        for fields in [&[][..], &[("Range", "bytes=0-9")], &[("Range", "bytes=0-1,5-9")]] {
            let answer = self.get(fields).await;
            assert_eq!((answer.status, answer.code().as_str()), (404, "not_found"), "{fields:?}");
            assert_eq!(answer.body, reference.body);
        }
        assert_eq!(self.site.head(&self.site.recording(), &[]).await.status, 404);
        assert!(started.elapsed() < WAIT_LIMIT, "it took {:?}", started.elapsed());
    }

    /// A client that has read the head of the recording and no more.
    async fn slow_client(&self, fields: &[(&str, &str)]) -> SlowClient {
        let mut client = SlowClient::get(self.site.address, &self.site.recording(), fields).await;
        client.read_the_head().await;
        client
    }
}

#[tokio::test]
async fn files_are_served_byte_for_byte() {
    let files = Files::sample().await;
    let answer = files.get(&[]).await;
    assert!(answer.status == 200 && answer.body == recording());
    assert_eq!(answer.must("content-type"), "audio/mpeg");
    let answer = files.site.get(&files.site.transcript(), &[]).await;
    assert!(answer.status == 200 && answer.body == transcript());
}

#[tokio::test]
async fn a_symlink_to_a_file_is_absent() {
    let files = Files::empty().await;
    let outside = tempfile::NamedTempFile::new().unwrap();
    fs::write(outside.path(), recording()).unwrap();
    symlink(outside.path(), files.recording()).unwrap();
    files.recording_is_absent().await;

    // A symlink that stays inside is no better: its name is not the signed one.
    fs::remove_file(files.recording()).unwrap();
    fs::write(files.path(AssetRef::recording(uuid::Uuid::nil())), recording()).unwrap();
    symlink(files.path(AssetRef::recording(uuid::Uuid::nil())), files.recording()).unwrap();
    files.recording_is_absent().await;

    // Nor is a symlink to nothing, or to itself.
    for target in [files.folder.path().join("nothing"), files.recording()] {
        fs::remove_file(files.recording()).unwrap();
        symlink(target, files.recording()).unwrap();
        files.recording_is_absent().await;
    }
}

#[tokio::test]
async fn a_file_behind_a_symlinked_folder_is_absent() {
    let files = Files::empty().await;
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join(format!("{CALL}.mp3")), recording()).unwrap();
    let folder = files.folder.path().join("recordings");
    fs::remove_dir(&folder).unwrap();
    symlink(outside.path(), &folder).unwrap();
    files.recording_is_absent().await;
}

#[tokio::test]
async fn the_root_itself_may_be_a_symlink() {
    let real = Files::sample().await;
    let links = tempfile::tempdir().unwrap();
    symlink(real.folder.path(), links.path().join("root")).unwrap();
    let site = Plan::on_files(&links.path().join("root")).start().await;
    assert!(site.get(&site.recording(), &[]).await.body == recording());
}

#[tokio::test]
async fn a_fifo_is_absent_at_once() {
    let files = Files::empty().await;
    mkfifoat(CWD, files.recording(), Mode::RUSR | Mode::WUSR).unwrap();
    files.recording_is_absent().await;
    // Also with a writer at its other end.
    let _writer = fs::OpenOptions::new().read(true).write(true).open(files.recording()).unwrap();
    files.recording_is_absent().await;
}

#[tokio::test]
async fn a_socket_is_absent_at_once() {
    let files = Files::empty().await;
    let _listener = UnixListener::bind(files.recording()).unwrap();
    files.recording_is_absent().await;
}

#[tokio::test]
async fn a_folder_with_the_name_of_a_recording_is_absent() {
    let files = Files::empty().await;
    fs::create_dir(files.recording()).unwrap();
    files.recording_is_absent().await;
}

#[tokio::test]
async fn without_its_folder_a_recording_is_absent() {
    let files = Files::empty().await;
    fs::remove_dir(files.folder.path().join("recordings")).unwrap();
    files.recording_is_absent().await;
    fs::write(files.folder.path().join("recordings"), "a file in the folder's place").unwrap();
    files.recording_is_absent().await;
}

#[tokio::test]
async fn an_unreadable_file_is_502_without_details() {
    let files = Files::sample().await;
    fs::set_permissions(files.recording(), fs::Permissions::from_mode(0o000)).unwrap();
    if File::open(files.recording()).is_ok() {
        eprintln!("skipped: this user (root?) may read every file");
        return;
    }
    let answer = files.get(&[]).await;
    assert_eq!((answer.status, answer.code().as_str()), (502, "storage_error"));
    let text = String::from_utf8(answer.body).unwrap();
    assert!(!text.contains(&*files.folder.path().to_string_lossy()), "{text}");
}

#[tokio::test]
async fn a_deleted_file_is_absent_from_then_on() {
    let files = Files::sample().await;
    assert_eq!(files.get(&[]).await.status, 200);
    fs::remove_file(files.recording()).unwrap();
    files.recording_is_absent().await;
    // A file that comes back is there again.
    fs::write(files.recording(), b"again").unwrap();
    assert_eq!(files.get(&[]).await.body, b"again");
}

#[tokio::test]
async fn a_large_file_arrives_byte_for_byte() {
    let files = Files::large().await;
    let answer = files.get(&[]).await;
    assert_eq!(answer.must("content-length"), "20000000");
    assert!(answer.body == *LARGE);
}

#[tokio::test]
async fn ranges_of_a_large_file_are_byte_exact() {
    let files = Files::large().await;
    let size = LARGE.len();
    // At the borders of the chunks that the store reads, and across them.
    let chunk = 64 * 1024;
    for (first, last) in [
        (0, 0),
        (0, chunk - 1),
        (1, chunk),
        (chunk - 1, chunk),
        (chunk, 2 * chunk - 1),
        (12_345_678, 12_345_678),
        (9_999_999, 19_999_998),
        (size - chunk, size - 1),
        (size - 1, size - 1),
        (size - 1, usize::MAX),
    ] {
        let answer = files.get(&[("Range", &format!("bytes={first}-{last}"))]).await;
        let last = last.min(size - 1);
        assert_eq!(answer.status, 206);
        assert_eq!(answer.must("content-range"), format!("bytes {first}-{last}/{size}"));
        assert!(answer.body == LARGE[first..=last], "{first}-{last}");
    }
    let answer = files.get(&[("Range", "bytes=-70000")]).await;
    assert!(answer.status == 206 && answer.body == LARGE[size - 70_000..]);
    let answer = files.get(&[("Range", "bytes=19930000-")]).await;
    assert!(answer.status == 206 && answer.body == LARGE[19_930_000..]);
    let answer = files.get(&[("Range", "bytes=20000000-")]).await;
    assert_eq!((answer.status, answer.must("content-range")), (416, "bytes */20000000"));
}

#[tokio::test]
async fn a_file_truncated_while_it_is_sent_breaks_the_connection_off() {
    for left in [0, 1_000] {
        let files = Files::large().await;
        let mut client = files.slow_client(&[]).await;
        File::options().write(true).open(files.recording()).unwrap().set_len(left).unwrap();
        // It ends by itself; a loop that reads nothing again and again would not.
        let read = tokio::time::timeout(WAIT_LIMIT, client.read_to_the_end());
        read.await.expect("the connection stays open");
        let (answer, _) = Answer::parse_loosely(&client.bytes, false);
        assert_eq!((answer.status, answer.complete), (200, false));
        // The kernel sends a file's pages, and cut-off pages become zero, also on their way. No client takes that for
        // the object: the answer is not whole, and its entity tag is outdated.
        let pages = |(was, came): (&u8, &u8)| was == came || (left > 0 && *came == 0);
        assert!(LARGE.iter().zip(&answer.body).all(pages), "other bytes than were there");
        files.site.is_idle().await;
    }
}

#[tokio::test]
async fn a_file_that_grows_while_it_is_sent_is_another_version_and_breaks_off() {
    let files = Files::large().await;
    let mut client = files.slow_client(&[]).await;
    // The gateway cannot tell whether the first part is still the same.
    File::options().write(true).open(files.recording()).unwrap().set_len(30_000_000).unwrap();
    client.read_to_the_end().await;
    let (answer, _) = Answer::parse_loosely(&client.bytes, false);
    assert_eq!((answer.status, answer.complete), (200, false));
}

#[tokio::test]
async fn a_file_replaced_or_deleted_while_it_is_sent_arrives_as_it_was() {
    let files = Files::large().await;
    let mut of_the_old = files.slow_client(&[]).await;
    let successor = files.folder.path().join("successor");
    fs::write(&successor, vec![7; 20_000_000]).unwrap();
    fs::rename(&successor, files.recording()).unwrap();
    let mut of_the_new = files.slow_client(&[]).await;
    fs::remove_file(files.recording()).unwrap();
    of_the_old.read_to_the_end().await;
    assert!(Answer::parse(&of_the_old.bytes, false).0.body == *LARGE);
    of_the_new.read_to_the_end().await;
    let answer = Answer::parse(&of_the_new.bytes, false).0;
    assert!(answer.body.len() == 20_000_000 && answer.body.iter().all(|byte| *byte == 7));
    assert_eq!(files.get(&[]).await.status, 404);
}

/// A client that has the first half of the old file must not get the second half of the new one.
#[tokio::test]
async fn a_replaced_file_is_another_version() {
    let files = Files::sample().await;
    let etag = files.get(&[]).await.must("etag").to_owned();
    let modified = fs::metadata(files.recording()).unwrap().modified().unwrap();
    let successor = files.folder.path().join("successor");
    // With the size and the time of the one that it replaces.
    fs::write(&successor, vec![7; recording().len()]).unwrap();
    File::options().write(true).open(&successor).unwrap().set_modified(modified).unwrap();
    fs::rename(&successor, files.recording()).unwrap();
    let answer = files.get(&[("Range", "bytes=150000-"), ("If-Range", &etag)]).await;
    assert_eq!((answer.status, answer.body.len()), (200, recording().len()));
    assert_ne!(answer.must("etag"), etag);
    assert_eq!(files.get(&[("If-Match", &etag)]).await.status, 412);
    assert_eq!(files.get(&[("If-None-Match", &etag)]).await.status, 200);
}

#[tokio::test]
async fn several_ranges_of_a_file_replaced_between_them_break_off() {
    let files = Files::large().await;
    let mut client = files.slow_client(&[("Range", "bytes=0-15000000,19000000-19000009")]).await;
    let successor = files.folder.path().join("successor");
    fs::write(&successor, vec![7; 20_000_000]).unwrap();
    fs::rename(&successor, files.recording()).unwrap();
    client.read_to_the_end().await;
    let (answer, _) = Answer::parse_loosely(&client.bytes, false);
    assert_eq!((answer.status, answer.complete), (206, false));
}

#[tokio::test]
async fn a_root_that_is_no_folder_is_refused_at_the_start() {
    use webhook_assets::cli::Metrics;
    use webhook_assets::store::Store;

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    for path in [folder.path().join("nothing"), file] {
        let plan = Plan::on_files(&path);
        let error = Store::open(&plan.store, Metrics::default().store).unwrap_err().to_string();
        assert!(error.contains(&*path.to_string_lossy()), "{error}");
    }
}
