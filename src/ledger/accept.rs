//! Takes events in: on disk, with a delivery for every endpoint of the workspace, before anybody is told.

use std::collections::{HashMap, HashSet};

use serde_json::json;
use sqlx::FromRow;
use uuid::Uuid;

use super::database::{Database, Statement, Tx, values};
use super::{Lane, Ledger, LedgerError, Queue, new_id, stored};
use crate::clock::UnixMillis;
use crate::webhook::CompletedCall;

/// An event to be accepted.
#[derive(Debug, Clone)]
pub struct NewEvent {
    id: String,
    workspace: String,
    call_id: Option<String>,
    /// For test events: the one endpoint they go to.
    endpoint: Option<String>,
    content: String,
    recording: Option<String>,
    transcript: Option<String>,
    at: UnixMillis,
}

impl NewEvent {
    /// A completed call. `call_id` is the caller's own: the same call handed in twice is one event. An asset is named
    /// if there is one or will be one soon.
    ///
    /// # Errors
    /// [`LedgerError`] if the system gives no random bytes for an id.
    pub fn call(
        workspace: &str,
        call_id: &str,
        call: &CompletedCall,
        recording: Option<Uuid>,
        transcript: Option<Uuid>,
        now: UnixMillis,
    ) -> Result<Self, LedgerError> {
        Ok(Self {
            id: new_id("msg", now)?,
            workspace: workspace.to_owned(),
            call_id: Some(call_id.to_owned()),
            endpoint: None,
            // Texts and integers: no form that JSON refuses.
            content: serde_json::to_string(call).unwrap_or_default(),
            recording: recording.map(|id| id.to_string()),
            transcript: transcript.map(|id| id.to_string()),
            at: now,
        })
    }

    /// A test event for one endpoint, with the help page's sample and the sample assets.
    ///
    /// # Errors
    /// As [`NewEvent::call`].
    pub fn test(workspace: &str, endpoint: &str, assets: Uuid, now: UnixMillis) -> Result<Self, LedgerError> {
        let call = CompletedCall::sample();
        let event = Self::call(workspace, "", &call, Some(assets), Some(assets), now)?;
        Ok(Self { call_id: None, endpoint: Some(endpoint.to_owned()), ..event })
    }

    /// The line of an endpoint that its delivery gets into.
    fn queue_of(&self, endpoint: &str) -> Queue {
        let lane = if self.call_id.is_none() { Lane::Test } else { Lane::First };
        Queue { workspace: self.workspace.clone(), endpoint: endpoint.to_owned(), lane }
    }
}

/// An event that is on disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// `msg_…`: what receivers see as `webhook-id`.
    pub event: String,
    /// Its deliveries, `dlv_…`; none if the workspace has no endpoint.
    pub deliveries: Vec<String>,
    /// Whether it is new; false if the same call was accepted before.
    pub is_new: bool,
    /// The lines that its deliveries stand in; none if it is not new.
    pub(crate) queues: Vec<Queue>,
}

impl Ledger {
    /// Accepts an event; when this returns, it is on disk. `None` if another call was accepted before under the same
    /// call id.
    ///
    /// # Errors
    /// [`LedgerError`] if it could not be written: it is not accepted.
    pub async fn accept(&self, event: NewEvent) -> Result<Option<Accepted>, LedgerError> {
        self.events.write(event).await
    }
}

const INSERT_EVENTS: Statement = Statement {
    sqlite: "INSERT INTO events (id, workspace, call_id, test, content, recording, transcript, accepted_at) \
             SELECT value->>'id', value->>'workspace', value->>'call_id', value->>'test', value->>'content', \
                    value->>'recording', value->>'transcript', value->>'at' FROM json_each($1) WHERE true \
             ON CONFLICT DO NOTHING RETURNING id",
    postgres: "INSERT INTO events (id, workspace, call_id, test, content, recording, transcript, accepted_at) \
               SELECT id, workspace, call_id, test, content, recording, transcript, at \
               FROM json_to_recordset($1::json) AS r(id text, workspace text, call_id text, test boolean, content text, \
                    recording text, transcript text, at bigint) \
               ON CONFLICT DO NOTHING RETURNING id",
};

macro_rules! insert_deliveries {
    ($id:literal, $endpoint:literal, $rows:literal) => {
        concat!(
            "INSERT INTO deliveries (id, event_id, endpoint_id, workspace, position, state, test, lane, due_at, tries, \
             attempts, note, created_at, ended_at) \
             SELECT 'dlv_' || substr(v.id, 5) || '_' || row_number() OVER (PARTITION BY v.id ORDER BY e.created_at, e.id), \
                    v.id, e.id, v.workspace, row_number() OVER (PARTITION BY v.id ORDER BY e.created_at, e.id) - 1, \
                    CASE WHEN e.state = 'disabled' AND NOT v.test THEN 'failed' ELSE 'queued' END, v.test, \
                    CASE WHEN v.test THEN 2 ELSE 0 END, \
                    v.accepted_at, 0, 0, \
                    CASE WHEN e.state = 'disabled' AND NOT v.test THEN 'the endpoint is disabled' END, v.accepted_at, \
                    CASE WHEN e.state = 'disabled' AND NOT v.test THEN v.accepted_at END \
             FROM ", $rows, " JOIN events v ON v.id = ", $id, " JOIN endpoints e ON e.workspace = v.workspace \
                  AND e.removed_at IS NULL AND (", $endpoint, " IS NULL OR e.id = ", $endpoint, ") \
             RETURNING id, event_id, endpoint_id"
        )
    };
}

