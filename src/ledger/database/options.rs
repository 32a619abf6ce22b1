//! Defines how a database is opened, and its connection limits and timeouts.

use std::time::Duration;

/// The longest wait for a connection or a lock.
pub(super) const TIMEOUT: Duration = Duration::from_secs(5);

/// The number of reading connections.
pub(super) const READERS: u32 = 4;

/// The number of concurrent transactions for each kind of write on PostgreSQL. SQLite has one writer.
pub(crate) const WRITERS: u32 = 2;

/// The purpose of opening a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OpenMode {
    /// To use it: creates it if it is missing, and migrates it.
    ReadWrite,
    /// To check it: changes nothing.
    Inspect,
}
