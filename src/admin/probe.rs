//! Checks a shared dependency for `/readyz`. One check serves all callers that wait for it. It runs in its own task, so
//! that no caller waits longer than the timeout, and a disconnected caller does not cancel the check.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::clock::running::timeout;
use crate::tasks::{self, Task};

/// How long a result is cached.
const CACHE_FOR: Duration = Duration::from_secs(2);

/// The timeout of a check.
const TIMEOUT: Duration = Duration::from_secs(2);

/// The problem in a few words; `None` if there is none.
pub(super) type Fault = Option<&'static str>;

/// The last result, and when it was found. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Probe(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    last: watch::Sender<Option<(Instant, Fault)>>,
    in_progress: AtomicBool,
}

impl Probe {
    /// The result of a current or recent check; `late` if the check takes too long.
    pub(super) async fn find(
        &self,
        check: impl Future<Output = Fault> + Send + 'static,
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
                let found = timeout(TIMEOUT, check).await.unwrap_or(Some(late));
                in_progress.0.last.send_replace(Some((Instant::now(), found)));
            });
        }
        match timeout(TIMEOUT, last.changed()).await {
            Ok(Ok(())) => last.borrow().and_then(|(_, found)| found),
            Ok(Err(_)) | Err(_) => Some(late),
        }
    }
}

/// Marks a check as in progress until this is dropped, even by a panic.
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
    async fn a_check_that_hangs_runs_once_and_delays_no_caller_beyond_its_timeout() {
        let (probe, checks) = (Probe::default(), Arc::new(AtomicUsize::new(0)));
        let began = tokio::time::Instant::now();
        let callers = (0..100).map(|_| {
            let checks = Arc::clone(&checks);
            let hangs = async move {
                checks.fetch_add(1, Ordering::Relaxed);
                std::future::pending().await
            };
            probe.find(hangs, "late")
        });
        let found = futures_util::future::join_all(callers).await;
        assert!(found.iter().all(|found| *found == Some("late")), "{found:?}");
        assert_eq!((checks.load(Ordering::Relaxed), began.elapsed()), (1, TIMEOUT));
    }

    #[tokio::test]
    async fn a_check_that_panics_is_followed_by_another() {
        let probe = Probe::default();
        let panics = async { if always() { panic!("on purpose") } else { None } };
        let found = timeout(TIMEOUT / 4, probe.find(panics, "late")).await;
        assert!(found.is_err());
        assert_eq!(probe.find(async { None }, "late").await, None);
    }

    fn always() -> bool {
        true
    }
}
