//! Limits users' searches, which share the reading connections with the sender. A search may read a long history, so a
//! few searches could otherwise occupy all connections.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The maximum number of concurrent searches: one less than the number of reading connections.
const MAX_SEARCHES: usize = 3;

/// The maximum number of concurrent searches per workspace, so that no workspace takes all permits.
const MAX_SEARCHES_PER_WORKSPACE: usize = 2;

/// How many workspaces are tracked before idle ones are dropped.
const MAX_IDLE_WORKSPACES: usize = 64;

/// Permits for searches; clones share them.
#[derive(Debug, Clone)]
pub(super) struct SearchLimiter {
    all: Arc<Semaphore>,
    workspaces: Arc<Mutex<HashMap<String, Arc<Semaphore>>>>,
}

/// A permit for one search, returned on drop.
#[derive(Debug)]
pub(super) struct SearchPermit {
    _workspace: Option<OwnedSemaphorePermit>,
    _all: Option<OwnedSemaphorePermit>,
}

impl Default for SearchLimiter {
    fn default() -> Self {
        Self { all: Arc::new(Semaphore::new(MAX_SEARCHES)), workspaces: Arc::default() }
    }
}

impl SearchLimiter {
    /// Waits for a permit.
    pub(super) async fn acquire(&self, workspace: &str) -> SearchPermit {
        // The semaphores are never closed.
        let of_workspace = self.workspace_permits(workspace).acquire_owned().await.ok();
        let all = Arc::clone(&self.all).acquire_owned().await.ok();
        SearchPermit { _workspace: of_workspace, _all: all }
    }

    fn workspace_permits(&self, workspace: &str) -> Arc<Semaphore> {
        let mut workspaces = self.workspaces.lock().unwrap_or_else(PoisonError::into_inner);
        if workspaces.len() >= MAX_IDLE_WORKSPACES {
            workspaces.retain(|_, limiter| Arc::strong_count(limiter) > 1);
        }
        let new = || Arc::new(Semaphore::new(MAX_SEARCHES_PER_WORKSPACE));
        Arc::clone(workspaces.entry(workspace.to_owned()).or_insert_with(new))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_workspace_that_searches_without_end_leaves_a_permit_to_another() {
        let limiter = SearchLimiter::default();
        let (_one, _two) = (limiter.acquire("noisy").await, limiter.acquire("noisy").await);
        let third = tokio::time::timeout(Duration::from_millis(50), limiter.acquire("noisy")).await;
        assert!(third.is_err());
        limiter.acquire("quiet").await;
    }

    #[tokio::test]
    async fn workspaces_that_no_longer_search_are_dropped() {
        let limiter = SearchLimiter::default();
        let held = limiter.acquire("held").await;
        for workspace in 0..1_000 {
            limiter.acquire(&format!("w{workspace}")).await;
        }
        assert!(limiter.workspaces.lock().unwrap().len() <= MAX_IDLE_WORKSPACES);
        assert!(limiter.workspaces.lock().unwrap().contains_key("held"));
        drop(held);
    }
}
