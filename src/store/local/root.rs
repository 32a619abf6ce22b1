//! Tracks the root folder of the objects. Its path may later refer to another folder: a mount, a replacement, or a
//! symlink's new target. The path is checked every few seconds while clients request files, and whenever a file is not
//! found.

use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use object_store::path::Path;
use object_store::{Error, Result};
use rustix::fs::{AtFlags, Stat, statat};

use super::openat;
use crate::asset::AssetKind;

/// How often the path is checked while clients request files.
pub(crate) const REFRESH_EVERY: Duration = Duration::from_secs(2);

/// The root of the objects.
#[derive(Debug)]
pub(crate) struct RootFolder {
    path: PathBuf,
    current: ArcSwap<Folder>,
    /// Whether the root ever had a folder for recordings or transcripts.
    had_assets: AtomicBool,
    began: Instant,
    /// When the path was last checked: milliseconds since `began`.
    refreshed: AtomicU64,
}

/// The folder that the path referred to.
#[derive(Debug)]
struct Folder {
    /// The open folder, or why there is no usable one.
    file: std::result::Result<Arc<File>, Missing>,
    /// Device and inode.
    id: (u64, u64),
    /// Whether its file system needs no network and reports every change of a file.
    is_local: bool,
}

/// The reason why there is no folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Missing {
    Gone,
    /// The folder lost its contents, like a mount point after unmounting.
    Emptied,
}

impl Missing {
    fn error(self) -> Error {
        let what = match self {
            Self::Gone => "the root folder is missing",
            Self::Emptied => "the root folder is empty",
        };
        openat::failed(io::Error::other(what))
    }
}

impl RootFolder {
    /// Opens the folder, which must exist at the start. Its path may contain symlinks.
    pub(crate) fn open_at(path: &FilePath) -> io::Result<Self> {
        let (file, metadata) = open_folder(path)?;
        let root = Self {
            path: path.to_owned(),
            had_assets: AtomicBool::new(has_assets(&file)),
            current: ArcSwap::from_pointee(Folder::of(file, &metadata)),
            began: Instant::now(),
            refreshed: AtomicU64::new(0),
        };
        Ok(root)
    }

    /// The folder.
    ///
    /// # Errors
    /// If the folder is missing.
    pub(crate) fn folder(&self) -> Result<Arc<File>> {
        self.current.load().file.clone().map_err(Missing::error)
    }

    /// Whether checking a file in the root never waits for a network.
    pub(crate) fn is_local(&self) -> bool {
        self.current.load().is_local
    }

    /// Opens a file below the folder without waiting for a disk or a network, if possible.
    pub(super) fn open_cached(&self, location: &str) -> Option<File> {
        let current = self.current.load();
        let folder = current.file.as_ref().ok().filter(|_| current.is_local)?;
        openat::open_cached(folder, location)
    }

    /// Whether an open file is on a local file system: that of the folder, or one that is mounted below it.
    pub(super) fn is_local_file(&self, file: &File, stat: &Stat) -> bool {
        let current = self.current.load();
        (current.is_local && current.id.0 == stat.st_dev) || openat::is_local(file)
    }

