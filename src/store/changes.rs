//! Whether anything has changed in the folders of the objects. The kernel keeps a queue of what does (inotify(7)), and has
//! put a change there before whoever made it goes on: an empty queue says that every name still leads where it did. Asking
//! for its length costs a fraction of a look at a name.

use std::fs::File;
use std::sync::Arc;

#[cfg(target_os = "linux")]
pub(super) use linux::Changes;

/// Elsewhere nobody tells.
#[cfg(not(target_os = "linux"))]
#[derive(Debug)]
pub(super) struct Changes;

#[cfg(not(target_os = "linux"))]
impl Changes {
    pub(super) fn below(_root: &Arc<File>) -> Option<Self> {
        None
    }

    pub(super) fn number(&self) -> Option<u64> {
        None
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use std::os::fd::{AsRawFd, OwnedFd};
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::{Duration, Instant};

    use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
    use rustix::io::{Errno, ioctl_fionread, read};

    use super::{Arc, File};
    use crate::asset::AssetKind;

    /// Where much changes, the queue is read so often at most, and names are looked at meanwhile.
    const READ_EVERY: Duration = Duration::from_millis(10);

    /// Watches the root and the folders of both kinds.
    #[derive(Debug)]
    pub(in crate::store) struct Changes {
        queue: OwnedFd,
        root: Arc<File>,
        /// How often the queue was read, twice; odd while somebody reads it.
        number: AtomicU64,
        read: Mutex<Instant>,
    }

    impl Changes {
        /// Watches what is below `root`; `None` if the kernel does not.
        pub(in crate::store) fn below(root: &Arc<File>) -> Option<Self> {
            let queue = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).ok()?;
            let changes = Self {
                queue,
                root: Arc::clone(root),
                number: AtomicU64::new(0),
                read: Mutex::new(Instant::now()),
            };
            changes.watch().then_some(changes)
        }

        /// A number: the same one as before if nothing has changed since. `None` if something has just now, or nobody knows.
        pub(in crate::store) fn number(&self) -> Option<u64> {
            let number = self.number.load(Ordering::Acquire);
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
            let Ok(mut last) = self.read.try_lock() else { return };
            if last.elapsed() < READ_EVERY {
                return;
            }
            self.number.fetch_add(1, Ordering::AcqRel);
            let mut events = [0_u8; 4 * 1024];
            while matches!(read(&self.queue, &mut events), Ok(1..)) {}
            let watched = self.watch();
            *last = Instant::now();
            // Not watched any more, it stays odd: names are looked at from now on.
            if watched {
                self.number.fetch_add(1, Ordering::AcqRel);
            }
        }

        /// Watches the folders that there are now. Those that come later are told of by the root.
        fn watch(&self) -> bool {
            let what = WatchFlags::MODIFY
                | WatchFlags::ATTRIB
                | WatchFlags::MOVE
                | WatchFlags::DELETE
                | WatchFlags::DELETE_SELF
                | WatchFlags::MOVE_SELF
                | WatchFlags::ONLYDIR;
            // By the open folder, whatever has become of its name.
            let root = format!("/proc/self/fd/{}/", self.root.as_raw_fd());
            let folders = AssetKind::ALL.map(|kind| format!("{root}{}", kind.folder()));
            let folders = folders.iter().map(|folder| (folder, what | WatchFlags::DONT_FOLLOW));
            std::iter::once((&root, what | WatchFlags::CREATE)).chain(folders).all(|(path, what)| {
                matches!(
                    inotify::add_watch(&self.queue, path, what),
                    Ok(_) | Err(Errno::NOENT | Errno::NOTDIR)
                )
            })
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;
        use std::fs;

        /// What it says, once the queue has been read.
        fn settled(changes: &Changes) -> u64 {
            loop {
                std::thread::sleep(READ_EVERY);
                if let Some(number) = changes.number() {
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
            let changes = Changes::below(&Arc::new(File::open(folder.path()).unwrap())).unwrap();
            let mut before = settled(&changes);
            assert_eq!(changes.number(), Some(before), "nothing happens");
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
                assert_eq!(changes.number(), None, "{what}");
                let after = settled(&changes);
                assert_ne!(after, before, "{what}");
                before = after;
            }
        }

        #[test]
        fn reading_a_file_is_no_change() {
            let folder = tempfile::tempdir().unwrap();
            fs::create_dir(folder.path().join("transcripts")).unwrap();
            fs::write(folder.path().join("transcripts/a"), "1").unwrap();
            let changes = Changes::below(&Arc::new(File::open(folder.path()).unwrap())).unwrap();
            let before = settled(&changes);
            assert_eq!(fs::read(folder.path().join("transcripts/a")).unwrap(), b"1");
            assert_eq!(changes.number(), Some(before));
        }
    }
}
