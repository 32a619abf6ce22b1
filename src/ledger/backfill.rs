//! Sends earlier calls to an endpoint: those that it wants, and for which it has no delivery. Calls that were accepted
//! while their workspace had no endpoint are among them.

use serde_json::json;

use super::audit_entry::Action;
use super::call_filter::CallFilter;
use super::database::{Statement, int, values};
use super::endpoints::EndpointState;
use super::error::Result;
use super::handle::Ledger;
use super::later_deliveries::{insert_later_deliveries, last_position, lock_events};
use crate::clock::UnixMillis;
use crate::webhook::CompletedCall;

/// How many calls one transaction adds. Other writers wait for each transaction.
const BATCH: i64 = 100;

/// The next calls that an endpoint has no delivery for.
macro_rules! find_calls {
    ($events:literal, $deliveries:literal) => {
        concat!(
            "SELECT v.accepted_at, v.id, v.content, v.recording FROM ",
            $events,
            " WHERE v.workspace = $1 AND v.accepted_at >= $2 AND (v.accepted_at, v.id) > ($2, $3) AND v.accepted_at <= $4 \
             AND NOT v.test AND NOT EXISTS (SELECT 1 FROM ",
            $deliveries,
            " WHERE d.event_id = v.id AND d.endpoint_id = $5) ORDER BY v.accepted_at, v.id LIMIT $6"
        )
    };
}

/// Without hints, SQLite could read all calls of the workspace, and all deliveries of the endpoint for each.
const FIND: Statement = Statement {
    sqlite: find_calls!("events v INDEXED BY events_by_time", "deliveries d INDEXED BY deliveries_of_event"),
    postgres: find_calls!("events v", "deliveries d"),
};

/// Adds deliveries of a batch to the retry lane, oldest call first.
macro_rules! add_calls {
    ($deliveries:literal, $ids:literal) => {
        insert_later_deliveries!(
            "1",
            "n.accepted_at",
            concat!(
                "(SELECT v.id AS event, e.id AS endpoint, v.workspace, v.accepted_at, 0 AS arrived, FALSE AS disabled, ",
                last_position!(),
                " + 1 AS position FROM events v CROSS JOIN endpoints e WHERE v.id ",
                $ids,
                " AND e.id = $3 AND e.workspace = v.workspace AND e.removed_at IS NULL AND e.state <> 'disabled' \
                 AND NOT EXISTS (SELECT 1 FROM ",
                $deliveries,
                " WHERE d.event_id = v.id AND d.endpoint_id = $3)) AS n ORDER BY n.accepted_at, n.event"
            )
        )
    };
}

const ADD: Statement = Statement {
    sqlite: add_calls!("deliveries d INDEXED BY deliveries_of_event", "IN (SELECT value FROM json_each($1))"),
    postgres: add_calls!("deliveries d", "= ANY ($1::text[])"),
};

/// The result of a backfill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackfillOutcome {
    /// This number of calls is queued, or would be.
    Calls(u64),
    /// The endpoint is disabled: nothing would be sent.
    Disabled,
    /// There is no endpoint with this id.
    NoEndpoint,
}

/// A call that is found, by its place in the order.
type Found = (i64, String, String, Option<String>);

impl Ledger {
    /// Queues the workspace's calls since `from` for an endpoint; in a dry run only counts them. Works in batches, so that
    /// other writers are not blocked.
    ///
    /// # Errors
    /// If it could not be written. The caller can repeat it: calls that are queued already are not queued again.
    pub async fn backfill(
        &self,
        workspace: &str,
        endpoint: &str,
        from: UnixMillis,
        dry_run: bool,
        now: UnixMillis,
    ) -> Result<BackfillOutcome> {
        let Some(found) = self.endpoint(workspace, endpoint).await? else {
            return Ok(BackfillOutcome::NoEndpoint);
        };
        if found.state == EndpointState::Disabled {
            return Ok(BackfillOutcome::Disabled);
        }
        let (mut count, mut after) = (0, Some((int(from.0), String::new())));
        while let Some((since, id)) = after {
            let values = values![workspace, since, id, now, endpoint, BATCH];
            let permit = self.search_limiter.acquire(workspace).await;
            let calls: Vec<Found> = self.database.fetch(FIND, values).await?;
            drop(permit);
            after = calls.last().map(|(at, id, ..)| (*at, id.clone()));
            let wanted = calls.into_iter().filter(|call| is_wanted(&found.filter, call));
            let wanted: Vec<String> = wanted.map(|(_, id, ..)| id).collect();
            count +=
                if dry_run { wanted.len() as u64 } else { self.add_batch(endpoint, wanted, now).await? };
        }
        if !dry_run && count > 0 {
            let after = Some(json!({"from": from.to_string(), "calls": count}));
            self.record(Action { after, ..Action::of("calls.backfilled", workspace, endpoint) }).await?;
        }
        Ok(BackfillOutcome::Calls(count))
    }

    /// Adds the deliveries of a batch. Returns how many there are.
    async fn add_batch(&self, endpoint: &str, calls: Vec<String>, now: UnixMillis) -> Result<u64> {
        if calls.is_empty() {
            return Ok(0);
        }
        let mut tx = self.database.begin().await?;
        lock_events(&mut tx, &calls).await?;
        let added = tx.execute(ADD, values![calls, now, endpoint]).await?;
        tx.commit().await?;
        Ok(added)
    }
}

/// Whether the filter of an endpoint lets a call through. A call that cannot be read passes no condition.
fn is_wanted(filter: &CallFilter, (_, _, content, recording): &Found) -> bool {
    filter.is_all()
        || CompletedCall::parse(content.as_bytes()).is_ok_and(|call| filter.wants(&call, recording.is_some()))
}
