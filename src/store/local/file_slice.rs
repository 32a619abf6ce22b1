//! Sends or reads a range of an open file: immediately if it is in the kernel's page cache, otherwise after the
//! blocking pool has read it from disk.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use rustix::fs::{Stat, fstat};

use super::page_cache::{Residency, is_cached, load_pages, read_cached};
use crate::store::buffer_pool::{self, Buffer};
use crate::store::error::StoreError;

/// How much of a file is read at a time, in bytes. A stalled client holds one such chunk.
pub(crate) const CHUNK: u64 = 16 * 1024;

/// The chunk size for a fast client: longer chunks cost less, and the client holds each only briefly.
const LONG_CHUNK: u64 = buffer_pool::LONG as u64;

/// A client is fast if it takes at least this many bytes per millisecond (4 MB/s).
const FAST: u64 = 4 * 1024;

/// How much of a file the kernel sends at a time, in bytes.
const PIECE: u64 = 2 << 20;

/// Identifies the content of a file by its length and the time of its last write. Changes to its names do not matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ContentVersion([i64; 3]);

impl From<&Stat> for ContentVersion {
    fn from(stat: &Stat) -> Self {
        Self([stat.st_size, stat.st_mtime, i64::try_from(stat.st_mtime_nsec).unwrap_or_default()])
    }
}

impl ContentVersion {
    /// The current content version of an open file.
    pub(crate) fn of(file: &File) -> io::Result<Self> {
        Ok(Self::from(&fstat(file)?))
    }

    /// Whether the open file still has this content version.
    pub(super) fn is_of(&self, file: &File) -> bool {
        Self::of(file).is_ok_and(|now| now == *self)
    }
}

/// Checks whether a file still has the content that was partly sent.
#[derive(Debug)]
pub struct ContentCheck {
    file: Arc<File>,
    content: ContentVersion,
}

impl ContentCheck {
    /// Whether the content is unchanged.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.content.is_of(&self.file)
    }
}

/// A range of an open file that the client has still to receive. The file stays the same if its name is moved to
/// another file. If a process writes to it meanwhile, the rest is an error.
#[derive(Debug, Clone)]
pub struct FileSlice {
    file: Arc<File>,
    range: Range<u64>,
    content: ContentVersion,
    /// Set if the file stays open for other requests.
    residency: Option<Arc<Residency>>,
    /// The length of the next chunk, and when the previous chunk was read.
    chunk: u64,
    read_at: Option<Instant>,
}

impl FileSlice {
    /// Without a content version, the current one counts. If that is unknown, the file counts as changed at the end.
    pub(crate) fn new(file: File, range: Range<u64>, content: Option<ContentVersion>) -> Self {
        let content = content.or_else(|| ContentVersion::of(&file).ok()).unwrap_or(ContentVersion([-1; 3]));
        Self { file: Arc::new(file), range, content, residency: None, chunk: CHUNK, read_at: None }
    }

    /// The same file, which stays open for other requests.
    pub(super) fn kept_open(self) -> Self {
        Self { residency: Some(Arc::new(Residency::new(self.range.end))), ..self }
    }

    /// These positions of the same file.
    pub(super) fn part(&self, range: Range<u64>) -> Self {
        Self { range, ..self.clone() }
    }

    /// A check to run after the last bytes were sent.
    #[must_use]
    pub fn check(&self) -> ContentCheck {
        ContentCheck { file: Arc::clone(&self.file), content: self.content }
    }

    /// The file.
    #[must_use]
    pub fn file(&self) -> &Arc<File> {
        &self.file
    }

    /// The remaining positions.
    #[must_use]
    pub fn range(&self) -> Range<u64> {
        self.range.clone()
    }

    /// The number of remaining bytes.
    #[must_use]
    pub fn owed(&self) -> u64 {
        self.range.end - self.range.start
    }

    /// The positions of the next piece; empty at the end.
    #[must_use]
    pub fn piece(&self) -> Range<u64> {
        self.range.start..self.range.end.min(self.range.start.saturating_add(PIECE))
    }

    /// Skips bytes that were sent.
    pub fn advance(&mut self, bytes: u64) {
        self.range.start = self.range.start.saturating_add(bytes).min(self.range.end);
    }

