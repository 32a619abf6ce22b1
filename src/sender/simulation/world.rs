//! Simulates a world: a sender, its receivers, and the events between them.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use super::ledger::{Ledger, State};
use super::random::Random;
use super::receiver::{HANG, Receiver};
use super::rules::{self, Moment};
use crate::clock::{Reading, UnixMillis};
use crate::ledger::{Failure, Health, Lane};
use crate::sender::circuit_breaker::{self, Bounds, HealthSample, Transition};
use crate::sender::concurrency::{Candidate, Concurrency, Feedback, Limits, Slot};
use crate::sender::schedule;
use crate::sender::sender_clock::SenderClock;

const MINUTE: u64 = 60_000;
const POLL_INTERVAL: u64 = 500;
const DISABLE_AFTER: Duration = Duration::from_secs(5 * 24 * 3_600);
const START: u64 = 2_000_000_000_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Happens {
    Call(usize),
    /// An event is on disk.
    Accepted(usize),
    Completion(usize),
    Look,
    Kill,
    Start,
    /// The wall clock makes a step of this many milliseconds.
    ClockStep(i64),
    /// A user resends the delivery that failed last.
    Resend(usize),
    /// A user gives an endpoint another URL.
    Mend(usize),
}

/// An event that is being written.
struct Accepting {
    endpoint: usize,
    slot: Option<Slot>,
    time: UnixMillis,
    called: u64,
}

/// An attempt in flight.
struct UnderWay {
    delivery: usize,
    slot: Slot,
    epoch: u64,
    began: u64,
    succeeds: bool,
}

