//! Checks the modes of private files and of their folders, and whether the folders that the program writes to have room and take
//! a file.

use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::cli::check_result::CheckResult::{self, Failed, Passed, Warning};
use crate::cli::check_result::Fault;
use crate::config::Config;
use crate::keys;

/// With less free space than this, an operator should look.
const LITTLE: u64 = 1 << 30;

/// With less free space than this, calls are about to be refused.
const TOO_LITTLE: u64 = 64 << 20;

/// What a test write takes: a page of the database.
const TEST_WRITE: [u8; 4096] = [0; 4096];

/// Checks the modes of private files that no other check covers, and of the folders of all private files.
pub(super) fn check_files(config: &Config) -> Vec<CheckResult> {
    let elsewhere =
        |path: &Path| path == config.keys || config.tls.as_ref().is_some_and(|tls| path == tls.key);
    let mut found = Vec::new();
    let mut folders = Vec::new();
    for (what, path) in config.private_files() {
        if !elsewhere(&path) && keys::is_exposed(&path).unwrap_or(false) {
            let words = format!("other users may read {what}; chmod 600 {}", path.display());
            found.push(Warning(Fault::Machine, words));
        }
        let folder = folder_of(&path);
        if !folders.contains(&folder) && is_open_to_others(&folder) {
            let words = format!(
                "other users may replace {what}: they may write to its folder; chmod go-w {}",
                folder.display()
            );
            found.push(Warning(Fault::Machine, words));
            folders.push(folder);
        }
    }
    found
}

/// Checks the folders that the program writes to.
pub(super) fn check_folders(config: &Config) -> Vec<CheckResult> {
    let mut folders: Vec<PathBuf> = config
        .written_files()
        .into_iter()
        .map(|path| folder_of(&path))
        .filter(|folder| folder.is_dir())
        .collect();
    folders.dedup();
    folders.iter().map(|folder| check_folder(folder)).collect()
}

fn check_folder(folder: &Path) -> CheckResult {
    let at = folder.display();
    if let Err(error) = test_write(folder) {
        let words =
            format!("{at}: a test file cannot be written: {error}; let this user write there, or make room");
        return Failed(Fault::Machine, words);
    }
    match rustix::fs::statvfs(folder) {
        Ok(disk) => {
            judge_space(folder, disk.f_bavail.saturating_mul(disk.f_frsize), disk.f_files, disk.f_favail)
        }
        Err(error) => Warning(Fault::Machine, format!("{at}: its free space cannot be seen: {error}")),
    }
}

/// Writes a file that has no name, and waits until it is on disk.
fn test_write(folder: &Path) -> io::Result<()> {
    let mut file = tempfile::tempfile_in(folder)?;
    file.write_all(&TEST_WRITE)?;
    file.sync_all()
}

/// `files` is how many files the file system can hold (0: it has no limit), `free_files` how many more.
fn judge_space(folder: &Path, free: u64, files: u64, free_files: u64) -> CheckResult {
    let (at, mib) = (folder.display(), free >> 20);
    if free < TOO_LITTLE {
        let words = format!("{at}: {mib} MiB are free, and calls are refused once it is full; make room");
        return Failed(Fault::Machine, words);
    }
    if free < LITTLE {
        return Warning(Fault::Machine, format!("{at}: {mib} MiB are free; make room before it is full"));
    }
    if files > 0 && free_files < 100 {
        let words = format!("{at}: only {free_files} more files fit (inodes); delete small files there");
        return Warning(Fault::Machine, words);
    }
    Passed(format!("{at}: {} GiB are free, and a test file was written", free >> 30))
}

fn folder_of(path: &Path) -> PathBuf {
    // A link to a file elsewhere: the folder of the file counts.
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned()
}

/// Whether users other than the owner may replace files in a folder.
fn is_open_to_others(folder: &Path) -> bool {
    const STICKY: u32 = 0o1000;
    std::fs::metadata(folder).is_ok_and(|found| {
        let mode = found.permissions().mode();
        mode & 0o022 != 0 && mode & STICKY == 0
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn little_space_is_a_warning_and_none_a_failure() {
        let judge = |free, files, free_files| judge_space(Path::new("/data"), free, files, free_files);
        assert!(matches!(judge(LITTLE, 0, 0), Passed(_)));
        assert!(matches!(judge(LITTLE, 1_000, 100), Passed(_)));
        assert!(matches!(judge(LITTLE, 1_000, 99), Warning(Fault::Machine, _)));
        assert!(matches!(judge(LITTLE - 1, 0, 0), Warning(Fault::Machine, _)));
        assert!(matches!(judge(TOO_LITTLE - 1, 0, 0), Failed(Fault::Machine, _)));
    }

    #[test]
    fn a_folder_in_which_others_may_replace_files_is_known_by_its_mode() {
        let folder = tempfile::tempdir().unwrap();
        for (mode, open) in [(0o700, false), (0o755, false), (0o775, true), (0o777, true), (0o1777, false)] {
            std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(mode)).unwrap();
            assert_eq!(is_open_to_others(folder.path()), open, "{mode:o}");
        }
    }
}
