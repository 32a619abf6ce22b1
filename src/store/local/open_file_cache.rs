//! Keeps recently requested files open, as nginx's `open_file_cache` does, and short ones in memory. Before each use,
//! the cache checks that nothing has changed in the folders ([`ChangeWatcher`]), or that the file's name still refers
//! to the same, unchanged file (`statat`). A deleted file is never served.

use std::fs::File;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use hashlink::LruCache;
use rustix::fs::{AtFlags, Stat, statat};
use tokio::time::Instant;

use super::file_slice::{self, ContentVersion, FileSlice};
use super::inotify::ChangeWatcher;
use super::openat;
use super::page_cache::{Residency, read_cached};
use super::root::{REFRESH_EVERY, RootFolder};
use crate::asset::AssetRef;
use crate::clock::{Clock, SystemClock, UnixSeconds};
use crate::store::meta::Meta;
use crate::tasks::{self, Task};

/// A file is closed when no client has requested it for this long. A deleted file keeps its disk space while it is
/// open.
const IDLE: Duration = Duration::from_secs(10);

/// If a check of the root takes longer than this, all files are closed.
const REFRESH_TIMEOUT: Duration = Duration::from_secs(5);

/// A file's name is checked at least this often: inotify does not report changes through another name of the same file,
/// through a memory map, or by a mount.
const TRUSTED_FOR: Duration = Duration::from_secs(1);

/// Files up to this many bytes are kept in memory.
const SHORT: u64 = file_slice::CHUNK;

/// A file that has just changed may change again within the resolution of its timestamps.
const SETTLE_TIME: Duration = Duration::from_secs(2);

/// How many files the cache may keep open for this limit of open files.
#[must_use]
pub fn max_cached_files(limit: u64) -> u64 {
    (limit / 16).clamp(1, 1_024)
}

/// An open file, with the constant parts of its responses.
#[derive(Debug)]
pub struct CachedFile {
    path: Box<str>,
    identity: FileIdentity,
    content: ContentVersion,
    file: Arc<File>,
    residency: Arc<Residency>,
    /// The whole content of a short file.
    bytes: Option<Bytes>,
    /// Its metadata.
    pub meta: Meta,
    /// The constant header fields of its responses. The handler sets them at the first request.
    pub cached_head: OnceLock<Bytes>,
}

/// A range of a cached file.
#[derive(Debug)]
pub enum CachedBytes {
    /// The bytes.
    Read(Bytes),
    /// The first piece is in the kernel's page cache. The caller sends it with [`CachedFile::slice`].
    InMemory,
}

impl CachedFile {
    /// The range, if it is available `now` without waiting. If `files` is false, only if its bytes are in memory.
    #[must_use]
    pub fn bytes(&self, range: &Range<u64>, files: bool, now: std::time::Instant) -> Option<CachedBytes> {
        if let Some(bytes) = &self.bytes {
            let (start, end) = (usize::try_from(range.start).ok()?, usize::try_from(range.end).ok()?);
            return (start <= end && end <= bytes.len()).then(|| CachedBytes::Read(bytes.slice(start..end)));
        }
        (files && self.residency.contains(&self.file, &file_slice::first_piece(range), now))
            .then_some(CachedBytes::InMemory)
    }

    /// The open file.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
    }

    /// A range of the file, for sending.
    #[must_use]
    pub fn slice(&self, range: &Range<u64>) -> FileSlice {
        FileSlice::of(Arc::clone(&self.file), range.clone(), self.content, Arc::clone(&self.residency))
    }
}

/// Identifies one state of one file: device, inode, size, and the times of its last changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FileIdentity([i128; 7]);

impl From<&Stat> for FileIdentity {
    fn from(stat: &Stat) -> Self {
        Self([
            stat.st_dev.into(),
            stat.st_ino.into(),
            stat.st_size.into(),
            stat.st_mtime.into(),
            stat.st_mtime_nsec.into(),
            stat.st_ctime.into(),
            stat.st_ctime_nsec.into(),
        ])
    }
}

