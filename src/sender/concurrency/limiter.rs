//! Limits concurrency: counts the attempts in flight and plans the next claims.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use super::endpoint::Endpoint;
use super::fair_share::{FairShare, Room, Usage};
use super::known_endpoints::KnownEndpoints;
use super::slot::{Candidate, Feedback, Limits, Slot};
use crate::clock::UnixMillis;
use crate::ledger::{Health, Lane, Queue, Share};
use crate::sender::sender_clock::ClockStep;

/// How long an idle endpoint is kept with its window, and a failing endpoint with its failures.
const KEEP_IDLE: Duration = Duration::from_secs(60);
const KEEP_FAILING: Duration = Duration::from_secs(60 * 60);

/// The endpoints with queued deliveries or attempts in flight, and the slots of each workspace.
#[derive(Debug)]
pub(crate) struct Concurrency {
    limits: Limits,
    pub(super) endpoints: HashMap<String, Endpoint>,
    /// The endpoints with queued deliveries.
    with_queue: HashSet<String>,
    pub(super) workspaces: HashMap<String, Usage>,
    known: KnownEndpoints,
    in_flight: usize,
    degraded: usize,
    /// Counts granted slots, to find the workspace or endpoint that has waited longest.
    turn: u64,
}

impl Concurrency {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            endpoints: HashMap::new(),
            with_queue: HashSet::new(),
            workspaces: HashMap::new(),
            known: KnownEndpoints::default(),
            in_flight: 0,
            degraded: 0,
            turn: 0,
        }
    }

    /// Whether any endpoint has queued deliveries.
    pub(crate) fn has_queues(&self) -> bool {
        !self.with_queue.is_empty()
    }

    /// How many attempts there is room for.
    fn room(&self) -> usize {
        self.limits.attempts_in_flight.saturating_sub(self.in_flight)
    }

    /// How many of these attempts may be degraded: retries, and attempts to endpoints that are failing. They take at
    /// most half of all slots, which leaves the other half to first attempts to healthy endpoints.
    fn room_for_degraded(&self) -> usize {
        (self.limits.attempts_in_flight / 2).max(1).saturating_sub(self.degraded).min(self.room())
    }

    /// Records that more deliveries were queued.
    pub(crate) fn queued(&mut self, queue: &Queue, count: usize) {
        self.queued_endpoint(queue).depth_mut(queue.lane).add(count);
    }

    /// Records that the ledger has an unknown number of deliveries in a queue, and the health of the endpoint.
    pub(crate) fn found_queue(&mut self, queue: &Queue, health: Health) {
        let endpoint = self.queued_endpoint(queue);
        endpoint.merge_health(health);
        endpoint.depth_mut(queue.lane).set_unknown();
    }

    fn queued_endpoint(&mut self, queue: &Queue) -> &mut Endpoint {
        if !self.with_queue.contains(&queue.endpoint) {
            self.with_queue.insert(queue.endpoint.clone());
        }
        self.endpoint(&queue.workspace, &queue.endpoint)
    }

    fn endpoint(&mut self, workspace: &str, endpoint: &str) -> &mut Endpoint {
        // Avoids copying the id in the common case, when the endpoint is already known.
        if !self.endpoints.contains_key(endpoint) {
            self.endpoints.insert(endpoint.to_owned(), Endpoint::new(workspace));
        }
        self.endpoints.entry(endpoint.to_owned()).or_insert_with(|| Endpoint::new(workspace))
    }

    /// Plans how many deliveries to claim from each queue: up to `most`, and as many as there is room for.
    pub(crate) fn plan(&self, most: usize, now: UnixMillis) -> Vec<Share> {
        self.allocate(self.with_queue.iter().filter_map(|id| self.endpoints.get_key_value(id)), most, now)
    }

    fn allocate<'a>(
        &'a self,
        queued: impl Iterator<Item = (&'a String, &'a Endpoint)>,
        most: usize,
        now: UnixMillis,
    ) -> Vec<Share> {
        let room = Room {
            free: self.room(),
            free_for_degraded: self.room_for_degraded(),
            total: self.limits.attempts_in_flight,
        };
        FairShare::new(room, queued, &self.workspaces, now).allocate(most, now)
    }

    /// Takes slots for the first attempts of an event that is about to be accepted: one for each endpoint of its
    /// workspace, as far as they are known, that has no queue and would get the slot if it had one.
    pub(crate) fn reserve(&mut self, workspace: &str, now: UnixMillis) -> Vec<Slot> {
        let known = self.known.of(workspace);
        known.iter().filter_map(|id| self.reserve_one(workspace, id, now)).collect()
    }

    fn reserve_one(&mut self, workspace: &str, id: &str, now: UnixMillis) -> Option<Slot> {
        let endpoint = self.endpoint(workspace, id);
        if endpoint.has_queue() || endpoint.has_pace() {
            return None;
        }
        endpoint.depth_mut(Lane::First).add(1);
        let granted = self.allocate(self.endpoints.get_key_value(id).into_iter(), 1, now);
        let turn = self.turn + 1;
        let endpoint = self.endpoint(workspace, id);
        endpoint.depth_mut(Lane::First).take(1, true);
        if granted.is_empty() || !endpoint.begin(Lane::First, turn, now) {
            return None;
        }
        Some(self.occupy(workspace, id, Lane::First))
    }

    /// Compares the slot of an accepted delivery with the limits and the health in the ledger. False if they leave no
    /// room: then the caller must requeue the delivery and release the slot.
    pub(crate) fn confirm(&mut self, slot: &Slot, candidate: Candidate<'_>, now: UnixMillis) -> bool {
        let Candidate { workspace, endpoint: id, lane, .. } = candidate;
        let turn = self.turn;
        let endpoint = self.endpoint(workspace, id);
        endpoint.update_limits(&candidate);
        let confirmed = endpoint.begin_again(slot.lane, turn, now);
        self.known.note(workspace, id, now);
        if !confirmed {
            let queue = Queue { workspace: workspace.to_owned(), endpoint: id.to_owned(), lane };
            self.queued(&queue, 1);
        }
        confirmed
    }

    /// Records how many deliveries a claim took from a queue. If they are fewer than the share, the queue is empty.
    pub(crate) fn claimed(&mut self, share: &Share, count: usize) {
        let Some(endpoint) = self.endpoints.get_mut(&share.endpoint) else { return };
        endpoint.depth_mut(share.lane).take(count, count < share.count);
        if !endpoint.has_queue() {
            self.with_queue.remove(&share.endpoint);
        }
    }

    /// Gives an attempt its slot, unless its endpoint has no room: the limits may have changed, or were unknown when
    /// the share was planned. Then the caller must requeue the delivery.
    pub(crate) fn admit(&mut self, candidate: Candidate<'_>, now: UnixMillis) -> Option<Slot> {
        let Candidate { workspace, endpoint: id, lane, .. } = candidate;
        let turn = self.turn + 1;
        let endpoint = self.endpoint(workspace, id);
        endpoint.update_limits(&candidate);
        if !endpoint.begin(lane, turn, now) {
            let queue = Queue { workspace: workspace.to_owned(), endpoint: id.to_owned(), lane };
            self.queued(&queue, 1);
            return None;
        }
        self.known.note(workspace, id, now);
        Some(self.occupy(workspace, id, lane))
    }

    /// Counts an attempt that its endpoint has begun.
    fn occupy(&mut self, workspace: &str, id: &str, lane: Lane) -> Slot {
        self.turn += 1;
        let degraded = self.endpoints.get(id).is_some_and(|endpoint| endpoint.is_degraded(lane));
        let usage = self.workspaces.entry(workspace.to_owned()).or_default();
        usage.in_flight += 1;
        usage.degraded += usize::from(degraded);
        usage.turn = self.turn;
        self.in_flight += 1;
        self.degraded += usize::from(degraded);
        Slot { workspace: workspace.to_owned(), endpoint: id.to_owned(), lane, degraded }
    }

    /// Releases the slot of an attempt. `outcome` is its result, if the attempt was made.
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

    /// Drops endpoints that were idle for a while.
    pub(crate) fn forget_idle(&mut self, now: UnixMillis) {
        self.endpoints.retain(|_, endpoint| {
            let keep = if endpoint.health.failing_since.is_none() { KEEP_IDLE } else { KEEP_FAILING };
            endpoint.is_busy() || now.since(endpoint.used_at) < keep
        });
        self.known.forget_idle(now);
    }

    /// The health of an endpoint, as far as this process knows.
    pub(crate) fn health(&self, endpoint: &str) -> Health {
        self.endpoints.get(endpoint).map(|endpoint| endpoint.health).unwrap_or_default()
    }

    /// Sets the health of an endpoint.
    pub(crate) fn set_health(&mut self, endpoint: &str, health: Health) {
        if let Some(endpoint) = self.endpoints.get_mut(endpoint) {
            endpoint.health = health;
        }
    }

    /// Endpoints whose attempts fail.
    pub(crate) fn failing(&self) -> Vec<(String, Health)> {
        let failing = self.endpoints.iter().filter(|(_, endpoint)| endpoint.health.failing_since.is_some());
        failing.map(|(id, endpoint)| (id.clone(), endpoint.health)).collect()
    }

    /// Shifts times after a step of the wall clock.
    pub(crate) fn apply_clock_step(&mut self, step: ClockStep) {
        self.endpoints.values_mut().for_each(|endpoint| endpoint.apply_clock_step(step));
    }

    /// When the first endpoint with a queue may get its next attempt, among those that only a rate limit or a hold
    /// delays.
    pub(crate) fn next_turn(&self, now: UnixMillis) -> Option<UnixMillis> {
        let with_queue = self.with_queue.iter().filter_map(|id| self.endpoints.get(id));
        with_queue.filter_map(|endpoint| endpoint.next_turn(now)).min()
    }
}
