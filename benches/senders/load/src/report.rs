//! What came of the calls.
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::receivers::Receivers;

/// One call that the sender accepted.
pub struct Timing {
    pub event: String,
    /// When it was handed in; at a pace, when it was due.
    pub posted: Instant,
    /// When the caller had the answer.
    pub accepted: Instant,
}

pub struct Report {
    accepted: Duration,
    took: Duration,
    counts: Value,
    /// In seconds, sorted: from accepted (posted) to the first byte at the receiver.
    since_accepted: Vec<f64>,
    since_posted: Vec<f64>,
}

impl Report {
    pub fn new(
        began: Instant,
        accepted: Duration,
        expected: usize,
        timings: &[Timing],
        receivers: &Receivers,
    ) -> Self {
        // A first attempt may arrive before the caller has read its answer; that counts as no delay.
        let since = |from: fn(&Timing) -> Instant| {
            let seen =
                timings.iter().filter_map(|timing| Some((from(timing), receivers.seen(&timing.event)?)));
            let mut delays: Vec<_> =
                seen.map(|(from, seen)| seen.saturating_duration_since(from).as_secs_f64()).collect();
            delays.sort_by(f64::total_cmp);
            delays
        };
        Self {
            accepted,
            took: receivers.last().map_or(Duration::ZERO, |last| last - began),
            counts: json!({
                "expected": expected, "delivered": receivers.delivered(),
                "repeated": receivers.repeated(), "unsigned": receivers.unsigned(),
            }),
            since_accepted: since(|timing| timing.accepted),
            since_posted: since(|timing| timing.posted),
        }
    }

    pub fn to_json(&self) -> Value {
        let mut found = self.counts.clone();
        found["accepted_seconds"] = self.accepted.as_secs_f64().into();
        found["seconds"] = self.took.as_secs_f64().into();
        for (name, delays) in [("accepted", &self.since_accepted), ("posted", &self.since_posted)] {
            for (percentile, share) in [("p50", 0.5), ("p99", 0.99)] {
                found[format!("{name}_{percentile}")] = at(delays, share).into();
            }
        }
        found
    }
}

fn at(sorted: &[f64], share: f64) -> Option<f64> {
    let index = (sorted.len().saturating_sub(1) as f64 * share) as usize;
    sorted.get(index).copied()
}
