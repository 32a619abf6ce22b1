//! Metrics of the program itself: which key it signs with, and what it could not tell.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::metrics::{KeyLabel, LogLabel, ResultLabel};
use crate::clock::UnixSeconds;
use crate::tasks;

/// What is counted of the program itself. Clones count together.
#[derive(Debug, Clone, Default)]
pub(crate) struct ProcessMetrics {
    lines_dropped: Family<LogLabel, Counter>,
    audit_up: Gauge,
    log_up: Gauge,
    settings_reloads: Family<ResultLabel, Counter>,
    spans: Family<ResultLabel, Counter>,
    signing_key: Family<KeyLabel, Gauge>,
    signing_key_age: Gauge,
    signs_until: Gauge,
}

/// The logs that have a writer of their own.
const LOGS: [&str; 3] = ["access", "audit", "events"];

impl ProcessMetrics {
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
        for result in ["ok", "failed"] {
            let _ = self.settings_reloads.get_or_create(&ResultLabel { result });
        }
        registry.register(
            "settings_reloads",
            "Attempts to read the settings again",
            self.settings_reloads.clone(),
        );
        for result in ["exported", "lost"] {
            let _ = self.spans.get_or_create(&ResultLabel { result });
        }
        registry.register(
            "trace_spans",
            "Spans of traces that were recorded, by what became of them: exported, lost",
            self.spans.clone(),
        );
        registry.register("tasks_died", "Tasks that panicked, by what they did", tasks::panic_counter());
        self.audit_up.set(1);
        registry.register(
            "audit_up",
            "0 while audit records cannot be written, else 1",
            self.audit_up.clone(),
        );
        self.log_up.set(1);
        registry.register("log_up", "0 while standard error cannot be written, else 1", self.log_up.clone());
        registry.register(
            "keyring_signing_key",
            "1 for the key that signs links of full length now",
            self.signing_key.clone(),
        );
        registry.register_with_unit(
            "keyring_signing_key_age",
            "For how long that key has been signing",
            Unit::Seconds,
            self.signing_key_age.clone(),
        );
        registry.register_with_unit(
            "keyring_signs_until",
            "When no key can sign links of full length any more, in seconds since 1970; 0 if one always can",
            Unit::Seconds,
            self.signs_until.clone(),
        );
    }

    /// So many lines of this log were not written.
    pub(super) fn lines_dropped(&self, log: &'static str, lines: u64) {
        self.lines_dropped.get_or_create(&LogLabel { log }).inc_by(lines);
    }

    /// The settings were read again, well or not.
    pub(crate) fn settings_reloaded(&self, ok: bool) {
        let result = if ok { "ok" } else { "failed" };
        self.settings_reloads.get_or_create(&ResultLabel { result }).inc();
    }

    /// The collector took so many spans.
    pub(super) fn spans_exported(&self, spans: u64) {
        self.spans.get_or_create(&ResultLabel { result: "exported" }).inc_by(spans);
    }

    /// So many spans reach no collector: there was no room for them, or it refused them.
    pub(super) fn spans_lost(&self, spans: u64) {
        self.spans.get_or_create(&ResultLabel { result: "lost" }).inc_by(spans);
    }

    /// Whether the audit's sink takes what is written.
    pub(super) fn audit_is_up(&self, up: bool) {
        self.audit_up.set(i64::from(up));
    }

    /// Whether standard error takes what is written.
    pub(super) fn log_is_up(&self, up: bool) {
        self.log_up.set(i64::from(up));
    }

    /// This key signs, for so long already; and until when some key will, if that ends.
    pub(crate) fn keyring_signs(
        &self,
        key: Option<(&str, UnixSeconds)>,
        now: UnixSeconds,
        until: Option<UnixSeconds>,
    ) {
        let number = |seconds: u64| i64::try_from(seconds).unwrap_or(i64::MAX);
        self.signing_key.clear();
        if let Some((id, _)) = key {
            self.signing_key.get_or_create(&KeyLabel::of(id)).set(1);
        }
        let age = key.map_or(0, |(_, starts)| now.since(starts).as_secs());
        self.signing_key_age.set(number(age));
        self.signs_until.set(number(until.map_or(0, |until| until.0)));
    }
}
