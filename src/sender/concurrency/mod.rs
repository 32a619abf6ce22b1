//! Who is being sent to at the moment, and who gets the next free place: how many attempts are under way for each
//! workspace and each endpoint, how fast they may follow, and how they go. In memory alone; the ledger has what must
//! survive. Pure: moments and outcomes in, shares out.
//!
//! Places are shared out with dynamic thresholds (Choudhury and Hahne, 1998): a party that wants another place must hold less
//! than [`ALPHA`] times what is free. One workspace alone comes to three quarters of all places, ten to a little less than
//! a tenth each, and a newcomer finds a free place at once, however long the attempts of the others take. The same rule
//! shares a workspace's part out among its endpoints. The party that holds the least comes first (max-min fairness). A part of the
//! places is kept for workspaces that hold next to none: otherwise several that come one after the other, with attempts
//! that take long, would leave less and less until the first of them end.

mod endpoint;
mod fair_share;
mod window;

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use super::sender_clock::ClockStep;
use crate::clock::UnixMillis;
use crate::ledger::{Claimed, Health, Lane, Queue, Share};
use endpoint::Endpoint;
use fair_share::FairShare;

/// How many times the free places a party may hold and still get another.
const ALPHA: usize = 3;

/// The part of all places (one in this many) that is kept for workspaces that hold fewer than [`SMALL`].
const RESERVED: usize = 16;
const SMALL: usize = 4;

/// How long an endpoint is remembered that has nothing to do: its window, and if it fails, its failures.
const REMEMBERED: Duration = Duration::from_secs(60);
const FAILURES_REMEMBERED: Duration = Duration::from_secs(60 * 60);

/// The bounds that the settings name.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    /// Attempts under way at once.
    pub(crate) attempts_in_flight: usize,
    /// Attempts of one endpoint.
    pub(crate) attempts_per_endpoint: usize,
    /// How long an attempt may take.
    pub(crate) attempt_timeout: Duration,
}

/// The endpoints with something to do, and what each workspace holds.
#[derive(Debug)]
pub(crate) struct Concurrency {
    limits: Limits,
    endpoints: HashMap<String, Endpoint>,
    /// Those of them that have deliveries in line.
    with_queue: HashSet<String>,
    workspaces: HashMap<String, Usage>,
    in_flight: usize,
    degraded: usize,
    /// Counts the places that were given out, to tell who waits longest.
    turn: u64,
}

/// What a workspace holds.
#[derive(Debug, Default, Clone, Copy)]
struct Usage {
    in_flight: usize,
    degraded: usize,
    /// When it got its last place.
    turn: u64,
}

/// What an attempt needs to know to get a place.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Candidate<'a> {
    pub(crate) workspace: &'a str,
    pub(crate) endpoint: &'a str,
    pub(crate) lane: Lane,
    /// The endpoint's own limits, if its owner chose any.
    pub(crate) concurrency: Option<u32>,
    pub(crate) per_second: Option<u32>,
    /// How the ledger has it.
    pub(crate) health: Health,
}

impl<'a> From<&'a Claimed> for Candidate<'a> {
    fn from(claimed: &'a Claimed) -> Self {
        Self {
            workspace: &claimed.workspace,
            endpoint: &claimed.endpoint,
            lane: claimed.lane,
            concurrency: claimed.concurrency,
            per_second: claimed.per_second,
            health: claimed.health,
        }
    }
}

/// The place of one attempt, to be given back when it ends.
#[derive(Debug, Clone)]
pub(crate) struct Slot {
    workspace: String,
    endpoint: String,
    lane: Lane,
    degraded: bool,
}

