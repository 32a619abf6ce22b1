//! Draining: no new connections; those in flight finish until a deadline.

use std::time::Duration;

use crate::clock::running;
use tokio::sync::watch;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

/// The signal to drain, and the tasks that draining waits for. Clones share both.
#[derive(Debug, Clone)]
pub struct Drain {
    stage: watch::Sender<Stage>,
    tasks: TaskTracker,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Serving,
    /// Load balancers get time to send requests elsewhere.
    Announced,
    Begun,
}

impl Default for Drain {
    fn default() -> Self {
        Self::new()
    }
}

impl Drain {
    /// Creates the signal. Draining has not begun.
    #[must_use]
    pub fn new() -> Self {
        Self { stage: watch::Sender::new(Stage::Serving), tasks: TaskTracker::new() }
    }

    /// Announces that draining will begin. From now on `/readyz` fails, so that load balancers send no new requests.
    pub fn announce(&self) {
        self.stage.send_if_modified(|stage| {
            let serving = *stage == Stage::Serving;
            if serving {
                *stage = Stage::Announced;
            }
            serving
        });
    }

    /// Begins to drain: [`Drain::begun`] returns.
    pub fn begin(&self) {
        self.stage.send_replace(Stage::Begun);
    }

    /// Whether draining has begun or been announced.
    #[must_use]
    pub fn is_announced(&self) -> bool {
        *self.stage.borrow() != Stage::Serving
    }

    /// Waits until draining begins.
    pub async fn begun(&self) {
        // The sender is part of `self`, so waiting cannot fail.
        let _ = self.stage.subscribe().wait_for(|stage| *stage == Stage::Begun).await;
    }

    /// Waits until draining has ended: all tasks have finished.
    pub(super) async fn ended(&self) {
        self.tasks.wait().await;
    }

    /// Makes draining wait until the token is dropped.
    pub(super) fn hold(&self) -> TaskTrackerToken {
        self.tasks.token()
    }

    /// Runs a task that draining waits for.
    pub(super) fn track(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task);
    }

    /// Begins to drain and waits for the tasks, but no longer than `deadline`. Returns the number of tasks still
    /// running.
    pub async fn finish(&self, deadline: Duration) -> usize {
        self.begin();
        self.tasks.close();
        let _ = running::timeout(deadline, self.tasks.wait()).await;
        self.tasks.len()
    }
}
