//! The dispatcher: takes what is due out of the ledger as places are free, hands each delivery to a task of its own, and
//! looks again when something ends, comes in, or falls due.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::attempt::{self, AttemptResult, Wait};
use super::circuit_breaker::Bounds;
use super::concurrency::{Candidate, Concurrency, Feedback, Limits, Slot};
use super::health_update::{HealthSample, HealthUpdate, write_all};
use super::schedule;
use super::{Sender, jitter, open_with_retry};
use crate::clock::UnixMillis;
use crate::ledger::{
    Claimed, Disposition, Failure, FinishedAttempt, Lane, Lease, LedgerError, Requeue, Share,
};
use crate::tasks::{self, Task};

/// The most deliveries that are taken at one look.
const MAX_CLAIMS: usize = 256;

/// The most deliveries that get in line at one look because their time has come.
const MAX_DUE: usize = 1_000;

/// How long the dispatcher sleeps at most: so late it notices what another process accepted, or left behind.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// Between two looks under load: what ends or comes in meanwhile shares a transaction.
const BATCH_DELAY: Duration = Duration::from_millis(2);

/// How long a lease outlives an attempt's deadline: time to look for the assets and to write down what happened.
const LEASE_MARGIN: Duration = Duration::from_secs(20);

/// Between two tries to write down what happened, while the database does not answer.
const WRITE_RETRY: Duration = Duration::from_secs(1);

/// How long a delivery waits whose attempt panicked: the fault is ours, so it costs none of its tries.
const PANIC_DELAY: Duration = Duration::from_secs(60);

/// What a delivery's task gives back when it ends.
#[derive(Debug)]
struct Completion {
    slot: Slot,
    /// In which of the endpoint's epochs it was claimed.
    epoch: u64,
    /// What came of the attempt, if one was made.
    outcome: Option<(Feedback, HealthSample)>,
    /// When the delivery is due again, if it is.
    due_again: Option<UnixMillis>,
}

/// An endpoint's room for one attempt. Dropping it gives the room back, however its task ends.
#[derive(Debug)]
struct Permit {
    ended: Option<Completion>,
    dispatcher: mpsc::UnboundedSender<Completion>,
}

impl Permit {
    /// An attempt was made.
    fn sample(&mut self, outcome: Feedback, at: UnixMillis, failure: Option<Failure>) {
        if let Some(ended) = &mut self.ended {
            ended.outcome = Some((outcome, HealthSample { at, epoch: ended.epoch, failure }));
        }
    }

    /// The delivery waits until then.
    fn due_again(&mut self, at: UnixMillis) {
        if let Some(ended) = &mut self.ended {
            ended.due_again = Some(at);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if let Some(ended) = self.ended.take() {
            // A dispatcher that has gone counts no attempts any more.
            let _ = self.dispatcher.send(ended);
        }
    }
}

#[derive(Debug)]
pub(super) struct Dispatcher {
    pub(super) sender: Sender,
    pub(super) concurrency: Concurrency,
    /// Each permit sends one message, and there are no more permits than attempts that may be under way.
    ended: mpsc::UnboundedSender<Completion>,
    completions: mpsc::UnboundedReceiver<Completion>,
    updates: mpsc::UnboundedSender<HealthUpdate>,
    /// When the ledger was last asked which lines there are.
    pub(super) refreshed_at: Option<Instant>,
    /// When the next delivery falls due that waits for its time.
    pub(super) next_due: Option<UnixMillis>,
    /// When the wall clock was last seen to jump, or might have before.
    pub(super) stepped_at: Option<Instant>,
}

impl Dispatcher {
    pub(super) fn new(sender: Sender) -> Self {
        let config = &sender.0.config;
        let concurrency = Concurrency::new(Limits {
            attempts_in_flight: config.attempts_in_flight,
            attempts_per_endpoint: config.attempts_per_endpoint,
            attempt_timeout: config.attempt_timeout,
        });
        let (ended, completions) = mpsc::unbounded_channel();
        let (updates, to_note) = mpsc::unbounded_channel();
        let state = (sender.clone(), to_note);
        tasks::supervise(Task::EndpointHealth, state, |(sender, to_note)| {
            Box::pin(write_all(sender, to_note))
        });
        Self {
            sender,
            concurrency,
            ended,
            completions,
            updates,
            refreshed_at: None,
            next_due: None,
            stepped_at: None,
        }
    }

