//! Shares free places out: one after the other to the workspace that holds the least, and there to the endpoint that holds
//! the least; of those that hold as much, to the one that waits longest.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use super::endpoint::Endpoint;
use super::{Concurrency, FEW, GREED, KEPT, Usage};
use crate::clock::UnixMillis;
use crate::ledger::{Lane, Share};

/// What is left while places are shared out.
pub(super) struct Round<'a> {
    free: usize,
    /// How many of the free places are kept for workspaces that hold few.
    kept: usize,
    free_for_degraded: usize,
    parties: Vec<Party<'a>>,
    /// Who holds the least is on top: places held, last turn, which.
    queue: BinaryHeap<Reverse<(usize, u64, usize)>>,
}

/// A workspace with deliveries in line.
struct Party<'a> {
    holds: Usage,
    endpoints: Vec<Line<'a>>,
    queue: BinaryHeap<Reverse<(usize, u64, usize)>>,
}

/// An endpoint with deliveries in line, and what it gets.
struct Line<'a> {
    id: &'a str,
    endpoint: &'a Endpoint,
    gets: [usize; 4],
    retry_last: bool,
}

impl<'a> Round<'a> {
    pub(super) fn begin(all: &'a Concurrency, now: UnixMillis) -> Self {
        let mut parties: HashMap<&str, Party<'a>> = HashMap::new();
        for (id, endpoint) in all.in_line.iter().filter_map(|id| all.endpoints.get_key_value(id)) {
            let line = Line { id, endpoint, gets: [0; 4], retry_last: endpoint.retry_last() };
            if line.wants(now) {
                let holds = || all.workspaces.get(&endpoint.workspace).copied().unwrap_or_default();
                parties.entry(&endpoint.workspace).or_insert_with(|| Party::new(holds())).add(line);
            }
        }
        let parties: Vec<_> = parties.into_values().collect();
        let queue = parties
            .iter()
            .enumerate()
            .map(|(at, party)| Reverse((party.holds.in_flight, party.holds.turn, at)))
            .collect();
        let kept = all.limits.attempts_in_flight / KEPT;
        Self { free: all.room(), kept, free_for_degraded: all.room_for_degraded(), parties, queue }
    }

    pub(super) fn share_out(mut self, most: usize, now: UnixMillis) -> Vec<Share> {
        for _ in 0..most {
            if !self.give_one(now) {
                break;
            }
        }
        self.parties.iter().flat_map(|party| &party.endpoints).flat_map(Line::shares).collect()
    }

    /// Gives one place to whose turn it is; false if nobody may have another.
    fn give_one(&mut self, now: UnixMillis) -> bool {
        while let Some(Reverse((_, turn, at))) = self.queue.pop() {
            let Some(party) = self.parties.get_mut(at) else { continue };
            // Nobody holds less than this one.
            let kept = if party.holds.in_flight < FEW { 0 } else { self.kept };
            let free = self.free.saturating_sub(kept);
            let Some(room) = under_threshold(party.holds.in_flight, free) else { return false };
            let degraded = under_threshold(party.holds.degraded, self.free_for_degraded);
            let Some(is_degraded) = party.give_one(room, degraded.is_some(), now) else { continue };
            self.free -= 1;
            self.free_for_degraded =
                self.free_for_degraded.saturating_sub(usize::from(is_degraded)).min(self.free);
            self.queue.push(Reverse((party.holds.in_flight, turn, at)));
            return true;
        }
        false
    }
}

/// How many more places a party may have beside those it holds, given how many are free; `None` if none.
fn under_threshold(holds: usize, free: usize) -> Option<usize> {
    let room = free.saturating_mul(GREED).saturating_sub(holds).min(free);
    (room > 0).then_some(room)
}

impl<'a> Party<'a> {
    fn new(holds: Usage) -> Self {
        Self { holds, endpoints: Vec::new(), queue: BinaryHeap::new() }
    }

    fn add(&mut self, line: Line<'a>) {
        self.queue.push(Reverse((line.holds(), line.endpoint.turn(), self.endpoints.len())));
        self.endpoints.push(line);
    }

    /// Gives a place to one of its endpoints; says whether that is a degraded one. `None` if none may have it.
    fn give_one(&mut self, room: usize, degraded: bool, now: UnixMillis) -> Option<bool> {
        while let Some(Reverse((holds, turn, at))) = self.queue.pop() {
            let Some(line) = self.endpoints.get_mut(at) else { continue };
            let Some(lane) = line.next(under_threshold(holds, room).is_some(), degraded, now) else {
                continue;
            };
            line.give(lane);
            let is_degraded = line.endpoint.is_degraded(lane);
            self.queue.push(Reverse((line.holds(), turn, at)));
            self.holds.in_flight += 1;
            self.holds.degraded += usize::from(is_degraded);
            return Some(is_degraded);
        }
        None
    }
}

impl Line<'_> {
    /// What it gets of the places that count against its window.
    fn given(&self) -> usize {
        self.gets(Lane::First) + self.gets(Lane::Retry) + self.gets(Lane::Asked)
    }

    fn wants(&self, now: UnixMillis) -> bool {
        self.next(true, true, now).is_some()
    }

    fn gets(&self, lane: Lane) -> usize {
        let [first, retry, test, asked] = self.gets;
        match lane {
            Lane::First => first,
            Lane::Retry => retry,
            Lane::Test => test,
            Lane::Asked => asked,
        }
    }

    /// Places that it holds and gets, beside tests.
    fn holds(&self) -> usize {
        self.endpoint.in_flight() + self.given()
    }

    /// The lane whose turn it is, if the endpoint takes more. A test is a person who waits: it comes first, whatever the
    /// endpoint is busy with.
    fn next(&self, under_threshold: bool, degraded: bool, now: UnixMillis) -> Option<Lane> {
        let stands = |lane| self.endpoint.line(lane).is_more_than(self.gets(lane));
        if stands(Lane::Test) && self.endpoint.room_for_tests() > self.gets(Lane::Test) {
            return Some(Lane::Test);
        }
        let given = self.given();
        if !under_threshold {
            return None;
        }
        // A person waits for this too.
        if stands(Lane::Asked) && self.endpoint.room_for_asked(now) > given {
            return Some(Lane::Asked);
        }
        if self.endpoint.room(now) <= given {
            return None;
        }
        let allowed = |lane| stands(lane) && (degraded || !self.endpoint.is_degraded(lane));
        let first = allowed(Lane::First) && !self.endpoint.is_held(now);
        let retry = allowed(Lane::Retry) && self.endpoint.room_for_retries(now) > self.gets(Lane::Retry);
        match (first, retry) {
            (true, true) => Some(if self.retry_last { Lane::First } else { Lane::Retry }),
            (true, false) => Some(Lane::First),
            (false, true) => Some(Lane::Retry),
            (false, false) => None,
        }
    }

    fn give(&mut self, lane: Lane) {
        let [first, retry, test, asked] = &mut self.gets;
        match lane {
            Lane::First => *first += 1,
            Lane::Retry => *retry += 1,
            Lane::Test => *test += 1,
            Lane::Asked => *asked += 1,
        }
        if matches!(lane, Lane::First | Lane::Retry) {
            self.retry_last = lane == Lane::Retry;
        }
    }

    fn shares(&self) -> impl Iterator<Item = Share> {
        Lane::ALL.into_iter().filter_map(|lane| {
            let count = self.gets(lane);
            (count > 0).then(|| Share { endpoint: self.id.to_owned(), lane, count })
        })
    }
}
