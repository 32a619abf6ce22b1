//! The gateway tells which links were followed; here that is written down, without anybody waiting for it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::clock::Clock;
use crate::ledger::{Ledger, PickedUp};
use crate::telemetry::Downloaded;

/// The most downloads that are written down in one transaction.
const AT_ONCE: usize = 200;

/// Downloads are gathered for so long: nobody reads the history faster.
const GATHER: Duration = Duration::from_millis(200);

/// Writes downloads down until the gateway is gone. What cannot be written is lost, and said: a download is no delivery.
pub async fn remember_downloads(
    mut downloads: mpsc::Receiver<Downloaded>,
    ledger: Ledger,
    clock: Arc<dyn Clock>,
) {
    let mut gathered = Vec::with_capacity(AT_ONCE);
    while downloads.recv_many(&mut gathered, AT_ONCE).await > 0 {
        tokio::time::sleep(GATHER).await;
        while gathered.len() < AT_ONCE {
            let Ok(more) = downloads.try_recv() else { break };
            gathered.push(more);
        }
        let at = clock.now_millis();
        let picked_up: Vec<PickedUp> = gathered
            .drain(..)
            .map(|Downloaded { asset, link_expires }| PickedUp { asset, link_expires, at })
            .collect();
        if let Err(error) = ledger.picked_up(&picked_up).await {
            tracing::warn!(downloads = picked_up.len(), %error, "downloads could not be written into the delivery history");
        }
    }
}
