//! Turns at the system's resolver, shared out among the workspaces for which names are looked up.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// Gives turns out. A workspace may hold as many as are free: one whose name servers hang takes half of all, and leaves
/// the others theirs.
#[derive(Debug, Clone)]
pub(super) struct Lookups(Arc<State>);

#[derive(Debug)]
struct State {
    most: usize,
    held: Mutex<Held>,
    freed: Notify,
}

#[derive(Debug, Default)]
struct Held {
    all: usize,
    by_workspace: HashMap<String, usize>,
}

/// One lookup, until dropped.
#[derive(Debug)]
pub(super) struct Turn {
    lookups: Lookups,
    workspace: String,
}

impl Lookups {
    pub(super) fn new(most: usize) -> Self {
        Self(Arc::new(State { most, held: Mutex::default(), freed: Notify::new() }))
    }

    /// Waits for a turn. The caller bounds the wait: an attempt has one deadline for everything.
    pub(super) async fn turn(&self, workspace: &str) -> Turn {
        loop {
            let freed = self.0.freed.notified();
            tokio::pin!(freed);
            // What is freed from here on wakes this wait.
            freed.as_mut().enable();
            if let Some(turn) = self.try_turn(workspace) {
                return turn;
            }
            freed.await;
        }
    }

    fn try_turn(&self, workspace: &str) -> Option<Turn> {
        let mut held = self.held();
        let own = held.by_workspace.get(workspace).copied().unwrap_or_default();
        if own >= self.0.most.saturating_sub(held.all) {
            return None;
        }
        held.all += 1;
        held.by_workspace.insert(workspace.to_owned(), own + 1);
        Some(Turn { lookups: self.clone(), workspace: workspace.to_owned() })
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut held = self.lookups.held();
        held.all = held.all.saturating_sub(1);
        match held.by_workspace.get_mut(&self.workspace) {
            Some(own) if *own > 1 => *own -= 1,
            _ => drop(held.by_workspace.remove(&self.workspace)),
        }
        drop(held);
        self.lookups.0.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[tokio::test]
    async fn a_workspace_whose_lookups_hang_leaves_turns_to_the_others() {
        let lookups = Lookups::new(128);
        let hanging: Vec<_> = std::iter::from_fn(|| lookups.try_turn("noisy")).collect();
        assert_eq!(hanging.len(), 64);
        let others: Vec<_> = (0..6).filter_map(|other| lookups.try_turn(&other.to_string())).collect();
        assert_eq!(others.len(), 6);
        assert!(lookups.turn("noisy").now_or_never().is_none());
        drop((hanging, others));
        assert!(lookups.held().by_workspace.is_empty());
    }

    #[tokio::test]
    async fn a_turn_that_ends_lets_the_next_one_in() {
        let lookups = Lookups::new(2);
        let turn = lookups.turn("acme").await;
        let (waiting, ()) = tokio::join!(lookups.turn("acme"), async { drop(turn) });
        assert_eq!(waiting.workspace, "acme");
    }
}
