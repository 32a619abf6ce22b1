//! Accepts events. The write that stores an event also claims the deliveries whose first attempts the caller begins
//! immediately.

use std::sync::Arc;
use std::time::Duration;

use super::assets::Assets;
use super::claimed::Claimed;
use super::error::Result;
use super::event::{Accepted, NewEvent};
use super::handle::Ledger;
use super::store_event::Made;
use crate::clock::UnixMillis;

impl Ledger {
    /// Accepts an event, which is on disk when this returns. `None` if a different call was accepted earlier under the
    /// same call id.
    ///
    /// # Errors
    /// If the event could not be written. Then it is not accepted.
    pub async fn accept(&self, event: NewEvent) -> Result<Option<Accepted>> {
        Ok(self.accept_and_claim(event).await?.map(|(accepted, _)| accepted))
    }

    /// Like [`Ledger::accept`]. Also returns the deliveries that were [claimed](NewEvent::claim).
    ///
    /// # Errors
    /// As for [`Ledger::accept`].
    pub async fn accept_and_claim(&self, event: NewEvent) -> Result<Option<(Accepted, Vec<Claimed>)>> {
        let (now, event) = (event.at, Arc::new(event));
        let Some(stored) = self.events.write(Arc::clone(&event)).await? else { return Ok(None) };
        let is_new = stored.event == event.id;
        let queued = stored.made.iter().filter(|made| is_new && made.state == "queued");
        let queues = queued.map(|made| event.queue_of(&made.endpoint)).collect();
        let claimed = stored.made.iter().filter_map(|made| self.claimed(&event, made, now)).collect();
        let deliveries = stored.made.into_iter().map(|made| made.delivery).collect();
        Ok(Some((Accepted { event: stored.event, deliveries, is_new, queues }, claimed)))
    }

    fn claimed(&self, event: &NewEvent, made: &Made, now: UnixMillis) -> Option<Claimed> {
        let links_expire = made.links_expire.filter(|_| made.claimed)?;
        let lease_until = event.lease.as_ref()?.until;
        Some(Claimed {
            delivery: made.delivery.clone(),
            event: event.id.clone(),
            arrived: Assets::default(),
            call_id: event.call_id.clone(),
            endpoint: made.endpoint.clone(),
            workspace: event.workspace.clone(),
            target: made.target.clone(),
            secrets: made.secrets.open(&self.seal, &made.endpoint, now).ok(),
            headers: made.secrets.open_headers(&self.seal, &made.endpoint, &made.target.url).ok(),
            call: Some(Arc::clone(&event.call)),
            recording: event.recording.clone(),
            transcript: event.transcript.clone(),
            test: event.is_test(),
            lane: event.lane(),
            asset_waited: Duration::ZERO,
            scheduled_at: None,
            accepted_at: event.at,
            tries: 0,
            attempts: 0,
            resends: 0,
            last_status: None,
            links_expire,
            lease_until,
        })
    }
}