/// The open files. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct OpenFileCache(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    root: Arc<RootFolder>,
    /// Set if the file system is local and the kernel reports its changes.
    watcher: Option<ChangeWatcher>,
    files: Mutex<Files>,
}

#[derive(Debug)]
struct Files {
    open: LruCache<AssetRef, Entry>,
    /// Whether a task closes idle files.
    has_cleaner: bool,
}

#[derive(Debug)]
struct Entry {
    file: Arc<CachedFile>,
    used: Instant,
    /// When its name was last checked, and in which generation of the folders.
    checked: Option<(Instant, u64)>,
}

impl Entry {
    fn is_trusted(&self, now: Instant, generation: Option<u64>) -> bool {
        self.checked.is_some_and(|(at, then)| Some(then) == generation && now - at < TRUSTED_FOR)
    }
}

impl OpenFileCache {
    /// A cache for files below `root`. It is used only while `root` is on a local file system.
    pub(crate) fn below(root: &Arc<RootFolder>) -> Option<Self> {
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        let most = usize::try_from(max_cached_files(limit.unwrap_or(u64::MAX))).ok()?;
        let files = Mutex::new(Files { open: LruCache::new(most), has_cleaner: false });
        let watcher = if root.is_local() { ChangeWatcher::below(root) } else { None };
        Some(Self(Arc::new(Shared { watcher, root: Arc::clone(root), files })))
    }

    /// The asset's file for a request that arrived at `now`, if it is available without waiting for a disk, and how
    /// long the check of its name took (if needed).
    pub(crate) fn get(&self, asset: AssetRef, now: Instant) -> Option<(Arc<CachedFile>, Duration)> {
        // Read before the name is checked, so that a later change counts for the next request.
        let generation = self.0.watcher.as_ref().and_then(|watcher| watcher.generation(now.into_std()));
        let found = self.0.files().open.get_mut(&asset).map(|entry| {
            entry.used = now;
            (Arc::clone(&entry.file), entry.is_trusted(now, generation))
        });
        let unchecked = match found {
            Some((file, true)) => return Some((file, Duration::ZERO)),
            Some((file, false)) => Some(file),
            None => None,
        };
        let began = std::time::Instant::now();
        let file = match unchecked {
            Some(file) if self.0.is_unchanged(&file) => {
                self.0.note_checked(asset, now, generation);
                file
            }
            other => {
                if other.is_some() {
                    self.forget(asset);
                }
                self.open(asset, now)?
            }
        };
        Some((file, began.elapsed()))
    }

    /// Closes the asset's file.
    pub(crate) fn forget(&self, asset: AssetRef) {
        self.0.files().open.remove(&asset);
    }

    fn open(&self, asset: AssetRef, now: Instant) -> Option<Arc<CachedFile>> {
        if !self.0.root.is_local() {
            return None;
        }
        let path = asset.object_path();
        let (file, stat) = openat::open_cached(&*self.0.root.folder().ok()?, &path)?.ok()?;
        if !openat::is_local(&file) {
            return None;
        }
        let file = Arc::new(CachedFile::of(path, file, &stat)?);
        let has_cleaner = {
            let mut files = self.0.files();
            files.open.insert(asset, Entry { file: Arc::clone(&file), used: now, checked: None });
            std::mem::replace(&mut files.has_cleaner, true)
        };
        if !has_cleaner {
            let shared = Arc::downgrade(&self.0);
            tasks::supervise(Task::FileCache, shared, |shared| Box::pin(close_idle_files(shared)));
        }
        Some(file)
    }
}

