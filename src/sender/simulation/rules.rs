//! Checks the rules that every attempt must obey.

use super::ledger::Row;
use super::receiver::Receiver;
use crate::ledger::Lane;
use crate::sender::circuit_breaker;

const SECOND: u64 = 1_000;

/// The pauses after a failure. The help page promises them.
const PAUSES: [u64; 3] = [SECOND, 2 * SECOND, 4 * SECOND];

/// The duration of an attempt that hangs, plus a margin for polls.
const LONGEST_ATTEMPT: u64 = 11 * SECOND;

/// The tolerance of the rules: polls run every half second.
const SLACK: u64 = SECOND;

/// In the first ten minutes, no hold outlasts its cause by more than this.
const HOLD: u64 = 30 * SECOND;

/// The time at which an attempt begins, and the state of the world.
pub(super) struct Moment<'a> {
    pub(super) now: u64,
    /// When the process started.
    pub(super) up_since: u64,
    pub(super) receiver: &'a Receiver,
    /// Open deliveries of the same endpoint.
    pub(super) open: u64,
    /// Whether other workspaces want more slots than there are.
    pub(super) crowded: bool,
}

/// Checks that the attempt of a delivery begins when it should.
pub(super) fn begins(row: &Row, at: &Moment<'_>) -> Result<(), String> {
    if let Some(asked) = row.asked.filter(|_| row.tries == 0) {
        // A hanging attempt may have to end first.
        return at_most(
            "what a person asked for",
            at.now - asked.max(at.up_since).min(at.now),
            LONGEST_ATTEMPT,
        );
    }
    match row.failed {
        Some(failed) if row.lane == Lane::Retry => retry(row, failed, at),
        _ => first(row, at),
    }
}

fn retry(row: &Row, failed: u64, at: &Moment<'_>) -> Result<(), String> {
    let Some(pause) = PAUSES.get(row.tries as usize - 1) else {
        return Err(format!("attempt {} of a delivery", row.tries + 1));
    };
    if !row.unwatched && at.now < failed + pause {
        return Err(format!("a retry {} ms after a failure, {pause} were promised", at.now - failed));
    }
    if at.crowded {
        return Ok(());
    }
    // An endpoint gets at least one slot, and every attempt may hang.
    let from = (failed + pause).max(at.up_since + pause).min(at.now);
    at_most("a retry", at.now - from, SLACK + LONGEST_ATTEMPT * (at.open + 1))
}

fn first(row: &Row, at: &Moment<'_>) -> Result<(), String> {
    let Some(well_since) = at.receiver.well_since(at.now) else { return Ok(()) };
    let outage = at.receiver.outage_before(at.now);
    if at.crowded && outage.is_some() {
        return Ok(());
    }
    let from = row.accepted.max(well_since).max(at.up_since).min(at.now);
    // Earlier deliveries, one at a time in the worst case, and attempts still hanging after an outage.
    let hanging = if outage.is_some() && at.receiver.hangs { LONGEST_ATTEMPT } else { 0 };
    let share = SLACK + row.ahead * at.receiver.latency + hanging;
    // The first success, or a user, lifts a hold immediately.
    if let Some(recovered) = at.receiver.recovered(at.now) {
        let from = from.max(recovered);
        at_most("a first attempt to a receiver that is back", at.now - from, share)?;
    }
    at_most("a first attempt", at.now - from, share + outage.map_or(0, longest_hold))
}

/// How long a hold may outlast an outage of this length.
fn longest_hold(outage: u64) -> u64 {
    if outage < 600 * SECOND {
        return HOLD;
    }
    let failing_for = std::time::Duration::from_millis(outage + 60 * SECOND);
    HOLD + u64::try_from(circuit_breaker::probe_interval(failing_for).as_millis()).unwrap_or(u64::MAX)
}

fn at_most(what: &str, waited: u64, bound: u64) -> Result<(), String> {
    if waited <= bound { Ok(()) } else { Err(format!("{what} waited {waited} ms, {bound} can be explained")) }
}
