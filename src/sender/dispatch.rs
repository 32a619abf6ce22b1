//! The dispatcher: takes what is due out of the ledger, hands each delivery to a task of its own, and looks again when
//! something ends, comes in, or falls due.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::attempt::{self, Outcome};
use super::breaker::{self, Verdict};
use super::desk::{Desk, Ticket};
use super::schedule;
use super::{Sender, chance};
use crate::clock::UnixMillis;
use crate::ledger::{Claimed, Claims, Finished, Health, Lease, LedgerError, Next, Setback};
use crate::tasks::{self, Task};

/// How many deliveries are taken at one look.
const AT_ONCE: usize = 256;

/// How long the dispatcher sleeps at most: so late it notices what another process accepted, or left behind.
const LONGEST_NAP: Duration = Duration::from_millis(500);

/// Between two looks under load: what ends or comes in meanwhile shares a transaction.
const GATHER: Duration = Duration::from_millis(2);

/// How often it is looked for endpoints with a queue that this process does not know of.
const QUEUES_EVERY: Duration = Duration::from_secs(1);

/// Between two tries to write down what happened, while the database does not answer.
const WRITE_AGAIN: Duration = Duration::from_secs(1);

/// How long a lease outlives an attempt's deadline: time to look for the assets and to write down what happened.
const LEASE_BEYOND: Duration = Duration::from_secs(20);

/// How long a delivery waits whose attempt panicked: the fault is ours, so it costs none of its tries.
const AFTER_PANIC: Duration = Duration::from_secs(60);

/// What a delivery's task gives back when it ends.
#[derive(Debug)]
pub(super) struct Ended {
    endpoint: String,
    ticket: Ticket,
    /// Whether the attempt succeeded, and when it ended; `None` if none was made.
    succeeded: Option<(bool, UnixMillis)>,
}

/// An endpoint's room for one attempt. Dropping it gives the room back, however its task ends.
#[derive(Debug)]
struct Permit {
    ended: Option<Ended>,
    dispatcher: mpsc::UnboundedSender<Ended>,
}

