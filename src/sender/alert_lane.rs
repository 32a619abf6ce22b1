//! The alerts of a sender: where they go, and for which endpoints a success is news.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::alert_poster::AlertPoster;
use crate::clock::StateSince;
use crate::webhook::AlertKind;

/// The pause between two alerts that links expired unfetched. An endpoint whose receiver wants no recordings would otherwise
/// be in every one.
const UNFETCHED_INTERVAL: Duration = Duration::from_secs(24 * 60 * 60);

#[derive(Debug)]
pub(super) struct AlertLane {
    pub(super) poster: AlertPoster,
    /// Endpoints with an alert about their state.
    alerted: Mutex<HashSet<String>>,
    /// Whether the last alert was taken.
    pub(super) taken: StateSince,
}

impl AlertLane {
    pub(super) fn new(poster: AlertPoster) -> Self {
        Self { poster, alerted: Mutex::default(), taken: StateSince::default() }
    }

    pub(super) fn kinds(&self) -> &[AlertKind] {
        &self.poster.config().kinds
    }

    /// The least time between two alerts of this kind; `None` if the operator does not want them.
    pub(super) fn interval(&self, kind: AlertKind) -> Option<Duration> {
        let least = if kind == AlertKind::Unfetched { UNFETCHED_INTERVAL } else { Duration::ZERO };
        self.kinds().contains(&kind).then(|| self.poster.config().interval.max(least))
    }

    pub(super) fn set_alerted(&self, endpoints: Vec<String>) {
        *self.alerted.lock().unwrap_or_else(PoisonError::into_inner) = endpoints.into_iter().collect();
    }

    pub(super) fn is_alerted(&self, endpoint: &str) -> bool {
        self.alerted.lock().unwrap_or_else(PoisonError::into_inner).contains(endpoint)
    }
}