pub(super) struct World {
    pub(super) random: Random,
    now: u64,
    /// The error of the wall clock, in milliseconds.
    off: i64,
    pub(super) end: u64,
    /// Whether other workspaces want more slots than there are.
    crowded: bool,
    pub(super) ledger: Ledger,
    pub(super) receivers: Vec<Receiver>,
    /// The process, while it runs.
    sender: Option<(SenderClock, Concurrency)>,
    up_since: u64,
    looks_at: Option<u64>,
    /// When the sender last read the queues; `None` if it must read them now.
    looked: Option<u64>,
    accepting: Vec<Option<Accepting>>,
    under_way: Vec<Option<UnderWay>>,
    happening: BinaryHeap<Reverse<(u64, usize, Happens)>>,
    happened: usize,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let mut world = Self {
            random: Random(seed),
            now: 0,
            off: 0,
            end: 0,
            crowded: false,
            ledger: Ledger::default(),
            receivers: Vec::new(),
            sender: None,
            up_since: 0,
            looks_at: None,
            looked: None,
            accepting: Vec::new(),
            under_way: Vec::new(),
            happening: BinaryHeap::new(),
            happened: 0,
        };
        world.end = world.random.one_of(&[2 * MINUTE, 2 * MINUTE, 4 * MINUTE, 4 * MINUTE, 14 * MINUTE]);
        for endpoint in 0..world.random.below(3) + 2 {
            world.add_endpoint(endpoint);
        }
        world.add_trouble();
        world.crowded = world.random.one_in(100);
        if world.crowded {
            world.add_crowd();
        }
        world.then(0, Happens::Start);
        world
    }

    pub(super) fn then(&mut self, at: u64, what: Happens) {
        self.happened += 1;
        self.happening.push(Reverse((at, self.happened, what)));
    }

    pub(super) fn run(mut self) -> Result<(), String> {
        while let Some(Reverse((at, _, what))) = self.happening.pop() {
            self.now = at;
            self.happen(what).map_err(|broken| format!("at {at} ms ({what:?}): {broken}"))?;
        }
        for (id, row) in self.ledger.rows.iter().enumerate() {
            match row.state {
                State::Delivered => {}
                State::Failed if row.tries == 4 => {}
                state => return Err(format!("delivery {id} ends as {state:?} after {} attempts", row.tries)),
            }
        }
        Ok(())
    }

    fn happen(&mut self, what: Happens) -> Result<(), String> {
        match what {
            Happens::Call(endpoint) => self.call(endpoint),
            Happens::Accepted(event) => self.accepted(event)?,
            Happens::Completion(attempt) => self.ended(attempt)?,
            Happens::Look if self.looks_at != Some(self.now) => return Ok(()),
            Happens::Look => self.looks_at = None,
            Happens::Kill => self.kill(),
            Happens::Start => self.start(),
            Happens::ClockStep(by) => return self.step(by),
            Happens::Resend(endpoint) => self.resend(endpoint),
            Happens::Mend(endpoint) => {
                self.receivers[endpoint].outages.retain_mut(|(from, to)| {
                    *to = (*to).min(self.now);
                    from < to
                });
                self.receivers[endpoint].recovered = Some(self.now);
                self.ledger.forget_failures(endpoint);
            }
        }
        self.look()
    }

    fn reading(&self) -> Reading {
        let wall = UnixMillis((START + self.now).saturating_add_signed(self.off));
        Reading { wall, steady: Duration::from_millis(self.now) }
    }

    /// The sender's time.
    fn time(&self) -> UnixMillis {
        let reading = self.reading();
        self.sender.as_ref().map_or(reading.wall, |(sender_clock, _)| sender_clock.now(reading))
    }

    /// Begins to write an event, with a slot for its first attempt if there is one.
    fn call(&mut self, endpoint: usize) {
        let (time, called) = (self.time(), self.now);
        let Some((_, concurrency)) = &mut self.sender else {
            self.ledger.accept(endpoint, time, called);
            return;
        };
        let row = &self.ledger.endpoints[endpoint];
        let mut slots = concurrency.reserve(&row.workspace, time);
        let slot = slots.iter().position(|slot| slot.endpoint() == row.id).map(|at| slots.swap_remove(at));
        // Other endpoints of the workspace do not get the events of this one here.
        slots.iter().for_each(|other| concurrency.release(other, None, time));
        self.accepting.push(Some(Accepting { endpoint, slot, time, called }));
        let at = self.now + 1 + self.random.below(20);
        self.then(at, Happens::Accepted(self.accepting.len() - 1));
    }

    fn accepted(&mut self, event: usize) -> Result<(), String> {
        // The caller of a killed process repeats the call later, which is another call here.
        let Some(Accepting { endpoint, slot, time, called }) = self.accepting[event].take() else {
            return Ok(());
        };
        let id = self.ledger.accept(endpoint, time, called);
        let now = self.time();
        let (slot, unused) =
            if self.ledger.is_open(endpoint, Lane::First, time) { (slot, None) } else { (None, slot) };
        if let Some(slot) = slot {
            self.ledger.put(id, State::Sending);
            return self.begin_accepted(id, slot, now);
        }
        let line = self.ledger.line_of(id);
        if let Some((_, concurrency)) = &mut self.sender {
            unused.iter().for_each(|slot| concurrency.release(slot, None, now));
            concurrency.queued(&line, 1);
        }
        Ok(())
    }

    fn resend(&mut self, endpoint: usize) {
        let failed = |row: &&super::ledger::Row| row.endpoint == endpoint && row.state == State::Failed;
        let Some(id) = self.ledger.rows.iter().rposition(|row| failed(&row)) else { return };
        let (time, now) = (self.time(), self.now);
        self.ledger.change(id, State::Queued, |row| {
            (row.lane, row.due_at, row.scheduled_at) = (Lane::Resend, time, None);
            (row.tries, row.asked, row.failed) = (0, Some(now), None);
        });
    }

    fn kill(&mut self) {
        if self
            .sender
            .take()
            .is_some_and(|(sender_clock, _)| sender_clock.now(self.reading()) != self.reading().wall)
        {
            self.miss_clock_step();
        }
        self.accepting.iter_mut().for_each(|event| *event = None);
        self.under_way.iter_mut().for_each(|attempt| *attempt = None);
    }

    fn start(&mut self) {
        if self.sender.is_some() {
            return;
        }
        self.looked = None;
        self.ledger.requeue_all();
        let attempt_timeout = Duration::from_millis(HANG);
        let limits = Limits { attempts_in_flight: 32, attempts_per_endpoint: 16, attempt_timeout };
        self.sender = Some((SenderClock::new(self.reading()), Concurrency::new(limits)));
        self.up_since = self.now;
        self.ledger.correct(self.time());
    }

    fn step(&mut self, by: i64) -> Result<(), String> {
        self.off += by;
        if self.sender.is_none() {
            self.miss_clock_step();
        }
        // The next poll detects it.
        let at = self.now + self.random.below(500);
        self.probe_receiver(at);
        Ok(())
    }

    fn miss_clock_step(&mut self) {
        self.ledger.rows.iter_mut().for_each(|row| row.unwatched = true);
    }

    fn probe_receiver(&mut self, at: u64) {
        if self.looks_at.is_none_or(|planned| at < planned) {
            self.looks_at = Some(at);
            self.then(at, Happens::Look);
        }
    }

    /// Polls as the dispatcher does.
    fn look(&mut self) -> Result<(), String> {
        let reading = self.reading();
        let Some((sender_clock, concurrency)) = &mut self.sender else { return Ok(()) };
        if let Some(step) = sender_clock.detect_step(reading) {
            self.ledger.apply_clock_step(step);
            // The step waits for events that are being written, and moves them too.
            self.accepting.iter_mut().flatten().for_each(|event| event.time = step.shift(event.time));
            sender_clock.apply(step, reading);
            concurrency.apply_clock_step(step);
            self.looked = None;
            self.ledger.correct(sender_clock.now(reading));
        }
        let time = sender_clock.now(reading);
        for line in self.ledger.queue_due(time) {
            concurrency.queued(&line, 1);
        }
        if self.looked.is_none_or(|looked| self.now - looked >= POLL_INTERVAL) {
            self.looked = Some(self.now);
            for (line, health) in self.ledger.lines(time) {
                concurrency.found_queue(&line, health);
            }
        }
        self.take(time)?;
        self.plan_look(time);
        Ok(())
    }

    fn take(&mut self, time: UnixMillis) -> Result<(), String> {
        loop {
            let Some((_, concurrency)) = &mut self.sender else { return Ok(()) };
            let shares = concurrency.plan(256, time);
            if shares.is_empty() {
                return Ok(());
            }
            let mut claimed = Vec::new();
            for share in &shares {
                let taken = self.ledger.claim(share, time);
                concurrency.claimed(share, taken.len());
                claimed.extend(taken);
            }
            for id in claimed {
                self.begin(id, time)?;
            }
        }
    }

    fn candidate(&self, id: usize) -> Candidate<'_> {
        let row = &self.ledger.rows[id];
        let endpoint = &self.ledger.endpoints[row.endpoint];
        Candidate {
            workspace: &endpoint.workspace,
            endpoint: &endpoint.id,
            lane: row.lane,
            concurrency: None,
            per_second: None,
            health: endpoint.health,
        }
    }

    fn begin(&mut self, id: usize, time: UnixMillis) -> Result<(), String> {
        let Some((sender_clock, mut concurrency)) = self.sender.take() else { return Ok(()) };
        let slot = concurrency.admit(self.candidate(id), time);
        self.sender = Some((sender_clock, concurrency));
        let Some(slot) = slot else {
            self.ledger.put(id, State::Queued);
            return Ok(());
        };
        self.attempt(id, slot)
    }

    fn begin_accepted(&mut self, id: usize, slot: Slot, time: UnixMillis) -> Result<(), String> {
        let Some((sender_clock, mut concurrency)) = self.sender.take() else { return Ok(()) };
        let confirmed = concurrency.confirm(&slot, self.candidate(id), time);
        if !confirmed {
            concurrency.release(&slot, None, time);
            self.ledger.put(id, State::Queued);
        }
        self.sender = Some((sender_clock, concurrency));
        if confirmed { self.attempt(id, slot) } else { Ok(()) }
    }

    fn attempt(&mut self, id: usize, slot: Slot) -> Result<(), String> {
        let row = &self.ledger.rows[id];
        let endpoint = &self.ledger.endpoints[row.endpoint];
        let receiver = &self.receivers[row.endpoint];
        let open = endpoint.open;
        let (now, up_since, crowded) = (self.now, self.up_since, self.crowded);
        rules::begins(row, &Moment { now, up_since, receiver, open, crowded })?;
        let (takes, succeeds) = receiver.answers(self.now);
        let epoch = endpoint.health.epoch;
        let began = self.now;
        self.under_way.push(Some(UnderWay { delivery: id, slot, epoch, began, succeeds }));
        self.then(self.now + takes, Happens::Completion(self.under_way.len() - 1));
        Ok(())
    }

    fn ended(&mut self, attempt: usize) -> Result<(), String> {
        // Nothing sees how the attempts of a killed process end.
        let Some(attempt) = self.under_way[attempt].take() else { return Ok(()) };
        let (time, endpoint) = (self.time(), self.ledger.rows[attempt.delivery].endpoint);
        self.finish(attempt.delivery, attempt.succeeds, time);
        if attempt.succeeds && self.receivers[endpoint].recovered(self.now).is_none() {
            self.receivers[endpoint].recovered = Some(self.now);
        }
        let reading = self.reading();
        let Some((sender_clock, concurrency)) = &mut self.sender else { return Ok(()) };
        let bounds = Bounds { stable_for: sender_clock.stable_for(reading), disable_after: DISABLE_AFTER };
        let failure = (!attempt.succeeds).then(|| Failure { code: String::new(), summary: String::new() });
        let sample = HealthSample { at: time, epoch: attempt.epoch, failure };
        let before = concurrency.health(attempt.slot.endpoint());
        if let Some((health, transition)) = circuit_breaker::evaluate(before, &sample, bounds) {
            concurrency.set_health(attempt.slot.endpoint(), health);
            if let Transition::Disable(reason) = transition {
                return Err(format!("an endpoint is disabled: {reason}"));
            }
            if attempt.succeeds && health.epoch > before.epoch {
                // This wakes the dispatcher.
                self.looked = None;
            }
            note(&mut self.ledger, endpoint, health, attempt.succeeds);
        }
        let took = Duration::from_millis(self.now - attempt.began);
        concurrency.release(&attempt.slot, Some(Feedback { succeeded: attempt.succeeds, took }), time);
        Ok(())
    }

    fn finish(&mut self, id: usize, succeeded: bool, time: UnixMillis) {
        let now = self.now;
        let tries = self.ledger.rows[id].tries + 1;
        let failed = schedule::Failed { tries, long_tail: false, retry_after: None, at: time, jitter: 0.5 };
        let next = if succeeded { None } else { schedule::next_attempt(failed) };
        let state = match (succeeded, next) {
            (true, _) => State::Delivered,
            (false, Some(_)) => State::Waiting,
            (false, None) => State::Failed,
        };
        self.ledger.change(id, state, |row| {
            (row.tries, row.lane, row.failed, row.unwatched) = (tries, Lane::Retry, Some(now), false);
            row.scheduled_at = next.map(|_| time);
            row.due_at = next.unwrap_or(row.due_at);
        });
    }

    /// Plans the next poll.
    fn plan_look(&mut self, time: UnixMillis) {
        let Some((_, concurrency)) = &self.sender else { return };
        let turns = [self.ledger.next_due(), self.ledger.next_open(time), concurrency.next_turn(time)];
        if let Some(next) = turns.into_iter().flatten().min() {
            let sleep_for = u64::try_from(next.since(time).as_millis()).unwrap_or(u64::MAX);
            self.probe_receiver(self.now.saturating_add(sleep_for.max(1)));
        }
        // The sender sees deliveries that other processes queue after at most half a second.
        if self.looked.is_none_or(|looked| looked < self.now) && self.ledger.has_lines(time) {
            self.probe_receiver(self.looked.unwrap_or(self.now).max(self.now) + POLL_INTERVAL);
        }
    }
}

fn note(ledger: &mut Ledger, endpoint: usize, health: Health, succeeded: bool) {
    match succeeded {
        true => ledger.note_recovery(endpoint, health.epoch),
        false => ledger.note_health(endpoint, health),
    }
}
