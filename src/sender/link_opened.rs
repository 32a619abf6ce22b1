//! Records the downloads that the gateway reports. No client waits for this.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::clock::{Clock, UnixMillis};
use crate::ledger::{Ledger, LinkOpened};
use crate::tasks::{self, Task};
use crate::telemetry::CompletedDownload;

/// The maximum number of downloads in a transaction.
const BATCH: usize = 1_024;

/// The maximum number of pending downloads. Further downloads are dropped.
const MAX_WAITING: usize = 4_096;

/// How long downloads are collected before they are written. Users do not reload the history faster, and many downloads
/// do not keep the database busy all the time (row *miss-8k* of the benchmark).
const BATCH_DELAY: Duration = Duration::from_millis(200);

/// The pause between two reads of the channel. Waiting for each download would wake this task, on another thread, at
/// every request, which costs nearly as much as answering it.
const DRAIN_INTERVAL: Duration = Duration::from_millis(5);

/// Repeated downloads with one link are recorded once in this period: players seek, and clients resume.
const DEDUP_WINDOW: Duration = Duration::from_secs(10);

/// Records downloads until the gateway ends. A failed write drops its batch and is logged, because downloads are not as
/// important as deliveries.
pub fn record_downloads(
    downloads: mpsc::Receiver<CompletedDownload>,
    ledger: Ledger,
    clock: Arc<dyn Clock>,
) -> JoinHandle<()> {
    tasks::supervise(Task::LinkOpened, (downloads, ledger, clock), |(downloads, ledger, clock)| {
        Box::pin(record(downloads, ledger, &**clock))
    })
}

async fn record(downloads: &mut mpsc::Receiver<CompletedDownload>, ledger: &Ledger, clock: &dyn Clock) {
    let mut pending = Pending { known: HashSet::new(), since: Instant::now(), waiting: Vec::new() };
    loop {
        if pending.waiting.is_empty() {
            let Some(first) = downloads.recv().await else { return };
            pending.note(first);
        }
        pending.take_until(downloads, tokio::time::sleep(BATCH_DELAY)).await;
        let collected = pending.take(clock.now_millis());
        for batch in collected.chunks(BATCH) {
            if let Err(error) = pending.take_until(downloads, ledger.record_links_opened(batch)).await {
                tracing::warn!(downloads = batch.len(), %error, "downloads could not be written into the delivery history");
            }
        }
    }
}

/// The downloads that are not recorded yet.
struct Pending {
    known: HashSet<CompletedDownload>,
    since: Instant,
    waiting: Vec<CompletedDownload>,
}

impl Pending {
    /// Drains the channel every few milliseconds until a future completes. Otherwise, repeated downloads with one link
    /// would fill the channel meanwhile, and other downloads would be lost.
    async fn take_until<T>(
        &mut self,
        downloads: &mut mpsc::Receiver<CompletedDownload>,
        done: impl Future<Output = T>,
    ) -> T {
        tokio::pin!(done);
        loop {
            let looked = tokio::time::timeout(DRAIN_INTERVAL, &mut done).await;
            // Takes only downloads that are waiting now: new ones may arrive as fast as they are taken.
            for _ in 0..downloads.len() {
                let Ok(download) = downloads.try_recv() else { break };
                self.note(download);
            }
            if let Ok(done) = looked {
                return done;
            }
        }
    }

    fn note(&mut self, download: CompletedDownload) {
        if self.since.elapsed() > DEDUP_WINDOW {
            self.known.clear();
            self.since = Instant::now();
        }
        if self.waiting.len() < MAX_WAITING && self.known.insert(download) {
            self.waiting.push(download);
        }
    }

    fn take(&mut self, at: UnixMillis) -> Vec<LinkOpened> {
        let waiting = self.waiting.drain(..);
        waiting
            .map(|CompletedDownload { asset, link_expires }| LinkOpened { asset, link_expires, at })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::asset::AssetRef;
    use crate::clock::{ManualClock, UnixSeconds};
    use crate::ledger::Config;

    #[tokio::test]
    async fn a_link_that_is_followed_without_end_does_not_lose_the_downloads_of_others() {
        let folder = tempfile::tempdir().unwrap();
        let database = format!("sqlite:{}", folder.path().join("calls.db").display()).parse().unwrap();
        let ledger = Ledger::open(&Config { database, secret_key_file: None }).await.unwrap();
        let (downloads, receiver) = mpsc::channel(64);
        let clock = Arc::new(ManualClock::at(UnixSeconds(1_000_000)));
        let _writing = record_downloads(receiver, ledger, clock);
        let download = |at: u64| CompletedDownload {
            asset: AssetRef::recording(uuid::Uuid::from_u64_pair(1, at)),
            link_expires: UnixSeconds(2_000_000),
        };
        let flood = downloads.clone();
        let flooding = tokio::spawn(async move {
            loop {
                // Many times the channel's capacity while downloads are collected.
                for _ in 0..8 {
                    let _ = flood.try_send(download(0));
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
        for at in 1..=20 {
            tokio::time::sleep(Duration::from_millis(30)).await;
            assert!(downloads.try_send(download(at)).is_ok(), "the channel is full at {at}");
        }
        flooding.abort();
    }
}
