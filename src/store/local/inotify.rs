//! Whether anything has changed in the folders of the objects. The kernel keeps a queue of what does (inotify(7)), and has
//! put a change there before whoever made it goes on: an empty queue says that every name still leads where it did. Asking
//! for its length costs a fraction of a look at a name.

use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::io::{Errno, ioctl_fionread, read};

use crate::asset::AssetKind;
use crate::store::local::root::RootFolder;

/// Where much changes, the queue is read so often at most, and names are looked at meanwhile.
const READ_EVERY: Duration = Duration::from_millis(10);

/// Watches the root and the folders of both kinds.
#[derive(Debug)]
pub(crate) struct ChangeWatcher {
    queue: OwnedFd,
    root: Arc<RootFolder>,
    /// How often the queue was read, twice; odd while somebody reads it.
    number: AtomicU64,
    began: Instant,
    /// The latest arrival of a request for which the queue was found empty: nanoseconds since the beginning.
    checked_for: AtomicU64,
    watched: Mutex<Watched>,
}

#[derive(Debug)]
struct Watched {
    /// When the queue was read.
    read: Instant,
    /// The folders, as the kernel numbers them.
    folders: Vec<i32>,
}

impl ChangeWatcher {
    /// Watches what is below `root`; `None` if the kernel does not.
    pub(crate) fn below(root: &Arc<RootFolder>) -> Option<Self> {
        let queue = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).ok()?;
        let changes = Self {
            queue,
            root: Arc::clone(root),
            number: AtomicU64::new(0),
            began: Instant::now(),
            checked_for: AtomicU64::new(0),
            watched: Mutex::new(Watched { read: Instant::now(), folders: Vec::new() }),
        };
        let is_watched = changes.watch(&mut changes.watched());
        is_watched.then_some(changes)
    }

    fn watched(&self) -> MutexGuard<'_, Watched> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was mounted, or is the root now, is told by nobody: watches the folders that there are now.
    pub(crate) fn refresh(&self) {
        self.begin_anew(&mut self.watched());
    }

    /// The generation of the folders' contents, as of `arrived` or later: it stays the same while nothing changes. `None`
    /// if something has changed just now, or the kernel does not tell.
    ///
    /// The queue is checked once for all requests that had arrived by then: what changes behind that check changes while
    /// they are under way.
    pub(crate) fn generation(&self, arrived: Instant) -> Option<u64> {
        let arrived = arrived.saturating_duration_since(self.began).as_nanos();
        let arrived = u64::try_from(arrived).unwrap_or(u64::MAX);
        // Read before the number: all changes before that check are counted in any later number.
        let is_checked = arrived <= self.checked_for.load(Ordering::Acquire);
        let number = self.number.load(Ordering::Acquire);
        if is_checked && number.is_multiple_of(2) {
            return Some(number);
        }
        let checked = self.check(number);
        if checked.is_some() {
            self.checked_for.store(arrived, Ordering::Release);
        }
        checked
    }

    /// The `number`, if the queue is empty and nobody has read it since.
    fn check(&self, number: u64) -> Option<u64> {
        let waiting = ioctl_fionread(&self.queue).ok()?;
        if waiting > 0 {
            self.read();
            return None;
        }
        // Nobody reads, and nobody has read meanwhile: what waited before would have been counted.
        let nobody_reads = number.is_multiple_of(2) && self.number.load(Ordering::Acquire) == number;
        nobody_reads.then_some(number)
    }

    /// Empties the queue. The folders may be others now.
    fn read(&self) {
        let Ok(mut watched) = self.watched.try_lock() else { return };
        if watched.read.elapsed() >= READ_EVERY {
            self.begin_anew(&mut watched);
        }
    }

    fn begin_anew(&self, watched: &mut Watched) {
        if self.number.load(Ordering::Acquire).is_multiple_of(2) {
            self.number.fetch_add(1, Ordering::AcqRel);
        }
        let mut events = [0_u8; 4 * 1024];
        while matches!(read(&self.queue, &mut events), Ok(1..)) {}
        // While they are not watched, it stays odd: names are looked at.
        if self.watch(watched) {
            self.number.fetch_add(1, Ordering::AcqRel);
        }
        watched.read = Instant::now();
    }

    /// Watches the folders that there are now, and no others. Those that come later are told of by the root.
    fn watch(&self, watched: &mut Watched) -> bool {
        let what = WatchFlags::MODIFY
            | WatchFlags::ATTRIB
            | WatchFlags::MOVE
            | WatchFlags::DELETE
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF
            | WatchFlags::ONLYDIR;
        let Ok(folder) = self.root.folder() else { return false };
        // By the open folder, whatever has become of its name.
        let root = format!("/proc/self/fd/{}/", folder.as_raw_fd());
        let folders = AssetKind::ALL.map(|kind| format!("{root}{}", kind.folder()));
        let folders = folders.iter().map(|folder| (folder, what | WatchFlags::DONT_FOLLOW));
        let mut now = Vec::new();
        let all = std::iter::once((&root, what | WatchFlags::CREATE)).chain(folders).all(|(path, what)| {
            match inotify::add_watch(&self.queue, path, what) {
                Ok(number) => now.push(number),
                Err(error) => return matches!(error, Errno::NOENT | Errno::NOTDIR),
            }
            true
        });
        for gone in watched.folders.iter().filter(|number| !now.contains(number)) {
            // The kernel may have done so by itself.
            let _ = inotify::remove_watch(&self.queue, *gone);
        }
        watched.folders = now;
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// What it says, once the queue has been read.
    fn settled(changes: &ChangeWatcher) -> u64 {
        loop {
            std::thread::sleep(READ_EVERY);
            if let Some(number) = changes.generation(Instant::now()) {
                return number;
            }
        }
    }

    #[test]
    fn every_change_of_a_name_or_a_file_is_told_before_whoever_made_it_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::create_dir(path("recordings")).unwrap();
        fs::write(path("recordings/a"), "1").unwrap();
        let changes = ChangeWatcher::below(&Arc::new(RootFolder::open(folder.path()).unwrap())).unwrap();
        let mut before = settled(&changes);
        assert_eq!(changes.generation(Instant::now()), Some(before), "nothing happens");
        let acts: [(&str, &dyn Fn()); 9] = [
            ("written in place", &|| fs::write(path("recordings/a"), "2").unwrap()),
            ("replaced", &|| {
                fs::write(path("b"), "3").unwrap();
                fs::rename(path("b"), path("recordings/a")).unwrap();
            }),
            ("made unreadable", &|| {
                fs::set_permissions(
                    path("recordings/a"),
                    std::os::unix::fs::PermissionsExt::from_mode(0o000),
                )
                .unwrap();
            }),
            ("moved away", &|| fs::rename(path("recordings/a"), path("recordings/b")).unwrap()),
            ("deleted", &|| fs::remove_file(path("recordings/b")).unwrap()),
            ("its folder moved away", &|| fs::rename(path("recordings"), path("old")).unwrap()),
            ("another folder", &|| fs::create_dir(path("recordings")).unwrap()),
            ("a file moved into that", &|| {
                fs::write(path("c"), "4").unwrap();
                fs::rename(path("c"), path("recordings/c")).unwrap();
            }),
            ("its folder deleted", &|| fs::remove_dir_all(path("recordings")).unwrap()),
        ];
        for (what, act) in acts {
            act();
            assert_eq!(changes.generation(Instant::now()), None, "{what}");
            let after = settled(&changes);
            assert_ne!(after, before, "{what}");
            before = after;
        }
    }

    #[test]
    fn one_check_serves_all_requests_that_had_arrived_by_then() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("recordings")).unwrap();
        let changes = ChangeWatcher::below(&Arc::new(RootFolder::open(folder.path()).unwrap())).unwrap();
        let before = Instant::now();
        let number = settled(&changes);
        let checked = Instant::now();
        assert_eq!(changes.generation(checked), Some(number));
        fs::write(folder.path().join("recordings/a"), "1").unwrap();
        for arrived in [before, checked] {
            assert_eq!(changes.generation(arrived), Some(number));
        }
        assert_eq!(changes.generation(Instant::now()), None);
    }

    #[test]
    fn folders_that_are_no_part_of_the_root_any_more_are_not_watched() {
        let above = tempfile::tempdir().unwrap();
        let (path, old) = (above.path().join("root"), above.path().join("old"));
        fs::create_dir_all(path.join("recordings")).unwrap();
        let root = Arc::new(RootFolder::open(&path).unwrap());
        let changes = ChangeWatcher::below(&root).unwrap();
        for _ in 0..3 {
            fs::rename(&path, &old).unwrap();
            fs::create_dir_all(path.join("recordings")).unwrap();
            root.refresh();
            changes.refresh();
            let before = settled(&changes);
            fs::write(old.join("recordings/a"), "1").unwrap();
            assert_eq!(changes.generation(Instant::now()), Some(before), "in the folder that was the root");
            fs::write(path.join("recordings/a"), "1").unwrap();
            assert_eq!(changes.generation(Instant::now()), None, "in the root");
            fs::remove_dir_all(&old).unwrap();
            assert_eq!(changes.watched.lock().unwrap().folders.len(), 2);
        }
    }

    #[test]
    fn reading_a_file_is_no_change() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("transcripts")).unwrap();
        fs::write(folder.path().join("transcripts/a"), "1").unwrap();
        let changes = ChangeWatcher::below(&Arc::new(RootFolder::open(folder.path()).unwrap())).unwrap();
        let before = settled(&changes);
        assert_eq!(fs::read(folder.path().join("transcripts/a")).unwrap(), b"1");
        assert_eq!(changes.generation(Instant::now()), Some(before));
    }
}
