//! Adapts the dispatcher to steps of the wall clock.

use std::time::{Duration, Instant};

use super::circuit_breaker;
use super::dispatch::Dispatcher;
use crate::clock::UnixMillis;
use crate::ledger::LedgerError;

/// How long stored times are corrected after a step of the wall clock and after startup: writes in flight still carry
/// the old time.
const CORRECTION_PERIOD: Duration = Duration::from_secs(10);

impl Dispatcher {
    /// Compares the sender's clock with the wall clock. After a step, shifts the schedules in the ledger and in memory.
    pub(super) async fn apply_clock_step(&mut self) -> Result<(), LedgerError> {
        let reading = self.sender.0.services.clock.reading();
        let detected =
            self.sender.sender_clock().as_mut().and_then(|sender_clock| sender_clock.detect_step(reading));
        let Some(step) = detected else { return Ok(()) };
        let sender = self.sender.clone();
        let _guard = sender.0.clock_step_lock.write().await;
        sender.ledger().apply_clock_step(&sender.0.holder, step.from, step.to).await?;
        if let Some(sender_clock) = sender.sender_clock().as_mut() {
            sender_clock.apply(step, reading);
        }
        let failing = {
            let mut state = self.admission.lock();
            state.concurrency.apply_clock_step(step);
            state.concurrency.failing()
        };
        self.next_due = None;
        self.refreshed_at = None;
        self.stepped_at = Some(Instant::now());
        for (endpoint, health) in failing {
            sender.ledger().note_health(&endpoint, health, None).await?;
        }
        tracing::warn!(from = %step.from, to = %step.to, "the clock was set; what is scheduled moved with it");
        Ok(())
    }

    /// For a while after a step or startup, corrects times that were written before a clock was set back: by this
    /// process, by another process, or before a restart.
    pub(super) async fn correct_stored_times(&mut self, now: UnixMillis) -> Result<(), LedgerError> {
        if self.stepped_at.is_some_and(|stepped_at| stepped_at.elapsed() > CORRECTION_PERIOD) {
            return Ok(());
        }
        let ledger = self.sender.ledger();
        ledger.correct_future_times(now).await?;
        for (endpoint, health) in ledger.held_endpoints(now).await? {
            let corrected = circuit_breaker::clamp_to_now(health, now);
            if corrected != health {
                ledger.note_health(&endpoint, corrected, None).await?;
            }
        }
        self.stepped_at.get_or_insert_with(Instant::now);
        Ok(())
    }
}
