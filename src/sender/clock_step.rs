//! The dispatcher follows the wall clock when that is set.

use std::time::{Duration, Instant};

use super::circuit_breaker;
use super::dispatch::Dispatcher;
use crate::clock::UnixMillis;
use crate::ledger::LedgerError;

/// After a jump of the wall clock, and after the start, what is stored is corrected for so long: what was being written
/// meanwhile bears the time before.
const CORRECTION_PERIOD: Duration = Duration::from_secs(10);

impl Dispatcher {
    /// Holds the sender's time against the wall clock. If that was set, what is scheduled moves with it, in the ledger
    /// and here.
    pub(super) async fn apply_clock_step(&mut self) -> Result<(), LedgerError> {
        let reading = self.sender.0.services.clock.reading();
        let looked =
            self.sender.sender_clock().as_mut().and_then(|sender_clock| sender_clock.detect_step(reading));
        let Some(step) = looked else { return Ok(()) };
        let sender = self.sender.clone();
        let _moving = sender.0.clock_step_lock.lock().await;
        sender.ledger().apply_clock_step(&sender.0.holder, step.from, step.to).await?;
        if let Some(sender_clock) = sender.sender_clock().as_mut() {
            sender_clock.apply(step, reading);
        }
        self.concurrency.apply_clock_step(step);
        self.next_due = None;
        self.refreshed_at = None;
        self.stepped_at = Some(Instant::now());
        for (endpoint, health) in self.concurrency.failing() {
            sender.ledger().note_health(&endpoint, health, None).await?;
        }
        tracing::warn!(from = %step.from, to = %step.to, "the clock was set; what is scheduled moved with it");
        Ok(())
    }

    /// For a while after a jump or the start, corrects what a clock has written that was set back since: in this process
    /// or another, or before a restart.
    pub(super) async fn correct_stored_times(&mut self, now: UnixMillis) -> Result<(), LedgerError> {
        if self.stepped_at.is_some_and(|stepped_at| stepped_at.elapsed() > CORRECTION_PERIOD) {
            return Ok(());
        }
        let ledger = self.sender.ledger();
        ledger.correct_future_times(now).await?;
        for (endpoint, health) in ledger.held_endpoints(now).await? {
            let possible = circuit_breaker::clamp_to_now(health, now);
            if possible != health {
                ledger.note_health(&endpoint, possible, None).await?;
            }
        }
        self.stepped_at.get_or_insert_with(Instant::now);
        Ok(())
    }
}
