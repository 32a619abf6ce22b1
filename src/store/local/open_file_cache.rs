//! Keeps files open that are requested again and again, as nginx's `open_file_cache` does, and short ones in memory.
//! Before each use, the cache checks that nothing has changed in the folders ([`ChangeWatcher`]), or that the file's name
//! still refers to the same, unchanged file (`statat`). A deleted file is never served.
//!
//! A file that was not requested recently is opened for its request alone.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use hashlink::LruCache;
use rustix::fs::{AtFlags, statat};
use tokio::time::Instant;

use super::cached_file::{CachedFile, FileIdentity, LocalFile};
use super::inotify::ChangeWatcher;
use super::opened_file::Opened;
use super::recently_requested::RecentlyRequested;
use super::root::{REFRESH_EVERY, RootFolder};
use crate::asset::AssetRef;
use crate::tasks::{self, Task};

/// A file is closed when no client has requested it for this long. A deleted file keeps its disk space while it is
/// open.
const IDLE: Duration = Duration::from_secs(10);

/// If a check of the root takes longer than this, all files are closed.
const REFRESH_TIMEOUT: Duration = Duration::from_secs(5);

/// A file's name is checked at least this often: inotify does not report changes through another name of the same file,
/// through a memory map, or by a mount.
const TRUSTED_FOR: Duration = Duration::from_secs(1);

/// How many files the cache may keep open for this limit of open files.
#[must_use]
pub fn max_cached_files(limit: u64) -> u64 {
    (limit / 16).clamp(1, 1_024)
}

/// The open files. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct OpenFileCache(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    root: Arc<RootFolder>,
    /// Set if the file system is local and the kernel reports its changes.
    watcher: Option<ChangeWatcher>,
    requested: RecentlyRequested,
    open: Mutex<LruCache<AssetRef, Entry>>,
    /// Whether a task checks the root and closes idle files.
    has_cleaner: AtomicBool,
}

#[derive(Debug)]
struct Entry {
    file: Arc<CachedFile>,
    used: Instant,
    /// The last check of its name.
    checked: Option<NameCheck>,
}

/// When a file's name was checked, and in which generation of the folders.
type NameCheck = (Instant, u64);

impl OpenFileCache {
    /// A cache for files below `root`. It is used only while `root` is on a local file system.
    pub(crate) fn below(root: &Arc<RootFolder>) -> Option<Self> {
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        let most = usize::try_from(max_cached_files(limit.unwrap_or(u64::MAX))).ok()?;
        let watcher = if root.is_local() { ChangeWatcher::below(root) } else { None };
        Some(Self(Arc::new(Shared {
            root: Arc::clone(root),
            watcher,
            requested: RecentlyRequested::new(IDLE),
            open: Mutex::new(LruCache::new(most)),
            has_cleaner: AtomicBool::new(false),
        })))
    }