impl Shared {
    fn files(&self) -> MutexGuard<'_, Files> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note_checked(&self, asset: AssetRef, now: Instant, generation: Option<u64>) {
        let Some(generation) = generation else { return };
        if let Some(entry) = self.files().open.get_mut(&asset) {
            entry.checked = Some((now, generation));
        }
    }

    /// Whether the name still refers to this file in this state.
    fn is_unchanged(&self, file: &CachedFile) -> bool {
        let Ok(root) = self.root.folder() else { return false };
        statat(&root, &*file.path, AtFlags::SYMLINK_NOFOLLOW)
            .is_ok_and(|stat| FileIdentity::from(&stat) == file.identity)
    }

    /// Checks the root's path, and watches the folders again after a change or a mount. May wait for a disk.
    fn refresh(&self) {
        self.root.refresh();
        if let Some(watcher) = &self.watcher {
            watcher.refresh();
        }
    }
}

impl CachedFile {
    fn of(path: String, file: File, stat: &Stat) -> Option<Self> {
        let (meta, content) = (openat::meta_of(stat), ContentVersion::from(stat));
        let bytes = if meta.size > SHORT {
            None
        } else {
            let changed = UnixSeconds(u64::try_from(stat.st_ctime.max(stat.st_mtime)).ok()?);
            if changed.plus(SETTLE_TIME) > SystemClock.now() {
                return None;
            }
            let mut bytes = vec![0; usize::try_from(meta.size).ok()?];
            if !bytes.is_empty() && read_cached(&file, &mut bytes, 0)? < bytes.len() {
                return None;
            }
            // A process may have written to the file during the read.
            content.is_of(&file).then(|| Bytes::from(bytes)).map(Some)?
        };
        let residency = Arc::new(Residency::new(meta.size));
        let (identity, cached_head) = (FileIdentity::from(stat), OnceLock::new());
        Some(Self {
            path: path.into(),
            identity,
            content,
            file: Arc::new(file),
            residency,
            bytes,
            meta,
            cached_head,
        })
    }
}

