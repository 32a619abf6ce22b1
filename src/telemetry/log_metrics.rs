//! Metrics of the logs.

use super::metrics::{ByLabel, Counter, Gauge, Registry};

/// Metrics of the logs. Clones share the counts.
#[derive(Debug, Clone)]
pub struct LogMetrics {
    dropped: ByLabel<Counter>,
    audit_up: Gauge,
    log_up: Gauge,
}

impl LogMetrics {
    /// Registers the metrics.
    #[must_use]
    pub fn register(registry: &Registry) -> Self {
        let metrics = Self {
            dropped: registry.counters(
                "log_lines_dropped",
                "Lines that were not written because they came faster than they could be, by log",
                "log",
                &["access", "audit", "events"],
            ),
            audit_up: registry.gauge("audit_up", "0 while audit records cannot be written, else 1"),
            log_up: registry.gauge("log_up", "0 while standard error cannot be written, else 1"),
        };
        metrics.audit_up.set(1);
        metrics.log_up.set(1);
        metrics
    }

    pub(super) fn lines_dropped(&self, log: &'static str, lines: u64) {
        self.dropped.of(log).inc_by(lines);
    }

    /// Sets whether the audit's sink accepts writes.
    pub(super) fn audit_is_up(&self, up: bool) {
        self.audit_up.set(up.into());
    }

    /// Sets whether standard error accepts writes.
    pub(super) fn log_is_up(&self, up: bool) {
        self.log_up.set(up.into());
    }
}
