//! Begins the attempts of claimed deliveries.

use std::sync::Arc;

use super::admission::Admission;
use super::concurrency::Candidate;
use super::deliver::deliver;
use super::delivery_log::log_delivery;
use super::handle::Sender;
use super::permit::Permit;
use crate::clock::UnixMillis;
use crate::ledger::{Claimed, LedgerError, Requeue};
use crate::tasks::{self, Task};

impl Sender {
    /// Begins the attempts of deliveries that were claimed from queues.
    pub(super) async fn begin_queued(
        &self,
        admission: &Arc<Admission>,
        claimed: Vec<Claimed>,
        now: UnixMillis,
    ) -> Result<(), LedgerError> {
        let permit = |claimed: &Claimed| Permit::admit(self, admission, Candidate::from(claimed), now);
        self.put_back(&self.begin(claimed, permit)).await
    }

    /// Begins the first attempts of an event's deliveries, for which there are permits. The event is on disk, whatever becomes
    /// of deliveries that have to return to their queues.
    pub(super) async fn begin_accepted(
        &self,
        mut reserved: Vec<Permit>,
        claimed: Vec<Claimed>,
        now: UnixMillis,
    ) {
        let permit = |claimed: &Claimed| {
            let at = reserved.iter().position(|permit| permit.endpoint() == claimed.endpoint)?;
            let mut permit = reserved.swap_remove(at);
            permit.confirm(Candidate::from(claimed), now).then_some(permit)
        };
        let rejected = self.begin(claimed, permit);
        if let Err(error) = self.put_back(&rejected).await {
            for claimed in &rejected {
                log_delivery!(warn, claimed, %error, "a delivery could not be put back; its lease will end");
            }
        }
    }

    /// Returns the deliveries that get no permit.
    fn begin(
        &self,
        claimed: Vec<Claimed>,
        mut permit: impl FnMut(&Claimed) -> Option<Permit>,
    ) -> Vec<Claimed> {
        let mut rejected = Vec::new();
        for claimed in claimed {
            match permit(&claimed) {
                Some(permit) => {
                    let failing = claimed.target.health.failing_since.is_some();
                    tasks::spawn(Task::Delivery, deliver(self.clone(), claimed, failing, permit));
                }
                None => rejected.push(claimed),
            }
        }
        rejected
    }

    async fn put_back(&self, rejected: &[Claimed]) -> Result<(), LedgerError> {
        let requeues: Vec<_> =
            rejected.iter().map(|claimed| (claimed.delivery.clone(), Requeue::Now)).collect();
        self.ledger().requeue(&self.0.holder, &requeues).await
    }
}