/// Refreshes the root and closes idle files, until no file is open.
async fn close_idle_files(shared: &Weak<Shared>) {
    loop {
        tokio::time::sleep(REFRESH_EVERY).await;
        let Some(shared) = shared.upgrade() else { return };
        let root = Arc::clone(&shared);
        let refresh = tokio::task::spawn_blocking(move || root.refresh());
        let refreshed = tokio::time::timeout(REFRESH_TIMEOUT, refresh).await;
        let mut files = shared.files();
        if refreshed.is_err() {
            files.open.clear();
        }
        let idle =
            |files: &Files| files.open.iter().next().is_some_and(|(_, entry)| entry.used.elapsed() > IDLE);
        while idle(&files) {
            files.open.remove_lru();
        }
        if files.open.is_empty() {
            files.has_cleaner = false;
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASSET: AssetRef = AssetRef::recording(uuid::uuid!("550e8400-e29b-41d4-a716-446655440000"));

    fn folder_with(bytes: &[u8]) -> (tempfile::TempDir, OpenFileCache) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("recordings")).unwrap();
        std::fs::write(folder.path().join(ASSET.object_path()), bytes).unwrap();
        let files = OpenFileCache::below(&Arc::new(RootFolder::open_at(folder.path()).unwrap())).unwrap();
        (folder, files)
    }

    fn get(files: &OpenFileCache) -> Option<Arc<CachedFile>> {
        files.get(ASSET, Instant::now()).map(|(held, _)| held)
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_without_requests_is_closed() {
        let (_folder, files) = folder_with(&[1; 20_000]);
        let held = get(&files).unwrap();
        tokio::time::sleep(IDLE / 2).await;
        assert!(Arc::ptr_eq(&held, &get(&files).unwrap()), "the same at the next request");
        tokio::time::sleep(IDLE - Duration::from_secs(1)).await;
        assert!(Arc::ptr_eq(&held, &get(&files).unwrap()));
        drop(held);
        tokio::time::sleep(IDLE + 2 * REFRESH_EVERY).await;
        assert!(files.0.files().open.is_empty());
        assert!(get(&files).is_some() && files.0.files().has_cleaner, "and again from the start");
    }

    #[tokio::test]
    async fn a_deleted_replaced_or_changed_file_is_never_served() {
        let (folder, files) = folder_with(&[1; 20_000]);
        let path = folder.path().join(ASSET.object_path());
        let first = get(&files).unwrap();
        std::fs::write(folder.path().join("other"), [2; 20_000]).unwrap();
        std::fs::rename(folder.path().join("other"), &path).unwrap();
        assert!(get(&files).is_none_or(|held| held.meta.etag != first.meta.etag));
        std::fs::write(&path, [3; 30_000]).unwrap();
        assert!(get(&files).is_none_or(|held| held.meta.size == 30_000));
        std::fs::remove_file(&path).unwrap();
        assert!(get(&files).is_none() && files.0.files().open.is_empty());
    }

    #[tokio::test]
    async fn a_checked_name_is_trusted_until_a_change() {
        let (folder, files) = folder_with(&[1; 20_000]);
        let trusted = || {
            let entry = files.0.files().open.get(&ASSET).map(|entry| entry.checked);
            let number =
                files.0.watcher.as_ref().and_then(|watcher| watcher.generation(std::time::Instant::now()));
            entry.flatten().is_some_and(|(_, then)| Some(then) == number)
        };
        let settle = || {
            for _ in 0..100 {
                std::thread::sleep(Duration::from_millis(11));
                if get(&files).is_some() && trusted() {
                    return;
                }
            }
            panic!("never trusted");
        };
        settle();
        std::fs::write(folder.path().join("recordings/another"), "2").unwrap();
        assert!(!trusted());
        settle();
        let moved = folder.path().join("moved");
        std::fs::rename(folder.path().join("recordings"), &moved).unwrap();
        assert!(get(&files).is_none(), "its folder was moved away");
        std::fs::rename(&moved, folder.path().join("recordings")).unwrap();
        settle();
        std::fs::remove_file(folder.path().join(ASSET.object_path())).unwrap();
        assert!(get(&files).is_none());
    }

    #[tokio::test]
    async fn a_short_file_that_was_just_written_is_not_kept_in_memory() {
        let (_folder, files) = folder_with(b"short");
        assert!(get(&files).is_none());
        std::thread::sleep(SETTLE_TIME + Duration::from_secs(1));
        let held = get(&files).unwrap();
        assert!(
            matches!(held.bytes(&(1..4), false, std::time::Instant::now()), Some(CachedBytes::Read(bytes)) if bytes == "hor")
        );
        assert!(held.bytes(&(1..9), false, std::time::Instant::now()).is_none());
    }

    /// No request refreshes the root here: the cache checks the file's name in the current root.
    #[tokio::test]
    async fn a_file_of_an_earlier_root_is_not_served() {
        let above = tempfile::tempdir().unwrap();
        let root = above.path().join("root");
        let fill = |byte| {
            std::fs::create_dir_all(root.join("recordings")).unwrap();
            std::fs::write(root.join(ASSET.object_path()), [byte; 20_000]).unwrap();
        };
        fill(1);
        let files = OpenFileCache::below(&Arc::new(RootFolder::open_at(&root).unwrap())).unwrap();
        let first = get(&files).unwrap();
        std::fs::rename(&root, above.path().join("old")).unwrap();
        fill(2);
        files.0.refresh();
        let second = get(&files).unwrap();
        assert_ne!(second.meta.etag, first.meta.etag);
        std::fs::remove_dir_all(&root).unwrap();
        files.0.refresh();
        assert!(get(&files).is_none());
    }

    #[test]
    fn the_limit_of_open_files_limits_the_cache() {
        assert_eq!([0, 64, 1_024, 20_000, u64::MAX].map(max_cached_files), [1, 4, 64, 1_024, 1_024]);
    }
}
