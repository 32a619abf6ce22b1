//! Holds the limits that the dispatcher shares with callers that accept events, and with the attempts in flight.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;

use super::concurrency::Concurrency;
use super::health_update::HealthUpdate;
use crate::clock::UnixMillis;

/// The permits of one dispatcher. Each dispatcher begins with a new one, so permits of a dispatcher that panicked do not
/// count twice.
#[derive(Debug)]
pub(super) struct Admission {
    state: Mutex<State>,
    pub(super) updates: mpsc::UnboundedSender<HealthUpdate>,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) concurrency: Concurrency,
    /// The permits that were not dropped yet. Some have no slot any more.
    pub(super) permits: usize,
    /// When the first delivery is due among those that attempts postponed since the last poll.
    pub(super) due_again: Option<UnixMillis>,
}

impl Admission {
    pub(super) fn new(concurrency: Concurrency, updates: mpsc::UnboundedSender<HealthUpdate>) -> Self {
        Self { state: Mutex::new(State { concurrency, permits: 0, due_again: None }), updates }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
