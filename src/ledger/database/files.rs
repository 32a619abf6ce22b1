//! The files of a SQLite database: private, and still the ones that are open.
//!
//! A file is only ever looked at by its path here, never opened: closing it again would give up the locks that SQLite
//! holds on it (fcntl(2)).

use std::fs::{self, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::ledger::beside;
use crate::ledger::error::LedgerError;

/// Who may read and write the files: this user alone, because they hold personal data.
const MODE: u32 = 0o600;

/// What stands beside the database and belongs to it.
const COMPANIONS: [&str; 2] = ["-wal", "-shm"];

/// Makes the file if it is missing (and may be made); says its full path, which stays the same when links change.
pub(super) fn prepare(path: &Path, make: bool) -> Result<PathBuf, LedgerError> {
    let failed = |error: std::io::Error| LedgerError::at_path(path, &error);
    match fs::metadata(path) {
        Ok(found) if !found.is_file() => {
            return Err(LedgerError::CannotOpen(format!("{} is no file", path.display())));
        }
        Ok(_) => {}
        Err(error) if error.kind() == ErrorKind::NotFound && make => {
            // SQLite makes its other files with the mode of this one. A link to a file that is missing is followed.
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

/// The database's files that are there, beginning with itself.
pub(super) fn all(path: &Path) -> Vec<PathBuf> {
    let mut files = vec![path.to_owned()];
    files.extend(COMPANIONS.iter().map(|ending| with_ending(path, ending)));
    files.push(beside(path, "lock"));
    files.retain(|file| file.exists());
    files
}

/// Takes the rights of others away from files that were made with them.
fn make_private(path: &Path) {
    for file in all(path) {
        let Some(mode) = exposed_mode(&file) else { continue };
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

/// The mode of a file that others than its owner may use.
pub(super) fn exposed_mode(file: &Path) -> Option<u32> {
    let mode = fs::metadata(file).ok()?.permissions().mode() & 0o777;
    (mode & 0o077 != 0).then_some(mode)
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// Which file stands at a path: its device and number.
type Identity = Option<(u64, u64)>;

fn identity(path: &Path) -> Identity {
    let file = fs::metadata(path).ok()?;
    Some((file.dev(), file.ino()))
}

/// The files that are open. What SQLite has open it keeps writing to, even when another file stands at its path since:
/// then what it calls committed is gone with the next start.
#[derive(Debug)]
pub(super) struct OpenFiles {
    files: [(PathBuf, Identity); 3],
    replaced: AtomicBool,
}

impl OpenFiles {
    /// Remembers which files stand there now; called when all of them are open.
    pub(super) fn of(path: &Path) -> Self {
        let [wal, shm] = COMPANIONS.map(|ending| with_ending(path, ending));
        let files = [path.to_owned(), wal, shm].map(|path| {
            let identity = identity(&path);
            (path, identity)
        });
        Self { files, replaced: AtomicBool::new(false) }
    }

    /// Takes the rights of others away from them.
    pub(super) fn make_private(&self) {
        let [(path, _), ..] = &self.files;
        make_private(path);
    }

    /// Whether they still stand there. Says it in the log when that changes.
    pub(super) fn check(&self) -> Result<(), LedgerError> {
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
        assert!(matches!(prepare(&path, false), Err(LedgerError::Unavailable(_))));
        let made = prepare(&path, true).unwrap();
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
            let error = prepare(&path, true).unwrap_err();
            assert!(matches!(error, LedgerError::CannotOpen(_)), "{}: {error}", path.display());
        }
        let missing = prepare(&folder.path().join("none/calls.db"), true).unwrap_err();
        assert!(missing.is_transient(), "{missing}");
    }
}
