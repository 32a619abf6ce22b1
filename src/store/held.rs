//! Local files that were asked for a moment ago stay open, the short ones in memory: asking for one again costs a question
//! whether anything has changed ([`Changes`]), or one look whether its name still leads to the same file, unchanged. What
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

use super::Meta;
use super::changes::Changes;
use super::file::{self, ContentMark, FileSlice};
use super::local;
use super::root::{LOOK_EVERY, Root};
use super::warm::Warm;
use crate::asset::AssetRef;
use crate::clock::{Clock, SystemClock, UnixSeconds};
use crate::tasks::{self, Task};

/// A file that nobody asks for is closed after so long, and its bytes are forgotten: deleted, it would keep its room on the
/// disk meanwhile.
const IDLE: Duration = Duration::from_secs(10);

/// A look at the root takes no longer than this, or what is held is not believed any more.
const LONGEST_LOOK: Duration = Duration::from_secs(5);

/// A file's own name is looked at so often at least. Some changes are told to nobody: those through another name of the same
/// file, through a memory map, and of what is mounted.
const BELIEVED: Duration = Duration::from_secs(1);

/// Files up to this many bytes are kept in memory.
const SHORT: u64 = file::CHUNK;

/// A file that was changed a moment ago may be changed again without a visible difference of its times.
const SETTLED: Duration = Duration::from_secs(2);

/// How many files are held where a process may open so many.
#[must_use]
pub fn held_at_most(limit: u64) -> u64 {
    (limit / 16).clamp(1, 1_024)
}

/// An open file, and what its answers say of it.
#[derive(Debug)]
pub struct Held {
    path: Box<str>,
    mark: Mark,
    content: ContentMark,
    file: Arc<File>,
    warm: Arc<Warm>,
    /// All of it, if it is short.
    bytes: Option<Bytes>,
    /// What is known of it.
    pub meta: Meta,
    /// What earlier answers with it said and the next ones will say again, left here by whoever answers.
    pub said: OnceLock<Bytes>,
}

/// What a held file has for somebody who wants a range of it.
#[derive(Debug)]
pub enum HeldBytes {
    /// The bytes.
    Read(Bytes),
    /// Nothing yet, but the kernel has the first piece in memory: [`Held::slice`].
    InMemory,
}

impl Held {
    /// The wanted bytes, if nothing has to be waited for `now`. Without `files` only those that were read.
    #[must_use]
    pub fn bytes(&self, range: &Range<u64>, files: bool, now: std::time::Instant) -> Option<HeldBytes> {
        if let Some(bytes) = &self.bytes {
            let (start, end) = (usize::try_from(range.start).ok()?, usize::try_from(range.end).ok()?);
            return (start <= end && end <= bytes.len()).then(|| HeldBytes::Read(bytes.slice(start..end)));
        }
        (files && self.warm.has(&self.file, &file::first_piece(range), now)).then_some(HeldBytes::InMemory)
    }

    /// The open file.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
    }

    /// A range of the file, to be sent.
    #[must_use]
    pub fn slice(&self, range: &Range<u64>) -> FileSlice {
        FileSlice::of(Arc::clone(&self.file), range.clone(), self.content, Arc::clone(&self.warm))
    }
}

/// What tells one state of one file from all others: device, inode, size, and the times of the last changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mark([i128; 7]);

