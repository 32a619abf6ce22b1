//! Small files that only their owner may read, such as the keyring: written atomically, edited by one process at a time,
//! and watched for changes.

use std::fs::{File, Metadata};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

use tokio::sync::Notify;

/// How often a file is checked for a change. SIGHUP triggers an immediate check.
pub const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// Creates a file with mode 0600. Never overwrites an existing file.
pub(crate) fn create(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text)?;
    file.sync_all()?;
    sync_folder(path)
}

/// Locks the file at `path`. While this process waits for the lock, another may replace the file; then the new file is
/// locked.
pub(crate) fn lock(path: &Path) -> io::Result<File> {
    loop {
        let file = File::open(path)?;
        file.lock()?;
        if file.metadata()?.ino() == std::fs::metadata(path)?.ino() {
            return Ok(file);
        }
    }
}

/// Replaces the file at `path`, which has the metadata `old`, by one with this text.
pub(crate) fn replace(path: &Path, old: &Metadata, text: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut new = tempfile::Builder::new().prefix(".webhook-assets-").tempfile_in(folder)?;
    new.write_all(text)?;
    new.as_file().sync_all()?;
    // The new file gets the old file's readers and no others: while an administrator edits the file, the gateway's user
    // may own it or read it through its group.
    let made = new.as_file().metadata()?;
    if (made.uid(), made.gid()) != (old.uid(), old.gid()) {
        std::os::unix::fs::chown(new.path(), Some(old.uid()), Some(old.gid()))?;
    }
    new.as_file().set_permissions(old.permissions())?;
    new.persist(path)?;
    sync_folder(path)
}

/// Makes a change of names in the folder of `path` durable.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    match path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        Some(folder) => File::open(folder)?.sync_all(),
        None => File::open(".")?.sync_all(),
    }
}

/// Calls `read` when the file changes, or when notified. Never returns. The argument says whether the call is for more
/// than the file's first sight: the file may have changed since the start read it, so the first check always reads it.
pub(crate) async fn watch(path: &Path, reload: &Notify, read: impl Fn(bool)) {
    let mut seen = None;
    loop {
        let asked = tokio::select! {
            () = tokio::time::sleep(POLL_INTERVAL) => false,
            () = reload.notified() => true,
        };
        let found = fingerprint(path);
        if asked || found != seen {
            read(asked || seen.is_some());
            seen = found;
        }
    }
}

/// The metadata that changes when the file is written, replaced, or made readable.
fn fingerprint(path: &Path) -> Option<(u64, u64, i64, i64, i64, i64)> {
    let file = std::fs::metadata(path).ok()?;
    Some((file.ino(), file.len(), file.mtime(), file.mtime_nsec(), file.ctime(), file.ctime_nsec()))
}

/// Whether more users than necessary can read the file, which deserves a warning.
///
/// # Errors
/// If the file's metadata cannot be read.
pub fn is_exposed(path: &Path) -> io::Result<bool> {
    let file = std::fs::metadata(path)?;
    let others = file.permissions().mode() & 0o077;
    Ok(others != 0 && !(others == 0o040 && is_mounted_secret(&file)))
}

/// Whether root owns the file and this user reads it through its group. Kubernetes mounts secrets this way (`fsGroup`)
/// and offers no stricter way.
fn is_mounted_secret(file: &Metadata) -> bool {
    use rustix::process::{getegid, geteuid, getgroups};

    let groups = getgroups().unwrap_or_default();
    let is_member = groups.iter().chain([&getegid()]).any(|group| group.as_raw() == file.gid());
    file.uid() == 0 && !geteuid().is_root() && is_member
}
