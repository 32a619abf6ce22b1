//! Accepts events: stores each event, with a delivery for every endpoint of its workspace, before the caller gets its
//! answer.

use std::collections::{HashMap, HashSet};

use serde_json::json;

use super::database::{Database, Statement, Tx, int, over_json_rows, values};
use super::error::Result;
use super::event::{Accepted, NewEvent};
use super::handle::Ledger;

impl Ledger {
    /// Accepts an event, which is on disk when this returns. `None` if a different call was accepted earlier under the
    /// same call id.
    ///
    /// # Errors
    /// If the event could not be written. Then it is not accepted.
    pub async fn accept(&self, event: NewEvent) -> Result<Option<Accepted>> {
        self.events.write(event).await
    }
}

const INSERT_EVENTS: Statement = over_json_rows!(
    "INSERT INTO events (id, workspace, call_id, test, content, recording, transcript, accepted_at) \
     SELECT id, workspace, call_id, test, content, recording, transcript, at FROM ",
    [id text, workspace text, call_id text, test boolean, content text, recording text, transcript text, at bigint],
    // SQLite needs a WHERE here: without one, it parses ON as part of a join.
    " WHERE true ON CONFLICT DO NOTHING RETURNING id"
);

const INSERT_DELIVERIES: Statement = over_json_rows!(
    "INSERT INTO deliveries (id, event_id, endpoint_id, workspace, position, state, test, lane, due_at, tries, \
     attempts, note, created_at, ended_at) \
     SELECT 'dlv_' || substr(v.id, 5) || '_' || row_number() OVER (PARTITION BY v.id ORDER BY e.created_at, e.id), \
            v.id, e.id, v.workspace, row_number() OVER (PARTITION BY v.id ORDER BY e.created_at, e.id) - 1, \
            CASE WHEN e.state = 'disabled' AND NOT v.test THEN 'failed' ELSE 'queued' END, v.test, \
            CASE WHEN v.test THEN 2 ELSE 0 END, \
            v.accepted_at, 0, 0, \
            CASE WHEN e.state = 'disabled' AND NOT v.test THEN 'the endpoint is disabled' END, v.accepted_at, \
            CASE WHEN e.state = 'disabled' AND NOT v.test THEN v.accepted_at END FROM ",
    [id text, endpoint text],
    " JOIN events v ON v.id = r.id JOIN endpoints e ON e.workspace = v.workspace AND e.removed_at IS NULL \
      AND (r.endpoint IS NULL OR e.id = r.endpoint) RETURNING id, event_id, endpoint_id"
);

/// Writes a batch of events in one transaction.
pub(super) async fn accept_all(database: &Database, events: &[NewEvent]) -> Result<Vec<Option<Accepted>>> {
    let rows: Vec<_> = events.iter().map(event_row).collect();
    let mut tx = database.begin().await?;
    let inserted = tx.fetch::<(String,)>(INSERT_EVENTS, values![json!(rows).to_string()]).await?;
    let inserted: HashSet<String> = inserted.into_iter().map(|(id,)| id).collect();
    let mut deliveries = insert_deliveries(&mut tx, events, &inserted).await?;

    let mut answers = Vec::with_capacity(events.len());
    for event in events {
        answers.push(if inserted.contains(&event.id) {
            let inserted = deliveries.remove(&event.id).unwrap_or_default();
            let queues = inserted.iter().map(|(_, endpoint)| event.queue_of(endpoint)).collect();
            let deliveries = inserted.into_iter().map(|(id, _)| id).collect();
            Some(Accepted { event: event.id.clone(), deliveries, is_new: true, queues })
        } else {
            accepted_before(&mut tx, event).await?
        });
    }
    tx.commit().await?;
    Ok(answers)
}

fn event_row(event: &NewEvent) -> serde_json::Value {
    json!({
        "id": event.id,
        "workspace": event.workspace,
        "call_id": event.call_id,
        "test": event.call_id.is_none(),
        "content": event.content,
        "recording": event.recording,
        "transcript": event.transcript,
        "at": int(event.at.0),
    })
}

/// Returns the deliveries of each inserted event, with their endpoints.
async fn insert_deliveries(
    tx: &mut Tx,
    events: &[NewEvent],
    inserted: &HashSet<String>,
) -> Result<HashMap<String, Vec<(String, String)>>> {
    let mut deliveries: HashMap<String, Vec<(String, String)>> = HashMap::new();
    let inserted = events.iter().filter(|event| inserted.contains(&event.id));
    let rows: Vec<_> = inserted.map(|event| json!({"id": event.id, "endpoint": event.endpoint})).collect();
    if !rows.is_empty() {
        let mut made =
            tx.fetch::<(String, String, String)>(INSERT_DELIVERIES, values![json!(rows).to_string()]).await?;
        // RETURNING guarantees no order. Each id ends in its position.
        made.sort_by(|(one, ..), (other, ..)| (one.len(), one).cmp(&(other.len(), other)));
        for (delivery, event, endpoint) in made {
            deliveries.entry(event).or_default().push((delivery, endpoint));
        }
    }
    Ok(deliveries)
}

/// The event that was accepted earlier under this call id, if it is the same call; or this event itself, if an earlier
/// write succeeded without an answer.
async fn accepted_before(tx: &mut Tx, event: &NewEvent) -> Result<Option<Accepted>> {
    const EXISTING: Statement = Statement::same(
        "SELECT id, content, recording, transcript FROM events WHERE id = $3 OR (workspace = $1 AND call_id = $2)",
    );
    const DELIVERIES: Statement =
        Statement::same("SELECT id FROM deliveries WHERE event_id = $1 ORDER BY position");
    let values = values![&event.workspace, &event.call_id, &event.id];
    let (content, recording, transcript) = (&event.content, &event.recording, &event.transcript);
    let existing: Option<(String, String, Option<String>, Option<String>)> =
        tx.fetch(EXISTING, values).await?.pop();
    let Some((id, ..)) =
        existing.filter(|(_, stored, one, other)| (stored, one, other) == (content, recording, transcript))
    else {
        return Ok(None);
    };
    let deliveries = tx.fetch::<(String,)>(DELIVERIES, values![&id]).await?;
    let deliveries = deliveries.into_iter().map(|(id,)| id).collect();
    Ok(Some(Accepted { is_new: id == event.id, event: id, deliveries, queues: Vec::new() }))
}
