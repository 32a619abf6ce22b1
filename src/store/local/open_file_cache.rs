//! Local files that were asked for a moment ago stay open, the short ones in memory: asking for one again costs a question
//! whether anything has changed ([`ChangeWatcher`]), or one look whether its name still leads to the same file, unchanged. What
//! was deleted is gone at once.

use std::fs::{File, Metadata};
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use hashlink::LruCache;
use rustix::fs::{AtFlags, Stat, statat};
use tokio::time::Instant;

use super::file_slice::{self, ContentVersion, FileSlice};
use super::files;
use super::inotify::ChangeWatcher;
use super::page_cache::PageCache;
use super::root::{REFRESH_EVERY, RootFolder};
use crate::asset::AssetRef;
use crate::clock::{Clock, SystemClock, UnixSeconds};
use crate::store::meta::Meta;
use crate::tasks::{self, Task};

/// A file that nobody asks for is closed after so long, and its bytes are forgotten: deleted, it would keep its room on the
/// disk meanwhile.
const IDLE: Duration = Duration::from_secs(10);

/// A look at the root takes no longer than this, or what is held is not believed any more.
const REFRESH_TIMEOUT: Duration = Duration::from_secs(5);

/// A file's own name is checked at so often at least. Some watcher are told to nobody: those through another name of the same
/// file, through a memory map, and of what is mounted.
const TRUSTED_FOR: Duration = Duration::from_secs(1);

/// Files up to this many bytes are kept in memory.
const SHORT: u64 = file_slice::CHUNK;

/// A file that was changed a moment ago may be changed again without a visible difference of its times.
const SETTLE_TIME: Duration = Duration::from_secs(2);

/// How many files are held where a process may open so many.
#[must_use]
pub fn max_cached_files(limit: u64) -> u64 {
    (limit / 16).clamp(1, 1_024)
}

/// An open file, and what its answers say of it.
#[derive(Debug)]
pub struct CachedFile {
    path: Box<str>,
    identity: FileIdentity,
    content: ContentVersion,
    file: Arc<File>,
    pages: Arc<PageCache>,
    /// All of it, if it is short.
    bytes: Option<Bytes>,
    /// What is known of it.
    pub meta: Meta,
    /// What earlier answers with it cached_head and the next ones will say again, left here by whoever answers.
    pub cached_head: OnceLock<Bytes>,
}

/// What a held file has for somebody who wants a range of it.
#[derive(Debug)]
pub enum CachedBytes {
    /// The bytes.
    Read(Bytes),
    /// Nothing yet, but the kernel has the first piece in memory: [`CachedFile::slice`].
    InMemory,
}

impl CachedFile {
    /// The wanted bytes, if nothing has to be waited for `now`. Without `files` only those that were read.
    #[must_use]
    pub fn bytes(&self, range: &Range<u64>, files: bool, now: std::time::Instant) -> Option<CachedBytes> {
        if let Some(bytes) = &self.bytes {
            let (start, end) = (usize::try_from(range.start).ok()?, usize::try_from(range.end).ok()?);
            return (start <= end && end <= bytes.len()).then(|| CachedBytes::Read(bytes.slice(start..end)));
        }
        (files && self.pages.contains(&self.file, &file_slice::first_piece(range), now))
            .then_some(CachedBytes::InMemory)
    }

    /// The open file.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
    }

    /// A range of the file, to be sent.
    #[must_use]
    pub fn slice(&self, range: &Range<u64>) -> FileSlice {
        FileSlice::of(Arc::clone(&self.file), range.clone(), self.content, Arc::clone(&self.pages))
    }
}

/// What tells one state of one file from all others: device, inode, size, and the times of the last watcher.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FileIdentity([i128; 7]);

impl From<&Metadata> for FileIdentity {
    fn from(found: &Metadata) -> Self {
        Self([
            found.dev().into(),
            found.ino().into(),
            found.size().into(),
            found.mtime().into(),
            found.mtime_nsec().into(),
            found.ctime().into(),
            found.ctime_nsec().into(),
        ])
    }
}

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

/// The files that are held. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct OpenFileCache(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    root: Arc<RootFolder>,
    /// If the kernel tells.
    watcher: Option<ChangeWatcher>,
    files: Mutex<Files>,
}

#[derive(Debug)]
struct Files {
    held: LruCache<AssetRef, Entry>,
    /// Whether somebody closes those that are idle.
    has_cleaner: bool,
}

/// A file that is held.
#[derive(Debug)]
struct Entry {
    held: Arc<CachedFile>,
    used: Instant,
    /// When its name was checked at, and at which number of [`ChangeWatcher`].
    checked: Option<(Instant, u64)>,
}

impl Entry {
    fn is_trusted(&self, now: Instant, number: Option<u64>) -> bool {
        self.checked.is_some_and(|(at, then)| Some(then) == number && now - at < TRUSTED_FOR)
    }
}

