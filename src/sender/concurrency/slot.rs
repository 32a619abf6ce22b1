//! Defines the slots of attempts, and their limits.

use std::time::Duration;

use crate::ledger::{Claimed, Health, Lane};

/// The limits from the settings.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// The maximum number of attempts in flight.
    pub(crate) attempts_in_flight: usize,
    /// The maximum number of attempts in flight for one endpoint.
    pub(crate) attempts_per_endpoint: usize,
    /// The timeout of an attempt.
    pub(crate) attempt_timeout: Duration,
}

/// A claimed delivery that needs a slot.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Candidate<'a> {
    pub(crate) workspace: &'a str,
    pub(crate) endpoint: &'a str,
    pub(crate) lane: Lane,
    /// The endpoint's limits, if the owner set any.
    pub(crate) concurrency: Option<u32>,
    pub(crate) per_second: Option<u32>,
    /// The endpoint's health in the ledger.
    pub(crate) health: Health,
}

impl<'a> From<&'a Claimed> for Candidate<'a> {
    fn from(claimed: &'a Claimed) -> Self {
        Self {
            workspace: &claimed.workspace,
            endpoint: &claimed.endpoint,
            lane: claimed.lane,
            concurrency: claimed.target.concurrency,
            per_second: claimed.target.per_second,
            health: claimed.target.health,
        }
    }
}

/// The slot of one attempt. The caller releases it when the attempt ends.
#[derive(Debug, Clone)]
pub(crate) struct Slot {
    pub(super) workspace: String,
    pub(super) endpoint: String,
    pub(super) lane: Lane,
    pub(super) degraded: bool,
}

impl Slot {
    /// The workspace of the attempt.
    pub(crate) fn workspace(&self) -> &str {
        &self.workspace
    }

    /// The endpoint of the attempt.
    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }
}

/// The result of an attempt.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Feedback {
    pub(crate) succeeded: bool,
    pub(crate) took: Duration,
}
