//! The health of endpoints: the results of their last attempts.

use super::database::{column, converted, from_row};
use crate::clock::UnixMillis;

/// The results of an endpoint's last attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Health {
    /// Failed attempts since the last success.
    pub failures: u32,
    /// When the first of these attempts failed.
    pub failing_since: Option<UnixMillis>,
    /// Since when the endpoint is held: new deliveries wait, because no attempt has succeeded for a while.
    pub held_since: Option<UnixMillis>,
    /// When the held endpoint is tried next.
    pub held_until: Option<UnixMillis>,
    /// Counts resets: a success after failures, or a user's action. A sender's update from an earlier epoch is ignored.
    pub epoch: u64,
}

from_row!(row => Health {
    failures: converted::<i64, _, _>(row, "failures")?,
    failing_since: column(row, "failing_since")?,
    held_since: column(row, "held_since")?,
    held_until: column(row, "held_until")?,
    epoch: converted::<i64, _, _>(row, "health_epoch")?,
});

/// Why an attempt failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// As a code.
    pub code: String,
    /// As a sentence.
    pub summary: String,
}
