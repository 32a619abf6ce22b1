//! Shares free places out: one after the other to the workspace that holds the least, and there to the endpoint that holds
//! the least; of those that hold as much, to the one that waits longest.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use super::endpoint::Endpoint;
use super::{ALPHA, Concurrency, RESERVED, SMALL, Usage};
use crate::clock::UnixMillis;
use crate::ledger::{Lane, Share};

/// What is left while places are shared out.
pub(super) struct FairShare<'a> {
    free: usize,
    /// How many of the free places are kept for workspaces that hold few.
    reserved: usize,
    free_for_degraded: usize,
    workspaces: Vec<WorkspaceDemand<'a>>,
    /// Who holds the least is on top: places held, last turn, which.
    queue: BinaryHeap<Reverse<(usize, u64, usize)>>,
}

/// A workspace with deliveries in line.
struct WorkspaceDemand<'a> {
    holds: Usage,
    endpoints: Vec<EndpointDemand<'a>>,
    queue: BinaryHeap<Reverse<(usize, u64, usize)>>,
}

/// An endpoint with deliveries in line, and what it gets.
struct EndpointDemand<'a> {
    id: &'a str,
    endpoint: &'a Endpoint,
    granted: [usize; 4],
    retry_last: bool,
}

impl<'a> FairShare<'a> {
    pub(super) fn begin(all: &'a Concurrency, now: UnixMillis) -> Self {
        let mut workspaces: HashMap<&str, WorkspaceDemand<'a>> = HashMap::new();
        for (id, endpoint) in all.with_queue.iter().filter_map(|id| all.endpoints.get_key_value(id)) {
            let line = EndpointDemand { id, endpoint, granted: [0; 4], retry_last: endpoint.retry_last() };
            if line.wants(now) {
                let holds = || all.workspaces.get(&endpoint.workspace).copied().unwrap_or_default();
                workspaces
                    .entry(&endpoint.workspace)
                    .or_insert_with(|| WorkspaceDemand::new(holds()))
                    .add(line);
            }
        }
        let workspaces: Vec<_> = workspaces.into_values().collect();
        let queue = workspaces
            .iter()
            .enumerate()
            .map(|(at, workspace)| Reverse((workspace.holds.in_flight, workspace.holds.turn, at)))
            .collect();
        let reserved = all.limits.attempts_in_flight / RESERVED;
        Self { free: all.room(), reserved, free_for_degraded: all.room_for_degraded(), workspaces, queue }
    }

    pub(super) fn allocate(mut self, most: usize, now: UnixMillis) -> Vec<Share> {
        for _ in 0..most {
            if !self.grant_one(now) {
                break;
            }
        }
        self.workspaces
            .iter()
            .flat_map(|workspace| &workspace.endpoints)
            .flat_map(EndpointDemand::shares)
            .collect()
    }

    /// Gives one place to whose turn it is; false if nobody may have another.
    fn grant_one(&mut self, now: UnixMillis) -> bool {
        while let Some(Reverse((_, turn, at))) = self.queue.pop() {
            let Some(workspace) = self.workspaces.get_mut(at) else { continue };
            // Nobody holds less than this one.
            let reserved = if workspace.holds.in_flight < SMALL { 0 } else { self.reserved };
            let free = self.free.saturating_sub(reserved);
            let Some(room) = under_threshold(workspace.holds.in_flight, free) else { return false };
            let degraded = under_threshold(workspace.holds.degraded, self.free_for_degraded);
            let Some(is_degraded) = workspace.grant_one(room, degraded.is_some(), now) else { continue };
            self.free -= 1;
            self.free_for_degraded =
                self.free_for_degraded.saturating_sub(usize::from(is_degraded)).min(self.free);
            self.queue.push(Reverse((workspace.holds.in_flight, turn, at)));
            return true;
        }
        false
    }
}

/// How many more places a party may have beside those it holds, given how many are free; `None` if none.
fn under_threshold(holds: usize, free: usize) -> Option<usize> {
    let room = free.saturating_mul(ALPHA).saturating_sub(holds).min(free);
    (room > 0).then_some(room)
}

