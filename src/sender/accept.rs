//! Accepts events, and begins their first attempts where there is room.

use super::handle::Sender;
use super::permit::Permit;
use crate::ledger::{Accepted, Endpoint, LedgerError, NewEvent, Queue, TestOutcome};
use crate::store::SAMPLE;
use crate::tasks::{self, Task};

impl Sender {
    /// Accepts an event for sending. `None` if a different call was accepted earlier under the same call id.
    ///
    /// # Errors
    /// [`LedgerError`] if the event could not be written. Then it is not accepted.
    pub async fn accept(&self, event: NewEvent) -> Result<Option<Accepted>, LedgerError> {
        // A caller that hangs up must not take the attempts along: their deliveries would wait for the end of the lease.
        let sender = self.clone();
        let accepting = tasks::spawn(Task::Acceptance, async move { sender.accept_and_begin(event).await });
        let died = |_| LedgerError::Unavailable("the task that wrote the event ended".to_owned());
        accepting.await.map_err(died)?
    }

    /// Writes the event and claims the deliveries that have a permit, so the dispatcher need not claim them (rows
    /// *paced* and *one* of the sender's benchmark).
    async fn accept_and_begin(&self, event: NewEvent) -> Result<Option<Accepted>, LedgerError> {
        // A lease that is written while the clock makes a step would not move with it.
        let _same_clock = self.0.clock_step_lock.read().await;
        let now = self.now();
        let admission = self.admission();
        let reserve = |admission| Permit::reserve(self, admission, event.workspace(), now);
        let reserved = admission.as_ref().map(reserve).unwrap_or_default();
        let endpoints: Vec<&str> = reserved.iter().map(Permit::endpoint).collect();
        let event = if endpoints.is_empty() { event } else { event.claim(&endpoints, self.lease(now)) };
        let Some((accepted, claimed)) = self.ledger().accept_and_claim(event).await? else { return Ok(None) };
        if accepted.is_new {
            self.on_accepted(&accepted);
        }
        self.begin_accepted(reserved, claimed, now).await;
        Ok(Some(accepted))
    }

    /// Sends a test event to one endpoint within the rate limits, with the documentation's sample call and downloadable
    /// assets.
    ///
    /// # Errors
    /// Like [`Sender::accept`].
    pub async fn test(&self, endpoint: &Endpoint) -> Result<TestOutcome, LedgerError> {
        let tested = self.ledger().accept_test(&endpoint.workspace, &endpoint.id, SAMPLE, self.now()).await?;
        if let TestOutcome::Accepted(accepted) = &tested {
            self.on_accepted(accepted);
        }
        Ok(tested)
    }

    fn on_accepted(&self, accepted: &Accepted) {
        self.metrics().event_accepted();
        self.on_queued(&accepted.queues);
    }

    /// Tells the dispatcher that a delivery has entered each of these queues.
    pub(super) fn on_queued(&self, queues: &[Queue]) {
        if queues.is_empty() {
            return;
        }
        if let Some(admission) = self.admission() {
            let mut state = admission.lock();
            for queue in queues {
                state.concurrency.queued(queue, 1);
            }
        }
        self.0.wake.notify_one();
    }
}