    /// Sends until told to stop, then waits for what is under way.
    pub(super) async fn run(mut self) {
        self.prepare().await;
        let mut database_answers = true;
        while !self.sender.0.stop.is_cancelled() {
            let sleep_for = match self.poll().await {
                Ok(sleep_for) => {
                    if !std::mem::replace(&mut database_answers, true) {
                        tracing::info!("the database answers again; webhooks are sent");
                    }
                    sleep_for
                }
                Err(error) => {
                    if std::mem::replace(&mut database_answers, false) {
                        tracing::error!(%error, "no webhooks are sent until the database answers");
                    }
                    self.sender.0.services.metrics.database_failed(error.label());
                    WRITE_RETRY
                }
            };
            self.wait(sleep_for).await;
        }
        while self.concurrency.in_flight() > 0 {
            let Some(ended) = self.completions.recv().await else { break };
            self.on_completion(&ended);
        }
    }

    /// Waits for a database that could not be opened when the program started.
    async fn prepare(&self) {
        let services = &self.sender.0.services;
        let open = open_with_retry(&services.metrics, &services.ledger, true);
        tokio::select! {
            () = self.sender.0.stop.cancelled() => {}
            () = open => {}
        }
    }

    async fn wait(&mut self, sleep_for: Duration) {
        let (stop, began) = (self.sender.0.stop.clone(), Instant::now());
        let sender = self.sender.clone();
        tokio::select! {
            () = stop.cancelled() => {}
            () = sender.0.wake.notified() => {}
            () = tokio::time::sleep(sleep_for) => {}
            Some(ended) = self.completions.recv() => self.on_completion(&ended),
        }
        if began.elapsed() < BATCH_DELAY {
            tokio::time::sleep(BATCH_DELAY.saturating_sub(began.elapsed())).await;
        }
        self.drain_completions();
    }

    fn drain_completions(&mut self) {
        while let Ok(ended) = self.completions.try_recv() {
            self.on_completion(&ended);
        }
    }

    /// Takes as much as there is room for; says how long there is nothing to do.
    async fn poll(&mut self) -> Result<Duration, LedgerError> {
        self.apply_clock_step().await?;
        let now = self.sender.now();
        for (line, count) in self.sender.take_enqueued() {
            self.concurrency.queued(&line, count);
        }
        self.refresh_queues(now).await?;
        self.queue_due(now).await?;
        let shares = self.concurrency.plan(MAX_CLAIMS, now);
        if !shares.is_empty() {
            self.claim(&shares, now).await?;
            // There may be more; what ended or came in meanwhile has its turn before.
            return Ok(Duration::ZERO);
        }
        let next = self.next_due.into_iter().chain(self.concurrency.next_turn(now)).min();
        // What is due and has no room waits for something to end.
        let sleep_for = next.map_or(POLL_INTERVAL, |next| next.since(now).min(POLL_INTERVAL));
        Ok(sleep_for.max(Duration::from_millis(1)))
    }

    /// Learns of lines that others filled: another process, the time before a restart, a pause that ended.
    async fn refresh_queues(&mut self, now: UnixMillis) -> Result<(), LedgerError> {
        let called = self.sender.0.refresh.swap(false, Ordering::Relaxed);
        if !called && self.refreshed_at.is_some_and(|last| last.elapsed() < POLL_INTERVAL) {
            return Ok(());
        }
        self.correct_stored_times(now).await?;
        for (line, health) in self.sender.ledger().queues(now).await? {
            self.concurrency.found_queue(&line, health);
        }
        self.next_due = self.sender.ledger().next_due().await?;
        self.concurrency.forget_idle(now);
        self.refreshed_at = Some(Instant::now());
        Ok(())
    }

