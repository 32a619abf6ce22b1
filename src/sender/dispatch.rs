//! The dispatcher claims due deliveries as slots become free, spawns a task for each, and polls again when a task ends,
//! an event is accepted or a delivery is due.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::admission::Admission;
use super::concurrency::{Concurrency, Limits};
use super::handle::Sender;
use super::health_writer::write_all;
use super::open_ledger::open_with_retry;
use crate::clock::UnixMillis;
use crate::ledger::{Lane, LedgerError, Share};
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

/// The pause before the next poll while the database does not answer.
const ERROR_PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Dispatcher {
    pub(super) sender: Sender,
    pub(super) admission: Arc<Admission>,
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
        let (updates, to_note) = mpsc::unbounded_channel();
        let state = (sender.clone(), to_note);
        tasks::supervise(Task::EndpointHealth, state, |(sender, to_note)| {
            Box::pin(write_all(sender, to_note))
        });
        let admission = Arc::new(Admission::new(concurrency, updates));
        sender.set_admission(Arc::clone(&admission));
        Self { sender, admission, refreshed_at: None, next_due: None, stepped_at: None }
    }

    /// Sends until the sender is stopped, then waits for the attempts in flight.
    pub(super) async fn run(mut self) {
        self.prepare().await;
        while !self.sender.0.stop.is_cancelled() {
            let sleep_for = match self.poll().await {
                Ok(sleep_for) => {
                    if !self.database_works(true) {
                        tracing::info!("the database answers again; webhooks are sent");
                    }
                    sleep_for
                }
                Err(error) => {
                    if self.database_works(false) {
                        tracing::error!(%error, "no webhooks are sent until the database answers");
                    }
                    self.sender.metrics().database_failed(error.label());
                    ERROR_PAUSE
                }
            };
            self.wait(sleep_for).await;
        }
        while self.admission.lock().permits > 0 {
            self.sender.0.wake.notified().await;
        }
    }

    /// Notes whether the database can be used; returns whether it could before.
    fn database_works(&self, works: bool) -> bool {
        let (before, _) = self.sender.database_state();
        self.sender.0.database.set(works);
        before
    }

    /// Waits for a database that could not be opened when the program started.
    async fn prepare(&self) {
        let services = &self.sender.0.services;
        if services.ledger.open_error().is_some() {
            self.database_works(false);
        }
        let open = open_with_retry(&services.metrics, &services.ledger, true);
        tokio::select! {
            () = self.sender.0.stop.cancelled() => {}
            () = open => { self.database_works(true); }
        }
    }

    async fn wait(&self, sleep_for: Duration) {
        let began = Instant::now();
        tokio::select! {
            () = self.sender.0.stop.cancelled() => {}
            () = self.sender.0.wake.notified() => {}
            () = tokio::time::sleep(sleep_for) => {}
        }
        if began.elapsed() < BATCH_DELAY {
            tokio::time::sleep(BATCH_DELAY.saturating_sub(began.elapsed())).await;
        }
    }

    /// Claims as many deliveries as there is room for. Returns how long to sleep.
    async fn poll(&mut self) -> Result<Duration, LedgerError> {
        self.apply_clock_step().await?;
        let now = self.sender.now();
        let due_again = self.admission.lock().due_again.take();
        self.next_due = self.next_due.into_iter().chain(due_again).min();
        self.refresh_queues(now).await?;
        self.queue_due(now).await?;
        let (shares, next_turn) = {
            let state = self.admission.lock();
            (state.concurrency.plan(MAX_CLAIMS, now), state.concurrency.next_turn(now))
        };
        if !shares.is_empty() {
            self.claim(&shares, now).await?;
            // There may be more deliveries. Completions and accepted events come first.
            return Ok(Duration::ZERO);
        }
        let next = self.next_due.into_iter().chain(next_turn).min();
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
        let queues = self.sender.ledger().queues(now).await?;
        self.next_due = self.sender.ledger().next_due().await?;
        let mut state = self.admission.lock();
        for (queue, health) in queues {
            state.concurrency.found_queue(&queue, health);
        }
        state.concurrency.forget_idle(now);
        self.refreshed_at = Some(Instant::now());
        Ok(())
    }

    /// Queues the deliveries that are due.
    async fn queue_due(&mut self, now: UnixMillis) -> Result<(), LedgerError> {
        if self.next_due.is_none_or(|due| now < due) {
            return Ok(());
        }
        let queued = self.sender.ledger().queue_due(MAX_DUE, now).await?;
        {
            let mut state = self.admission.lock();
            queued.iter().for_each(|(queue, count)| state.concurrency.queued(queue, *count));
        }
        self.next_due = self.sender.ledger().next_due().await?;
        Ok(())
    }

    async fn claim(&self, shares: &[Share], now: UnixMillis) -> Result<(), LedgerError> {
        // The reads of this poll may have taken long.
        let lease = self.sender.lease(self.sender.now());
        let claimed = self.sender.ledger().claim(shares, &lease, now).await?;
        let mut counts: HashMap<(&str, Lane), usize> = HashMap::new();
        for claimed in &claimed {
            *counts.entry((&claimed.endpoint, claimed.lane)).or_default() += 1;
        }
        {
            let mut state = self.admission.lock();
            for share in shares {
                let count = counts.get(&(share.endpoint.as_str(), share.lane)).copied().unwrap_or_default();
                state.concurrency.claimed(share, count);
            }
        }
        self.sender.begin_queued(&self.admission, claimed, now).await
    }
}
