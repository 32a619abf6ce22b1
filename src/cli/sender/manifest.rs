//! The list of a backup's files: which version wrote them, and their hashes.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::cli::exit::Failure;

/// The name of the list in the folder of a backup.
pub(super) const MANIFEST: &str = "manifest.json";

/// The version of the list's own form.
const VERSION: u32 = 1;

/// What a file of a backup is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Part {
    /// The webhooks' database.
    Database,
    /// The key of the endpoints' secrets.
    SecretKey,
    /// The keyring.
    Keyring,
}

impl Part {
    /// The name of its file.
    pub(super) fn file_name(self) -> &'static str {
        match self {
            Self::Database => "webhook-assets.db",
            Self::SecretKey => "secrets.key",
            Self::Keyring => "keyring.json",
        }
    }
}

/// A file of a backup.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) part: Part,
    pub(super) name: String,
    pub(super) bytes: u64,
    pub(super) sha256: String,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Manifest {
    version: u32,
    /// The version of the program that made the backup.
    pub(super) program: String,
    pub(super) made_at: String,
    /// The number of the last migration of the tables.
    pub(super) migration: i64,
    pub(super) files: Vec<Entry>,
}

impl Manifest {
    pub(super) fn new(made_at: String, migration: i64) -> Self {
        let program = env!("CARGO_PKG_VERSION").to_owned();
        Self { version: VERSION, program, made_at, migration, files: Vec::new() }
    }

    /// Adds a file of the folder, as it is now.
    pub(super) fn add(&mut self, folder: &Path, part: Part) -> io::Result<()> {
        let name = part.file_name().to_owned();
        let (bytes, sha256) = measure(&folder.join(&name))?;
        self.files.push(Entry { part, name, bytes, sha256 });
        Ok(())
    }

    pub(super) fn has(&self, part: Part) -> bool {
        self.files.iter().any(|entry| entry.part == part)
    }

    /// Reads the list of a backup and checks that every file is as it was written.
    pub(super) fn verified(folder: &Path) -> Result<Self, Failure> {
        let refused = |why: String| Failure::Failed(format!("{}: {why}", folder.display()));
        let text = std::fs::read_to_string(folder.join(MANIFEST))
            .map_err(|error| refused(format!("it is no backup, its {MANIFEST} cannot be read: {error}")))?;
        let found: Self = serde_json::from_str(&text)
            .map_err(|error| refused(format!("its {MANIFEST} is damaged or of another version: {error}")))?;
        if found.version > VERSION || !found.has(Part::Database) {
            return Err(refused(format!(
                "this program cannot read the backup, which version {} made: restore it with that version",
                found.program
            )));
        }
        found.files.iter().try_for_each(|entry| entry.check(folder)).map_err(refused)?;
        Ok(found)
    }
}

impl Entry {
    fn check(&self, folder: &Path) -> Result<(), String> {
        let name = self.part.file_name();
        let (bytes, sha256) = measure(&folder.join(name)).map_err(|error| format!("{name}: {error}"))?;
        if (bytes, &sha256) == (self.bytes, &self.sha256) {
            return Ok(());
        }
        Err(format!(
            "{name} has changed since the backup was made ({bytes} bytes instead of {}, or another SHA-256): use another copy of \
             the backup",
            self.bytes
        ))
    }
}

/// The length of a file and its SHA-256 in hexadecimal.
fn measure(path: &Path) -> io::Result<(u64, String)> {
    let (mut file, mut hash, mut length) = (File::open(path)?, Sha256::new(), 0);
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok((length, hex::encode(hash.finalize())));
        }
        hash.update(buffer.get(..read).unwrap_or_default());
        length += read as u64;
    }
}
