//! The dispatcher claims due deliveries as slots become free, spawns a task for each, and polls again when a task ends,
//! an event is accepted or a delivery is due.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::circuit_breaker::{Bounds, HealthSample};
use super::concurrency::{Candidate, Concurrency, Limits};
use super::deliver::deliver;
use super::handle::Sender;
use super::health_update::{HealthUpdate, write_all};
use super::open_ledger::open_with_retry;
use super::permit::{Completion, Permit};
use crate::clock::UnixMillis;
use crate::ledger::{Claimed, Lane, Lease, LedgerError, Requeue, Share};
use crate::tasks::{self, Task};

/// The maximum number of deliveries that one poll claims.
const MAX_CLAIMS: usize = 256;

/// The maximum number of due deliveries that one poll queues.
const MAX_DUE: usize = 1_000;

/// The longest pause between two polls, which bounds how late the dispatcher sees deliveries that another process
/// queued.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// The shortest pause between two polls under load, so that several completions and events share a transaction.
const BATCH_DELAY: Duration = Duration::from_millis(2);

/// How long a lease outlasts an attempt's deadline: time to look up the assets and record the result.
const LEASE_MARGIN: Duration = Duration::from_secs(20);

/// The pause before the next poll while the database does not answer.
const ERROR_PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Dispatcher {
    pub(super) sender: Sender,
    pub(super) concurrency: Concurrency,
    /// Bounded by the slots: each slot has one permit, which sends one message.
    completed: mpsc::UnboundedSender<Completion>,
    completions: mpsc::UnboundedReceiver<Completion>,
    updates: mpsc::UnboundedSender<HealthUpdate>,
    /// When the queues were last read from the ledger.
    pub(super) refreshed_at: Option<Instant>,
    /// When the next waiting delivery is due.
    pub(super) next_due: Option<UnixMillis>,
    /// When the wall clock last made a step, or may have made one before startup.
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
        let (completed, completions) = mpsc::unbounded_channel();
        let (updates, to_note) = mpsc::unbounded_channel();
        let state = (sender.clone(), to_note);
        tasks::supervise(Task::EndpointHealth, state, |(sender, to_note)| {
            Box::pin(write_all(sender, to_note))
        });
        Self {
            sender,
            concurrency,
            completed,
            completions,
            updates,
            refreshed_at: None,
            next_due: None,
            stepped_at: None,
        }
    }

    /// Sends until the sender is stopped, then waits for the attempts in flight.
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
                    self.sender.metrics().database_failed(error.label());
                    ERROR_PAUSE
                }
            };
            self.wait(sleep_for).await;
        }
        while self.concurrency.in_flight() > 0 {
            let Some(completion) = self.completions.recv().await else { break };
            self.on_completion(&completion);
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
            Some(completion) = self.completions.recv() => self.on_completion(&completion),
        }
        if began.elapsed() < BATCH_DELAY {
            tokio::time::sleep(BATCH_DELAY.saturating_sub(began.elapsed())).await;
        }
        self.drain_completions();
    }

    fn drain_completions(&mut self) {
        while let Ok(completion) = self.completions.try_recv() {
            self.on_completion(&completion);
        }
    }

    /// Claims as many deliveries as there is room for. Returns how long to sleep.
    async fn poll(&mut self) -> Result<Duration, LedgerError> {
        self.apply_clock_step().await?;
        let now = self.sender.now();
        for (queue, count) in self.sender.take_enqueued() {
            self.concurrency.queued(&queue, count);
        }
        self.refresh_queues(now).await?;
        self.queue_due(now).await?;
        let shares = self.concurrency.plan(MAX_CLAIMS, now);
        if !shares.is_empty() {
            self.claim(&shares, now).await?;
            // There may be more deliveries. Completions and accepted events come first.
            return Ok(Duration::ZERO);
        }
        let next = self.next_due.into_iter().chain(self.concurrency.next_turn(now)).min();
        // Due deliveries without room wait for a completion.
        let sleep_for = next.map_or(POLL_INTERVAL, |next| next.since(now).min(POLL_INTERVAL));
        Ok(sleep_for.max(Duration::from_millis(1)))
    }

    /// Reads the queues from the ledger: another process may have filled them, or a pause may have ended.
    async fn refresh_queues(&mut self, now: UnixMillis) -> Result<(), LedgerError> {
        let requested = self.sender.0.refresh.swap(false, Ordering::Relaxed);
        if !requested && self.refreshed_at.is_some_and(|last| last.elapsed() < POLL_INTERVAL) {
            return Ok(());
        }
        self.correct_stored_times(now).await?;
        for (queue, health) in self.sender.ledger().queues(now).await? {
            self.concurrency.found_queue(&queue, health);
        }
        self.next_due = self.sender.ledger().next_due().await?;
        self.concurrency.forget_idle(now);
        self.refreshed_at = Some(Instant::now());
        Ok(())
    }

    /// Queues the deliveries that are due.
    async fn queue_due(&mut self, now: UnixMillis) -> Result<(), LedgerError> {
        if self.next_due.is_none_or(|due| now < due) {
            return Ok(());
        }
        for (queue, count) in self.sender.ledger().queue_due(MAX_DUE, now).await? {
            self.concurrency.queued(&queue, count);
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
                    let failing = claimed.target.health.failing_since.is_some();
                    let epoch = claimed.target.health.epoch;
                    let permit = Permit::new(slot, epoch, self.completed.clone());
                    tasks::spawn(Task::Delivery, deliver(self.sender.clone(), claimed, failing, permit));
                }
                None => rejected.push((claimed.delivery, Requeue::Now)),
            }
        }
        self.sender.ledger().requeue(&self.sender.0.holder, &rejected).await
    }

    fn on_completion(&mut self, completion: &Completion) {
        let outcome = completion.outcome.as_ref().map(|(outcome, sample)| {
            self.record_health(completion.slot.endpoint(), sample);
            *outcome
        });
        self.concurrency.release(&completion.slot, outcome, self.sender.now());
        self.next_due = self.next_due.into_iter().chain(completion.due_again).min();
    }

    /// Updates an endpoint's health. Only changes that matter to other processes are written.
    fn record_health(&mut self, endpoint: &str, sample: &HealthSample) {
        let bounds = Bounds {
            stable_for: self.sender.stable_for(),
            disable_after: self.sender.0.config.disable_after,
        };
        let before = self.concurrency.health(endpoint);
        let Some(update) = HealthUpdate::of(endpoint, before, sample, bounds) else { return };
        self.concurrency.set_health(endpoint, update.health);
        if update.is_new {
            // The receiving task ends only with the dispatcher.
            let _ = self.updates.send(update);
        }
    }
}

impl Sender {
    /// How long a lease lasts.
    pub(super) fn longest_lease(&self) -> Duration {
        self.0.config.attempt_timeout + LEASE_MARGIN
    }
}
