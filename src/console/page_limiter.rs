//! How many pages are made at once: for one workspace, and for all. What the database and the store do for pages, they do
//! not do for calls.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Each tab that follows what happens asks for one page at a time.
const MOST_EACH: usize = 16;
const MOST: usize = 64;

/// Counts the pages that are being made. Clones count together.
#[derive(Debug, Clone, Default)]
pub(super) struct PageLimiter(Arc<Mutex<HashMap<String, usize>>>);

/// A page that is being made, until dropped.
#[derive(Debug)]
pub(super) struct PagePermit {
    of: PageLimiter,
    whose: String,
}

impl PageLimiter {
    /// One more page of a workspace's people (`None`: of operators); `None` if there are too many.
    pub(super) fn take(&self, workspace: Option<&str>) -> Option<PagePermit> {
        let whose = workspace.unwrap_or_default();
        let mut counts = self.counts();
        let all: usize = counts.values().sum();
        let count = counts.entry(whose.to_owned()).or_default();
        if *count >= MOST_EACH || all >= MOST {
            if *count == 0 {
                counts.remove(whose);
            }
            return None;
        }
        *count += 1;
        Some(PagePermit { of: self.clone(), whose: whose.to_owned() })
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for PagePermit {
    fn drop(&mut self) {
        let mut counts = self.of.counts();
        if let Some(count) = counts.get_mut(&self.whose) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.whose);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_workspace_cannot_take_what_is_for_all() {
        let page_limiter = PageLimiter::default();
        let of = |whose: &str| -> Vec<PagePermit> {
            std::iter::from_fn(|| page_limiter.take(Some(whose))).collect()
        };
        let taken: Vec<Vec<PagePermit>> = ["a", "b", "c", "d"].map(of).into();
        assert!(taken.iter().all(|taken| taken.len() == MOST_EACH));
        assert!(page_limiter.take(Some("e")).is_none() && page_limiter.take(None).is_none());
        drop(taken);
        assert!(page_limiter.take(None).is_some() && page_limiter.counts().is_empty());
    }
}