impl From<&Metadata> for Mark {
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

impl From<&Stat> for Mark {
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
pub(super) struct HeldFiles(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    root: Arc<Root>,
    /// If the kernel tells.
    changes: Option<Changes>,
    files: Mutex<Files>,
}

#[derive(Debug)]
struct Files {
    held: LruCache<AssetRef, Entry>,
    /// Whether somebody closes those that are idle.
    attended: bool,
}

/// A file that is held.
#[derive(Debug)]
struct Entry {
    held: Arc<Held>,
    used: Instant,
    /// When its name was looked at, and at which number of [`Changes`].
    looked: Option<(Instant, u64)>,
}

impl Entry {
    fn is_believed(&self, now: Instant, number: Option<u64>) -> bool {
        self.looked.is_some_and(|(at, then)| Some(then) == number && now - at < BELIEVED)
    }
}

impl HeldFiles {
    /// For files below `root`. They are held while its file system answers at once and says whether a file has changed.
    pub(super) fn below(root: &Arc<Root>) -> Option<Self> {
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        let most = usize::try_from(held_at_most(limit.unwrap_or(u64::MAX))).ok()?;
        let files = Mutex::new(Files { held: LruCache::new(most), attended: false });
        let changes = if root.is_of_this_machine() { Changes::below(root) } else { None };
        Some(Self(Arc::new(Shared { changes, root: Arc::clone(root), files })))
    }

