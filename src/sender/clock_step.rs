//! The dispatcher follows the wall clock when that is set.

use std::time::{Duration, Instant};

use super::circuit_breaker;
use super::dispatch::Dispatcher;
use crate::clock::UnixMillis;
use crate::ledger::LedgerError;

/// After a jump of the wall clock, and after the start, what is stored is corrected for so long: what was being written
/// meanwhile bears the time before.
const CORRECT_FOR: Duration = Duration::from_secs(10);

impl Dispatcher {
    /// Holds the sender's time against the wall clock. If that was set, what is scheduled moves with it, in the ledger
    /// and here.
    pub(super) async fn follow_clock(&mut self) -> Result<(), LedgerError> {
        let reading = self.sender.0.services.clock.reading();
        let looked = self.sender.timeline().as_mut().and_then(|timeline| timeline.look(reading));
        let Some(jump) = looked else { return Ok(()) };
        let sender = self.sender.clone();
        let _moving = sender.0.moving.lock().await;
        sender.ledger().follow_clock(&sender.0.holder, jump.from, jump.to).await?;
        if let Some(timeline) = sender.timeline().as_mut() {
            timeline.follow(jump, reading);
        }
        self.concurrency.follow(jump);
        self.next_due = None;
        self.looked_for_lines = None;
        self.jumped = Some(Instant::now());
        for (endpoint, health) in self.concurrency.failing() {
            sender.ledger().note_health(&endpoint, health, None).await?;
        }
        tracing::warn!(from = %jump.from, to = %jump.to, "the clock was set; what is scheduled moved with it");
        Ok(())
    }

    /// For a while after a jump or the start, corrects what a clock has written that was set back since: in this process
    /// or another, or before a restart.
    pub(super) async fn correct_what_is_stored(&mut self, now: UnixMillis) -> Result<(), LedgerError> {
        if self.jumped.is_some_and(|jumped| jumped.elapsed() > CORRECT_FOR) {
            return Ok(());
        }
        let ledger = self.sender.ledger();
        ledger.correct_pauses(now).await?;
        for (endpoint, health) in ledger.held_endpoints(now).await? {
            let possible = circuit_breaker::as_of(health, now);
            if possible != health {
                ledger.note_health(&endpoint, possible, None).await?;
            }
        }
        self.jumped.get_or_insert_with(Instant::now);
        Ok(())
    }
}