impl OpenFileCache {
    /// For files below `root`. They are held while its file system answers at once and says whether a file has changed.
    pub(crate) fn below(root: &Arc<RootFolder>) -> Option<Self> {
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        let most = usize::try_from(max_cached_files(limit.unwrap_or(u64::MAX))).ok()?;
        let files = Mutex::new(Files { held: LruCache::new(most), has_cleaner: false });
        let watcher = if root.is_local() { ChangeWatcher::below(root) } else { None };
        Some(Self(Arc::new(Shared { watcher, root: Arc::clone(root), files })))
    }

    /// The asset's file, if that can be had without waiting for a disk, for a request that has arrived by `now`; and how long a
    /// look at its name took, if it was not believed to be the same.
    pub(crate) fn get(&self, asset: AssetRef, now: Instant) -> Option<(Arc<CachedFile>, Duration)> {
        // Before the name is checked at: what watcher behind it counts for the next time.
        let number = self.0.watcher.as_ref().and_then(|watcher| watcher.generation(now.into_std()));
        let found = self.0.files().held.get_mut(&asset).map(|entry| {
            entry.used = now;
            (Arc::clone(&entry.held), entry.is_trusted(now, number))
        });
        let unsure = match found {
            Some((held, true)) => return Some((held, Duration::ZERO)),
            Some((held, false)) => Some(held),
            None => None,
        };
        let began = std::time::Instant::now();
        let held = match unsure {
            Some(held) if self.0.is_unchanged(&held) => {
                self.0.note_checked(asset, now, number);
                held
            }
            other => {
                if other.is_some() {
                    self.forget(asset);
                }
                self.open(asset, now)?
            }
        };
        Some((held, began.elapsed()))
    }

    /// Closes the asset's file.
    pub(crate) fn forget(&self, asset: AssetRef) {
        self.0.files().held.remove(&asset);
    }

    fn open(&self, asset: AssetRef, now: Instant) -> Option<Arc<CachedFile>> {
        if !self.0.root.is_local() {
            return None;
        }
        let path = asset.object_path();
        let (file, found) = files::open_cached(&*self.0.root.folder().ok()?, &path)?.ok()?;
        if !files::is_local(&file) {
            return None;
        }
        let held = Arc::new(CachedFile::of(path, file, &found)?);
        let has_cleaner = {
            let mut files = self.0.files();
            files.held.insert(asset, Entry { held: Arc::clone(&held), used: now, checked: None });
            std::mem::replace(&mut files.has_cleaner, true)
        };
        if !has_cleaner {
            let shared = Arc::downgrade(&self.0);
            tasks::supervise(Task::FileCache, shared, |shared| Box::pin(close_idle_files(shared)));
        }
        Some(held)
    }
}

impl Shared {
    fn files(&self) -> MutexGuard<'_, Files> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note_checked(&self, asset: AssetRef, now: Instant, number: Option<u64>) {
        let Some(number) = number else { return };
        if let Some(entry) = self.files().held.get_mut(&asset) {
            entry.checked = Some((now, number));
        }
    }

    /// Whether the name still leads to this file, in this state.
    fn is_unchanged(&self, held: &CachedFile) -> bool {
        let Ok(root) = self.root.folder() else { return false };
        statat(&root, &*held.path, AtFlags::SYMLINK_NOFOLLOW)
            .is_ok_and(|stat| FileIdentity::from(&stat) == held.identity)
    }

    /// Whether another folder stands in the root's place, or something was mounted over one. May wait for a disk.
    fn refresh(&self) {
        self.root.refresh();
        if let Some(watcher) = &self.watcher {
            watcher.refresh();
        }
    }
}

impl CachedFile {
    fn of(path: String, file: File, found: &Metadata) -> Option<Self> {
        let (meta, content) = (files::meta_of(found), ContentVersion::from(found));
        let bytes = if meta.size > SHORT {
            None
        } else {
            let changed = UnixSeconds(u64::try_from(found.ctime().max(found.mtime())).ok()?);
            if changed.plus(SETTLE_TIME) > SystemClock.now() {
                return None;
            }
            let mut bytes = vec![0; usize::try_from(meta.size).ok()?];
            if !bytes.is_empty() && file_slice::read_cached(&file, &mut bytes, 0)? < bytes.len() {
                return None;
            }
            // It may have been written while it was read.
            content.is_of(&file).then(|| Bytes::from(bytes)).map(Some)?
        };
        let pages = Arc::new(PageCache::new(meta.size));
        let (identity, cached_head) = (FileIdentity::from(found), OnceLock::new());
        Some(Self {
            path: path.into(),
            identity,
            content,
            file: Arc::new(file),
            pages,
            bytes,
            meta,
            cached_head,
        })
    }
}

