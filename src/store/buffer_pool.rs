//! Buffers that are used again: fresh long ones are zeroed by the kernel page by page, which costs as much as filling them.

use std::cell::RefCell;

use bytes::Bytes;

/// How many bytes a long buffer has.
pub(super) const LONG: usize = 256 * 1024;

/// How many bytes a buffer has that is read into first.
pub(super) const SHORT: usize = 16 * 1024;

/// How many of each a thread keeps for the next ones.
const KEPT: usize = 4;
const KEPT_SHORT: usize = 64;

/// Where in a page a long buffer begins. Some processors (AMD's Zen 3) copy at a fraction of their speed from the beginning
/// of a page to a place a few bytes behind the beginning of another, which is where allocators put what is long.
const PAGE: usize = 4096;
const BEGIN: usize = 128;

thread_local! {
    static FREE: RefCell<Vec<Box<[u8]>>> = const { RefCell::new(Vec::new()) };
    static FREE_SHORT: RefCell<Vec<Box<[u8]>>> = const { RefCell::new(Vec::new()) };
}

/// Bytes to be written into. What is not written stays what it was: nobody but [`Buffer::freeze`] hands it on.
#[derive(Debug)]
pub(super) struct Buffer {
    bytes: Box<[u8]>,
    begin: usize,
    length: usize,
}

impl Buffer {
    /// Room for `length` bytes, at most [`LONG`].
    pub(super) fn of(length: usize) -> Self {
        let length = length.min(LONG);
        if length == SHORT {
            let bytes = FREE_SHORT.with_borrow_mut(Vec::pop);
            return Self { bytes: bytes.unwrap_or_else(|| vec![0; SHORT].into()), begin: 0, length };
        }
        if length <= LONG / 8 {
            return Self { bytes: vec![0; length].into_boxed_slice(), begin: 0, length };
        }
        let fresh = || vec![0; LONG + 2 * PAGE].into_boxed_slice();
        let bytes = FREE.with_borrow_mut(Vec::pop).unwrap_or_else(fresh);
        let begin = bytes.as_ptr().align_offset(PAGE) + BEGIN;
        Self { bytes, begin, length }
    }

    /// The room.
    pub(super) fn room(&mut self) -> &mut [u8] {
        self.bytes.get_mut(self.begin..self.begin + self.length).unwrap_or_default()
    }

    /// The first `written` bytes, which were written. The room is free again once nobody holds them.
    pub(super) fn freeze(mut self, written: usize) -> Bytes {
        self.length = self.length.min(written);
        Bytes::from_owner(self)
    }

    /// The same, in memory of their own if they are few: then the room is free at once.
    pub(super) fn freeze_or_copy(mut self, written: usize) -> Bytes {
        if written >= self.length / 4 {
            return self.freeze(written);
        }
        Bytes::copy_from_slice(self.room().get(..written).unwrap_or_default())
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        self.bytes.get(self.begin..self.begin + self.length).unwrap_or_default()
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        let (free, most) = match bytes.len() {
            SHORT => (&FREE_SHORT, KEPT_SHORT),
            length if length > LONG => (&FREE, KEPT),
            _ => return,
        };
        // At the end of a thread there is no list any more.
        let _ = free.try_with(|free| {
            let mut free = free.borrow_mut();
            if free.len() < most {
                free.push(bytes);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_that_is_used_again_shows_nothing_of_its_past() {
        for length in [SHORT, LONG] {
            let mut first = Buffer::of(length);
            first.room().fill(7);
            drop(first.freeze(length));
        }
        assert_eq!(Buffer::of(SHORT).freeze(0), "");
        let mut second = Buffer::of(100_000);
        assert_eq!(second.room().len(), 100_000);
        second.room()[..3].copy_from_slice(b"abc");
        assert_eq!(second.freeze(3), "abc");
    }

    #[test]
    fn few_bytes_do_not_keep_a_long_buffer() {
        let written = || {
            let mut buffer = Buffer::of(LONG);
            buffer.room()[..3].copy_from_slice(b"abc");
            buffer
        };
        assert_eq!(written().freeze_or_copy(3), "abc");
        assert_eq!(written().freeze_or_copy(LONG / 4).len(), LONG / 4);
        assert_eq!(written().freeze_or_copy(LONG + 1).len(), LONG);
    }

    #[test]
    fn short_ones_are_as_long_as_asked() {
        assert_eq!(Buffer::of(0).freeze(0), "");
        assert_eq!(Buffer::of(16).freeze(99).len(), 16);
        assert_eq!(Buffer::of(usize::MAX).room().len(), LONG);
    }
}
