//! Metrics of the logs.

use super::metrics::{ByLabel, Counter, Gauge, Registry};

/// Metrics of the logs. Clones share the counts.
#[derive(Debug, Clone)]
pub struct LogMetrics {
    dropped: ByLabel<Counter>,
    audit_up: Gauge,
    log_up: Gauge,
    #[cfg(feature = "sender")]
    driver_warnings: ByLabel<Counter>,
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
            #[cfg(feature = "sender")]
            driver_warnings: registry.counters(
                "webhook_database_warnings",
                "Warnings about the sender's database that its driver gives, by kind",
                "kind",
                &["slow_statement", "slow_connection", "server_warning", "connection_lost"],
            ),
        };
        metrics.audit_up.set(1);
        metrics.log_up.set(1);
        metrics
    }

    pub(super) fn lines_dropped(&self, log: &'static str, lines: u64) {
        self.dropped.of(log).inc_by(lines);
    }

    /// Counts a warning of the database driver.
    #[cfg(feature = "sender")]
    pub(super) fn driver_warned(&self, kind: &'static str) {
        self.driver_warnings.of(kind).inc();
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
