//! Remembers which endpoints a workspace has, so that an accepted event can take their slots before the ledger names
//! them. An endpoint that is missing here gets its first attempts through its queue.

use std::collections::HashMap;
use std::time::Duration;

use crate::clock::UnixMillis;

/// How long an endpoint without attempts is remembered.
const KEEP: Duration = Duration::from_secs(24 * 60 * 60);

/// The endpoints of each workspace, and when their last attempts began.
#[derive(Debug, Default)]
pub(super) struct KnownEndpoints(HashMap<String, Vec<(String, UnixMillis)>>);

impl KnownEndpoints {
    /// Records an attempt.
    pub(super) fn note(&mut self, workspace: &str, endpoint: &str, now: UnixMillis) {
        let Some(known) = self.0.get_mut(workspace) else {
            self.0.insert(workspace.to_owned(), vec![(endpoint.to_owned(), now)]);
            return;
        };
        match known.iter_mut().find(|(id, _)| id == endpoint) {
            Some((_, used_at)) => *used_at = now,
            None => known.push((endpoint.to_owned(), now)),
        }
    }

    pub(super) fn of(&self, workspace: &str) -> Vec<String> {
        self.0.get(workspace).into_iter().flatten().map(|(id, _)| id.clone()).collect()
    }

    pub(super) fn forget_idle(&mut self, now: UnixMillis) {
        self.0.retain(|_, known| {
            known.retain(|(_, used_at)| now.since(*used_at) < KEEP);
            !known.is_empty()
        });
    }
}
