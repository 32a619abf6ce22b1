//! How a database is opened, and with how many connections.

use std::time::Duration;

/// The longest wait for a connection or a lock; a longer one means trouble.
pub(super) const TIMEOUT: Duration = Duration::from_secs(5);

/// How many connections read at the same time.
pub(super) const READERS: u32 = 4;

/// How many transactions PostgreSQL works on at the same time, for each kind of write. SQLite has one writer.
pub(crate) const WRITERS: u32 = 2;

/// What a database is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OpenMode {
    /// To work with it: creates it if it is missing, and migrates it.
    ReadWrite,
    /// To check it: changes nothing.
    Inspect,
}
