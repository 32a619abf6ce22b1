//! Reusable buffers: the kernel zeroes fresh long ones page by page, which costs as much as filling them. By hand, because no pool
//! of a crate sets where in a page a buffer begins.

use std::cell::RefCell;

use bytes::Bytes;

/// The length of a long buffer, in bytes.
pub(super) const LONG: usize = 256 * 1024;

/// The length of the first buffer of a read, in bytes.
pub(super) const SHORT: usize = 16 * 1024;

/// How many free buffers of each length a thread keeps.
const MAX_FREE: usize = 4;
const MAX_FREE_SHORT: usize = 64;

/// Where in a page a long buffer begins. Some processors (AMD's Zen 3) copy slowly from the beginning of a page to a few bytes
/// behind the beginning of another, which is where allocators place long buffers.
const PAGE: usize = 4096;
const BEGIN: usize = 128;

thread_local! {
    static FREE: RefCell<Vec<Box<[u8]>>> = const { RefCell::new(Vec::new()) };
    static FREE_SHORT: RefCell<Vec<Box<[u8]>>> = const { RefCell::new(Vec::new()) };
}

/// Bytes to write into. Bytes that were not written keep old contents: only [`Buffer::freeze`] hands bytes on, and no others.
#[derive(Debug)]
pub(super) struct Buffer {
    bytes: Box<[u8]>,
    begin: usize,
    length: usize,
}

impl Buffer {
    /// A buffer of `length` bytes, at most [`LONG`].
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

    /// The bytes to write into.
    pub(super) fn space(&mut self) -> &mut [u8] {
        self.bytes.get_mut(self.begin..self.begin + self.length).unwrap_or_default()
    }

    /// The first `written` bytes. The buffer is free again when the last reference to them is dropped.
    pub(super) fn freeze(mut self, written: usize) -> Bytes {
        self.length = self.length.min(written);
        Bytes::from_owner(self)
    }

    /// The same, copied if they are few: then the buffer is free at once.
    pub(super) fn freeze_or_copy(mut self, written: usize) -> Bytes {
        if written >= self.length / 4 {
            return self.freeze(written);
        }
        Bytes::copy_from_slice(self.space().get(..written).unwrap_or_default())
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
            SHORT => (&FREE_SHORT, MAX_FREE_SHORT),
            length if length > LONG => (&FREE, MAX_FREE),
            _ => return,
        };
        // At the end of a thread the list is gone.
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
    fn a_reused_buffer_shows_none_of_its_old_bytes() {
        for length in [SHORT, LONG] {
            let mut first = Buffer::of(length);
            first.space().fill(7);
            drop(first.freeze(length));
        }
        assert_eq!(Buffer::of(SHORT).freeze(0), "");
        let mut second = Buffer::of(100_000);
        assert_eq!(second.space().len(), 100_000);
        second.space()[..3].copy_from_slice(b"abc");
        assert_eq!(second.freeze(3), "abc");
    }

    #[test]
    fn few_bytes_do_not_keep_a_long_buffer() {
        let written = || {
            let mut buffer = Buffer::of(LONG);
            buffer.space()[..3].copy_from_slice(b"abc");
            buffer
        };
        assert_eq!(written().freeze_or_copy(3), "abc");
        assert_eq!(written().freeze_or_copy(LONG / 4).len(), LONG / 4);
        assert_eq!(written().freeze_or_copy(LONG + 1).len(), LONG);
    }

    #[test]
    fn a_buffer_has_the_given_length_up_to_the_longest() {
        assert_eq!(Buffer::of(0).freeze(0), "");
        assert_eq!(Buffer::of(16).freeze(99).len(), 16);
        assert_eq!(Buffer::of(usize::MAX).space().len(), LONG);
    }
}
