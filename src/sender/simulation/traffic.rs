//! Fills a world with endpoints, events, outages and trouble.

use super::receiver::Receiver;
use super::world::{Happens, World};

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;

impl World {
    pub(super) fn add_endpoint(&mut self, number: u64) {
        // The first endpoint has its own workspace; the others may share one.
        let workspace = if number == 0 { 0 } else { 1 + self.random.below(2) };
        let endpoint = self.ledger.add_endpoint(format!("w{workspace}"));
        let mut receiver = Receiver { latency: 20 + self.random.below(400), ..Receiver::default() };
        if number > 0 && self.random.one_in(2) {
            receiver.hangs = self.random.one_in(3);
            let from = self.random.below(self.end / 2);
            let lasts = self.random.below(self.end / 2);
            receiver.outages.push((from, from + lasts));
        }
        self.receivers.push(receiver);
        let mut at = self.random.below(5 * SECOND);
        let pause = self.random.one_of(&[4 * SECOND, 15 * SECOND, 30 * SECOND]) * self.end / (4 * MINUTE);
        while at < self.end {
            self.then(at, Happens::Call(endpoint));
            at += 1 + self.random.below(2 * pause);
        }
        if self.random.one_in(3) {
            let at = self.random.below(self.end);
            for _ in 0..self.random.below(40) {
                self.then(at, Happens::Call(endpoint));
            }
        }
        for what in [Happens::Resend(endpoint), Happens::Mend(endpoint)] {
            if self.random.one_in(4) {
                let at = self.random.below(self.end);
                self.then(at, what);
            }
        }
    }

    /// Adds workspaces whose receivers hang. Each has enough endpoints to fill all slots.
    pub(super) fn add_crowd(&mut self) {
        for workspace in 0..=self.random.below(2) {
            let at = self.random.below(self.end);
            for _ in 0..40 {
                let endpoint = self.ledger.add_endpoint(format!("crowd{workspace}"));
                let outages = vec![(0, self.end)];
                self.receivers.push(Receiver { outages, hangs: true, ..Receiver::default() });
                self.then(at, Happens::Call(endpoint));
            }
        }
    }

    pub(super) fn add_trouble(&mut self) {
        const HOUR: i64 = 3_600_000;
        if self.random.one_in(3) {
            let at = self.random.below(self.end);
            let away = self.random.below(20 * SECOND);
            self.then(at, Happens::Kill);
            self.then(at + away, Happens::Start);
        }
        if self.random.one_in(2) {
            let step = self.random.one_of(&[HOUR, 24 * HOUR, 10 * 365 * 24 * HOUR, 30_000]);
            let step = if self.random.one_in(2) { step } else { -step };
            let at = self.random.below(self.end);
            self.then(at, Happens::ClockStep(step));
            if self.random.one_in(2) {
                let back = self.random.below(2 * MINUTE);
                self.then(at + back, Happens::ClockStep(-step));
            }
        }
    }
}
