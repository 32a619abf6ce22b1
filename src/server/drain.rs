//! Stopping in order: no new connections, those in flight finish, then a deadline.

use std::time::Duration;

use tokio::sync::watch;
use tokio_util::task::TaskTracker;

/// The signal to drain, and the tasks that must finish first. Clones share both.
#[derive(Debug, Clone)]
pub struct Drain {
    begin: watch::Sender<bool>,
    tasks: TaskTracker,
}

impl Default for Drain {
    fn default() -> Self {
        Self::new()
    }
}

impl Drain {
    /// Nothing drains yet.
    #[must_use]
    pub fn new() -> Self {
        Self { begin: watch::Sender::new(false), tasks: TaskTracker::new() }
    }

    /// Begins to drain: whoever waits in [`Drain::begun`] goes on.
    pub fn begin(&self) {
        self.begin.send_replace(true);
    }

    /// Whether draining has begun.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        *self.begin.borrow()
    }

    /// Waits until draining begins.
    pub async fn begun(&self) {
        // The sender lives in self, so waiting cannot fail.
        let _ = self.begin.subscribe().wait_for(|begun| *begun).await;
    }

    /// Runs a task that draining waits for.
    pub(super) fn track(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task);
    }

    /// Begins to drain and waits for the tasks, at most `deadline`; returns how many were still running then.
    pub async fn finish(&self, deadline: Duration) -> usize {
        self.begin();
        self.tasks.close();
        let _ = tokio::time::timeout(deadline, self.tasks.wait()).await;
        self.tasks.len()
    }
}
