//! Pools reusable read buffers, because the kernel zeroes each page of a new long buffer, which costs as much as
//! filling it. Written by hand, because no crate's pool chooses where in a page a buffer begins.

use std::cell::RefCell;

use bytes::Bytes;

/// The length of a long buffer, in bytes.
pub(super) const LONG: usize = 256 * 1024;

/// The length of the first buffer of a read, in bytes.
pub(super) const SHORT: usize = 16 * 1024;

/// How many free buffers of each length a thread keeps.
const MAX_FREE: usize = 4;
const MAX_FREE_SHORT: usize = 64;

/// The offset of a long buffer within its page. Some processors (AMD's Zen 3) copy slowly from the start of one page to
/// a few bytes past the start of another, and allocators place long buffers there.
const PAGE: usize = 4096;
const BEGIN: usize = 128;

thread_local! {
    static FREE: RefCell<Vec<Box<[u8]>>> = const { RefCell::new(Vec::new()) };
    static FREE_SHORT: RefCell<Vec<Box<[u8]>>> = const { RefCell::new(Vec::new()) };
}

/// A buffer to write into. Unwritten bytes keep old contents, so [`Buffer::freeze`] hands out only written bytes.
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

    /// Like [`Buffer::freeze`], but copies few bytes, so that the buffer is free immediately.
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
        // While a thread exits, its list may already be destroyed.
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
