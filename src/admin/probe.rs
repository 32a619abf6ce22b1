//! A look at something that others share, for `/readyz`: taken by one caller for all who ask meanwhile, in a separate task, so
//! that no caller waits longer than a look may take, and none that leaves takes the look along.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::clock::running::timeout;
use crate::tasks::{self, Task};

/// For how long one look answers.
const CACHE_FOR: Duration = Duration::from_secs(2);

/// How long a look may take.
const TIMEOUT: Duration = Duration::from_secs(2);

/// What is wrong, in a few words; `None` if nothing is.
pub(super) type Fault = Option<&'static str>;

/// What was found last, and when. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Probe(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    last: watch::Sender<Option<(Instant, Fault)>>,
    in_progress: AtomicBool,
}

impl Probe {
    /// What is found now, or was a moment ago; `late` if the look takes too long.
    pub(super) async fn find(
        &self,
        look: impl Future<Output = Fault> + Send + 'static,
        late: &'static str,
    ) -> Fault {
        let mut last = self.0.last.subscribe();
        if let Some((at, found)) = *last.borrow_and_update()
            && at.elapsed() < CACHE_FOR
        {
            return found;
        }
        if !self.0.in_progress.swap(true, Ordering::AcqRel) {
            let in_progress = InProgress(Arc::clone(&self.0));
            tasks::spawn(Task::ReadinessProbe, async move {
                let found = timeout(TIMEOUT, look).await.unwrap_or(Some(late));
                in_progress.0.last.send_replace(Some((Instant::now(), found)));
            });
        }
        match timeout(TIMEOUT, last.changed()).await {
            Ok(Ok(())) => last.borrow().and_then(|(_, found)| found),
            Ok(Err(_)) | Err(_) => Some(late),
        }
    }
}

/// One look is under way until this is dropped, however it ends.
struct InProgress(Arc<Shared>);

impl Drop for InProgress {
    fn drop(&mut self) {
        self.0.in_progress.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_look_that_hangs_is_one_look_and_holds_nobody_longer_than_it_may_take() {
        let (probe, looks) = (Probe::default(), Arc::new(AtomicUsize::new(0)));
        let began = tokio::time::Instant::now();
        let callers = (0..100).map(|_| {
            let looks = Arc::clone(&looks);
            let hangs = async move {
                looks.fetch_add(1, Ordering::Relaxed);
                std::future::pending().await
            };
            probe.find(hangs, "late")
        });
        let found = futures_util::future::join_all(callers).await;
        assert!(found.iter().all(|found| *found == Some("late")), "{found:?}");
        assert_eq!((looks.load(Ordering::Relaxed), began.elapsed()), (1, TIMEOUT));
    }

    #[tokio::test]
    async fn a_look_that_panics_is_followed_by_another() {
        let probe = Probe::default();
        let panics = async { if looks_bad() { panic!("on purpose") } else { None } };
        let found = timeout(TIMEOUT / 4, probe.find(panics, "late")).await;
        assert!(found.is_err());
        assert_eq!(probe.find(async { None }, "late").await, None);
    }

    fn looks_bad() -> bool {
        true
    }
}