/// Looks at the root again, and closes what nobody has asked for lately, until nothing is left.
async fn close_idle_files(shared: &Weak<Shared>) {
    loop {
        tokio::time::sleep(REFRESH_EVERY).await;
        let Some(shared) = shared.upgrade() else { return };
        let looking = Arc::clone(&shared);
        let look = tokio::task::spawn_blocking(move || looking.refresh());
        let checked = tokio::time::timeout(REFRESH_TIMEOUT, look).await;
        let mut files = shared.files();
        if checked.is_err() {
            files.held.clear();
        }
        let idle =
            |files: &Files| files.held.iter().next().is_some_and(|(_, entry)| entry.used.elapsed() > IDLE);
        while idle(&files) {
            files.held.remove_lru();
        }
        if files.held.is_empty() {
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
        let files = OpenFileCache::below(&Arc::new(RootFolder::open(folder.path()).unwrap())).unwrap();
        (folder, files)
    }

    fn get(files: &OpenFileCache) -> Option<Arc<CachedFile>> {
        files.get(ASSET, Instant::now()).map(|(held, _)| held)
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_asks_for_is_closed() {
        let (_folder, files) = folder_with(&[1; 20_000]);
        let held = get(&files).unwrap();
        tokio::time::sleep(IDLE / 2).await;
        assert!(Arc::ptr_eq(&held, &get(&files).unwrap()), "asked for again, it is the same");
        tokio::time::sleep(IDLE - Duration::from_secs(1)).await;
        assert!(Arc::ptr_eq(&held, &get(&files).unwrap()));
        drop(held);
        tokio::time::sleep(IDLE + 2 * REFRESH_EVERY).await;
        assert!(files.0.files().held.is_empty());
        assert!(get(&files).is_some() && files.0.files().has_cleaner, "and again from the start");
    }

    #[tokio::test]
    async fn what_was_deleted_replaced_or_changed_is_not_what_was_held() {
        let (folder, files) = folder_with(&[1; 20_000]);
        let path = folder.path().join(ASSET.object_path());
        let first = get(&files).unwrap();
        std::fs::write(folder.path().join("other"), [2; 20_000]).unwrap();
        std::fs::rename(folder.path().join("other"), &path).unwrap();
        assert!(get(&files).is_none_or(|held| held.meta.etag != first.meta.etag));
        std::fs::write(&path, [3; 30_000]).unwrap();
        assert!(get(&files).is_none_or(|held| held.meta.size == 30_000));
        std::fs::remove_file(&path).unwrap();
        assert!(get(&files).is_none() && files.0.files().held.is_empty());
    }

    #[tokio::test]
    async fn a_name_that_was_looked_at_is_believed_until_something_changes() {
        let (folder, files) = folder_with(&[1; 20_000]);
        let believed = || {
            let entry = files.0.files().held.get(&ASSET).map(|entry| entry.checked);
            let number =
                files.0.watcher.as_ref().and_then(|watcher| watcher.generation(std::time::Instant::now()));
            entry.flatten().is_some_and(|(_, then)| Some(then) == number)
        };
        let settle = || {
            for _ in 0..100 {
                std::thread::sleep(Duration::from_millis(11));
                if get(&files).is_some() && believed() {
                    return;
                }
            }
            panic!("never believed");
        };
        settle();
        std::fs::write(folder.path().join("recordings/another"), "2").unwrap();
        assert!(!believed());
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
    async fn a_short_file_that_has_just_been_written_is_not_kept_in_memory() {
        let (_folder, files) = folder_with(b"short");
        assert!(get(&files).is_none());
        std::thread::sleep(SETTLE_TIME + Duration::from_secs(1));
        let held = get(&files).unwrap();
        assert!(
            matches!(held.bytes(&(1..4), false, std::time::Instant::now()), Some(CachedBytes::Read(bytes)) if bytes == "hor")
        );
        assert!(held.bytes(&(1..9), false, std::time::Instant::now()).is_none());
    }

    /// Nobody asks the root here; the file's own name is checked at in the folder that is the root now.
    #[tokio::test]
    async fn what_was_held_of_another_root_is_not_what_is_asked_for() {
        let above = tempfile::tempdir().unwrap();
        let root = above.path().join("root");
        let fill = |byte| {
            std::fs::create_dir_all(root.join("recordings")).unwrap();
            std::fs::write(root.join(ASSET.object_path()), [byte; 20_000]).unwrap();
        };
        fill(1);
        let files = OpenFileCache::below(&Arc::new(RootFolder::open(&root).unwrap())).unwrap();
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
    fn few_files_are_held_where_few_may_be_open() {
        assert_eq!([0, 64, 1_024, 20_000, u64::MAX].map(max_cached_files), [1, 4, 64, 1_024, 1_024]);
    }
}
