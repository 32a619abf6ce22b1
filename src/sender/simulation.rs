//! Simulates the sender's pure parts (schedule, circuit breaker, clock and fair shares) with a model of the ledger and
//! a manual clock. A seed determines traffic, floods, outages, kills and clock steps. Rules check every attempt.

mod ledger;
mod random;
mod receiver;
mod rules;
mod traffic;
mod world;

use std::sync::atomic::{AtomicU64, Ordering};

use world::World;

const SEEDS: u64 = 10_000;

/// Runs one world; returns the broken rule.
fn run(seed: u64) -> Result<(), String> {
    World::new(seed).run()
}

#[test]
fn in_ten_thousand_worlds_no_delivery_waits_longer_than_the_rules_allow_and_every_call_ends() {
    let next = AtomicU64::new(0);
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= SEEDS {
                return None;
            }
            if let Err(broken) = run(seed) {
                return Some(format!("seed {seed}: {broken}"));
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let broken: Vec<String> = std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        running.into_iter().filter_map(|thread| thread.join().unwrap()).collect()
    });
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}
