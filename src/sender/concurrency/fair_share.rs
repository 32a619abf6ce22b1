//! Grants free slots one at a time (max-min fairness): to the workspace that uses the fewest, and within it to the
//! endpoint that uses the fewest. Ties go to the longest wait.
//!
//! The thresholds are dynamic (Choudhury and Hahne, 1998): a workspace gets another slot only while it uses less than
//! [`ALPHA`] times the number of free slots. So a single workspace gets three quarters of all slots, ten workspaces get
//! slightly less than a tenth each, and a new workspace finds a free slot immediately, even if the others' attempts are
//! slow. The same rule applies to the endpoints of a workspace. Some slots are reserved for workspaces that use very
//! few. Otherwise, several workspaces with slow attempts that start one after another would leave fewer and fewer slots
//! until the first attempts end.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use super::endpoint::Endpoint;
use super::per_lane::PerLane;
use crate::clock::UnixMillis;
use crate::ledger::{Lane, Share};

/// A workspace gets another slot while it uses fewer than this many times the free slots.
const ALPHA: usize = 3;

/// One in this many slots is reserved for workspaces that use fewer than [`SMALL`].
const RESERVED: usize = 16;
const SMALL: usize = 4;

/// The slots of a workspace.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Usage {
    pub(super) in_flight: usize,
    pub(super) degraded: usize,
    /// The turn in which the workspace got its last slot.
    pub(super) turn: u64,
}

/// The slots that can be granted.
pub(super) struct Room {
    pub(super) free: usize,
    pub(super) free_for_degraded: usize,
    pub(super) total: usize,
}

/// Slots in use, last turn, and index. The entry with the fewest slots is on top.
type ByUse = BinaryHeap<Reverse<(usize, u64, usize)>>;

/// An allocation of free slots.
pub(super) struct FairShare<'a> {
    room: Room,
    workspaces: Vec<WorkspaceDemand<'a>>,
    order: ByUse,
}

/// A workspace with queued deliveries.
struct WorkspaceDemand<'a> {
    usage: Usage,
    endpoints: Vec<EndpointDemand<'a>>,
    order: ByUse,
}

/// An endpoint with queued deliveries, and the slots granted to it.
struct EndpointDemand<'a> {
    id: &'a str,
    endpoint: &'a Endpoint,
    granted: PerLane<usize>,
    retry_last: bool,
}

impl<'a> FairShare<'a> {
    pub(super) fn new(
        room: Room,
        queued: impl Iterator<Item = (&'a String, &'a Endpoint)>,
        usage: &HashMap<String, Usage>,
        now: UnixMillis,
    ) -> Self {
        let mut workspaces: HashMap<&str, WorkspaceDemand<'a>> = HashMap::new();
        for (id, endpoint) in queued {
            let (granted, retry_last) = (PerLane::default(), endpoint.retry_last);
            let demand = EndpointDemand { id, endpoint, granted, retry_last };
            if demand.next(true, true, now).is_some() {
                let usage = || usage.get(&endpoint.workspace).copied().unwrap_or_default();
                let workspace = workspaces.entry(&endpoint.workspace);
                workspace.or_insert_with(|| WorkspaceDemand::new(usage())).add(demand);
            }
        }
        let workspaces: Vec<_> = workspaces.into_values().collect();
        let by_use = |(at, workspace): (usize, &WorkspaceDemand<'_>)| {
            Reverse((workspace.usage.in_flight, workspace.usage.turn, at))
        };
        let order = workspaces.iter().enumerate().map(by_use).collect();
        Self { room, workspaces, order }
    }

    pub(super) fn allocate(mut self, most: usize, now: UnixMillis) -> Vec<Share> {
        for _ in 0..most {
            if !self.grant_one(now) {
                break;
            }
        }
        let endpoints = self.workspaces.iter().flat_map(|workspace| &workspace.endpoints);
        endpoints.flat_map(EndpointDemand::shares).collect()
    }

