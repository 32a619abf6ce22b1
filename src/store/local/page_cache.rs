//! Checks which parts of an open file are in the kernel's page cache. A check takes one system call per 512 KiB, so a
//! part that was just seen there is not checked again.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::io::{ReadWriteFlags, preadv2};

/// The distance between checked positions, in bytes. The kernel loads long runs of pages, so if two positions are
/// cached, the pages between them mostly are too.
pub(super) const PART: u64 = 512 * 1024;

/// How long the result of a check is trusted. If the kernel evicts a part in this time, sending it waits for the disk.
const TRUSTED_FOR: Duration = Duration::from_millis(250);

/// When each part of a file was last seen in the page cache.
#[derive(Debug)]
pub(super) struct Residency {
    began: Instant,
    /// For each part, milliseconds since `began` plus one; 0 if the part was never seen there.
    seen: Box<[AtomicU64]>,
}

impl Residency {
    /// The state of an unchecked file of `size` bytes.
    pub(super) fn new(size: u64) -> Self {
        let parts = usize::try_from(size.div_ceil(PART)).unwrap_or_default();
        Self { began: Instant::now(), seen: (0..parts).map(|_| AtomicU64::new(0)).collect() }
    }

    /// Whether these positions of `file` are in the page cache, or were shortly before `now`. The kernel starts to read
    /// missing ones.
    pub(super) fn contains(&self, file: &File, piece: &Range<u64>, now: Instant) -> bool {
        let now = now.saturating_duration_since(self.began);
        let stamp = u64::try_from(now.as_millis()).unwrap_or(u64::MAX).saturating_add(1);
        let trusted = u64::try_from(TRUSTED_FOR.as_millis()).unwrap_or_default();
        samples(piece).all(|at| {
            let seen = usize::try_from(at / PART).ok().and_then(|part| self.seen.get(part));
            let before = seen.map_or(0, |seen| seen.load(Ordering::Relaxed));
            if before > 0 && stamp.saturating_sub(before) < trusted {
                return true;
            }
            let is_there = read_cached(file, &mut [0], at).is_some();
            if let Some(seen) = seen.filter(|_| is_there) {
                seen.store(stamp, Ordering::Relaxed);
            }
            is_there
        })
    }
}

/// Whether a check finds these positions of `file` in the page cache.
pub(super) fn is_cached(file: &File, piece: &Range<u64>) -> bool {
    samples(piece).all(|at| read_cached(file, &mut [0], at).is_some())
}

/// One position in each part, and the last position.
fn samples(piece: &Range<u64>) -> impl Iterator<Item = u64> + use<> {
    let last = piece.end.saturating_sub(1);
    let step = usize::try_from(PART).unwrap_or(usize::MAX);
    (piece.start..last).step_by(step).chain((!piece.is_empty()).then_some(last))
}

/// Reads without waiting for a disk. `None` if that returns no bytes, or the file system cannot tell.
pub(super) fn read_cached(file: &File, buffer: &mut [u8], at: u64) -> Option<usize> {
    let mut buffers = [io::IoSliceMut::new(buffer)];
    preadv2(file, &mut buffers, at, ReadWriteFlags::NOWAIT).ok().filter(|count| *count > 0)
}

/// Waits until the kernel has read a piece. `sendfile` to `/dev/null` copies nothing, and makes the kernel read long
/// runs of pages, as it does to send the file.
pub(super) fn load_pages(file: &File, piece: Range<u64>) -> io::Result<()> {
    static DEV_NULL: LazyLock<Option<File>> =
        LazyLock::new(|| File::options().write(true).open("/dev/null").ok());
    let Some(dev_null) = &*DEV_NULL else { return read_through(file, piece) };
    let mut at = piece.start;
    while at < piece.end {
        let left = usize::try_from(piece.end - at).unwrap_or(usize::MAX);
        match rustix::fs::sendfile(dev_null, file, Some(&mut at), left) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Reads a piece and discards it.
fn read_through(file: &File, piece: Range<u64>) -> io::Result<()> {
    let mut buffer = [0; 64 * 1024];
    let mut at = piece.start;
    while at < piece.end {
        let length = usize::try_from(piece.end - at).map_or(buffer.len(), |left| left.min(buffer.len()));
        file.read_exact_at(buffer.get_mut(..length).unwrap_or_default(), at)?;
        at += length as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn file_of(size: u64) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&vec![1; usize::try_from(size).unwrap()]).unwrap();
        file
    }

    #[test]
    fn a_part_that_was_just_there_is_not_checked_again() {
        let file = file_of(3 * PART);
        let pages = Residency::new(3 * PART);
        assert!(pages.contains(&file, &(0..2 * PART), Instant::now()));
        // The file is empty now, so another check would fail.
        file.set_len(0).unwrap();
        assert!(pages.contains(&file, &(0..2 * PART), Instant::now()));
        assert!(!pages.contains(&file, &(0..3 * PART), Instant::now()), "the last part was never checked");
        std::thread::sleep(TRUSTED_FOR);
        assert!(!pages.contains(&file, &(0..2 * PART), Instant::now()));
    }

    #[test]
    fn positions_behind_the_known_end_are_checked_each_time() {
        let file = file_of(PART);
        let pages = Residency::new(0);
        assert!(
            pages.contains(&file, &(0..10), Instant::now())
                && pages.contains(&file, &(5..10), Instant::now())
        );
        assert!(!pages.contains(&file, &(2 * PART..3 * PART), Instant::now()));
    }

    #[test]
    fn samples_are_at_most_a_part_apart() {
        for piece in [0..0, 5..6, 0..PART, 0..PART + 1, 9..2 << 20] {
            let found: Vec<_> = samples(&piece).collect();
            assert!(found.iter().all(|at| piece.contains(at)), "{piece:?}");
            assert_eq!(found.last().copied(), piece.end.checked_sub(1), "{piece:?}");
            assert!(found.windows(2).all(|pair| pair[1] - pair[0] <= PART), "{piece:?}");
        }
    }

    /// A file of more than two parts, evicted from the page cache.
    fn evicted() -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&vec![1; usize::try_from(2 * PART).unwrap() + 5_000]).unwrap();
        file.sync_all().unwrap();
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
        file
    }

    #[test]
    fn a_loaded_piece_is_in_the_page_cache_to_its_last_page() {
        let is_there = |file: &File, at: u64| read_cached(file, &mut [0], at).is_some();
        // A check makes the kernel read, so each check takes a new file.
        if is_there(&evicted(), 0) {
            eprintln!("skipped: the file system of temporary files has no disk behind it");
            return;
        }
        for take in [load_pages, read_through] {
            let file = evicted();
            let end = file.metadata().unwrap().len();
            take(&file, 0..end).unwrap();
            let missing = (0..end).step_by(4_096).filter(|at| !is_there(&file, *at)).count();
            assert_eq!(missing, 0);
            let error = take(&file, 0..end + 1).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        }
    }
}
