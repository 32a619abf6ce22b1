//! Objects in a folder of this machine.

pub(crate) mod file_slice;
pub(crate) mod files;
mod inotify;
pub(crate) mod open_file_cache;
mod page_cache;
pub(crate) mod root;