    /// Grants one slot to the next workspace. False if no workspace may get another.
    fn grant_one(&mut self, now: UnixMillis) -> bool {
        while let Some(Reverse((_, turn, at))) = self.order.pop() {
            let Some(workspace) = self.workspaces.get_mut(at) else { continue };
            let in_flight = workspace.usage.in_flight;
            let reserved = if in_flight < SMALL { 0 } else { self.room.total / RESERVED };
            // No other workspace uses fewer slots.
            let Some(room) = under_threshold(in_flight, self.room.free.saturating_sub(reserved)) else {
                return false;
            };
            let degraded = under_threshold(workspace.usage.degraded, self.room.free_for_degraded).is_some();
            let Some(is_degraded) = workspace.grant_one(room, degraded, now) else { continue };
            self.room.free -= 1;
            let free_for_degraded = self.room.free_for_degraded.saturating_sub(usize::from(is_degraded));
            self.room.free_for_degraded = free_for_degraded.min(self.room.free);
            self.order.push(Reverse((workspace.usage.in_flight, turn, at)));
            return true;
        }
        false
    }
}

/// How many more slots a workspace or endpoint with `in_use` slots may get, given the free slots; `None` for zero.
fn under_threshold(in_use: usize, free: usize) -> Option<usize> {
    let room = free.saturating_mul(ALPHA).saturating_sub(in_use).min(free);
    (room > 0).then_some(room)
}

impl<'a> WorkspaceDemand<'a> {
    fn new(usage: Usage) -> Self {
        Self { usage, endpoints: Vec::new(), order: BinaryHeap::new() }
    }

    fn add(&mut self, demand: EndpointDemand<'a>) {
        self.order.push(Reverse((demand.in_use(), demand.endpoint.turn, self.endpoints.len())));
        self.endpoints.push(demand);
    }

    /// Grants a slot to one of its endpoints. Returns whether the slot is degraded; `None` if no endpoint may get it.
    fn grant_one(&mut self, room: usize, degraded: bool, now: UnixMillis) -> Option<bool> {
        while let Some(Reverse((in_use, turn, at))) = self.order.pop() {
            let Some(demand) = self.endpoints.get_mut(at) else { continue };
            let Some(lane) = demand.next(under_threshold(in_use, room).is_some(), degraded, now) else {
                continue;
            };
            demand.grant(lane);
            let is_degraded = demand.endpoint.is_degraded(lane);
            self.order.push(Reverse((demand.in_use(), turn, at)));
            self.usage.in_flight += 1;
            self.usage.degraded += usize::from(is_degraded);
            return Some(is_degraded);
        }
        None
    }
}

impl EndpointDemand<'_> {
    /// The slots used by and granted to the endpoint, without test events.
    fn in_use(&self) -> usize {
        self.endpoint.in_flight() + self.granted.in_window()
    }

    /// The next lane, if the endpoint has room. Test events come first, because a user is waiting for them.
    fn next(&self, under_threshold: bool, degraded: bool, now: UnixMillis) -> Option<Lane> {
        let queued = |lane| self.endpoint.depth(lane).exceeds(self.granted.get(lane));
        if queued(Lane::Test) && self.endpoint.room_for_tests() > self.granted.get(Lane::Test) {
            return Some(Lane::Test);
        }
        let granted = self.granted.in_window();
        if !under_threshold {
            return None;
        }
        // A user is also waiting for a resend.
        if queued(Lane::Resend) && self.endpoint.room_for_resends(now) > granted {
            return Some(Lane::Resend);
        }
        if self.endpoint.room(now) <= granted {
            return None;
        }
        let allowed = |lane| queued(lane) && (degraded || !self.endpoint.is_degraded(lane));
        let first = allowed(Lane::First) && !self.endpoint.is_held(now);
        let retry =
            allowed(Lane::Retry) && self.endpoint.room_for_retries(now) > self.granted.get(Lane::Retry);
        match (first, retry) {
            (true, true) => Some(if self.retry_last { Lane::First } else { Lane::Retry }),
            (true, false) => Some(Lane::First),
            (false, true) => Some(Lane::Retry),
            (false, false) => None,
        }
    }

    fn grant(&mut self, lane: Lane) {
        *self.granted.get_mut(lane) += 1;
        if matches!(lane, Lane::First | Lane::Retry) {
            self.retry_last = lane == Lane::Retry;
        }
    }

    fn shares(&self) -> impl Iterator<Item = Share> {
        Lane::ALL.into_iter().filter_map(|lane| {
            let count = self.granted.get(lane);
            (count > 0).then(|| Share { endpoint: self.id.to_owned(), lane, count })
        })
    }
}
