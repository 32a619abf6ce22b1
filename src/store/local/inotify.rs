//! Detects changes in the objects' folders with an inotify(7) queue. The kernel queues a change before the process that
//! made it continues, so an empty queue means that every name still refers to the same, unchanged file. Reading the
//! queue's length costs a fraction of a `statat`.

use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::io::{Errno, ioctl_fionread, read};

use super::root::RootFolder;
use crate::asset::AssetKind;

/// The minimum interval between two reads of the queue. In between, the cache checks each file's name.
const READ_EVERY: Duration = Duration::from_millis(10);

/// Watches the root, and the folders of recordings and transcripts.
#[derive(Debug)]
pub(crate) struct ChangeWatcher {
    queue: OwnedFd,
    root: Arc<RootFolder>,
    /// Twice the number of times that a thread emptied the queue; odd while one is doing so.
    number: AtomicU64,
    began: Instant,
    /// The latest arrival of a request for which the queue was found empty: nanoseconds since `began`.
    checked_for: AtomicU64,
    watched: Mutex<Watched>,
}

#[derive(Debug)]
struct Watched {
    /// When the queue was emptied.
    read: Instant,
    /// The watch descriptors of the folders.
    folders: Vec<i32>,
}

impl ChangeWatcher {
    /// Watches the folders below `root`; `None` if the kernel refuses.
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

    /// Watches the folders that exist now: inotify reports neither mounts nor a new root.
    pub(crate) fn refresh(&self) {
        self.restart(&mut self.watched());
    }

    /// The generation of the folders' contents, as of `arrived` or later: it stays the same while nothing changes.
    /// `None` shortly after a change, and while the folders are not watched.
    ///
    /// One check of the queue serves all requests that had arrived before it: a later change happens while they are in
    /// flight.
    pub(crate) fn generation(&self, arrived: Instant) -> Option<u64> {
        let arrived = arrived.saturating_duration_since(self.began).as_nanos();
        let arrived = u64::try_from(arrived).unwrap_or(u64::MAX);
        // Loaded before the number, so that the number includes all changes before that check.
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

    /// The `number`, if the queue is empty and no thread has emptied it since.
    fn check(&self, number: u64) -> Option<u64> {
        let waiting = ioctl_fionread(&self.queue).ok()?;
        if waiting > 0 {
            self.read();
            return None;
        }
        // If another thread emptied the queue meanwhile, its changes belong to the next number.
        let unchanged = number.is_multiple_of(2) && self.number.load(Ordering::Acquire) == number;
        unchanged.then_some(number)
    }

    /// Empties the queue and watches the folders again, because they may have been replaced.
    fn read(&self) {
        let Ok(mut watched) = self.watched.try_lock() else { return };
        if watched.read.elapsed() >= READ_EVERY {
            self.restart(&mut watched);
        }
    }

    fn restart(&self, watched: &mut Watched) {
        if self.number.load(Ordering::Acquire).is_multiple_of(2) {
            self.number.fetch_add(1, Ordering::AcqRel);
        }
        let mut events = [0_u8; 4 * 1024];
        while matches!(read(&self.queue, &mut events), Ok(1..)) {}
        // The number stays odd while the folders are not watched, and the cache checks each name.
        if self.watch(watched) {
            self.number.fetch_add(1, Ordering::AcqRel);
        }
        watched.read = Instant::now();
    }

    /// Watches exactly the folders that exist now. The watch on the root reports folders that are created later.
    fn watch(&self, watched: &mut Watched) -> bool {
        let what = WatchFlags::MODIFY
            | WatchFlags::ATTRIB
            | WatchFlags::MOVE
            | WatchFlags::DELETE
            | WatchFlags::DELETE_SELF
            | WatchFlags::MOVE_SELF
            | WatchFlags::ONLYDIR;
        let Ok(folder) = self.root.folder() else { return false };
        // Uses the open folder, because its path may refer to another one by now.
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
            // The kernel may already have removed this watch.
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

    /// The generation after the queue was emptied.
    fn settled(changes: &ChangeWatcher) -> u64 {
        loop {
            std::thread::sleep(READ_EVERY);
            if let Some(number) = changes.generation(Instant::now()) {
                return number;
            }
        }
    }

    #[test]
    fn every_change_of_a_name_or_a_file_is_seen_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::create_dir(path("recordings")).unwrap();
        fs::write(path("recordings/a"), "1").unwrap();
        let changes = ChangeWatcher::below(&Arc::new(RootFolder::open_at(folder.path()).unwrap())).unwrap();
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
    fn one_check_serves_all_requests_that_had_arrived_before() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("recordings")).unwrap();
        let changes = ChangeWatcher::below(&Arc::new(RootFolder::open_at(folder.path()).unwrap())).unwrap();
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
    fn folders_of_an_earlier_root_are_not_watched() {
        let above = tempfile::tempdir().unwrap();
        let (path, old) = (above.path().join("root"), above.path().join("old"));
        fs::create_dir_all(path.join("recordings")).unwrap();
        let root = Arc::new(RootFolder::open_at(&path).unwrap());
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
        let changes = ChangeWatcher::below(&Arc::new(RootFolder::open_at(folder.path()).unwrap())).unwrap();
        let before = settled(&changes);
        assert_eq!(fs::read(folder.path().join("transcripts/a")).unwrap(), b"1");
        assert_eq!(changes.generation(Instant::now()), Some(before));
    }
}
