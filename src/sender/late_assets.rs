//! Finds late assets: looks into the store for what delivered calls await, or hears of it from the caller.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use uuid::Uuid;

use super::handle::Sender;
use super::links::is_in_store;
use crate::asset::{AssetKind, AssetRef};
use crate::clock::UnixMillis;
use crate::ledger::{Arrival, Assets, Awaited, Claimed, LedgerError, Look, Reported};
use crate::store::StoreError;

/// How often due looks are taken.
const TICK: Duration = Duration::from_secs(1);

/// The pause between a delivery and the first look.
const FIRST_LOOK: Duration = Duration::from_secs(30);

/// The maximum number of looks per tick: together, and for each workspace. However many calls have no recording, the
/// store gets no more requests than twice this number a second.
const LOOKS: usize = 32;
const LOOKS_PER_WORKSPACE: usize = 4;

/// The maximum number of concurrent looks.
const CONCURRENT_LOOKS: usize = 8;

/// How many workspaces one tick passes. The next one continues there.
const WORKSPACES: usize = 1_000;

/// What a delivered call awaits, if its endpoint gets reports: the assets that were sent as null and have an id. A person's
/// resend begins no waiting, because an asset may have been erased since.
pub(super) fn awaited(claimed: &Claimed, nulls: Assets, at: UnixMillis) -> Awaited {
    if !claimed.target.late_assets || claimed.test || !claimed.arrived.is_empty() {
        return Awaited::default();
    }
    let recording = nulls.recording && claimed.recording.is_some();
    let transcript = nulls.transcript && claimed.transcript.is_some();
    let assets = Assets { recording, transcript };
    let look_at = (!assets.is_empty()).then(|| at.plus(FIRST_LOOK));
    Awaited { assets: if claimed.resends == 0 { assets } else { Assets::default() }, look_at }
}

/// The result of a caller's word that assets have arrived.
#[derive(Debug)]
pub enum ArrivalOutcome {
    /// What the ledger made of it.
    Known(Arrival),
    /// The store does not have this asset.
    NotInStore(AssetKind),
    /// The store does not answer now.
    StoreFailed(StoreError),
}

impl Sender {
    /// Reports assets of a call that have arrived, as the caller says, after a look at the store.
    ///
    /// # Errors
    /// [`LedgerError`] if it could not be written. Then nothing is reported.
    pub async fn assets_arrived(
        &self,
        workspace: &str,
        call: &str,
        assets: &[(AssetKind, Uuid)],
    ) -> Result<ArrivalOutcome, LedgerError> {
        for (kind, id) in assets {
            match is_in_store(self, AssetRef { kind: *kind, id: *id }).await {
                Ok(true) => {}
                Ok(false) => return Ok(ArrivalOutcome::NotInStore(*kind)),
                Err(error) => return Ok(ArrivalOutcome::StoreFailed(error)),
            }
        }
        let arrival = self.ledger().assets_arrived(workspace, call, assets, self.now()).await?;
        if let Arrival::Reported(reported) = &arrival {
            self.on_reported(reported);
        }
        Ok(ArrivalOutcome::Known(arrival))
    }

    fn on_reported(&self, reported: &[Reported]) {
        let queues: Vec<_> = reported.iter().filter_map(|reported| reported.queue.clone()).collect();
        self.metrics().requeued("late_asset", u64::try_from(reported.len()).unwrap_or(u64::MAX));
        self.on_queued(&queues);
    }
}

/// Runs until it is aborted.
pub(super) async fn run(sender: &Sender) {
    let mut every = tokio::time::interval(TICK);
    every.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut after = String::new();
    loop {
        every.tick().await;
        match look(sender, &after).await {
            Ok(next) => after = next,
            // The dispatcher logs that the database does not answer.
            Err(error) => tracing::debug!(%error, "looks for late assets have to wait"),
        }
    }
}

/// Takes the due looks of the workspaces after a name. Returns where the next tick continues.
async fn look(sender: &Sender, after: &str) -> Result<String, LedgerError> {
    let (ledger, now) = (sender.ledger(), sender.now());
    let patience = sender.0.config.link_lifetime;
    let workspaces = ledger.workspaces_with_looks(after, WORKSPACES).await?;
    let mut next = if workspaces.len() < WORKSPACES { String::new() } else { last_of(&workspaces) };
    let mut looks = Vec::new();
    for (workspace, _) in workspaces.into_iter().filter(|(_, due)| *due <= now) {
        if looks.len() + LOOKS_PER_WORKSPACE > LOOKS {
            break;
        }
        looks.extend(ledger.claim_looks(&workspace, LOOKS_PER_WORKSPACE, patience, now).await?);
        if looks.len() + LOOKS_PER_WORKSPACE > LOOKS {
            next = workspace;
        }
    }
    let looks = by_event(looks);
    stream::iter(looks).for_each_concurrent(CONCURRENT_LOOKS, |look| look_for(sender, look)).await;
    Ok(next)
}

fn last_of(workspaces: &[(String, UnixMillis)]) -> String {
    workspaces.last().map(|(workspace, _)| workspace.clone()).unwrap_or_default()
}

/// One look for each event, at everything that its deliveries await.
fn by_event(looks: Vec<Look>) -> Vec<Look> {
    let mut events: BTreeMap<String, Look> = BTreeMap::new();
    for look in looks {
        let known = events.entry(look.event.clone()).or_insert_with(|| look.clone());
        known.awaits.recording |= look.awaits.recording;
        known.awaits.transcript |= look.awaits.transcript;
    }
    events.into_values().collect()
}

async fn look_for(sender: &Sender, look: Look) {
    let mut found = Assets::default();
    for (kind, id) in [(AssetKind::Recording, &look.recording), (AssetKind::Transcript, &look.transcript)] {
        let Some(id) = id.as_deref().and_then(|id| Uuid::try_parse(id).ok()) else { continue };
        if look.awaits.contains(kind) && matches!(is_in_store(sender, AssetRef { kind, id }).await, Ok(true))
        {
            found = found.with(kind);
        }
    }
    if found.is_empty() {
        return;
    }
    match sender.ledger().assets_found(&look.event, found, sender.now()).await {
        Ok(reported) => sender.on_reported(&reported),
        Err(error) => {
            tracing::warn!(workspace = look.workspace, call = look.call, event = look.event, %error, "a late asset could not be reported; the next look will find it");
        }
    }
}