impl<'a> WorkspaceDemand<'a> {
    fn new(holds: Usage) -> Self {
        Self { holds, endpoints: Vec::new(), queue: BinaryHeap::new() }
    }

    fn add(&mut self, line: EndpointDemand<'a>) {
        self.queue.push(Reverse((line.holds(), line.endpoint.turn(), self.endpoints.len())));
        self.endpoints.push(line);
    }

    /// Gives a place to one of its endpoints; says whether that is a degraded one. `None` if none may have it.
    fn grant_one(&mut self, room: usize, degraded: bool, now: UnixMillis) -> Option<bool> {
        while let Some(Reverse((holds, turn, at))) = self.queue.pop() {
            let Some(line) = self.endpoints.get_mut(at) else { continue };
            let Some(lane) = line.next(under_threshold(holds, room).is_some(), degraded, now) else {
                continue;
            };
            line.grant(lane);
            let is_degraded = line.endpoint.is_degraded(lane);
            self.queue.push(Reverse((line.holds(), turn, at)));
            self.holds.in_flight += 1;
            self.holds.degraded += usize::from(is_degraded);
            return Some(is_degraded);
        }
        None
    }
}

impl EndpointDemand<'_> {
    /// What it gets of the places that count against its window.
    fn given(&self) -> usize {
        self.granted(Lane::First) + self.granted(Lane::Retry) + self.granted(Lane::Resend)
    }

    fn wants(&self, now: UnixMillis) -> bool {
        self.next(true, true, now).is_some()
    }

    fn granted(&self, lane: Lane) -> usize {
        let [first, retry, test, resend] = self.granted;
        match lane {
            Lane::First => first,
            Lane::Retry => retry,
            Lane::Test => test,
            Lane::Resend => resend,
        }
    }

    /// Places that it holds and gets, beside tests.
    fn holds(&self) -> usize {
        self.endpoint.in_flight() + self.given()
    }

    /// The lane whose turn it is, if the endpoint takes more. A test is a person who waits: it comes first, whatever the
    /// endpoint is busy with.
    fn next(&self, under_threshold: bool, degraded: bool, now: UnixMillis) -> Option<Lane> {
        let stands = |lane| self.endpoint.depth(lane).exceeds(self.granted(lane));
        if stands(Lane::Test) && self.endpoint.room_for_tests() > self.granted(Lane::Test) {
            return Some(Lane::Test);
        }
        let given = self.given();
        if !under_threshold {
            return None;
        }
        // A person waits for this too.
        if stands(Lane::Resend) && self.endpoint.room_for_resends(now) > given {
            return Some(Lane::Resend);
        }
        if self.endpoint.room(now) <= given {
            return None;
        }
        let allowed = |lane| stands(lane) && (degraded || !self.endpoint.is_degraded(lane));
        let first = allowed(Lane::First) && !self.endpoint.is_held(now);
        let retry = allowed(Lane::Retry) && self.endpoint.room_for_retries(now) > self.granted(Lane::Retry);
        match (first, retry) {
            (true, true) => Some(if self.retry_last { Lane::First } else { Lane::Retry }),
            (true, false) => Some(Lane::First),
            (false, true) => Some(Lane::Retry),
            (false, false) => None,
        }
    }

    fn grant(&mut self, lane: Lane) {
        let [first, retry, test, resend] = &mut self.granted;
        match lane {
            Lane::First => *first += 1,
            Lane::Retry => *retry += 1,
            Lane::Test => *test += 1,
            Lane::Resend => *resend += 1,
        }
        if matches!(lane, Lane::First | Lane::Retry) {
            self.retry_last = lane == Lane::Retry;
        }
    }

    fn shares(&self) -> impl Iterator<Item = Share> {
        Lane::ALL.into_iter().filter_map(|lane| {
            let count = self.granted(lane);
            (count > 0).then(|| Share { endpoint: self.id.to_owned(), lane, count })
        })
    }
}
