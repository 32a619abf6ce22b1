//! The dispatcher: takes what is due out of the ledger as places are free, hands each delivery to a task of its own, and
//! looks again when something ends, comes in, or falls due.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::attempt::{self, Made, Wait};
use super::circuit_breaker::Bounds;
use super::concurrency::{Candidate, Concurrency, Limits, Outcome, Slot};
use super::health_update::{Attempted, Judgement, note_all};
use super::schedule;
use super::{Sender, chance, open_until_it_works};
use crate::clock::UnixMillis;
use crate::ledger::{Claimed, Failure, Finished, Lane, Lease, LedgerError, Next, Setback, Share};
use crate::tasks::{self, Task};

/// The most deliveries that are taken at one look.
const MOST_CLAIMS: usize = 256;

/// The most deliveries that get in line at one look because their time has come.
const MOST_DUE: usize = 1_000;

/// How long the dispatcher sleeps at most: so late it notices what another process accepted, or left behind.
const LONGEST_NAP: Duration = Duration::from_millis(500);

/// Between two looks under load: what ends or comes in meanwhile shares a transaction.
const GATHER: Duration = Duration::from_millis(2);

/// How long a lease outlives an attempt's deadline: time to look for the assets and to write down what happened.
const LEASE_BEYOND: Duration = Duration::from_secs(20);

/// Between two tries to write down what happened, while the database does not answer.
const WRITE_AGAIN: Duration = Duration::from_secs(1);

/// How long a delivery waits whose attempt panicked: the fault is ours, so it costs none of its tries.
const AFTER_PANIC: Duration = Duration::from_secs(60);

/// What a delivery's task gives back when it ends.
#[derive(Debug)]
struct Ended {
    slot: Slot,
    /// In which of the endpoint's epochs it was claimed.
    epoch: u64,
    /// What came of the attempt, if one was made.
    outcome: Option<(Outcome, Attempted)>,
    /// When the delivery is due again, if it is.
    due_again: Option<UnixMillis>,
}

/// An endpoint's room for one attempt. Dropping it gives the room back, however its task ends.
#[derive(Debug)]
struct Permit {
    ended: Option<Ended>,
    dispatcher: mpsc::UnboundedSender<Ended>,
}

