//! Limits and shares the attempts under way: how many each workspace and each endpoint has, how fast they follow, and which
//! gets the next free slot. In memory only; the ledger stores what must survive. Pure functions of moments and results.

mod endpoint;
mod fair_share;
mod limiter;
mod per_lane;
mod slot;
#[cfg(test)]
mod tests;
mod window;

pub(super) use limiter::Concurrency;
pub(super) use slot::{Candidate, Feedback, Limits, Slot};
