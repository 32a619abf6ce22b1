//! Limits the attempts in flight of each workspace and endpoint, limits their rate, and assigns free slots. The state
//! is in memory only; the ledger stores everything that must survive. No code here reads a clock or does I/O.

mod endpoint;
mod fair_share;
mod known_endpoints;
mod limiter;
mod per_lane;
mod slot;
#[cfg(test)]
mod tests;
mod window;

pub(super) use limiter::Concurrency;
pub(super) use slot::{Candidate, Feedback, Limits, Slot};
