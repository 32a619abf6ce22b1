//! Limits concurrent page loads and event streams, for each workspace or session and in total, so that the settings page
//! cannot starve calls of the database and the store.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Of a workspace, and of a session; a person who leaves a page may leave its stream behind for some seconds.
const MAX_PER_WORKSPACE: usize = 16;
const MAX_PER_SESSION: usize = 6;
const MAX_TOTAL: usize = 64;

/// Counts what is in progress for each workspace or session. Clones share the counts.
#[derive(Debug, Clone)]
pub(super) struct PageLimiter {
    each: usize,
    counts: Arc<Mutex<HashMap<String, usize>>>,
}

/// A permit for one page or stream, released on drop.
#[derive(Debug)]
pub(super) struct PagePermit {
    of: PageLimiter,
    owner: String,
}

impl PageLimiter {
    pub(super) fn of_workspaces() -> Self {
        Self { each: MAX_PER_WORKSPACE, counts: Arc::default() }
    }

    pub(super) fn of_sessions() -> Self {
        Self { each: MAX_PER_SESSION, counts: Arc::default() }
    }

    /// Acquires a permit for a workspace (`None`: the operator) or a session. Returns `None` if a limit is reached.
    pub(super) fn try_acquire(&self, owner: Option<&str>) -> Option<PagePermit> {
        let owner = owner.unwrap_or_default();
        let mut counts = self.counts();
        let all: usize = counts.values().sum();
        let count = counts.entry(owner.to_owned()).or_default();
        if *count >= self.each || all >= MAX_TOTAL {
            if *count == 0 {
                counts.remove(owner);
            }
            return None;
        }
        *count += 1;
        Some(PagePermit { of: self.clone(), owner: owner.to_owned() })
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for PagePermit {
    fn drop(&mut self) {
        let mut counts = self.of.counts();
        if let Some(count) = counts.get_mut(&self.owner) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.owner);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_workspace_cannot_take_every_permit() {
        let page_limiter = PageLimiter::of_workspaces();
        let of = |workspace: &str| -> Vec<PagePermit> {
            std::iter::from_fn(|| page_limiter.try_acquire(Some(workspace))).collect()
        };
        let taken: Vec<Vec<PagePermit>> = ["a", "b", "c", "d"].map(of).into();
        assert!(taken.iter().all(|taken| taken.len() == MAX_PER_WORKSPACE));
        assert!(page_limiter.try_acquire(Some("e")).is_none() && page_limiter.try_acquire(None).is_none());
        drop(taken);
        assert!(page_limiter.try_acquire(None).is_some() && page_limiter.counts().is_empty());
    }
}