impl Slot {
    /// Whose attempt it is.
    pub(crate) fn endpoint(&self) -> &str {
        &self.endpoint
    }
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Feedback {
    pub(crate) succeeded: bool,
    pub(crate) took: Duration,
}

impl Concurrency {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            endpoints: HashMap::new(),
            with_queue: HashSet::new(),
            workspaces: HashMap::new(),
            in_flight: 0,
            degraded: 0,
            turn: 0,
        }
    }

    /// Attempts under way.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// How many attempts there is room for.
    fn room(&self) -> usize {
        self.limits.attempts_in_flight.saturating_sub(self.in_flight)
    }

    /// How many of them may be degraded: retries, and whatever goes to endpoints that fail at the moment. They take half of
    /// all places at most, so that first attempts to endpoints that are well have a lane to themselves.
    fn room_for_degraded(&self) -> usize {
        (self.limits.attempts_in_flight / 2).max(1).saturating_sub(self.degraded).min(self.room())
    }

    /// Notes that more deliveries stand in a line.
    pub(crate) fn queued(&mut self, line: &Queue, count: usize) {
        self.queued_endpoint(line).depth_mut(line.lane).add(count);
    }

    /// Deliveries stand in a line of an endpoint, whose health the ledger knows; how many is not known.
    pub(crate) fn found_queue(&mut self, line: &Queue, health: Health) {
        let endpoint = self.queued_endpoint(line);
        endpoint.merge_health(health);
        endpoint.depth_mut(line.lane).set_unknown();
    }

    fn queued_endpoint(&mut self, line: &Queue) -> &mut Endpoint {
        if !self.with_queue.contains(&line.endpoint) {
            self.with_queue.insert(line.endpoint.clone());
        }
        self.endpoint(&line.workspace, &line.endpoint)
    }

    fn endpoint(&mut self, workspace: &str, endpoint: &str) -> &mut Endpoint {
        // Nearly always it is there, and nothing has to be copied.
        if !self.endpoints.contains_key(endpoint) {
            self.endpoints.insert(endpoint.to_owned(), Endpoint::new(workspace));
        }
        self.endpoints.entry(endpoint.to_owned()).or_insert_with(|| Endpoint::new(workspace))
    }

    /// Which deliveries to take next, up to `most`: whose turn it is, as far as there is room.
    pub(crate) fn plan(&self, most: usize, now: UnixMillis) -> Vec<Share> {
        FairShare::begin(self, now).allocate(most, now)
    }

    /// Notes how many a claim found in a line. If it found fewer than were wanted, none are left.
    pub(crate) fn claimed(&mut self, share: &Share, count: usize) {
        let Some(endpoint) = self.endpoints.get_mut(&share.endpoint) else { return };
        endpoint.depth_mut(share.lane).take(count, count < share.count);
        if !endpoint.has_queue() {
            self.with_queue.remove(&share.endpoint);
        }
    }

    /// Gives an attempt its place, unless its endpoint wants no more at the moment: its limits may have been changed, or
    /// were not known when its share was. Then it has to go back in line.
    pub(crate) fn admit(&mut self, candidate: Candidate<'_>, now: UnixMillis) -> Option<Slot> {
        let Candidate { workspace, endpoint: id, lane, .. } = candidate;
        self.turn += 1;
        let turn = self.turn;
        let endpoint = self.endpoint(workspace, id);
        endpoint.update_limits(&candidate);
        if !endpoint.begin(lane, turn, now) {
            let line = Queue { workspace: workspace.to_owned(), endpoint: id.to_owned(), lane };
            self.queued(&line, 1);
            return None;
        }
        let degraded = endpoint.is_degraded(lane);
        let usage = self.workspaces.entry(workspace.to_owned()).or_default();
        usage.in_flight += 1;
        usage.degraded += usize::from(degraded);
        usage.turn = turn;
        self.in_flight += 1;
        self.degraded += usize::from(degraded);
        Some(Slot { workspace: workspace.to_owned(), endpoint: id.to_owned(), lane, degraded })
    }

    /// An attempt ended; `outcome` says how, if one was made.
    pub(crate) fn release(&mut self, slot: &Slot, outcome: Option<Feedback>, now: UnixMillis) {
        let degraded = usize::from(slot.degraded);
        self.in_flight = self.in_flight.saturating_sub(1);
        self.degraded = self.degraded.saturating_sub(degraded);
        if let Some(usage) = self.workspaces.get_mut(&slot.workspace) {
            usage.in_flight = usage.in_flight.saturating_sub(1);
            usage.degraded = usage.degraded.saturating_sub(degraded);
            if usage.in_flight == 0 {
                self.workspaces.remove(&slot.workspace);
            }
        }
        if let Some(endpoint) = self.endpoints.get_mut(&slot.endpoint) {
            endpoint.end(slot.lane, outcome, &self.limits, now);
        }
    }

    /// Forgets endpoints that had nothing to do for a while.
    pub(crate) fn forget_idle(&mut self, now: UnixMillis) {
        self.endpoints.retain(|_, endpoint| {
            let remembered =
                if endpoint.health.failing_since.is_none() { REMEMBERED } else { FAILURES_REMEMBERED };
            endpoint.is_busy() || now.since(endpoint.used_at()) < remembered
        });
    }

    /// How an endpoint's attempts go, as far as this process knows.
    pub(crate) fn health(&self, endpoint: &str) -> Health {
        self.endpoints.get(endpoint).map(|endpoint| endpoint.health).unwrap_or_default()
    }

    /// Remembers how they go now.
    pub(crate) fn set_health(&mut self, endpoint: &str, health: Health) {
        if let Some(endpoint) = self.endpoints.get_mut(endpoint) {
            endpoint.health = health;
        }
    }

    /// Endpoints whose attempts fail, and since when.
    pub(crate) fn failing(&self) -> Vec<(String, Health)> {
        let failing = self.endpoints.iter().filter(|(_, endpoint)| endpoint.health.failing_since.is_some());
        failing.map(|(id, endpoint)| (id.clone(), endpoint.health)).collect()
    }

    /// The wall clock was set: what was scheduled moves with it.
    pub(crate) fn apply_clock_step(&mut self, step: ClockStep) {
        self.endpoints.values_mut().for_each(|endpoint| endpoint.apply_clock_step(step));
    }

    /// When the first endpoint with a line may be sent to again, if only its pace or its hold is in the way.
    pub(crate) fn next_turn(&self, now: UnixMillis) -> Option<UnixMillis> {
        let with_queue = self.with_queue.iter().filter_map(|id| self.endpoints.get(id));
        with_queue.filter_map(|endpoint| endpoint.next_turn(now)).min()
    }
}

#[cfg(test)]
mod tests;