    /// Whether the page cache has these positions, as far as samples show. The kernel starts to read missing ones.
    #[must_use]
    pub fn is_in_memory(&self, piece: &Range<u64>, now: Instant) -> bool {
        match &self.residency {
            Some(residency) => residency.contains(&self.file, piece, now),
            None => is_cached(&self.file, piece),
        }
    }

    /// Starts to read these positions into the page cache on the blocking pool. The returned future waits for it.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be read, or the file has become shorter.
    pub fn load(&self, piece: Range<u64>) -> impl Future<Output = Result<(), StoreError>> + Send + use<> {
        let file = Arc::clone(&self.file);
        let load = tokio::task::spawn_blocking(move || load_pages(&file, piece));
        async move {
            match load.await.map_err(io::Error::from)? {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    Err(StoreError::broken("the file has become shorter than its announced length"))
                }
                other => Ok(other?),
            }
        }
    }

    /// Reads the next chunk; `None` at the end, also of a file that has become shorter.
    pub(crate) async fn read(&mut self) -> Option<Result<Bytes, StoreError>> {
        let want = usize::try_from(self.owed().min(self.next_chunk())).unwrap_or_default();
        if want == 0 {
            return None;
        }
        let at = self.range.start;
        let mut buffer = Buffer::of(want);
        let read = match read_cached(&self.file, buffer.space(), at) {
            Some(count) => Ok((buffer, count)),
            None => {
                let file = Arc::clone(&self.file);
                let read = tokio::task::spawn_blocking(move || {
                    let count = file.read_at(buffer.space(), at)?;
                    Ok((buffer, count))
                });
                read.await.unwrap_or_else(|error| Err(io::Error::from(error)))
            }
        };
        match read {
            Ok((_, 0)) => None,
            Ok((buffer, count)) => {
                self.advance(count as u64);
                // If no process has written to the file until now, all chunks are of one version.
                if self.owed() == 0 && !self.content.is_of(&self.file) {
                    return Some(Err(StoreError::Changed));
                }
                Some(Ok(buffer.freeze(count)))
            }
            Err(error) => Some(Err(error.into())),
        }
    }

    /// Doubles the chunk for a fast client. A slow client holds a short chunk.
    fn next_chunk(&mut self) -> u64 {
        let now = Instant::now();
        let took = self.read_at.replace(now).map(|before| (now - before).as_millis());
        let fast = took.is_some_and(|millis| millis * u128::from(FAST) < u128::from(self.chunk));
        self.chunk = if fast { (2 * self.chunk).min(LONG_CHUNK) } else { CHUNK };
        self.chunk
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn slice_of(file: File, range: Range<u64>) -> FileSlice {
        let content = ContentVersion::of(&file).unwrap();
        FileSlice::new(file, range, Some(content))
    }

    #[test]
    fn pieces_cover_the_slice() {
        for owed in [0, 1, CHUNK, PIECE, PIECE + 1, 5_000_000, 1 << 30] {
            let mut slice = slice_of(tempfile::tempfile().unwrap(), 7..7 + owed);
            let mut at = 7;
            while slice.owed() > 0 {
                let piece = slice.piece();
                assert!(piece.start == at && piece.end > at && piece.end - at <= PIECE, "{owed}: {piece:?}");
                at = piece.end;
                slice.advance(piece.end - piece.start);
            }
            assert_eq!((at, slice.piece()), (7 + owed, at..at), "{owed}");
        }
    }

    #[tokio::test]
    async fn a_file_that_has_become_shorter_cannot_be_loaded() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[1; 5_000]).unwrap();
        let slice = slice_of(file.try_clone().unwrap(), 0..5_000);
        slice.load(slice.piece()).await.unwrap();
        assert!(slice.is_in_memory(&slice.piece(), Instant::now()));
        file.set_len(4_999).unwrap();
        assert!(!slice.is_in_memory(&slice.piece(), Instant::now()));
        assert!(matches!(slice.load(slice.piece()).await, Err(StoreError::Broken(_))));
    }

    #[test]
    fn chunks_grow_for_a_fast_client_and_stay_short_for_a_slow_one() {
        let mut slice = slice_of(tempfile::tempfile().unwrap(), 0..1);
        let chunks: Vec<_> = (0..7).map(|_| slice.next_chunk() / CHUNK).collect();
        assert_eq!(chunks, [1, 2, 4, 8, 16, 16, 16]);
        std::thread::sleep(std::time::Duration::from_millis(LONG_CHUNK / FAST));
        assert_eq!(slice.next_chunk(), CHUNK);
    }
}
