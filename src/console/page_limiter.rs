//! Limits concurrent page loads, per workspace and in total, so that the settings page cannot starve calls of the
//! database and the store.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A tab with live updates loads one page at a time.
const MAX_PER_WORKSPACE: usize = 16;
const MAX_TOTAL: usize = 64;

/// Counts current page loads. Clones share the counts.
#[derive(Debug, Clone, Default)]
pub(super) struct PageLimiter(Arc<Mutex<HashMap<String, usize>>>);

/// A permit to load one page, released on drop.
#[derive(Debug)]
pub(super) struct PagePermit {
    of: PageLimiter,
    workspace: String,
}

impl PageLimiter {
    /// Acquires a permit for a page of a workspace (`None`: the operator). Returns `None` if a limit is reached.
    pub(super) fn try_acquire(&self, workspace: Option<&str>) -> Option<PagePermit> {
        let workspace = workspace.unwrap_or_default();
        let mut counts = self.counts();
        let all: usize = counts.values().sum();
        let count = counts.entry(workspace.to_owned()).or_default();
        if *count >= MAX_PER_WORKSPACE || all >= MAX_TOTAL {
            if *count == 0 {
                counts.remove(workspace);
            }
            return None;
        }
        *count += 1;
        Some(PagePermit { of: self.clone(), workspace: workspace.to_owned() })
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for PagePermit {
    fn drop(&mut self) {
        let mut counts = self.of.counts();
        if let Some(count) = counts.get_mut(&self.workspace) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.workspace);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_workspace_cannot_take_every_permit() {
        let page_limiter = PageLimiter::default();
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
