//! The files of `erase`: the ids to erase, and those that are erased.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::exit::Failure;

/// Reads ids from a file or from standard input (`-`), one in a line. Empty lines and lines that begin with `#` are skipped;
/// one that is no id refuses all, before anything is erased.
pub(super) fn read_ids(path: &Path) -> Result<Vec<Uuid>, Failure> {
    let mut text = String::new();
    let read = match path.to_str() {
        Some("-") => std::io::stdin().lock().read_to_string(&mut text),
        _ => File::open(path).and_then(|mut file| file.read_to_string(&mut text)),
    };
    read.map_err(|error| Failure::Failed(format!("--from-file {}: {error}", path.display())))?;
    let mut ids = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let id = Uuid::try_parse(line).map_err(|_| {
            Failure::Failed(format!(
                "--from-file {}: line {number} is no UUID; nothing was erased",
                path.display()
            ))
        })?;
        ids.push(id);
    }
    Ok(ids)
}

/// A file with the ids that are erased.
#[derive(Debug)]
pub(super) struct DoneFile {
    path: PathBuf,
    file: File,
    ids: HashSet<Uuid>,
}

impl DoneFile {
    /// Opens it, or makes it. Its last line may be cut off: that id is erased again.
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        let failed =
            |error: std::io::Error| Failure::Failed(format!("--done-file {}: {error}", path.display()));
        let mut file = OpenOptions::new().read(true).append(true).create(true).open(path).map_err(failed)?;
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(failed)?;
        if !text.is_empty() && !text.ends_with('\n') {
            file.write_all(b"\n").map_err(failed)?;
        }
        let ids = text.lines().filter_map(|line| Uuid::try_parse(line).ok()).collect();
        Ok(Self { path: path.to_owned(), file, ids })
    }

    pub(super) fn has(&self, id: &Uuid) -> bool {
        self.ids.contains(id)
    }

    pub(super) fn note(&mut self, id: &Uuid) -> Result<(), Failure> {
        self.file
            .write_all(format!("{id}\n").as_bytes())
            .map_err(|error| Failure::Failed(format!("--done-file {}: {error}", self.path.display())))
    }
}
