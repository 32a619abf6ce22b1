//! The gateway tells which links were followed; here that is written down, without anybody waiting for it.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::clock::Clock;
use crate::ledger::{Ledger, PickedUp};
use crate::tasks::{self, Task};
use crate::telemetry::Downloaded;

/// The most downloads that are written down in one transaction.
const AT_ONCE: usize = 200;

/// Downloads are gathered for so long: nobody reads the history faster.
const GATHER: Duration = Duration::from_millis(200);

/// Who fetches a link again and again is written down once in so long: a player that seeks, a client that resumes.
const AGAIN_AFTER: Duration = Duration::from_secs(10);

/// Writes downloads down until the gateway is gone. What cannot be written is lost, and said: a download is no delivery.
pub fn remember_downloads(
    downloads: mpsc::Receiver<Downloaded>,
    ledger: Ledger,
    clock: Arc<dyn Clock>,
) -> JoinHandle<()> {
    tasks::supervise(Task::LinkOpened, (downloads, ledger, clock), |(downloads, ledger, clock)| {
        Box::pin(write_down(downloads, ledger, &**clock))
    })
}

async fn write_down(downloads: &mut mpsc::Receiver<Downloaded>, ledger: &Ledger, clock: &dyn Clock) {
    let mut gathered = Vec::with_capacity(AT_ONCE);
    let (mut known, mut since) = (HashSet::new(), Instant::now());
    while downloads.recv_many(&mut gathered, AT_ONCE).await > 0 {
        tokio::time::sleep(GATHER).await;
        if since.elapsed() > AGAIN_AFTER {
            known.clear();
            since = Instant::now();
        }
        gathered.retain(|download| known.insert(*download));
        // As many as wait now: more may come as fast as they are taken.
        for _ in 0..downloads.len() {
            if gathered.len() == AT_ONCE {
                break;
            }
            let Ok(more) = downloads.try_recv() else { break };
            if known.insert(more) {
                gathered.push(more);
            }
        }
        if gathered.is_empty() {
            continue;
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
