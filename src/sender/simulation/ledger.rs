//! Models the ledger in memory, with the conditions of its SQL statements.

use std::collections::BTreeSet;

use crate::clock::UnixMillis;
use crate::ledger::{Health, Lane, Queue, Share};
use crate::sender::circuit_breaker;
use crate::sender::sender_clock::ClockStep;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Waiting,
    Queued,
    Sending,
    Delivered,
    Failed,
}

/// A delivery. The `u64` times are monotonic, for the rules.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) endpoint: usize,
    pub(super) state: State,
    pub(super) lane: Lane,
    pub(super) due_at: UnixMillis,
    pub(super) scheduled_at: Option<UnixMillis>,
    pub(super) tries: u32,
    pub(super) accepted: u64,
    /// How many earlier deliveries of its endpoint were open.
    pub(super) ahead: u64,
    pub(super) failed: Option<u64>,
    pub(super) asked: Option<u64>,
    /// The clock made a step while no process ran: its pause cannot be kept.
    pub(super) unwatched: bool,
}

impl Row {
    pub(super) fn is_open(&self) -> bool {
        !matches!(self.state, State::Delivered | State::Failed)
    }
}

#[derive(Debug)]
pub(super) struct EndpointRow {
    pub(super) id: String,
    pub(super) workspace: String,
    pub(super) health: Health,
    lines: [BTreeSet<(UnixMillis, usize)>; 4],
    pub(super) open: u64,
}

#[derive(Debug, Default)]
pub(super) struct Ledger {
    pub(super) endpoints: Vec<EndpointRow>,
    pub(super) rows: Vec<Row>,
    waiting: BTreeSet<(UnixMillis, usize)>,
}

impl Ledger {
    pub(super) fn add_endpoint(&mut self, workspace: String) -> usize {
        let id = format!("ep_{}", self.endpoints.len());
        let lines = Default::default();
        self.endpoints.push(EndpointRow { id, workspace, health: Health::default(), lines, open: 0 });
        self.endpoints.len() - 1
    }

    pub(super) fn accept(&mut self, endpoint: usize, now: UnixMillis, accepted: u64) -> usize {
        let id = self.rows.len();
        let ahead = self.endpoints[endpoint].open;
        self.endpoints[endpoint].open += 1;
        self.rows.push(Row {
            endpoint,
            state: State::Sending,
            lane: Lane::First,
            due_at: now,
            scheduled_at: None,
            tries: 0,
            accepted,
            ahead,
            failed: None,
            asked: None,
            unwatched: false,
        });
        self.put(id, State::Queued);
        id
    }

    /// Changes the state of a delivery and updates the indices.
    pub(super) fn put(&mut self, id: usize, state: State) {
        let row = &mut self.rows[id];
        let key = (row.due_at, id);
        let endpoint = &mut self.endpoints[row.endpoint];
        let line = &mut endpoint.lines[row.lane.number()];
        match row.state {
            State::Waiting => self.waiting.remove(&key),
            State::Queued => line.remove(&key),
            _ => true,
        };
        match state {
            State::Waiting => self.waiting.insert(key),
            State::Queued => line.insert(key),
            _ => true,
        };
        let (was, is) = (row.is_open(), !matches!(state, State::Delivered | State::Failed));
        endpoint.open = endpoint.open + u64::from(is && !was) - u64::from(was && !is);
        row.state = state;
    }

    /// Changes a delivery outside the indices.
    pub(super) fn change(&mut self, id: usize, state: State, change: impl FnOnce(&mut Row)) {
        let before = self.rows[id].state;
        if matches!(before, State::Waiting | State::Queued) {
            self.put(id, State::Sending);
        }
        change(&mut self.rows[id]);
        self.put(id, state);
    }

    fn line(&self, endpoint: usize, lane: Lane) -> Queue {
        let EndpointRow { id, workspace, .. } = &self.endpoints[endpoint];
        Queue { workspace: workspace.clone(), endpoint: id.clone(), lane }
    }

    pub(super) fn line_of(&self, id: usize) -> Queue {
        self.line(self.rows[id].endpoint, self.rows[id].lane)
    }

    pub(super) fn is_open(&self, endpoint: usize, lane: Lane, now: UnixMillis) -> bool {
        let held = self.endpoints[endpoint].health.held_until.is_some_and(|until| until > now);
        lane != Lane::First || !held
    }

