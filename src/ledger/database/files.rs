//! Keeps the files of a SQLite database private, and checks that they are still the open ones.
//!
//! This module reads metadata by path and never opens a database file: closing a descriptor would release SQLite's
//! locks on the file (fcntl(2)).

use std::fs::{self, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use super::options::OpenMode;
use crate::ledger::error::{LedgerError, Result};

/// Only the owner may read and write the files: they hold personal data.
const MODE: u32 = 0o600;

/// Suffixes of the files that belong to a database file.
const COMPANIONS: [&str; 2] = ["-wal", "-shm"];

/// Creates the file if it is missing and `mode` allows it. Returns its full path, which stays the same if links change.
pub(crate) fn prepare(path: &Path, mode: OpenMode) -> Result<PathBuf> {
    let failed = |error: std::io::Error| LedgerError::at_path(path, &error);
    match fs::metadata(path) {
        Ok(found) if !found.is_file() => {
            return Err(LedgerError::CannotOpen(format!("{} is no file", path.display())));
        }
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound && mode == OpenMode::ReadWrite => {
            // SQLite creates its other files with the mode of this file. A link to a missing file is followed.
            fs::File::options()
                .write(true)
                .create(true)
                .truncate(false)
                .mode(MODE)
                .open(path)
                .map_err(failed)?;
        }
        Err(error) => return Err(failed(error)),
    }
    path.canonicalize().map_err(failed)
}

/// The existing files of the database, starting with the database file.
fn all(path: &Path) -> Vec<PathBuf> {
    let mut files = vec![path.to_owned()];
    files.extend(COMPANIONS.iter().map(|ending| with_ending(path, ending)));
    files.push(with_extension(path, "lock"));
    files.retain(|file| file.exists());
    files
}

/// Removes other users' access to the files.
fn make_private(path: &Path) {
    for (file, mode) in exposed(path) {
        match fs::set_permissions(&file, Permissions::from_mode(MODE)) {
            Ok(()) => {
                let was = format!("{mode:03o}");
                tracing::warn!(file = %file.display(), was, "other users could use a file of the webhooks' database; its mode is 600 now");
            }
            Err(error) => {
                tracing::warn!(file = %file.display(), %error, "other users may use a file of the webhooks' database; chmod 600 it");
            }
        }
    }
}

/// The files of a database that users other than their owner may access, with their modes.
pub(crate) fn exposed(path: &Path) -> Vec<(PathBuf, u32)> {
    all(path).into_iter().filter_map(|file| exposed_mode(&file).map(|mode| (file, mode))).collect()
}

/// The mode of a file that users other than its owner may access.
fn exposed_mode(file: &Path) -> Option<u32> {
    let mode = fs::metadata(file).ok()?.permissions().mode() & 0o777;
    (mode & 0o077 != 0).then_some(mode)
}

/// `calls.db` and `key` make `calls.db.key`.
pub(crate) fn with_extension(path: &Path, extension: &str) -> PathBuf {
    with_ending(path, &format!(".{extension}"))
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// The device and inode of the file at a path.
type Identity = Option<(u64, u64)>;

fn identity(path: &Path) -> Identity {
    let file = fs::metadata(path).ok()?;
    Some((file.dev(), file.ino()))
}

/// The open files. SQLite keeps writing to an open file after another file has replaced it at its path. The next start
/// would then lose committed data.
#[derive(Debug)]
pub(super) struct OpenFiles {
    files: [(PathBuf, Identity); 3],
    replaced: AtomicBool,
}

impl OpenFiles {
    /// Records which files are at the paths now. The caller has opened all of them.
    pub(super) fn of(path: &Path) -> Self {
        let [wal, shm] = COMPANIONS.map(|ending| with_ending(path, ending));
        let files = [path.to_owned(), wal, shm].map(|path| {
            let identity = identity(&path);
            (path, identity)
        });
        Self { files, replaced: AtomicBool::new(false) }
    }

    /// Removes other users' access to the open files.
    pub(super) fn make_private(&self) {
        let [(path, _), ..] = &self.files;
        make_private(path);
    }

    /// Checks that the open files are still at their paths, and logs a change.
    pub(super) fn check(&self) -> Result<()> {
        let other = self.files.iter().find(|(path, was)| was.is_some() && identity(path) != *was);
        match other {
            None => {
                if self.replaced.swap(false, Ordering::Relaxed) {
                    tracing::info!("the webhooks' database file is back; calls are accepted again");
                }
                Ok(())
            }
            Some((path, _)) => {
                let error = LedgerError::Replaced(path.display().to_string());
                if !self.replaced.swap(true, Ordering::Relaxed) {
                    tracing::error!(%error, "calls are refused; what was accepted before is still sent from the file that is open");
                }
                Err(error)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_made_private_and_known_by_its_identity() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("calls.db");
        assert!(matches!(prepare(&path, OpenMode::Inspect), Err(LedgerError::Unavailable(_))));
        let made = prepare(&path, OpenMode::ReadWrite).unwrap();
        assert_eq!(exposed_mode(&made), None);
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        assert_eq!(exposed_mode(&made), Some(0o644));
        make_private(&made);
        assert_eq!(exposed_mode(&made), None);

        let open = OpenFiles::of(&made);
        open.check().unwrap();
        let aside = folder.path().join("aside");
        fs::rename(&path, &aside).unwrap();
        assert!(matches!(open.check(), Err(LedgerError::Replaced(_))));
        fs::copy(&aside, &path).unwrap();
        assert!(matches!(open.check(), Err(LedgerError::Replaced(_))));
        fs::rename(&aside, &path).unwrap();
        open.check().unwrap();
    }

    #[test]
    fn what_can_be_no_file_is_refused_for_good() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "x").unwrap();
        let long = folder.path().join("x".repeat(300));
        for path in [folder.path().to_owned(), "/dev/null".into(), file.join("calls.db"), long] {
            let error = prepare(&path, OpenMode::ReadWrite).unwrap_err();
            assert!(matches!(error, LedgerError::CannotOpen(_)), "{}: {error}", path.display());
        }
        let missing = prepare(&folder.path().join("none/calls.db"), OpenMode::ReadWrite).unwrap_err();
        assert!(missing.is_transient(), "{missing}");
    }
}
