//! Adds deliveries to events that were accepted earlier.

use super::database::{Statement, Tx, values};
use super::error::Result;

/// Adds the deliveries of the rows `n`: `event`, `endpoint`, `workspace`, `position`, `arrived`, `accepted_at` and
/// `disabled`, the state of the endpoint. `$2` is now. The event's assets have had the time since it was accepted to
/// arrive, so no attempt waits for them.
macro_rules! insert_later_deliveries {
    ($lane:literal, $created_at:literal, $from:expr) => {
        concat!(
            "INSERT INTO deliveries (id, event_id, endpoint_id, workspace, position, state, test, lane, due_at, tries, \
             attempts, asset_waited, arrived, active_at, created_at, note, ended_at) \
             SELECT 'dlv_' || substr(n.event, 5) || '_' || (n.position + 1), n.event, n.endpoint, n.workspace, n.position, \
             CASE WHEN n.disabled THEN 'failed' ELSE 'queued' END, FALSE, ",
            $lane,
            ", $2, 0, 0, $2 - n.accepted_at, n.arrived, $2, ",
            $created_at,
            ", CASE WHEN n.disabled THEN 'the endpoint is disabled' END, CASE WHEN n.disabled THEN $2 END FROM ",
            $from
        )
    };
}
pub(super) use insert_later_deliveries;

/// The position of the last delivery of the event `v`.
macro_rules! last_position {
    () => {
        "(SELECT coalesce(max(p.position), -1) FROM deliveries p WHERE p.event_id = v.id)"
    };
}
pub(super) use last_position;

/// Locks events, so that no other transaction adds deliveries to them. (SQLite has one writer.)
pub(super) async fn lock_events(tx: &mut Tx, ids: &[String]) -> Result<()> {
    const LOCK: Statement = Statement {
        sqlite: "SELECT id FROM events WHERE id IN (SELECT value FROM json_each($1))",
        postgres: "SELECT id FROM events WHERE id = ANY ($1::text[]) ORDER BY id FOR NO KEY UPDATE",
    };
    tx.fetch::<(String,)>(LOCK, values![ids.to_vec()]).await.map(|_| ())
}