    /// The queues from which a sender can claim.
    pub(super) fn lines(&self, now: UnixMillis) -> Vec<(Queue, Health)> {
        let mut found = Vec::new();
        for (at, endpoint) in self.endpoints.iter().enumerate() {
            for lane in Lane::ALL {
                if !endpoint.lines[lane.number()].is_empty() && self.is_open(at, lane, now) {
                    found.push((self.line(at, lane), endpoint.health));
                }
            }
        }
        found
    }

    /// Whether such a queue exists.
    pub(super) fn has_lines(&self, now: UnixMillis) -> bool {
        let open = |at: usize, lane: Lane| {
            !self.endpoints[at].lines[lane.number()].is_empty() && self.is_open(at, lane, now)
        };
        (0..self.endpoints.len()).any(|at| Lane::ALL.into_iter().any(|lane| open(at, lane)))
    }

    /// When the next closed queue opens.
    pub(super) fn next_open(&self, now: UnixMillis) -> Option<UnixMillis> {
        let waits = |endpoint: &&EndpointRow| !endpoint.lines[Lane::First.number()].is_empty();
        let held = self.endpoints.iter().filter(waits).filter_map(|endpoint| endpoint.health.held_until);
        held.filter(|until| *until > now).min()
    }

    pub(super) fn next_due(&self) -> Option<UnixMillis> {
        self.waiting.first().map(|(due, _)| *due)
    }

    /// Queues the deliveries that are due.
    pub(super) fn queue_due(&mut self, now: UnixMillis) -> Vec<Queue> {
        let due: Vec<usize> =
            self.waiting.iter().take_while(|(due, _)| *due <= now).map(|(_, id)| *id).collect();
        due.iter().for_each(|id| self.put(*id, State::Queued));
        due.into_iter().map(|id| self.line_of(id)).collect()
    }

    pub(super) fn claim(&mut self, share: &Share, now: UnixMillis) -> Vec<usize> {
        let Some(at) = self.endpoints.iter().position(|endpoint| endpoint.id == share.endpoint) else {
            return Vec::new();
        };
        if !self.is_open(at, share.lane, now) {
            return Vec::new();
        }
        let line = &self.endpoints[at].lines[share.lane.number()];
        let claimed: Vec<usize> = line.iter().take(share.count).map(|(_, id)| *id).collect();
        claimed.iter().for_each(|id| self.put(*id, State::Sending));
        claimed
    }

    pub(super) fn note_health(&mut self, endpoint: usize, health: Health) {
        let stored = &mut self.endpoints[endpoint].health;
        if stored.epoch == health.epoch {
            *stored = health;
        }
    }

    pub(super) fn note_recovery(&mut self, endpoint: usize, epoch: u64) {
        if self.endpoints[endpoint].health.epoch < epoch {
            self.forget_failures(endpoint);
        }
    }

    pub(super) fn forget_failures(&mut self, endpoint: usize) {
        let stored = &mut self.endpoints[endpoint].health;
        *stored = Health { epoch: stored.epoch + 1, ..Health::default() };
    }

    /// Requeues the deliveries of a dead sender.
    pub(super) fn requeue_all(&mut self) {
        let sending: Vec<usize> = self.of(State::Sending);
        sending.into_iter().for_each(|id| self.put(id, State::Queued));
    }

    fn of(&self, state: State) -> Vec<usize> {
        let rows = self.rows.iter().enumerate();
        rows.filter(|(_, row)| row.state == state).map(|(id, _)| id).collect()
    }

    pub(super) fn apply_clock_step(&mut self, step: ClockStep) {
        for state in [State::Waiting, State::Queued] {
            for id in self.of(state) {
                if state == State::Queued || self.rows[id].scheduled_at.is_some() {
                    self.change(id, state, |row| {
                        row.due_at = step.shift(row.due_at);
                        row.scheduled_at = row.scheduled_at.map(|at| step.shift(at));
                    });
                }
            }
        }
        for EndpointRow { health, .. } in &mut self.endpoints {
            *health = step.shift_health(*health);
        }
    }

    pub(super) fn correct(&mut self, now: UnixMillis) {
        for state in [State::Waiting, State::Queued] {
            for id in self.of(state) {
                let Row { scheduled_at, due_at, .. } = self.rows[id];
                if scheduled_at.unwrap_or(due_at) <= now.plus(std::time::Duration::from_secs(1)) {
                    continue;
                }
                self.change(id, state, |row| {
                    row.due_at = scheduled_at.map_or(now, |at| now.plus(due_at.since(at)));
                    row.scheduled_at = scheduled_at.map(|_| now);
                });
            }
        }
        for EndpointRow { health, .. } in &mut self.endpoints {
            *health = circuit_breaker::clamp_to_now(*health, now);
        }
    }
}
