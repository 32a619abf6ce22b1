//! Serves objects from a local folder. Written by hand, because object_store's `LocalFileSystem` follows symlinks,
//! keeps no files open, and does all its work on the blocking pool.
//!
//! In reading order, each file imports only from those above it.

mod openat;
pub(super) mod root;

mod page_cache;

pub(super) mod file_slice;
pub(super) mod files;

pub(super) mod cached_file;
pub(super) mod opened_file;

mod inotify;
pub(super) mod open_file_cache;
mod recently_requested;