const INSERT_DELIVERIES: Statement = Statement {
    sqlite: insert_deliveries!("r.value->>'id'", "r.value->>'endpoint'", "json_each($1) AS r"),
    postgres: insert_deliveries!(
        "r.id",
        "r.endpoint",
        "json_to_recordset($1::json) AS r(id text, endpoint text)"
    ),
};

#[derive(FromRow)]
struct Existing {
    id: String,
    content: String,
    recording: Option<String>,
    transcript: Option<String>,
}

/// Writes a batch of events in one transaction.
pub(super) async fn accept_all(
    database: &Database,
    events: &[NewEvent],
) -> Result<Vec<Option<Accepted>>, LedgerError> {
    let rows: Vec<_> = events
        .iter()
        .map(|event| {
            json!({
                "id": event.id, "workspace": event.workspace, "call_id": event.call_id,
                "test": event.call_id.is_none(), "content": event.content, "recording": event.recording,
                "transcript": event.transcript, "at": stored(event.at),
            })
        })
        .collect();
    let mut tx = database.begin().await?;
    let fresh = tx.fetch::<(String,)>(INSERT_EVENTS, values![json!(rows).to_string()]).await?;
    let fresh: HashSet<String> = fresh.into_iter().map(|(id,)| id).collect();
    let mut deliveries = insert_deliveries(&mut tx, events, &fresh).await?;

    let mut answers = Vec::with_capacity(events.len());
    for event in events {
        answers.push(if fresh.contains(&event.id) {
            let made = deliveries.remove(&event.id).unwrap_or_default();
            let queues = made.iter().map(|(_, endpoint)| event.queue_of(endpoint)).collect();
            let deliveries = made.into_iter().map(|(id, _)| id).collect();
            Some(Accepted { event: event.id.clone(), deliveries, is_new: true, queues })
        } else {
            accepted_before(&mut tx, event).await?
        });
    }
    tx.commit().await?;
    Ok(answers)
}

async fn insert_deliveries(
    tx: &mut Tx,
    events: &[NewEvent],
    fresh: &HashSet<String>,
) -> Result<HashMap<String, Vec<(String, String)>>, LedgerError> {
    let mut deliveries: HashMap<String, Vec<(String, String)>> = HashMap::new();
    let fresh = events.iter().filter(|event| fresh.contains(&event.id));
    let rows: Vec<_> = fresh.map(|event| json!({"id": event.id, "endpoint": event.endpoint})).collect();
    if !rows.is_empty() {
        let mut made =
            tx.fetch::<(String, String, String)>(INSERT_DELIVERIES, values![json!(rows).to_string()]).await?;
        // RETURNING promises no order; the ids end in their position.
        made.sort_by(|(one, ..), (other, ..)| (one.len(), one).cmp(&(other.len(), other)));
        for (delivery, event, endpoint) in made {
            deliveries.entry(event).or_default().push((delivery, endpoint));
        }
    }
    Ok(deliveries)
}

/// The event that was accepted under this call id, if it is the same call; or this very event, if it was written before
/// without an answer.
async fn accepted_before(tx: &mut Tx, event: &NewEvent) -> Result<Option<Accepted>, LedgerError> {
    const EXISTING: Statement = Statement::same(
        "SELECT id, content, recording, transcript FROM events WHERE id = $3 OR (workspace = $1 AND call_id = $2)",
    );
    const DELIVERIES: Statement =
        Statement::same("SELECT id, event_id FROM deliveries WHERE event_id = $1 ORDER BY position");
    let values = values![event.workspace.clone(), event.call_id.clone(), event.id.clone()];
    let mut rows = tx.fetch::<Existing>(EXISTING, values).await?;
    let Some(existing) = rows.pop().filter(|existing| {
        existing.content == event.content
            && existing.recording == event.recording
            && existing.transcript == event.transcript
    }) else {
        return Ok(None);
    };
    let deliveries = tx.fetch::<(String, String)>(DELIVERIES, values![existing.id.clone()]).await?;
    let deliveries = deliveries.into_iter().map(|(id, _)| id).collect();
    Ok(Some(Accepted { is_new: existing.id == event.id, event: existing.id, deliveries, queues: Vec::new() }))
}
