//! Opens a file for one request, with its content or its first pages in memory, without waiting for a disk.

use std::ops::Range;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rustix::fs::Stat;

use super::file_slice::{ContentVersion, FileSlice};
use super::openat;
use super::page_cache::read_cached;
use super::root::RootFolder;
use crate::clock::{Clock, SystemClock, UnixMillis, UnixSeconds};
use crate::store::buffer_pool::{self, Buffer};
use crate::store::meta::Meta;

/// Files up to this many bytes are read when they are opened. For longer ones, sendfile(2) costs less.
const SHORT: usize = buffer_pool::SHORT;

/// A write within this time may leave a file's timestamps as they were: the kernel's clock for them ticks every 1 to
/// 10 ms.
const TICK: Duration = Duration::from_millis(50);

/// The same for a file system whose timestamps are whole seconds, and for content that is kept.
const SETTLE_TIME: Duration = Duration::from_secs(2);

/// The content of a local file, or a range of it.
#[derive(Debug, Clone)]
pub enum FileContent {
    /// All its bytes.
    Read(Bytes),
    /// A file that the kernel sends.
    Open(FileSlice),
}

impl FileContent {
    /// A range, if it is available `now` without waiting. If `files` is false, only if its bytes are in memory.
    #[must_use]
    pub fn part(&self, range: &Range<u64>, files: bool, now: Instant) -> Option<Self> {
        match self {
            Self::Read(bytes) => {
                let (start, end) = (usize::try_from(range.start).ok()?, usize::try_from(range.end).ok()?);
                (start <= end && end <= bytes.len()).then(|| Self::Read(bytes.slice(start..end)))
            }
            Self::Open(_) if !files => None,
            Self::Open(file) => {
                let part = file.part(range.clone());
                part.is_in_memory(&part.piece(), now).then_some(Self::Open(part))
            }
        }
    }
}

/// A file that was opened for one request.
#[derive(Debug)]
pub struct OpenedFile {
    /// Its metadata.
    pub meta: Meta,
    /// Its content.
    pub content: FileContent,
}

/// An opened file, and what decides whether it may be kept.
pub(super) struct Opened {
    pub(super) file: OpenedFile,
    pub(super) stat: Stat,
    /// Whether its content had settled when it was opened.
    pub(super) is_settled: bool,
}

impl Opened {
    /// Opens the file at `path`. `None` if that would wait, or the content may be changing.
    pub(super) fn at(root: &RootFolder, path: &str) -> Option<Self> {
        let file = root.open_cached(path)?;
        let began = SystemClock.now_millis();
        let mut start = Buffer::of(SHORT);
        // A longer file is read in vain: that costs less than a question for the length before.
        let count = read_cached(&file, start.space(), 0).unwrap_or_default();
        // The file's state after the read. If the last change is older than the read, all bytes belong to this state.
        let stat = openat::stat_of_regular(&file).filter(|stat| root.is_local_file(&file, stat))?;
        let unchanged_for = |time: Duration| changed_at(&stat).plus(time) <= began;
        let meta = openat::meta_of(&stat);
        let content = if meta.size > SHORT as u64 {
            let range = 0..meta.size;
            FileContent::Open(FileSlice::new(file, range, Some(ContentVersion::from(&stat))))
        } else {
            let is_whole = count as u64 == meta.size && unchanged_for(resolution(&stat));
            FileContent::Read(is_whole.then(|| start.freeze(count))?)
        };
        let is_settled = matches!(content, FileContent::Open(_)) || unchanged_for(SETTLE_TIME);
        Some(Self { file: OpenedFile { meta, content }, stat, is_settled })
    }
}

/// When the file's content or state last changed.
fn changed_at(stat: &Stat) -> UnixMillis {
    let at = |seconds: i64, nanoseconds: u64| {
        let seconds = UnixSeconds(u64::try_from(seconds).unwrap_or(u64::MAX));
        UnixMillis::from(seconds).plus(Duration::from_nanos(nanoseconds))
    };
    at(stat.st_mtime, stat.st_mtime_nsec).max(at(stat.st_ctime, stat.st_ctime_nsec))
}

/// How exact the file's timestamps are.
fn resolution(stat: &Stat) -> Duration {
    if stat.st_mtime_nsec == 0 && stat.st_ctime_nsec == 0 { SETTLE_TIME } else { TICK }
}