    /// Puts in line what waited for its time.
    async fn queue_due(&mut self, now: UnixMillis) -> Result<(), LedgerError> {
        if self.next_due.is_none_or(|due| now < due) {
            return Ok(());
        }
        let due = self.sender.ledger().queue_due(MAX_DUE, now).await?;
        let mut counts: HashMap<_, usize> = HashMap::new();
        for line in due {
            *counts.entry(line).or_default() += 1;
        }
        for (line, count) in counts {
            self.concurrency.queued(&line, count);
        }
        self.next_due = self.sender.ledger().next_due().await?;
        Ok(())
    }

    async fn claim(&mut self, shares: &[Share], now: UnixMillis) -> Result<(), LedgerError> {
        let claimed = self.sender.ledger().claim(shares, &self.lease(now), now).await?;
        let mut counts: HashMap<(&str, Lane), usize> = HashMap::new();
        for claimed in &claimed {
            *counts.entry((&claimed.endpoint, claimed.lane)).or_default() += 1;
        }
        for share in shares {
            let count = counts.get(&(share.endpoint.as_str(), share.lane)).copied().unwrap_or_default();
            self.concurrency.claimed(share, count);
        }
        self.begin(claimed, now).await
    }

    fn lease(&self, now: UnixMillis) -> Lease {
        let config = &self.sender.0.config;
        Lease {
            holder: self.sender.0.holder.clone(),
            until: now.plus(self.sender.longest_lease()),
            links_expire: self.sender.wall().plus(config.link_lifetime),
        }
    }

    async fn begin(&mut self, claimed: Vec<Claimed>, now: UnixMillis) -> Result<(), LedgerError> {
        let mut rejected = Vec::new();
        for claimed in claimed {
            match self.concurrency.admit(Candidate::from(&claimed), now) {
                Some(slot) => {
                    let failing = claimed.health.failing_since.is_some();
                    let epoch = claimed.health.epoch;
                    let ended = Some(Completion { slot, epoch, outcome: None, due_again: None });
                    let permit = Permit { ended, dispatcher: self.ended.clone() };
                    tasks::spawn(Task::Delivery, deliver(self.sender.clone(), claimed, failing, permit));
                }
                None => rejected.push((claimed.delivery, Requeue::Now)),
            }
        }
        self.sender.ledger().requeue(&self.sender.0.holder, &rejected).await
    }

    fn on_completion(&mut self, ended: &Completion) {
        let outcome = ended.outcome.as_ref().map(|(outcome, sample)| {
            self.judge(ended.slot.endpoint(), sample);
            *outcome
        });
        self.concurrency.release(&ended.slot, outcome, self.sender.now());
        self.next_due = self.next_due.into_iter().chain(ended.due_again).min();
    }