    /// The asset's file for a request that arrived at `now`, if it is available without waiting for a disk, and how
    /// long its check or opening took (if needed).
    pub(crate) fn get(&self, asset: AssetRef, now: Instant) -> Option<(LocalFile, Duration)> {
        let cached = self.0.cached(asset, now);
        // Read before the name is checked, so that a later change counts for the next request.
        let generation = cached.as_ref().and_then(|_| self.0.watcher.as_ref()?.generation(now.into_std()));
        if let Some((file, Some((at, then)))) = &cached
            && Some(*then) == generation
            && now - *at < TRUSTED_FOR
        {
            return Some((LocalFile::Cached(Arc::clone(file)), Duration::ZERO));
        }
        let began = std::time::Instant::now();
        let file = match cached {
            Some((file, _)) if self.0.is_unchanged(&file) => {
                self.0.note_checked(asset, now, generation);
                LocalFile::Cached(file)
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
        // A file is closed without the lock.
        let forgotten = self.0.open().remove(&asset);
        drop(forgotten);
    }

    /// Opens the asset's file. It stays open if the asset was requested a short time ago.
    fn open(&self, asset: AssetRef, now: Instant) -> Option<LocalFile> {
        let path = asset.object_path();
        let opened = Opened::at(&self.0.root, &path)?;
        self.ensure_cleaner();
        if !(self.0.requested.note(asset, now) && opened.is_settled) {
            return Some(LocalFile::Opened(opened.file));
        }
        let file = Arc::new(CachedFile::of(path, opened));
        self.0.keep(asset, Entry { file: Arc::clone(&file), used: now, checked: None });
        // A cleaner that saw no open file has just ended.
        self.ensure_cleaner();
        Some(LocalFile::Cached(file))
    }

    fn ensure_cleaner(&self) {
        let has_cleaner = &self.0.has_cleaner;
        if !has_cleaner.load(Ordering::Acquire) && !has_cleaner.swap(true, Ordering::AcqRel) {
            let shared = Arc::downgrade(&self.0);
            tasks::supervise(Task::FileCache, shared, |shared| Box::pin(clean(shared)));
        }
    }
}

impl Shared {
    fn open(&self) -> MutexGuard<'_, LruCache<AssetRef, Entry>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The asset's file if it is open, and when its name was last checked.
    fn cached(&self, asset: AssetRef, now: Instant) -> Option<(Arc<CachedFile>, Option<NameCheck>)> {
        let mut open = self.open();
        let entry = open.get_mut(&asset)?;
        entry.used = now;
        Some((Arc::clone(&entry.file), entry.checked))
    }

    /// Adds an open file. The file that it displaces is closed without the lock.
    fn keep(&self, asset: AssetRef, entry: Entry) {
        let mut open = self.open();
        let is_full = open.len() >= open.capacity() && !open.contains_key(&asset);
        let displaced = if is_full { open.remove_lru() } else { None };
        let replaced = open.insert(asset, entry);
        drop(open);
        drop((displaced, replaced));
    }

    fn note_checked(&self, asset: AssetRef, now: Instant, generation: Option<u64>) {
        let Some(generation) = generation else { return };
        if let Some(entry) = self.open().get_mut(&asset) {
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

    /// Closes the file that was idle for longest, or `all`. Returns whether there was one.
    fn close_idle(&self, all: bool) -> bool {
        let mut open = self.open();
        let is_idle = open.iter().next().is_some_and(|(_, entry)| all || entry.used.elapsed() > IDLE);
        let closed = if is_idle { open.remove_lru() } else { None };
        // Closed without the lock.
        drop(open);
        closed.is_some()
    }
}

/// Refreshes the root and closes idle files, until no file is open.
async fn clean(shared: &Weak<Shared>) {
    loop {
        tokio::time::sleep(REFRESH_EVERY).await;
        let Some(shared) = shared.upgrade() else { return };
        let root = Arc::clone(&shared);
        let refresh = tokio::task::spawn_blocking(move || root.refresh());
        let is_late = tokio::time::timeout(REFRESH_TIMEOUT, refresh).await.is_err();
        while shared.close_idle(is_late) {}
        let open = shared.open();
        if open.is_empty() {
            shared.has_cleaner.store(false, Ordering::Release);
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::local::opened_file::FileContent;

    const ASSET: AssetRef = AssetRef::recording(uuid::uuid!("550e8400-e29b-41d4-a716-446655440000"));

    fn folder_with(bytes: &[u8]) -> (tempfile::TempDir, OpenFileCache) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("recordings")).unwrap();
        std::fs::write(folder.path().join(ASSET.object_path()), bytes).unwrap();
        let files = OpenFileCache::below(&Arc::new(RootFolder::open_at(folder.path()).unwrap())).unwrap();
        (folder, files)
    }

    fn get(files: &OpenFileCache) -> Option<LocalFile> {
        files.get(ASSET, Instant::now()).map(|(file, _)| file)
    }

    /// The file at a second request, which the cache keeps open.
    fn get_kept(files: &OpenFileCache) -> Option<Arc<CachedFile>> {
        get(files)?;
        match get(files)? {
            LocalFile::Cached(file) => Some(file),
            LocalFile::Opened(file) => panic!("not kept: {file:?}"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_file_without_requests_is_closed() {
        let (_folder, files) = folder_with(&[1; 20_000]);
        let kept = get_kept(&files).unwrap();
        let is_kept = || matches!(get(&files), Some(LocalFile::Cached(file)) if Arc::ptr_eq(&file, &kept));
        tokio::time::sleep(IDLE / 2).await;
        assert!(is_kept(), "the same at the next request");
        tokio::time::sleep(IDLE - Duration::from_secs(1)).await;
        assert!(is_kept());
        tokio::time::sleep(2 * IDLE + 2 * REFRESH_EVERY).await;
        assert!(files.0.open().is_empty());
        assert!(matches!(get(&files), Some(LocalFile::Opened(_))), "and again from the start");
        assert!(files.0.has_cleaner.load(Ordering::Acquire));
    }

    #[tokio::test]
    async fn a_file_is_kept_open_from_its_second_request_on() {
        let (_folder, files) = folder_with(&[1; 20_000]);
        assert!(matches!(get(&files), Some(LocalFile::Opened(_))) && files.0.open().is_empty());
        assert!(get_kept(&files).is_some() && files.0.open().len() == 1);
    }

    #[tokio::test]
    async fn a_deleted_replaced_or_changed_file_is_never_served() {
        let (folder, files) = folder_with(&[1; 20_000]);
        let path = folder.path().join(ASSET.object_path());
        let first = get_kept(&files).unwrap();
        std::fs::write(folder.path().join("other"), [2; 20_000]).unwrap();
        std::fs::rename(folder.path().join("other"), &path).unwrap();
        assert_ne!(get_kept(&files).unwrap().meta.etag, first.meta.etag);
        std::fs::write(&path, [3; 30_000]).unwrap();
        assert_eq!(get_kept(&files).unwrap().meta.size, 30_000);
        std::fs::remove_file(&path).unwrap();
        assert!(get(&files).is_none() && files.0.open().is_empty());
    }

    #[tokio::test]
    async fn a_checked_name_is_trusted_until_a_change() {
        let (folder, files) = folder_with(&[1; 20_000]);
        let trusted = || {
            let entry = files.0.open().get(&ASSET).map(|entry| entry.checked);
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
        let read = |file: &LocalFile| match file.content().part(&(1..4), false, std::time::Instant::now()) {
            Some(FileContent::Read(bytes)) => bytes,
            other => panic!("{other:?}"),
        };
        let until = std::time::Instant::now() + Duration::from_secs(1);
        while std::time::Instant::now() < until {
            // Right after the write, the timestamps do not show whether the content is still changing.
            let file = get(&files);
            assert!(file.is_none_or(|file| matches!(&file, LocalFile::Opened(_)) && read(&file) == "hor"));
            std::thread::sleep(Duration::from_millis(40));
        }
        assert!(get(&files).is_some(), "read for each request");
        std::thread::sleep(Duration::from_secs(2));
        let kept = LocalFile::Cached(get_kept(&files).unwrap());
        assert_eq!(read(&kept), "hor");
        assert!(kept.content().part(&(1..9), false, std::time::Instant::now()).is_none());
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
        let first = get_kept(&files).unwrap();
        std::fs::rename(&root, above.path().join("old")).unwrap();
        fill(2);
        files.0.refresh();
        let second = get_kept(&files).unwrap();
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
