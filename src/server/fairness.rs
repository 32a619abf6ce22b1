//! Fairness between the connections of a thread: how much is done for some of them before the others have their turn.

/// The most connections that are accepted at once.
pub(super) const ACCEPT_BATCH: usize = 16;

/// The most idle connections that are driven at once.
pub(super) const IDLE_BATCH: usize = 64;

/// How often the idle poller reads from one connection before that gets a task, which takes turns with others.
pub(super) const MOST_READS: usize = 8;

/// The bytes of a response that are sent at once.
pub(super) const TURN: usize = 2 * 1024 * 1024;
