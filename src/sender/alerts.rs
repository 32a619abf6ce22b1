//! Sends alerts to the operator, one after the other, apart from the deliveries of customers.

use std::time::Duration;

use super::alert_lane::AlertLane;
use super::circuit_breaker::MIN_STABLE_CLOCK;
use super::delivery_log::log_delivery;
use super::handle::Sender;
use super::schedule::{self, jitter};
use crate::clock::UnixMillis;
use crate::ledger::{AlertOutcome, Claimed, ClaimedAlert, LedgerError};
use crate::webhook::{AlertKind, Diagnosis, Exchange, ReceiverResponse};

/// How often causes and due alerts are looked for.
const TICK: Duration = Duration::from_millis(500);

/// How often pending alerts are counted, in ticks.
const COUNT_TICKS: u64 = 20;

/// How often expired links are looked for.
const LINKS_INTERVAL: Duration = Duration::from_secs(60);

/// How many alerts are sent between two looks for causes.
const BATCH: usize = 20;

/// The longest pause of all alerts after a failed attempt.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

impl Sender {
    /// The least time between two alerts of a kind; `None` if the operator does not want them.
    pub(super) fn alert_interval(&self, kind: AlertKind) -> Option<Duration> {
        self.alerts()?.interval(kind)
    }

    /// Ends the alert about the state of a delivery's endpoint, if there is one, after a success.
    pub(super) async fn alert_to_success(&self, claimed: &Claimed) {
        let endpoint = &claimed.endpoint;
        if !self.alerts().is_some_and(|alerts| alerts.is_alerted(endpoint)) {
            return;
        }
        let interval = self.alert_interval(AlertKind::Recovered);
        if let Err(error) = self.ledger().alert_to_recovery(endpoint, interval, self.now()).await {
            log_delivery!(warn, claimed, %error, "no alert says that an endpoint works again; its next success will");
        }
    }

    /// Sends a test alert; `None` if the operator wants no alerts.
    pub async fn test_alerts(&self) -> Option<(Exchange, Diagnosis)> {
        let poster = &self.alerts()?.poster;
        Some(poster.test(UnixMillis::from(self.wall())).await)
    }
}

/// The progress of the task.
#[derive(Debug, Default)]
struct Progress {
    /// Whether the database was prepared for alerts.
    begun: bool,
    /// When expired links were last looked for.
    links_at: UnixMillis,
    /// Until when all alerts wait, because one has failed.
    paused_until: UnixMillis,
}

/// Runs until it is aborted.
pub(super) async fn run(sender: &Sender) {
    let Some(alerts) = sender.alerts() else { return };
    let mut every = tokio::time::interval(TICK);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut progress = Progress::default();
    for count in 0_u64.. {
        every.tick().await;
        // The dispatcher logs that the database does not answer.
        if let Err(error) = tick(sender, alerts, &mut progress, count).await {
            tracing::debug!(%error, "alerts have to wait");
        }
    }
}

async fn tick(
    sender: &Sender,
    alerts: &AlertLane,
    progress: &mut Progress,
    count: u64,
) -> Result<(), LedgerError> {
    let ledger = sender.ledger();
    if !progress.begun {
        ledger.begin_alerts(sender.conservative_now()).await?;
        progress.begun = true;
    }
    ledger.alert_to_states(alerts.kinds(), alerts.poster.config().interval, sender.now()).await?;
    alerts.set_alerted(ledger.alerted_endpoints().await?);
    look_for_links(sender, alerts, progress).await?;
    if count.is_multiple_of(COUNT_TICKS) {
        sender.metrics().alerts_pending(ledger.pending_alerts().await?);
    }
    send_due(sender, alerts, &mut progress.paused_until).await
}

async fn look_for_links(
    sender: &Sender,
    alerts: &AlertLane,
    progress: &mut Progress,
) -> Result<(), LedgerError> {
    let Some(interval) = alerts.interval(AlertKind::Unfetched) else { return Ok(()) };
    let now = sender.conservative_now();
    // A clock that was set forwards makes links look expired.
    let is_due = now.since(progress.links_at) >= LINKS_INTERVAL || now < progress.links_at;
    if is_due && sender.stable_for() >= MIN_STABLE_CLOCK {
        sender.ledger().alert_to_expired_links(interval, now).await?;
        progress.links_at = now;
    }
    Ok(())
}

/// Sends the due alerts. After a failure all wait as long as the one that failed, at most a minute.
async fn send_due(
    sender: &Sender,
    alerts: &AlertLane,
    paused_until: &mut UnixMillis,
) -> Result<(), LedgerError> {
    for _ in 0..BATCH {
        let now = sender.now();
        // A pause from before the clock was set back ends, too.
        if now < *paused_until && paused_until.since(now) <= LONGEST_PAUSE {
            return Ok(());
        }
        let until = now.plus(sender.longest_lease());
        let Some(claimed) = sender.ledger().claim_alert(&sender.0.holder, until, now).await? else {
            return Ok(());
        };
        let outcome = send(sender, alerts, &claimed).await?;
        let now = sender.now();
        *paused_until = match outcome {
            AlertOutcome::Delivered => UnixMillis(0),
            AlertOutcome::RetryAt(due) => due.min(now.plus(LONGEST_PAUSE)),
            AlertOutcome::Failed => now.plus(LONGEST_PAUSE),
        };
    }
    Ok(())
}

async fn send(
    sender: &Sender,
    alerts: &AlertLane,
    claimed: &ClaimedAlert,
) -> Result<AlertOutcome, LedgerError> {
    let ClaimedAlert { alert, tries } = claimed;
    let (exchange, diagnosis) = alerts.poster.post(alert, sender.wall()).await;
    let now = sender.now();
    let outcome = outcome(&exchange, *tries, now);
    alerts.taken.set(outcome == AlertOutcome::Delivered);
    let (kind, summary) = (alert.kind.name(), &diagnosis.english.summary);
    let about = alert.endpoint.as_ref();
    let (workspace, endpoint) = (about.map(|it| &*it.workspace), about.map(|it| &*it.id));
    let result = match outcome {
        AlertOutcome::Delivered => "delivered",
        AlertOutcome::RetryAt(until) => {
            tracing::warn!(workspace, endpoint, alert = alert.id, kind, until = %until, "an alert was not taken: {summary}");
            "retried"
        }
        AlertOutcome::Failed => {
            tracing::error!(
                workspace,
                endpoint,
                alert = alert.id,
                kind,
                "an alert is lost, no attempts are left: {summary}"
            );
            "failed"
        }
    };
    sender.metrics().alert_attempted(result);
    sender.ledger().finish_alert(&alert.id, &sender.0.holder, &outcome, summary, now).await?;
    Ok(outcome)
}

/// Alerts are retried for a day, like the deliveries of an endpoint with a long tail.
fn outcome(exchange: &Exchange, tries: u32, at: UnixMillis) -> AlertOutcome {
    if exchange.is_success() {
        return AlertOutcome::Delivered;
    }
    let retry_after = exchange.result.as_ref().ok().and_then(|answer: &ReceiverResponse| answer.retry_after);
    let tries = tries.saturating_add(1);
    let failed = schedule::Failed { tries, long_tail: true, retry_after, at, jitter: jitter() };
    schedule::next_attempt(failed).map_or(AlertOutcome::Failed, AlertOutcome::RetryAt)
}