    fn age(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Whether the path is due for a check.
    pub(crate) fn is_stale(&self) -> bool {
        let since = self.age().saturating_sub(self.refreshed.load(Ordering::Relaxed));
        u128::from(since) >= REFRESH_EVERY.as_millis()
    }

    /// Checks the path, and returns whether it now refers to another folder. May wait for a disk.
    pub(crate) fn refresh(&self) -> bool {
        self.refreshed.store(self.age(), Ordering::Relaxed);
        let before = self.current.load_full();
        let found = fs::metadata(&self.path);
        if let (Ok(found), Ok(file)) = (&found, &before.file)
            && before.id == (found.dev(), found.ino())
        {
            if !self.had_assets.load(Ordering::Relaxed) {
                self.note_assets(file);
            }
            return false;
        }
        let opened = found.and_then(|_| open_folder(&self.path));
        let folder = match opened {
            Ok((file, metadata)) if self.note_assets(&file) => Folder::of(file, &metadata),
            Ok(_) => Folder::missing(Missing::Emptied),
            Err(_) => Folder::missing(Missing::Gone),
        };
        let changed = folder.file.is_ok() || folder.file.as_ref().err() != before.file.as_ref().err();
        if changed {
            log(&folder);
            self.current.store(Arc::new(folder));
        }
        changed
    }

    /// Whether a folder is usable as the root: it has assets, or the root never had any.
    fn note_assets(&self, file: &File) -> bool {
        let has_assets = has_assets(file);
        if has_assets {
            self.had_assets.store(true, Ordering::Relaxed);
        }
        has_assets || !self.had_assets.load(Ordering::Relaxed)
    }

    /// Opens a regular file below the root. If the file is not found and the root has changed, tries once more. May
    /// wait for a disk.
    pub(super) fn open(&self, location: &Path) -> Result<(File, Stat)> {
        if self.is_stale() {
            self.refresh();
        }
        let open = || openat::open(&*self.folder()?, location.as_ref());
        match open() {
            Err(Error::NotFound { .. } | Error::Generic { .. }) if self.refresh() => open(),
            other => other,
        }
    }

    /// Deletes the file at `location`. May wait for a disk.
    pub(crate) fn delete(&self, location: &Path) -> Result<()> {
        self.refresh();
        openat::delete(&*self.folder()?, location.as_ref())
    }
}

impl Folder {
    fn of(file: File, metadata: &Metadata) -> Self {
        let is_local = openat::is_local(&file);
        Self { file: Ok(Arc::new(file)), id: (metadata.dev(), metadata.ino()), is_local }
    }

    fn missing(missing: Missing) -> Self {
        Self { file: Err(missing), id: (0, 0), is_local: false }
    }
}

fn log(folder: &Folder) {
    match folder.file {
        Ok(_) => tracing::warn!("another folder stands at store.url now; files are served from there"),
        Err(Missing::Gone) => {
            tracing::error!("the folder of store.url is missing: links are answered 503 until it is back");
        }
        Err(Missing::Emptied) => tracing::error!(
            "the folder of store.url has neither recordings nor transcripts any more, as if it were not mounted: links are \
             answered 503 until it has"
        ),
    }
}

fn open_folder(path: &FilePath) -> io::Result<(File, Metadata)> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_dir() { Ok((file, metadata)) } else { Err(io::ErrorKind::NotADirectory.into()) }
}

fn has_assets(folder: &File) -> bool {
    AssetKind::ALL.iter().any(|kind| statat(folder, kind.folder(), AtFlags::SYMLINK_NOFOLLOW).is_ok())
}

/// The folders of recordings and transcripts below `root` that are symlinks, or not folders: their files are never
/// found.
#[must_use]
pub fn unusable_folders(root: &FilePath) -> Vec<PathBuf> {
    let folders = AssetKind::ALL.iter().map(|kind| root.join(kind.folder()));
    let unusable = |path: &PathBuf| fs::symlink_metadata(path).is_ok_and(|found| !found.is_dir());
    folders.filter(unusable).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_check_sees_every_change_of_the_folder() {
        let above = tempfile::tempdir().unwrap();
        let path = above.path().join("root");
        fs::create_dir_all(path.join("recordings")).unwrap();
        let root = RootFolder::open_at(&path).unwrap();
        assert!(!root.refresh(), "nothing has happened");
        fs::rename(&path, above.path().join("old")).unwrap();
        assert!(root.refresh() && root.folder().is_err() && !root.refresh(), "it is gone");
        fs::create_dir(&path).unwrap();
        assert!(root.refresh() && root.folder().is_err(), "an empty one is none");
        fs::create_dir(path.join("transcripts")).unwrap();
        assert!(root.refresh() && root.folder().is_ok());
        fs::remove_dir_all(&path).unwrap();
        std::os::unix::fs::symlink(above.path().join("old"), &path).unwrap();
        assert!(root.refresh() && root.folder().is_ok(), "through a symlink");
    }

    #[test]
    fn a_root_that_never_had_assets_may_be_replaced_by_another() {
        let above = tempfile::tempdir().unwrap();
        let path = above.path().join("root");
        fs::create_dir(&path).unwrap();
        let root = RootFolder::open_at(&path).unwrap();
        fs::rename(&path, above.path().join("old")).unwrap();
        fs::create_dir(&path).unwrap();
        assert!(root.refresh() && root.folder().is_ok());
    }
}