impl Permit {
    /// An attempt was made.
    fn attempted(&mut self, outcome: Outcome, at: UnixMillis, failure: Option<Failure>) {
        if let Some(ended) = &mut self.ended {
            ended.outcome = Some((outcome, Attempted { at, epoch: ended.epoch, failure }));
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
    ended: mpsc::UnboundedSender<Ended>,
    ends: mpsc::UnboundedReceiver<Ended>,
    judgements: mpsc::UnboundedSender<Judgement>,
    /// When the ledger was last asked which lines there are.
    pub(super) looked_for_lines: Option<Instant>,
    /// When the next delivery falls due that waits for its time.
    pub(super) next_due: Option<UnixMillis>,
    /// When the wall clock was last seen to jump, or might have before.
    pub(super) jumped: Option<Instant>,
}

impl Dispatcher {
    pub(super) fn new(sender: Sender) -> Self {
        let config = &sender.0.config;
        let concurrency = Concurrency::new(Limits {
            attempts_in_flight: config.attempts_in_flight,
            attempts_per_endpoint: config.attempts_per_endpoint,
            attempt_timeout: config.attempt_timeout,
        });
        let (ended, ends) = mpsc::unbounded_channel();
        let (judgements, to_note) = mpsc::unbounded_channel();
        let state = (sender.clone(), to_note);
        tasks::supervise(Task::EndpointHealth, state, |(sender, to_note)| {
            Box::pin(note_all(sender, to_note))
        });
        Self {
            sender,
            concurrency,
            ended,
            ends,
            judgements,
            looked_for_lines: None,
            next_due: None,
            jumped: None,
        }
    }

    /// Sends until told to stop, then waits for what is under way.
    pub(super) async fn run(mut self) {
        self.prepare().await;
        let mut quiet_since_failure = true;
        while !self.sender.0.stop.is_cancelled() {
            let nap = match self.take_what_is_due().await {
                Ok(nap) => {
                    if !std::mem::replace(&mut quiet_since_failure, true) {
                        tracing::info!("the database answers again; webhooks are sent");
                    }
                    nap
                }
                Err(error) => {
                    if std::mem::replace(&mut quiet_since_failure, false) {
                        tracing::error!(%error, "no webhooks are sent until the database answers");
                    }
                    self.sender.0.services.metrics.ledger_failed(error.word());
                    WRITE_AGAIN
                }
            };
            self.wait(nap).await;
        }
        while self.concurrency.in_flight() > 0 {
            let Some(ended) = self.ends.recv().await else { break };
            self.take_end(&ended);
        }
    }

    /// Waits for a database that could not be opened when the program started.
    async fn prepare(&self) {
        let services = &self.sender.0.services;
        let open = open_until_it_works(&services.metrics, &services.ledger, true);
        tokio::select! {
            () = self.sender.0.stop.cancelled() => {}
            () = open => {}
        }
    }

    async fn wait(&mut self, nap: Duration) {
        let (stop, began) = (self.sender.0.stop.clone(), Instant::now());
        let sender = self.sender.clone();
        tokio::select! {
            () = stop.cancelled() => {}
            () = sender.0.wake.notified() => {}
            () = tokio::time::sleep(nap) => {}
            Some(ended) = self.ends.recv() => self.take_end(&ended),
        }
        if began.elapsed() < GATHER {
            tokio::time::sleep(GATHER.saturating_sub(began.elapsed())).await;
        }
        self.take_ends();
    }

    fn take_ends(&mut self) {
        while let Ok(ended) = self.ends.try_recv() {
            self.take_end(&ended);
        }
    }

    /// Takes as much as there is room for; says how long there is nothing to do.
    async fn take_what_is_due(&mut self) -> Result<Duration, LedgerError> {
        self.follow_clock().await?;
        let now = self.sender.now();
        for (line, count) in self.sender.take_arrivals() {
            self.concurrency.queued(&line, count);
        }
        self.look_for_lines(now).await?;
        self.queue_due(now).await?;
        let shares = self.concurrency.plan(MOST_CLAIMS, now);
        if !shares.is_empty() {
            self.claim(&shares, now).await?;
            // There may be more; what ended or came in meanwhile has its turn before.
            return Ok(Duration::ZERO);
        }
        let next = self.next_due.into_iter().chain(self.concurrency.next_turn(now)).min();
        // What is due and has no room waits for something to end.
        let nap = next.map_or(LONGEST_NAP, |next| next.since(now).min(LONGEST_NAP));
        Ok(nap.max(Duration::from_millis(1)))
    }

    /// Learns of lines that others filled: another process, the time before a restart, a pause that ended.
    async fn look_for_lines(&mut self, now: UnixMillis) -> Result<(), LedgerError> {
        let called = self.sender.0.look_everywhere.swap(false, Ordering::Relaxed);
        if !called && self.looked_for_lines.is_some_and(|last| last.elapsed() < LONGEST_NAP) {
            return Ok(());
        }
        self.correct_what_is_stored(now).await?;
        for (line, health) in self.sender.ledger().lines(now).await? {
            self.concurrency.has_line(&line, health);
        }
        self.next_due = self.sender.ledger().next_due().await?;
        self.concurrency.forget_idle(now);
        self.looked_for_lines = Some(Instant::now());
        Ok(())
    }

    /// Puts in line what waited for its time.
    async fn queue_due(&mut self, now: UnixMillis) -> Result<(), LedgerError> {
        if self.next_due.is_none_or(|due| now < due) {
            return Ok(());
        }
        let due = self.sender.ledger().queue_due(MOST_DUE, now).await?;
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
            self.concurrency.taken(share, count);
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
        let mut too_many = Vec::new();
        for claimed in claimed {
            match self.concurrency.admit(Candidate::from(&claimed), now) {
                Some(slot) => {
                    let failing = claimed.health.failing_since.is_some();
                    let epoch = claimed.health.epoch;
                    let ended = Some(Ended { slot, epoch, outcome: None, due_again: None });
                    let permit = Permit { ended, dispatcher: self.ended.clone() };
                    tasks::spawn(Task::Delivery, deliver(self.sender.clone(), claimed, failing, permit));
                }
                None => too_many.push((claimed.delivery, Setback::Queued)),
            }
        }
        self.sender.ledger().put_back(&self.sender.0.holder, &too_many).await
    }

    fn take_end(&mut self, ended: &Ended) {
        let outcome = ended.outcome.as_ref().map(|(outcome, attempted)| {
            self.judge(ended.slot.endpoint(), attempted);
            *outcome
        });
        self.concurrency.release(&ended.slot, outcome, self.sender.now());
        self.next_due = self.next_due.into_iter().chain(ended.due_again).min();
    }

    /// Notes how an endpoint's attempts go. Only what changes something for others is written down.
    fn judge(&mut self, endpoint: &str, attempted: &Attempted) {
        let bounds =
            Bounds { watched: self.sender.watched(), disable_after: self.sender.0.config.disable_after };
        let before = self.concurrency.health(endpoint);
        let Some(judgement) = Judgement::of(endpoint, before, attempted, bounds) else { return };
        self.concurrency.set_health(endpoint, judgement.health);
        if judgement.changes_something {
            // The task ends with the dispatcher alone.
            let _ = self.judgements.send(judgement);
        }
    }
}

impl Sender {
    /// How long what is claimed stays with who claimed it.
    pub(super) fn longest_lease(&self) -> Duration {
        self.0.config.attempt_timeout + LEASE_BEYOND
    }
}

/// Makes one attempt and writes down what came of it.
async fn deliver(sender: Sender, claimed: Claimed, failing: bool, mut permit: Permit) {
    let outcome = tasks::catch_panic(Task::Delivery, attempt::attempt(&sender, &claimed)).await;
    let outcome = outcome.unwrap_or_else(|| {
        let (from, asset_waited) = (sender.now(), claimed.asset_waited);
        let why = "the attempt ended by a fault of the sender, and is made again".to_owned();
        attempt::Outcome::NotYet(Wait { from, until: from.plus(AFTER_PANIC), why, asset_waited })
    });
    match outcome {
        attempt::Outcome::Attempted(made) => {
            let (succeeded, took, at) = (made.succeeded, made.took, sender.now());
            let failure =
                (!succeeded).then(|| Failure { code: made.code.to_owned(), summary: made.summary.clone() });
            permit.attempted(Outcome { succeeded, took }, at, failure);
            let finished = finished(&sender, &claimed, made, at);
            if let Next::RetryAt(due) = finished.next {
                permit.due_again(due);
            }
            write_down(&sender, finished).await;
            // The gentle probes of a dead endpoint would otherwise say nothing when it is back.
            if succeeded && failing {
                tracing::info!(endpoint = claimed.endpoint, "an endpoint takes events again");
            }
        }
        attempt::Outcome::NotYet(wait) => {
            permit.due_again(wait.until);
            put_back(&sender, &claimed, wait).await;
        }
    }
}

fn finished(sender: &Sender, claimed: &Claimed, made: Made, at: UnixMillis) -> Finished {
    let next = if made.succeeded {
        Next::Delivered
    } else {
        let failed = schedule::Failed {
            tries: claimed.tries.saturating_add(1),
            long_tail: claimed.long_tail,
            retry_after: made.retry_after,
            at,
            chance: chance(),
        };
        schedule::next_attempt(failed).map_or(Next::Failed, Next::RetryAt)
    };
    let metrics = &sender.0.services.metrics;
    metrics.attempt_ended(made.code, made.took);
    match next {
        Next::Delivered => metrics.delivery_ended("delivered", at.since(claimed.accepted_at)),
        Next::Failed => metrics.delivery_ended("failed", at.since(claimed.accepted_at)),
        Next::RetryAt(_) => {}
    }
    Finished {
        delivery: claimed.delivery.clone(),
        holder: sender.0.holder.clone(),
        number: claimed.attempts.saturating_add(1),
        started_at: made.started_at,
        took: made.took,
        status: made.status,
        code: made.code,
        summary: made.summary,
        advice: made.advice,
        excerpt: made.excerpt,
        links_expire: made.links_expire,
        note: made.note,
        next,
        at,
    }
}

/// Tries until it is written. Should the program end before, the lease ends too, and the attempt is made again.
async fn write_down(sender: &Sender, finished: Finished) {
    loop {
        match sender.ledger().finish(finished.clone()).await {
            Ok(()) => return,
            Err(error) if error.may_pass() && !sender.0.stop.is_cancelled() => {
                sender.0.services.metrics.ledger_failed(error.word());
                tokio::time::sleep(WRITE_AGAIN).await;
            }
            Err(error) => {
                tracing::error!(delivery = finished.delivery, %error, "an attempt could not be written down; it will be made again");
                return;
            }
        }
    }
}

async fn put_back(sender: &Sender, claimed: &Claimed, wait: Wait) {
    let Wait { from, until, why, asset_waited } = wait;
    let setback = [(claimed.delivery.clone(), Setback::Pause { from, until, note: why, asset_waited })];
    if let Err(error) = sender.ledger().put_back(&sender.0.holder, &setback).await {
        tracing::warn!(delivery = claimed.delivery, %error, "a delivery that has to wait could not be put back; its lease will end");
    }
}
