//! A local file for a request: kept open in the cache, or opened for this request alone.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use rustix::fs::Stat;

use super::opened_file::{FileContent, Opened, OpenedFile};
use crate::store::meta::Meta;

/// A file of the cache, with the constant parts of its responses.
#[derive(Debug)]
pub struct CachedFile {
    pub(super) path: Box<str>,
    pub(super) identity: FileIdentity,
    /// Its metadata.
    pub meta: Meta,
    content: FileContent,
    /// The constant header fields of its responses. The handler sets them at the first request.
    pub cached_head: OnceLock<Bytes>,
}

impl CachedFile {
    pub(super) fn of(path: String, Opened { file, stat, .. }: Opened) -> Self {
        let OpenedFile { meta, content } = file;
        let content = match content {
            // The buffer of the read is longer, and serves other reads.
            FileContent::Read(bytes) => FileContent::Read(Bytes::copy_from_slice(&bytes)),
            FileContent::Open(file) => FileContent::Open(file.kept_open()),
        };
        let (identity, cached_head) = (FileIdentity::from(&stat), OnceLock::new());
        Self { path: path.into(), identity, meta, content, cached_head }
    }
}

/// Identifies one state of one file: device, inode, size, and the times of its last changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileIdentity([i128; 7]);

impl From<&Stat> for FileIdentity {
    fn from(stat: &Stat) -> Self {
        Self([
            stat.st_dev.into(),
            stat.st_ino.into(),
            stat.st_size.into(),
            stat.st_mtime.into(),
            stat.st_mtime_nsec.into(),
            stat.st_ctime.into(),
            stat.st_ctime_nsec.into(),
        ])
    }
}

/// A local file for a request.
#[derive(Debug)]
pub enum LocalFile {
    /// A file of the cache.
    Cached(Arc<CachedFile>),
    /// A file that was opened for this request alone.
    Opened(OpenedFile),
}

impl LocalFile {
    /// Its metadata.
    #[must_use]
    pub fn meta(&self) -> &Meta {
        match self {
            Self::Cached(file) => &file.meta,
            Self::Opened(file) => &file.meta,
        }
    }

    /// Its content.
    #[must_use]
    pub fn content(&self) -> &FileContent {
        match self {
            Self::Cached(file) => &file.content,
            Self::Opened(file) => &file.content,
        }
    }
}