impl Permit {
    /// An attempt was made.
    fn attempted(&mut self, succeeded: bool, at: UnixMillis) {
        if let Some(ended) = &mut self.ended {
            ended.succeeded = Some((succeeded, at));
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
    sender: Sender,
    desk: Desk,
    ended: mpsc::UnboundedSender<Ended>,
    ends: mpsc::UnboundedReceiver<Ended>,
    judgements: mpsc::UnboundedSender<Judgement>,
    looked_for_queues: Option<Instant>,
}

impl Dispatcher {
    pub(super) fn new(sender: Sender) -> Self {
        let (ended, ends) = mpsc::unbounded_channel();
        let desk = Desk::new(sender.0.config.attempts_in_flight);
        let (judgements, to_note) = mpsc::unbounded_channel();
        let state = (sender.clone(), to_note);
        tasks::supervise(Task::EndpointHealth, state, |(sender, to_note)| {
            Box::pin(note_all(sender, to_note))
        });
        Self { sender, desk, ended, ends, judgements, looked_for_queues: None }
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
        while self.desk.in_flight() > 0 {
            let Some(ended) = self.ends.recv().await else { break };
            self.take_end(&ended);
        }
    }

    /// Waits for a database that did not answer when the program started.
    async fn prepare(&self) {
        while let Err(error) = self.sender.ledger().prepare().await {
            self.sender.0.services.metrics.ledger_failed(error.word());
            tracing::debug!(%error, "the database is not ready");
            tokio::select! {
                () = self.sender.0.stop.cancelled() => return,
                () = tokio::time::sleep(WRITE_AGAIN) => {}
            }
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
        while let Ok(ended) = self.ends.try_recv() {
            self.take_end(&ended);
        }
    }

    /// Takes as much as there is room for; says how long there is nothing to do.
    async fn take_what_is_due(&mut self) -> Result<Duration, LedgerError> {
        self.take_lane(0, Desk::room).await?;
        self.take_lane(1, Desk::room_for_doubtful).await?;
        self.take_queues().await?;

        let now = self.sender.now();
        let next = match (self.sender.ledger().next_due().await?, self.desk.next_turn(now)) {
            (Some(due), Some(turn)) => due.min(turn),
            (due, turn) => due.or(turn).unwrap_or(UnixMillis(u64::MAX)),
        };
        // Something is due and was not taken: there is no room for it until something ends.
        let nap = if next <= now { LONGEST_NAP } else { next.since(now).min(LONGEST_NAP) };
        Ok(nap.max(Duration::from_millis(1)))
    }

    async fn take_lane(&mut self, lane: u8, room: impl Fn(&Desk) -> usize) -> Result<(), LedgerError> {
        loop {
            let limit = room(&self.desk).min(AT_ONCE);
            if limit == 0 {
                return Ok(());
            }
            let now = self.sender.now();
            let claims = self.sender.ledger().claim_due(lane, limit, &self.lease(now), now).await?;
            let looked_at = claims.looked_at;
            self.begin(claims, now).await?;
            if looked_at < limit {
                return Ok(());
            }
        }
    }

    async fn take_queues(&mut self) -> Result<(), LedgerError> {
        let now = self.sender.now();
        self.look_for_queues(now).await?;
        for (endpoint, room) in self.desk.callable(now) {
            let limit = room.min(self.desk.room()).min(AT_ONCE);
            if limit == 0 {
                continue;
            }
            let claims = self.sender.ledger().claim_queued(&endpoint, limit, &self.lease(now), now).await?;
            if claims.looked_at < limit {
                self.desk.queue_is_empty(&endpoint);
            }
            self.begin(claims, now).await?;
        }
        Ok(())
    }

    /// Learns of queues that others left: another process, the time before a restart, a pause that ended.
    async fn look_for_queues(&mut self, now: UnixMillis) -> Result<(), LedgerError> {
        let called = self.sender.0.look_everywhere.swap(false, Ordering::Relaxed);
        if !called && self.looked_for_queues.is_some_and(|last| last.elapsed() < QUEUES_EVERY) {
            return Ok(());
        }
        self.looked_for_queues = Some(Instant::now());
        for endpoint in self.sender.ledger().endpoints_with_queue(now).await? {
            self.desk.has_queue(endpoint);
        }
        Ok(())
    }

    fn lease(&self, now: UnixMillis) -> Lease {
        let config = &self.sender.0.config;
        Lease {
            holder: self.sender.0.holder.clone(),
            until: now.plus(config.attempt_timeout + LEASE_BEYOND),
            link_lifetime: config.link_lifetime,
        }
    }

    async fn begin(&mut self, claims: Claims, now: UnixMillis) -> Result<(), LedgerError> {
        let mut too_many = Vec::new();
        for claimed in claims.claimed {
            match self.desk.admit(&claimed, now) {
                Some(ticket) => {
                    let failing = self.desk.health(&claimed.endpoint).failing_since.is_some();
                    let ended = Some(Ended { endpoint: claimed.endpoint.clone(), ticket, succeeded: None });
                    let permit = Permit { ended, dispatcher: self.ended.clone() };
                    tasks::spawn(Task::Delivery, deliver(self.sender.clone(), claimed, failing, permit));
                }
                None => too_many.push((claimed.delivery, Setback::Queued)),
            }
        }
        self.sender.ledger().put_back(&self.sender.0.holder, &too_many).await
    }

    fn take_end(&mut self, ended: &Ended) {
        if let Some((succeeded, at)) = ended.succeeded {
            self.judge(&ended.endpoint, succeeded, at);
        }
        let succeeded = ended.succeeded.map(|(succeeded, _)| succeeded);
        self.desk.release(&ended.endpoint, ended.ticket, succeeded);
    }

    /// Notes how an endpoint's attempts go. Only what changes something for others is written down.
    fn judge(&mut self, endpoint: &str, succeeded: bool, at: UnixMillis) {
        let before = self.desk.health(endpoint);
        let (after, verdict) = if succeeded {
            (Health::default(), Verdict::GoOn)
        } else {
            breaker::failed(before, at, self.sender.0.config.disable_after)
        };
        self.desk.set_health(endpoint, after);
        let changed = before.failing_since != after.failing_since || before.held_until != after.held_until;
        if !changed && verdict == Verdict::GoOn {
            return;
        }
        // The task ends with the dispatcher alone.
        let _ = self.judgements.send(Judgement { endpoint: endpoint.to_owned(), health: after, verdict, at });
    }
}

/// Something about an endpoint that others should know.
#[derive(Debug)]
struct Judgement {
    endpoint: String,
    health: Health,
    verdict: Verdict,
    at: UnixMillis,
}

/// Writes judgements down, one after the other: the last one has to be the one that stays.
async fn note_all(sender: &Sender, judgements: &mut mpsc::UnboundedReceiver<Judgement>) {
    while let Some(judgement) = judgements.recv().await {
        note(sender, judgement).await;
    }
}

async fn note(sender: &Sender, Judgement { endpoint, health, verdict, at }: Judgement) {
    let endpoint = endpoint.as_str();
    let ledger = sender.ledger();
    let noted = match &verdict {
        Verdict::Disable(reason) => ledger.disable_endpoint(endpoint, reason, at).await.map(|_| ()),
        Verdict::Hold(_) | Verdict::GoOn => ledger.note_health(endpoint, health).await,
    };
    match &verdict {
        Verdict::Disable(reason) => {
            sender.0.services.metrics.endpoint_changed("disabled");
            tracing::error!(endpoint, reason, "an endpoint is disabled; its events are recorded as failed");
        }
        Verdict::Hold(until) => {
            sender.0.services.metrics.endpoint_changed("held");
            tracing::warn!(endpoint, failures = health.failures, until = %until, "an endpoint fails again and again; its events wait");
        }
        Verdict::GoOn => {}
    }
    if let Err(error) = noted {
        tracing::warn!(endpoint, %error, "how the endpoint's attempts go could not be written down");
    }
}

/// Makes one attempt and writes down what came of it.
async fn deliver(sender: Sender, claimed: Claimed, failing: bool, mut permit: Permit) {
    let outcome = tasks::caught(Task::Delivery, attempt::attempt(&sender, &claimed)).await;
    let outcome = outcome.unwrap_or_else(|| {
        let why = "the attempt ended by a fault of the sender, and is made again";
        Outcome::NotYet(sender.now().plus(AFTER_PANIC), why.to_owned())
    });
    match outcome {
        Outcome::Attempted(made) => {
            let succeeded = made.succeeded;
            let at = sender.now();
            permit.attempted(succeeded, at);
            write_down(&sender, finished(&sender, &claimed, made, at)).await;
            // The gentle probes of a dead endpoint would otherwise say nothing when it is back.
            if succeeded && failing {
                tracing::info!(endpoint = claimed.endpoint, "an endpoint takes events again");
            }
        }
        Outcome::NotYet(until, why) => put_back(&sender, &claimed, until, why).await,
    }
}

fn finished(sender: &Sender, claimed: &Claimed, made: attempt::Made, at: UnixMillis) -> Finished {
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

async fn put_back(sender: &Sender, claimed: &Claimed, until: UnixMillis, why: String) {
    let setback = [(claimed.delivery.clone(), Setback::Until(until, why))];
    if let Err(error) = sender.ledger().put_back(&sender.0.holder, &setback).await {
        tracing::warn!(delivery = claimed.delivery, %error, "a delivery that has to wait could not be put back; its lease will end");
    }
}
