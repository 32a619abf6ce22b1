//! Local files: what the kernel has in memory is read, or sent, at once; for a disk the blocking pool waits.

use std::fs::{File, Metadata};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::{Arc, LazyLock};
use std::time::Instant;

use bytes::Bytes;
use object_store::ObjectMeta;

use super::page_cache::PageCache;
use crate::store::buffer_pool::{self, Buffer};
use crate::store::error::StoreError;

/// How much of a file is read at a time, in bytes. A stalled client holds one such chunk.
pub(crate) const CHUNK: u64 = 16 * 1024;

/// The same for a client that takes them quickly: longer chunks cost less, and it holds them for a moment only.
const LONG_CHUNK: u64 = buffer_pool::LONG as u64;

/// Who takes so many bytes in a millisecond takes them quickly (4 MB/s).
const QUICK: u64 = 4 * 1024;

/// How far apart the bytes are that are looked for in the kernel's memory. A piece is loaded as a whole, so that what lies
/// between two of them is mostly there or not as they are.
pub(crate) const PART: u64 = 512 * 1024;

/// How much of a file goes to the kernel in one piece, in bytes.
const PIECE: u64 = 2 << 20;

/// Which content a file has: its length, and when it was last written. What becomes of its names does not matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ContentVersion {
    size: u64,
    /// In nanoseconds.
    written: i128,
}

impl From<&Metadata> for ContentVersion {
    fn from(found: &Metadata) -> Self {
        Self { size: found.size(), written: nanoseconds(found.mtime(), found.mtime_nsec()) }
    }
}

impl From<&ObjectMeta> for ContentVersion {
    fn from(meta: &ObjectMeta) -> Self {
        let written = meta.last_modified;
        Self { size: meta.size, written: nanoseconds(written.timestamp(), written.timestamp_subsec_nanos()) }
    }
}

impl ContentVersion {
    /// Whether the open file still has this content.
    pub(crate) fn is_of(&self, file: &File) -> bool {
        rustix::fs::fstat(file).is_ok_and(|stat| {
            let written = nanoseconds(stat.st_mtime, stat.st_mtime_nsec);
            i128::from(stat.st_size) == i128::from(self.size) && written == self.written
        })
    }
}

fn nanoseconds(seconds: impl Into<i128>, rest: impl Into<i128>) -> i128 {
    seconds.into() * 1_000_000_000 + rest.into()
}

/// Looks whether a file still has the content of which a part was sent.
#[derive(Debug)]
pub struct ContentCheck {
    file: Arc<File>,
    content: ContentVersion,
}

impl ContentCheck {
    /// Whether it has.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.content.is_of(&self.file)
    }
}

/// Bytes of an open file that are owed to a client. The file stays the same one, whatever becomes of its name; if it is
/// written meanwhile, the rest of it is an error.
#[derive(Debug)]
pub struct FileSlice {
    file: Arc<File>,
    range: Range<u64>,
    content: ContentVersion,
    /// What is known of where its bytes are.
    pages: Option<Arc<PageCache>>,
    /// How much is read next, and when the chunk before was.
    chunk: u64,
    read_at: Option<Instant>,
}

impl FileSlice {
    pub(crate) fn new(file: File, range: Range<u64>, content: ContentVersion) -> Self {
        Self { file: Arc::new(file), range, content, pages: None, chunk: CHUNK, read_at: None }
    }

    /// The same of a file that others have open too.
    pub(crate) fn of(
        file: Arc<File>,
        range: Range<u64>,
        content: ContentVersion,
        pages: Arc<PageCache>,
    ) -> Self {
        Self { file, range, content, pages: Some(pages), chunk: CHUNK, read_at: None }
    }

    /// For whoever sends its last bytes.
    #[must_use]
    pub fn check(&self) -> ContentCheck {
        ContentCheck { file: Arc::clone(&self.file), content: self.content }
    }

    /// The file.
    #[must_use]
    pub fn file(&self) -> &Arc<File> {
        &self.file
    }

    /// How many bytes are still to come.
    #[must_use]
    pub fn owed(&self) -> u64 {
        self.range.end - self.range.start
    }

    /// The positions of the next piece; empty at the end.
    #[must_use]
    pub fn piece(&self) -> Range<u64> {
        first_piece(&self.range)
    }

    /// Steps over what was handed on.
    pub fn advance(&mut self, bytes: u64) {
        self.range.start = self.range.start.saturating_add(bytes).min(self.range.end);
    }

    /// Whether the kernel has these positions in memory, as far as samples tell. What it has not it begins to read.
    #[must_use]
    pub fn is_in_memory(&self, piece: &Range<u64>, now: Instant) -> bool {
        match &self.pages {
            Some(pages) => pages.contains(&self.file, piece, now),
            None => samples(piece).all(|at| read_cached(&self.file, &mut [0], at).is_some()),
        }
    }

    /// Has the kernel take these positions into memory, in the blocking pool; what is returned waits until it has.
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

