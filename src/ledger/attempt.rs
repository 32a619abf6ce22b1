//! Finished attempts, and claimed deliveries that were not attempted.

use std::time::Duration;

use crate::clock::{UnixMillis, UnixSeconds};

/// What becomes of a delivery after an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// It is delivered.
    Delivered,
    /// It has failed: no attempts are left.
    Failed,
    /// Another attempt follows.
    RetryAt(UnixMillis),
}

/// The result of an attempt, as its history shows it.
#[derive(Debug, Clone, Default)]
pub struct AttemptResult {
    /// When it began.
    pub started_at: UnixMillis,
    /// How long it took.
    pub took: Duration,
    /// The answer's status, if there was an answer.
    pub status: Option<u16>,
    /// The result, as a code.
    pub code: &'static str,
    /// The result, as a sentence.
    pub summary: String,
    /// What the owner can do about it.
    pub advice: Option<String>,
    /// The answer's first bytes.
    pub excerpt: Option<String>,
    /// When its links expire; `None` if it carried none.
    pub links_expire: Option<UnixSeconds>,
    /// What an operator should know: why a link is null.
    pub note: Option<String>,
}

/// An attempt that has ended.
#[derive(Debug, Clone)]
pub struct FinishedAttempt {
    /// Which delivery.
    pub delivery: String,
    /// The holder of the lease.
    pub holder: String,
    /// Which attempt, counted from 1, resends included.
    pub number: u32,
    /// Its result.
    pub result: AttemptResult,
    /// What becomes of the delivery.
    pub disposition: Disposition,
    /// When it ended.
    pub at: UnixMillis,
}

/// When a claimed delivery that was not attempted is due again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Requeue {
    /// Now: its endpoint has no room at the moment.
    Now,
    /// After a pause.
    After {
        /// When the pause begins.
        from: UnixMillis,
        /// When it ends.
        until: UnixMillis,
        /// What the delivery waits for.
        note: String,
        /// How long it has waited for its assets.
        asset_waited: Duration,
    },
}
