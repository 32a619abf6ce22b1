//! Opens and deletes files below a folder. No path leaves that folder: symlinks are not followed, and only regular
//! files are opened.

use std::fs::File;
use std::io;

use object_store::{Error, Result};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, ResolveFlags, Stat, fstat, openat, openat2, unlinkat};

use crate::clock::UnixSeconds;
use crate::store::meta::Meta;

/// The name of this store in error texts.
pub(super) const NAME: &str = "local files";

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Non-blocking, so that opening a FIFO cannot block the thread.
const FILE: OFlags = OFlags::RDONLY.union(OFlags::NONBLOCK).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Opens a regular file below `root`, one path segment at a time. May wait for a disk.
pub(super) fn open(root: &File, location: &str) -> Result<(File, Stat)> {
    let (folder, name) = parent(root, location).map_err(|error| explain(location, error))?;
    let file = openat(folder.as_ref().unwrap_or(root), name, FILE, Mode::empty());
    regular(location, file.map(File::from).map_err(io::Error::from))
}

/// Opens a file whose path is in the kernel's cache. `None` if a disk must be read, or the kernel cannot tell. The
/// caller checks that it is a regular file.
pub(super) fn open_cached(root: &File, location: &str) -> Option<File> {
    let resolve = ResolveFlags::CACHED | ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    // After any error, `open` tries again and explains it.
    Some(openat2(root, location, FILE, Mode::empty(), resolve).ok()?.into())
}

/// The state of an open file, if it is a regular one.
pub(super) fn stat_of_regular(file: &File) -> Option<Stat> {
    fstat(file).ok().filter(|stat| FileType::from_raw_mode(stat.st_mode).is_file())
}

/// Deletes the file at `location` below `root`. May wait for a disk.
pub(super) fn delete(root: &File, location: &str) -> Result<()> {
    let deleted = parent(root, location)
        .and_then(|(folder, name)| Ok(unlinkat(folder.as_ref().unwrap_or(root), name, AtFlags::empty())?));
    deleted.map_err(|error| explain(location, error))
}

/// The folder of `location`, unless it is `root` itself, and the name in it.
fn parent<'l>(root: &File, location: &'l str) -> io::Result<(Option<File>, &'l str)> {
    let (path, name) = location.rsplit_once('/').unwrap_or(("", location));
    let mut folder: Option<File> = None;
    for part in path.split('/').filter(|part| !part.is_empty()) {
        folder = Some(openat(folder.as_ref().unwrap_or(root), part, FOLDER, Mode::empty())?.into());
    }
    Ok((folder, name))
}

/// The opened file if it is a regular one. Anything else (a symlink, folder, FIFO or device) counts as absent.
pub(super) fn regular(location: &str, opened: io::Result<File>) -> Result<(File, Stat)> {
    match opened.and_then(|file| Ok((fstat(&file)?, file))) {
        Ok((stat, file)) if FileType::from_raw_mode(stat.st_mode).is_file() => Ok((file, stat)),
        Ok(_) => Err(absent(location, io::Error::other("not a regular file"))),
        Err(error) => Err(explain(location, error)),
    }
}

fn absent(location: &str, source: io::Error) -> Error {
    Error::NotFound { path: location.to_owned(), source: Box::new(source) }
}

fn explain(location: &str, error: io::Error) -> Error {
    use io::ErrorKind as K;
    use rustix::io::Errno;

    let is = |errno: Errno| error.raw_os_error() == Some(errno.raw_os_error());
    match error.kind() {
        _ if is(Errno::LOOP) || is(Errno::NXIO) => absent(location, error),
        K::NotFound | K::NotADirectory | K::IsADirectory => absent(location, error),
        K::PermissionDenied => Error::PermissionDenied { path: location.to_owned(), source: Box::new(error) },
        _ => failed(error),
    }
}

/// Wraps a failure of the file system.
pub(super) fn failed(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Generic { store: NAME, source: Box::new(error) }
}

/// Whether this file system is local: it needs no network and reports every change of a file.
pub(super) fn is_local(folder: &File) -> bool {
    /// ext2 to ext4, XFS, Btrfs, tmpfs, overlayfs, ZFS, F2FS (statfs(2)).
    const KNOWN: [u64; 7] =
        [0xef53, 0x5846_5342, 0x9123_683e, 0x0102_1994, 0x794c_7630, 0x2fc1_2fc1, 0xf2f5_2010];

    let kind = rustix::fs::fstatfs(folder).ok().and_then(|found| u64::try_from(found.f_type).ok());
    kind.is_some_and(|kind| KNOWN.contains(&kind))
}

/// An object's metadata from its file's. The entity tag is made of inode, time and size: a replaced file is another
/// version, even with the same time and size.
pub(super) fn meta_of(stat: &Stat) -> Meta {
    let (inode, second, nanosecond) = (stat.st_ino, stat.st_mtime, stat.st_mtime_nsec);
    let size = u64::try_from(stat.st_size).unwrap_or_default();
    let etag = format!("\"{inode:x}-{second:x}{nanosecond:08x}-{size:x}\"");
    Meta { size, etag, last_modified: UnixSeconds(u64::try_from(second).unwrap_or_default()) }
}
