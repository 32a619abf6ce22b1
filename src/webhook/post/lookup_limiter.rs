//! Limits the concurrent lookups of the system's resolver, with a share for each workspace.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// Issues permits. A workspace may hold as many permits as remain free, so a workspace with hanging name servers takes
/// half of all permits, and the other half serves the other workspaces.
#[derive(Debug, Clone)]
pub(super) struct LookupLimiter(Arc<State>);

#[derive(Debug)]
struct State {
    most: usize,
    taken: Mutex<Taken>,
    freed: Notify,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_workspace: HashMap<String, usize>,
}

/// A permit for one lookup, released on drop.
#[derive(Debug)]
pub(super) struct LookupPermit {
    lookups: LookupLimiter,
    workspace: String,
}

impl LookupLimiter {
    pub(super) fn new(most: usize) -> Self {
        Self(Arc::new(State { most, taken: Mutex::default(), freed: Notify::new() }))
    }

    /// Waits for a permit. The caller limits the wait: an attempt has one deadline for all its phases.
    pub(super) async fn acquire(&self, workspace: &str) -> LookupPermit {
        loop {
            let freed = self.0.freed.notified();
            tokio::pin!(freed);
            // From here on, a dropped permit wakes this wait.
            freed.as_mut().enable();
            if let Some(permit) = self.try_acquire(workspace) {
                return permit;
            }
            freed.await;
        }
    }

    fn try_acquire(&self, workspace: &str) -> Option<LookupPermit> {
        let mut taken = self.taken();
        let own = taken.by_workspace.get(workspace).copied().unwrap_or_default();
        if own >= self.0.most.saturating_sub(taken.all) {
            return None;
        }
        taken.all += 1;
        taken.by_workspace.insert(workspace.to_owned(), own + 1);
        Some(LookupPermit { lookups: self.clone(), workspace: workspace.to_owned() })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.0.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for LookupPermit {
    fn drop(&mut self) {
        let mut taken = self.lookups.taken();
        taken.all = taken.all.saturating_sub(1);
        match taken.by_workspace.get_mut(&self.workspace) {
            Some(own) if *own > 1 => *own -= 1,
            _ => drop(taken.by_workspace.remove(&self.workspace)),
        }
        drop(taken);
        self.lookups.0.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn a_workspace_whose_lookups_hang_leaves_permits_for_the_others() {
        let lookups = LookupLimiter::new(128);
        let hanging: Vec<_> = std::iter::from_fn(|| lookups.try_acquire("noisy")).collect();
        assert_eq!(hanging.len(), 64);
        let others: Vec<_> = (0..6).filter_map(|other| lookups.try_acquire(&other.to_string())).collect();
        assert_eq!(others.len(), 6);
        assert!(lookups.acquire("noisy").now_or_never().is_none());
        drop((hanging, others));
        assert!(lookups.taken().by_workspace.is_empty());
    }

    #[tokio::test]
    async fn a_dropped_permit_wakes_the_next_waiter() {
        let lookups = LookupLimiter::new(2);
        let permit = lookups.acquire("acme").await;
        let (waiting, ()) = tokio::join!(lookups.acquire("acme"), async { drop(permit) });
        assert_eq!(waiting.workspace, "acme");
    }
}