    /// The next chunk, read; `None` at the end, also of a file that has become shorter.
    pub(crate) async fn read(&mut self) -> Option<Result<Bytes, StoreError>> {
        let want = usize::try_from(self.owed().min(self.next_chunk())).unwrap_or_default();
        if want == 0 {
            return None;
        }
        let at = self.range.start;
        let mut buffer = Buffer::of(want);
        let read = match read_cached(&self.file, buffer.room(), at) {
            Some(count) => Ok((buffer, count)),
            None => {
                let file = Arc::clone(&self.file);
                let read = tokio::task::spawn_blocking(move || {
                    let count = file.read_at(buffer.room(), at)?;
                    Ok((buffer, count))
                });
                read.await.unwrap_or_else(|error| Err(io::Error::from(error)))
            }
        };
        match read {
            Ok((_, 0)) => None,
            Ok((buffer, count)) => {
                self.advance(count as u64);
                // All that was read is of one version, if nobody has written until the last of it was.
                if self.owed() == 0 && !self.content.is_of(&self.file) {
                    return Some(Err(StoreError::Changed));
                }
                Some(Ok(buffer.freeze(count)))
            }
            Err(error) => Some(Err(error.into())),
        }
    }

    /// Twice as much each time as long as it is taken quickly; a slow client holds little.
    fn next_chunk(&mut self) -> u64 {
        let now = Instant::now();
        let took = self.read_at.replace(now).map(|before| (now - before).as_millis());
        let quick = took.is_some_and(|millis| millis * u128::from(QUICK) < u128::from(self.chunk));
        self.chunk = if quick { (2 * self.chunk).min(LONG_CHUNK) } else { CHUNK };
        self.chunk
    }
}

/// The positions that go to the kernel first.
pub(crate) fn first_piece(range: &Range<u64>) -> Range<u64> {
    range.start..range.end.min(range.start.saturating_add(PIECE))
}

/// One position for each part, and the last.
pub(crate) fn samples(piece: &Range<u64>) -> impl Iterator<Item = u64> + use<> {
    let last = piece.end.saturating_sub(1);
    let step = usize::try_from(PART).unwrap_or(usize::MAX);
    (piece.start..last).step_by(step).chain((!piece.is_empty()).then_some(last))
}

/// Reads what needs no waiting for a disk; `None` if that is nothing, or the file system cannot tell.
pub(crate) fn read_cached(file: &File, buffer: &mut [u8], at: u64) -> Option<usize> {
    use rustix::io::{ReadWriteFlags, preadv2};

    let mut buffers = [io::IoSliceMut::new(buffer)];
    preadv2(file, &mut buffers, at, ReadWriteFlags::NOWAIT).ok().filter(|count| *count > 0)
}

/// Waits until the kernel has read a piece. It is sent nowhere: so nothing is copied, and the kernel reads as it does for
/// whoever sends the file, in long runs of pages.
fn load_pages(file: &File, piece: Range<u64>) -> io::Result<()> {
    static NOWHERE: LazyLock<Option<File>> =
        LazyLock::new(|| File::options().write(true).open("/dev/null").ok());
    let Some(nowhere) = &*NOWHERE else { return read_through(file, piece) };
    let mut at = piece.start;
    while at < piece.end {
        let left = usize::try_from(piece.end - at).unwrap_or(usize::MAX);
        match rustix::fs::sendfile(nowhere, file, Some(&mut at), left) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Reads all of a piece, for nobody.
fn read_through(file: &File, piece: Range<u64>) -> io::Result<()> {
    let mut room = [0; 64 * 1024];
    let mut at = piece.start;
    while at < piece.end {
        let length = usize::try_from(piece.end - at).map_or(room.len(), |left| left.min(room.len()));
        file.read_exact_at(room.get_mut(..length).unwrap_or_default(), at)?;
        at += length as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn slice_of(file: File, range: Range<u64>) -> FileSlice {
        let content = ContentVersion::from(&file.metadata().unwrap());
        FileSlice::new(file, range, content)
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

    #[test]
    fn samples_are_no_further_apart_than_a_part_is_long() {
        for piece in [0..0, 5..6, 0..PART, 0..PART + 1, 9..PIECE] {
            let found: Vec<_> = samples(&piece).collect();
            assert!(found.iter().all(|at| piece.contains(at)), "{piece:?}");
            assert_eq!(found.last().copied(), piece.end.checked_sub(1), "{piece:?}");
            assert!(found.windows(2).all(|pair| pair[1] - pair[0] <= PART), "{piece:?}");
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

    /// A file of two parts and a bit that the kernel had to forget.
    fn forgotten() -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&vec![1; usize::try_from(2 * PART).unwrap() + 5_000]).unwrap();
        file.sync_all().unwrap();
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
        file
    }

    #[test]
    fn what_is_taken_into_memory_is_there_to_the_last_page() {
        let is_there = |file: &File, at: u64| read_cached(file, &mut [0], at).is_some();
        // Asking makes the kernel read, so this file is not asked again.
        if is_there(&forgotten(), 0) {
            eprintln!("skipped: the file system of temporary files has no disk behind it");
            return;
        }
        for take in [load_pages, read_through] {
            let file = forgotten();
            let end = file.metadata().unwrap().len();
            take(&file, 0..end).unwrap();
            let missing = (0..end).step_by(4_096).filter(|at| !is_there(&file, *at)).count();
            assert_eq!(missing, 0);
            let error = take(&file, 0..end + 1).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        }
    }

    #[test]
    fn chunks_grow_for_whoever_takes_them_quickly_and_are_short_again_for_others() {
        let mut slice = slice_of(tempfile::tempfile().unwrap(), 0..1);
        let chunks: Vec<_> = (0..7).map(|_| slice.next_chunk() / CHUNK).collect();
        assert_eq!(chunks, [1, 2, 4, 8, 16, 16, 16]);
        std::thread::sleep(std::time::Duration::from_millis(LONG_CHUNK / QUICK));
        assert_eq!(slice.next_chunk(), CHUNK);
    }
}
