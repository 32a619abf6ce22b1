//! Metrics of the program itself: what it could not tell.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::metrics::LogLabel;

/// What is counted of the program itself. Clones count together.
#[derive(Debug, Clone, Default)]
pub(crate) struct Own {
    lines_dropped: Family<LogLabel, Counter>,
    audit_up: Gauge,
}

/// The logs that have a writer of their own.
const LOGS: [&str; 2] = ["access", "audit"];

impl Own {
    pub(super) fn register(&self, registry: &mut Registry) {
        // A series that is there from the start: the first time can be seen as a change.
        for log in LOGS {
            let _ = self.lines_dropped.get_or_create(&LogLabel { log });
        }
        registry.register(
            "log_lines_dropped",
            "Lines that were not written because they came faster than they could be, by log",
            self.lines_dropped.clone(),
        );
        self.audit_up.set(1);
        registry.register(
            "audit_up",
            "0 while audit records cannot be written, else 1",
            self.audit_up.clone(),
        );
    }

    /// So many lines of this log were not written.
    pub(super) fn lines_dropped(&self, log: &'static str, lines: u64) {
        self.lines_dropped.get_or_create(&LogLabel { log }).inc_by(lines);
    }

    /// Whether the audit's sink takes what is written.
    pub(super) fn audit_is_up(&self, up: bool) {
        self.audit_up.set(i64::from(up));
    }
}