    /// The asset's file, if that can be had without waiting for a disk, for a request that has arrived by `now`; and how long a
    /// look at its name took, if it was not believed to be the same.
    pub(super) fn get(&self, asset: AssetRef, now: Instant) -> Option<(Arc<Held>, Duration)> {
        // Before the name is looked at: what changes behind it counts for the next time.
        let number = self.0.changes.as_ref().and_then(|changes| changes.generation(now.into_std()));
        let found = self.0.files().held.get_mut(&asset).map(|entry| {
            entry.used = now;
            (Arc::clone(&entry.held), entry.is_believed(now, number))
        });
        let unsure = match found {
            Some((held, true)) => return Some((held, Duration::ZERO)),
            Some((held, false)) => Some(held),
            None => None,
        };
        let began = std::time::Instant::now();
        let held = match unsure {
            Some(held) if self.0.is_unchanged(&held) => {
                self.0.looked_at(asset, now, number);
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
    pub(super) fn forget(&self, asset: AssetRef) {
        self.0.files().held.remove(&asset);
    }

    fn open(&self, asset: AssetRef, now: Instant) -> Option<Arc<Held>> {
        if !self.0.root.is_of_this_machine() {
            return None;
        }
        let path = asset.object_path();
        let (file, found) = local::open_from_memory(&*self.0.root.folder().ok()?, &path)?.ok()?;
        if !local::is_of_this_machine(&file) {
            return None;
        }
        let held = Arc::new(Held::of(path, file, &found)?);
        let attended = {
            let mut files = self.0.files();
            files.held.insert(asset, Entry { held: Arc::clone(&held), used: now, looked: None });
            std::mem::replace(&mut files.attended, true)
        };
        if !attended {
            let shared = Arc::downgrade(&self.0);
            tasks::supervise(Task::FileCache, shared, |shared| Box::pin(close_the_idle(shared)));
        }
        Some(held)
    }
}

impl Shared {
    fn files(&self) -> MutexGuard<'_, Files> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn looked_at(&self, asset: AssetRef, now: Instant, number: Option<u64>) {
        let Some(number) = number else { return };
        if let Some(entry) = self.files().held.get_mut(&asset) {
            entry.looked = Some((now, number));
        }
    }

    /// Whether the name still leads to this file, in this state.
    fn is_unchanged(&self, held: &Held) -> bool {
        let Ok(root) = self.root.folder() else { return false };
        statat(&root, &*held.path, AtFlags::SYMLINK_NOFOLLOW).is_ok_and(|stat| Mark::from(&stat) == held.mark)
    }

    /// Whether another folder stands in the root's place, or something was mounted over one. May wait for a disk.
    fn look_again(&self) {
        self.root.look();
        if let Some(changes) = &self.changes {
            changes.look_again();
        }
    }
}

impl Held {
    fn of(path: String, file: File, found: &Metadata) -> Option<Self> {
        let (meta, content) = (local::meta_of(found), ContentMark::from(found));
        let bytes = if meta.size > SHORT {
            None
        } else {
            let changed = UnixSeconds(u64::try_from(found.ctime().max(found.mtime())).ok()?);
            if changed.plus(SETTLED) > SystemClock.now() {
                return None;
            }
            let mut bytes = vec![0; usize::try_from(meta.size).ok()?];
            if !bytes.is_empty() && file::read_from_memory(&file, &mut bytes, 0)? < bytes.len() {
                return None;
            }
            // It may have been written while it was read.
            content.is_of(&file).then(|| Bytes::from(bytes)).map(Some)?
        };
        let warm = Arc::new(Warm::new(meta.size));
        let (mark, said) = (Mark::from(found), OnceLock::new());
        Some(Self { path: path.into(), mark, content, file: Arc::new(file), warm, bytes, meta, said })
    }
}

/// Looks at the root again, and closes what nobody has asked for lately, until nothing is left.
async fn close_the_idle(shared: &Weak<Shared>) {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let Some(shared) = shared.upgrade() else { return };
        let looking = Arc::clone(&shared);
        let look = tokio::task::spawn_blocking(move || looking.look_again());
        let looked = tokio::time::timeout(LONGEST_LOOK, look).await;
        let mut files = shared.files();
        if looked.is_err() {
            files.held.clear();
        }
        let idle =
            |files: &Files| files.held.iter().next().is_some_and(|(_, entry)| entry.used.elapsed() > IDLE);
        while idle(&files) {
            files.held.remove_lru();
        }
        if files.held.is_empty() {
            files.attended = false;
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASSET: AssetRef = AssetRef::recording(uuid::uuid!("550e8400-e29b-41d4-a716-446655440000"));

    fn folder_with(bytes: &[u8]) -> (tempfile::TempDir, HeldFiles) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("recordings")).unwrap();
        std::fs::write(folder.path().join(ASSET.object_path()), bytes).unwrap();
        let files = HeldFiles::below(&Arc::new(Root::open(folder.path()).unwrap())).unwrap();
        (folder, files)
    }

    fn get(files: &HeldFiles) -> Option<Arc<Held>> {
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
        tokio::time::sleep(IDLE + 2 * LOOK_EVERY).await;
        assert!(files.0.files().held.is_empty());
        assert!(get(&files).is_some() && files.0.files().attended, "and again from the start");
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
            let entry = files.0.files().held.get(&ASSET).map(|entry| entry.looked);
            let number =
                files.0.changes.as_ref().and_then(|changes| changes.generation(std::time::Instant::now()));
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
        std::thread::sleep(SETTLED + Duration::from_secs(1));
        let held = get(&files).unwrap();
        assert!(
            matches!(held.bytes(&(1..4), false, std::time::Instant::now()), Some(HeldBytes::Read(bytes)) if bytes == "hor")
        );
        assert!(held.bytes(&(1..9), false, std::time::Instant::now()).is_none());
    }

    /// Nobody asks the root here; the file's own name is looked at in the folder that is the root now.
    #[tokio::test]
    async fn what_was_held_of_another_root_is_not_what_is_asked_for() {
        let above = tempfile::tempdir().unwrap();
        let root = above.path().join("root");
        let fill = |byte| {
            std::fs::create_dir_all(root.join("recordings")).unwrap();
            std::fs::write(root.join(ASSET.object_path()), [byte; 20_000]).unwrap();
        };
        fill(1);
        let files = HeldFiles::below(&Arc::new(Root::open(&root).unwrap())).unwrap();
        let first = get(&files).unwrap();
        std::fs::rename(&root, above.path().join("old")).unwrap();
        fill(2);
        files.0.look_again();
        let second = get(&files).unwrap();
        assert_ne!(second.meta.etag, first.meta.etag);
        std::fs::remove_dir_all(&root).unwrap();
        files.0.look_again();
        assert!(get(&files).is_none());
    }

    #[test]
    fn few_files_are_held_where_few_may_be_open() {
        assert_eq!([0, 64, 1_024, 20_000, u64::MAX].map(held_at_most), [1, 4, 64, 1_024, 1_024]);
    }
}
