//! Begins the attempts of claimed deliveries.

use std::sync::Arc;

use super::admission::Admission;
use super::concurrency::Candidate;
use super::deliver::deliver;
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
        self.begin(claimed, permit).await
    }

    /// Begins the first attempts of an event's deliveries, for which there are permits.
    pub(super) async fn begin_accepted(
        &self,
        mut reserved: Vec<Permit>,
        claimed: Vec<Claimed>,
        now: UnixMillis,
    ) -> Result<(), LedgerError> {
        let permit = |claimed: &Claimed| {
            let at = reserved.iter().position(|permit| permit.endpoint() == claimed.endpoint)?;
            let mut permit = reserved.swap_remove(at);
            permit.confirm(Candidate::from(claimed), now).then_some(permit)
        };
        self.begin(claimed, permit).await
    }

    /// Requeues the deliveries that get no permit.
    async fn begin(
        &self,
        claimed: Vec<Claimed>,
        mut permit: impl FnMut(&Claimed) -> Option<Permit>,
    ) -> Result<(), LedgerError> {
        let mut rejected = Vec::new();
        for claimed in claimed {
            match permit(&claimed) {
                Some(permit) => {
                    let failing = claimed.target.health.failing_since.is_some();
                    tasks::spawn(Task::Delivery, deliver(self.clone(), claimed, failing, permit));
                }
                None => rejected.push((claimed.delivery, Requeue::Now)),
            }
        }
        self.ledger().requeue(&self.0.holder, &rejected).await
    }
}
