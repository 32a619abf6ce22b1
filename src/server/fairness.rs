//! Batch limits that keep the connections of a thread fair to each other.

/// The maximum number of connections to accept per batch.
pub(super) const ACCEPT_BATCH: usize = 16;

/// The maximum number of idle connections to drive per batch.
pub(super) const IDLE_BATCH: usize = 64;

/// The maximum number of reads from one connection by the idle poller. After these it gets a task, which shares the
/// thread with other tasks.
pub(super) const MOST_READS: usize = 8;

/// The maximum number of bytes of a response to send before other tasks run.
pub(super) const TURN: usize = 2 * 1024 * 1024;
