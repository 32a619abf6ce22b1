//! Defines the metrics of the webhook sender.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use crate::telemetry::metrics::{ByLabel, Counter, Gauge, Histogram, Registry, Unit, gauge_value};

/// The metrics of events, deliveries and attempts. Clones share them.
#[derive(Debug, Clone)]
pub struct SenderMetrics {
    events: Counter,
    deliveries: ByLabel<Counter>,
    delivery_time: Histogram,
    attempts: ByLabel<Counter>,
    attempt_time: Histogram,
    first_attempt_delay: Histogram,
    pending: ByLabel<Gauge>,
    overdue: Gauge<f64, AtomicU64>,
    not_fetched: Gauge,
    endpoint_changes: ByLabel<Counter>,
    database_errors: ByLabel<Counter>,
    alerts: ByLabel<Counter>,
    alerts_pending: Gauge,
    requeued: ByLabel<Counter>,
    audit_trail_missed: Counter,
}

impl SenderMetrics {
    /// Registers the metrics.
    #[must_use]
    pub fn register(registry: &Registry) -> Self {
        Self {
            events: registry.counter("webhook_events_accepted", "Events accepted by the sender"),
            deliveries: registry.counters(
                "webhook_deliveries",
                "Deliveries that ended, by result: delivered, failed",
                "result",
                &[],
            ),
            delivery_time: registry
                .durations("webhook_delivery", "Time from accepting an event to the end of its delivery"),
            attempts: registry.counters("webhook_attempts", "Attempts, by what came of them", "code", &[]),
            attempt_time: registry.durations("webhook_attempt", "Time an attempt took"),
            first_attempt_delay: registry.durations(
                "webhook_first_attempt_delay",
                "Time from accepting an event to the first attempt",
            ),
            pending: registry.by_label(
                "webhook_deliveries_pending",
                None,
                "Deliveries that have not ended, by state; counted every 10 s",
                ("state", Gauge::default),
            ),
            overdue: registry.add(
                "webhook_overdue",
                Some(Unit::Seconds),
                "How long the delivery that waits longest has been due",
                Gauge::default(),
            ),
            not_fetched: registry.gauge(
                "webhook_deliveries_not_fetched",
                "Deliveries whose links live and were never followed; counted every 10 s",
            ),
            endpoint_changes: registry.counters(
                "webhook_endpoint_changes",
                "Endpoints that were held or disabled because they failed",
                "change",
                &[],
            ),
            database_errors: registry.counters(
                "webhook_database_errors",
                "Failures of the sender's database, by reason",
                "reason",
                &[],
            ),
            alerts: registry.counters(
                "webhook_alerts",
                "Attempts to send an alert to the operator, by result: delivered, retried, failed",
                "result",
                &[],
            ),
            alerts_pending: registry.gauge(
                "webhook_alerts_pending",
                "Alerts to the operator that are not delivered yet; counted every 10 s",
            ),
            requeued: registry.counters(
                "webhook_deliveries_requeued",
                "Deliveries queued after the first one of their call, by cause",
                "cause",
                &["resend", "recover", "backfill", "late_asset"],
            ),
            audit_trail_missed: registry
                .counter("audit_trail_missed", "Actions that could not be written into the audit trail"),
        }
    }

    pub(super) fn event_accepted(&self) {
        self.events.inc();
    }

    /// Counts a delivery that was `delivered` or `failed`, this long after its event was accepted.
    pub(super) fn delivery_ended(&self, result: &'static str, after: Duration) {
        self.deliveries.of(result).inc();
        self.delivery_time.observe(after.as_secs_f64());
    }

    pub(super) fn attempt_ended(&self, code: &'static str, took: Duration) {
        self.attempts.of(code).inc();
        self.attempt_time.observe(took.as_secs_f64());
    }

    /// Records that a first attempt began, this long after its event was accepted.
    pub(super) fn first_attempt_began(&self, after: Duration) {
        self.first_attempt_delay.observe(after.as_secs_f64());
    }

    pub(super) fn deliveries_pending(&self, state: &'static str, count: u64) {
        self.pending.of(state).set(gauge_value(count));
    }

    /// Sets how long the longest-waiting delivery has been due.
    pub(super) fn delivery_overdue(&self, by: Duration) {
        self.overdue.set(by.as_secs_f64());
    }

    /// Sets how many deliveries have unexpired links that no client has followed.
    pub(super) fn deliveries_not_fetched(&self, count: u64) {
        self.not_fetched.set(gauge_value(count));
    }

    /// Counts an endpoint that was held or disabled.
    pub(super) fn endpoint_changed(&self, change: &'static str) {
        self.endpoint_changes.of(change).inc();
    }

    /// Counts an attempt to send an alert.
    pub(super) fn alert_attempted(&self, result: &'static str) {
        self.alerts.of(result).inc();
    }

    pub(super) fn alerts_pending(&self, count: u64) {
        self.alerts_pending.set(gauge_value(count));
    }

    /// Counts deliveries that were queued after the first one of their call.
    pub(super) fn requeued(&self, cause: &'static str, count: u64) {
        self.requeued.of(cause).inc_by(count);
    }

    /// Counts an action that is missing in the audit trail.
    pub(crate) fn action_missed(&self) {
        self.audit_trail_missed.inc();
    }

    /// Counts a failure of the database.
    pub(crate) fn database_failed(&self, reason: &'static str) {
        self.database_errors.of(reason).inc();
    }
}