    /// Notes how an endpoint's attempts go. Only what changes something for others is written down.
    fn judge(&mut self, endpoint: &str, sample: &HealthSample) {
        let bounds = Bounds {
            stable_for: self.sender.stable_for(),
            disable_after: self.sender.0.config.disable_after,
        };
        let before = self.concurrency.health(endpoint);
        let Some(update) = HealthUpdate::of(endpoint, before, sample, bounds) else { return };
        self.concurrency.set_health(endpoint, update.health);
        if update.is_new {
            // The task ends with the dispatcher alone.
            let _ = self.updates.send(update);
        }
    }
}

impl Sender {
    /// How long what is claimed stays with who claimed it.
    pub(super) fn longest_lease(&self) -> Duration {
        self.0.config.attempt_timeout + LEASE_MARGIN
    }
}

/// Makes one attempt and writes down what came of it.
async fn deliver(sender: Sender, claimed: Claimed, failing: bool, mut permit: Permit) {
    let outcome = tasks::catch_panic(Task::Delivery, attempt::attempt(&sender, &claimed)).await;
    let outcome = outcome.unwrap_or_else(|| {
        let (from, asset_waited) = (sender.now(), claimed.asset_waited);
        let why = "the attempt ended by a fault of the sender, and is made again".to_owned();
        attempt::AttemptOutcome::Postponed(Wait { from, until: from.plus(PANIC_DELAY), why, asset_waited })
    });
    match outcome {
        attempt::AttemptOutcome::Sent(result) => {
            let (succeeded, took, at) = (result.succeeded, result.took, sender.now());
            let failure = (!succeeded)
                .then(|| Failure { code: result.code.to_owned(), summary: result.summary.clone() });
            permit.sample(Feedback { succeeded, took }, at, failure);
            let finished = finished(&sender, &claimed, result, at);
            if let Disposition::RetryAt(due) = finished.disposition {
                permit.due_again(due);
            }
            record(&sender, finished).await;
            // The gentle probes of a dead endpoint would otherwise say nothing when it is back.
            if succeeded && failing {
                tracing::info!(endpoint = claimed.endpoint, "an endpoint takes events again");
            }
        }
        attempt::AttemptOutcome::Postponed(wait) => {
            permit.due_again(wait.until);
            requeue(&sender, &claimed, wait).await;
        }
    }
}

fn finished(sender: &Sender, claimed: &Claimed, result: AttemptResult, at: UnixMillis) -> FinishedAttempt {
    let next = if result.succeeded {
        Disposition::Delivered
    } else {
        let failed = schedule::Failed {
            tries: claimed.tries.saturating_add(1),
            long_tail: claimed.long_tail,
            retry_after: result.retry_after,
            at,
            jitter: jitter(),
        };
        schedule::next_attempt(failed).map_or(Disposition::Failed, Disposition::RetryAt)
    };
    let metrics = &sender.0.services.metrics;
    metrics.attempt_ended(result.code, result.took);
    match next {
        Disposition::Delivered => metrics.delivery_ended("delivered", at.since(claimed.accepted_at)),
        Disposition::Failed => metrics.delivery_ended("failed", at.since(claimed.accepted_at)),
        Disposition::RetryAt(_) => {}
    }
    FinishedAttempt {
        delivery: claimed.delivery.clone(),
        holder: sender.0.holder.clone(),
        number: claimed.attempts.saturating_add(1),
        started_at: result.started_at,
        took: result.took,
        status: result.status,
        code: result.code,
        summary: result.summary,
        advice: result.advice,
        excerpt: result.excerpt,
        links_expire: result.links_expire,
        note: result.note,
        disposition: next,
        at,
    }
}

/// Tries until it is written. Should the program end before, the lease ends too, and the attempt is made again.
async fn record(sender: &Sender, finished: FinishedAttempt) {
    loop {
        match sender.ledger().finish(finished.clone()).await {
            Ok(()) => return,
            Err(error) if error.is_transient() && !sender.0.stop.is_cancelled() => {
                sender.0.services.metrics.database_failed(error.label());
                tokio::time::sleep(WRITE_RETRY).await;
            }
            Err(error) => {
                tracing::error!(delivery = finished.delivery, %error, "an attempt could not be written down; it will be made again");
                return;
            }
        }
    }
}

async fn requeue(sender: &Sender, claimed: &Claimed, wait: Wait) {
    let Wait { from, until, why, asset_waited } = wait;
    let requeue = [(claimed.delivery.clone(), Requeue::After { from, until, note: why, asset_waited })];
    if let Err(error) = sender.ledger().requeue(&sender.0.holder, &requeue).await {
        tracing::warn!(delivery = claimed.delivery, %error, "a delivery that has to wait could not be put back; its lease will end");
    }
}
