//! Types for finished attempts, and for claimed deliveries that were not attempted.

use std::time::Duration;

use super::assets::Assets;
use crate::clock::{UnixMillis, UnixSeconds};
use crate::webhook::{HeaderFields, Phases};

/// The state of a delivery after an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// It is delivered.
    Delivered,
    /// It has failed: no attempts are left.
    Failed,
    /// Another attempt follows.
    RetryAt(UnixMillis),
}

/// The result of an attempt, as the delivery history shows it.
#[derive(Debug, Clone, Default)]
pub struct AttemptResult {
    /// When it began.
    pub started_at: UnixMillis,
    /// How long it took.
    pub took: Duration,
    /// The status code of the response, if there was one.
    pub status: Option<u16>,
    /// The result, as a code.
    pub code: &'static str,
    /// The result, as a sentence.
    pub summary: String,
    /// Advice for the owner.
    pub advice: Option<String>,
    /// The first bytes of the response.
    pub excerpt: Option<String>,
    /// The header fields of the request.
    pub sent: HeaderFields,
    /// The header fields of the response.
    pub answered: HeaderFields,
    /// How long its phases took.
    pub phases: Phases,
    /// When its links expire; `None` if it carried none.
    pub links_expire: Option<UnixSeconds>,
    /// The assets whose links were null.
    pub nulls: Assets,
    /// A note for the operator: why a link is null.
    pub note: Option<String>,
}

/// The assets that a delivery awaits after an attempt, in order to report them when they arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Awaited {
    /// The assets. Those that it awaited before and has not sent either are awaited, too.
    pub assets: Assets,
    /// When the store is looked at for them.
    pub look_at: Option<UnixMillis>,
}

/// An attempt that has ended.
#[derive(Debug, Clone)]
pub struct FinishedAttempt {
    /// The delivery's id.
    pub delivery: String,
    /// The holder of the lease.
    pub holder: String,
    /// The number of the attempt, counted from 1 across resends.
    pub number: u32,
    /// The resend that it belongs to; 0 if no person has sent the delivery again.
    pub resend: u32,
    /// Its result.
    pub result: AttemptResult,
    /// The next state of the delivery.
    pub disposition: Disposition,
    /// What a delivered call awaits.
    pub awaited: Awaited,
    /// When it ended.
    pub at: UnixMillis,
    /// The least time between two alerts that deliveries of an endpoint have failed; `None` if the operator wants none.
    pub alert_interval: Option<Duration>,
}

/// When a claimed delivery that was not attempted is due again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Requeue {
    /// Now: its endpoint currently has no room.
    Now,
    /// After a pause.
    After {
        /// When the pause begins.
        from: UnixMillis,
        /// When it ends.
        until: UnixMillis,
        /// Why the delivery waits.
        note: String,
        /// How long it has waited for its assets.
        asset_waited: Duration,
    },
}
