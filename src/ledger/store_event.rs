//! Stores events, with a delivery for every endpoint of their workspaces.

use std::collections::HashMap;
use std::sync::Arc;

use sqlx::{ColumnIndex, Decode, FromRow, Row, Type};

use super::call_filter::wants_call;
use super::claimed::Target;
use super::database::{Database, Int, Statement, Value, column, converted, from_row, rows, values};
use super::error::Result;
use super::event::NewEvent;
use super::sealed_secrets::SealedSecrets;
use crate::clock::UnixSeconds;

/// An event that is on disk, and its deliveries.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) event: String,
    pub(super) made: Vec<Made>,
}

impl Stored {
    fn add(stored: &mut HashMap<String, Self>, row: StoredRow) {
        let new = || Self { event: row.event.clone(), made: Vec::new() };
        stored.entry(row.event.clone()).or_insert_with(new).made.extend(row.made);
    }
}

/// A delivery of an event.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) delivery: String,
    pub(super) endpoint: String,
    pub(super) state: String,
    pub(super) claimed: bool,
    pub(super) links_expire: Option<UnixSeconds>,
    pub(super) target: Target,
    pub(super) secrets: SealedSecrets,
}

from_row!(row => Made {
    delivery: column(row, "delivery")?,
    endpoint: column(row, "endpoint")?,
    state: column(row, "state")?,
    claimed: column(row, "claimed")?,
    links_expire: converted::<Int, _, _>(row, "links")?,
    target: sqlx::FromRow::from_row(row)?,
    secrets: sqlx::FromRow::from_row(row)?,
});

/// An event with one of its deliveries, or with none.
struct StoredRow {
    event: String,
    made: Option<Made>,
}

impl<'r, R: Row> FromRow<'r, R> for StoredRow
where
    &'static str: ColumnIndex<R>,
    String: Decode<'r, R::Database> + Type<R::Database>,
    Option<String>: Decode<'r, R::Database> + Type<R::Database>,
    Made: FromRow<'r, R>,
{
    fn from_row(row: &'r R) -> Result<Self, sqlx::Error> {
        let delivery: Option<String> = row.try_get("delivery")?;
        let made = delivery.map(|_| Made::from_row(row)).transpose()?;
        Ok(Self { event: row.try_get("stored")?, made })
    }
}

/// The events. Their contents are separate: SQLite would parse them for every column and in every statement.
macro_rules! events {
    (sqlite) => {
        events!(sqlite: 12 links_expire bigint, 13 traits bigint, 14 call_id_reversed text, 15 from_number text,
            16 to_number text, 17 user_email text, 18 prospect_email text)
    };
    (postgres) => {
        events!(postgres: 12 links_expire bigint, 13 traits bigint, 14 call_id_reversed text, 15 from_number text,
            16 to_number text, 17 user_email text, 18 prospect_email text, 19 content text)
    };
    ($engine:ident: $($last:tt)*) => {
        rows!($engine: [
            1 id text, 2 workspace text, 3 call_id text, 4 test boolean, 5 recording text, 6 transcript text, 7 at bigint,
            8 endpoint text, 9 claims text, 10 holder text, 11 lease_until bigint, $($last)*
        ])
    };
}

macro_rules! insert_events {
    ($content:literal, $from:expr) => {
        concat!(
            "INSERT INTO events (id, workspace, call_id, test, content, recording, transcript, accepted_at, call_id_reversed, \
             from_number_reversed, to_number_reversed, user_email, prospect_email) SELECT id, workspace, call_id, test, ",
            $content,
            ", recording, transcript, at, call_id_reversed, from_number, to_number, user_email, prospect_email FROM ",
            $from,
            // SQLite needs a WHERE here: without one, it parses ON as part of a join.
            " WHERE true ON CONFLICT DO NOTHING"
        )
    };
}

/// The columns of an endpoint that its attempts need.
macro_rules! target {
    () => {
        "e.url, e.secret, e.previous_secret, e.previous_until, e.earlier_secrets, e.plain_secret, e.headers, e.long_tail, \
         e.late_assets, e.concurrency, e.per_second, e.failures, e.failing_since, e.held_since, e.held_until, e.health_epoch"
    };
}

/// The deliveries that the events `r` get. One is claimed if the event's list contains its endpoint, and the endpoint
/// takes first attempts.
macro_rules! new_deliveries {
    ($from:expr, $position_in:literal) => {
        concat!(
            "SELECT r.id AS event, r.workspace, r.test, r.at, r.holder, r.lease_until, e.id AS endpoint, \
             row_number() OVER (PARTITION BY r.id ORDER BY e.created_at, e.id) AS number, \
             r.links_expire + row_number() OVER (PARTITION BY r.id ORDER BY e.created_at, e.id) AS links, \
             CASE WHEN e.state = 'disabled' AND NOT r.test THEN 'failed' WHEN ",
            $position_in,
            "(r.claims, e.id) > 0 AND e.state = 'active' AND (e.held_until IS NULL OR e.held_until <= r.at) \
             THEN 'sending' ELSE 'queued' END AS state, ",
            target!(),
            " FROM ",
            $from
        )
    };
}

/// The endpoints that get the event `r`.
macro_rules! of_event {
    () => {
        concat!(
            "e.workspace = r.workspace AND e.removed_at IS NULL AND (r.endpoint IS NULL OR e.id = r.endpoint) AND ",
            wants_call!()
        )
    };
}

macro_rules! insert_deliveries {
    ($from:expr) => {
        concat!(
            "INSERT INTO deliveries (id, event_id, endpoint_id, workspace, position, state, test, lane, due_at, tries, \
             attempts, created_at, active_at, lease, lease_until, links_expire_at, note, ended_at) \
             SELECT 'dlv_' || substr(n.event, 5) || '_' || n.number, n.event, n.endpoint, n.workspace, n.number - 1, \
             n.state, n.test, CASE WHEN n.test THEN 2 ELSE 0 END, n.at, 0, 0, n.at, n.at, \
             CASE WHEN n.state = 'sending' THEN n.holder END, CASE WHEN n.state = 'sending' THEN n.lease_until END, \
             CASE WHEN n.state = 'sending' THEN n.links END, \
             CASE WHEN n.state = 'failed' THEN 'the endpoint is disabled' END, \
             CASE WHEN n.state = 'failed' THEN n.at END FROM ",
            $from
        )
    };
}

macro_rules! select_stored {
    ($from:expr, $holder:literal) => {
        concat!(
            "SELECT v.id AS stored, d.id AS delivery, d.endpoint_id AS endpoint, d.state, \
             CASE WHEN d.state = 'sending' AND d.lease = ",
            $holder,
            " THEN true ELSE false END AS claimed, d.links_expire_at AS links, ",
            target!(),
            " FROM ",
            $from,
            " LEFT JOIN deliveries d ON d.event_id = v.id AND d.arrived = 0 LEFT JOIN endpoints e ON e.id = d.endpoint_id \
             ORDER BY d.position"
        )
    };
}

/// Stores events, and returns those that are new, with their deliveries.
const ACCEPT: Statement = Statement {
    sqlite: concat!(
        insert_events!("$2->>r.key", events!(sqlite)),
        "; ",
        insert_deliveries!(concat!(
            "(",
            new_deliveries!(
                concat!(events!(sqlite), " JOIN events v ON v.id = r.id JOIN endpoints e ON ", of_event!()),
                "instr"
            ),
            ") AS n WHERE true ON CONFLICT DO NOTHING"
        )),
        "; ",
        select_stored!(concat!(events!(sqlite), " JOIN events v ON v.id = r.id"), "r.holder"),
    ),
    postgres: concat!(
        "WITH r AS (SELECT * FROM ",
        events!(postgres),
        "), n AS (",
        // OFFSET 0 keeps the planner from reading all endpoints to join them.
        new_deliveries!(
            concat!("r CROSS JOIN LATERAL (SELECT * FROM endpoints e WHERE ", of_event!(), " OFFSET 0) AS e"),
            "strpos"
        ),
        "), v AS (",
        insert_events!("content", "r"),
        " RETURNING id), d AS (",
        insert_deliveries!("n JOIN v ON v.id = n.event"),
        ") SELECT v.id AS stored, 'dlv_' || substr(n.event, 5) || '_' || n.number AS delivery, \
         n.state = 'sending' AS claimed, n.* FROM v LEFT JOIN n ON n.event = v.id ORDER BY n.number"
    ),
};

/// Writes a batch of events in one transaction.
pub(super) async fn store_all(database: &Database, events: &[Arc<NewEvent>]) -> Result<Vec<Option<Stored>>> {
    let rows: Vec<_> = events.iter().map(|event| event_row(event)).collect();
    let contents: Vec<_> = events.iter().map(|event| event.content.clone()).collect();
    let rows = database.write::<StoredRow>(ACCEPT, values![rows, contents]).await?;
    let mut stored: HashMap<String, Stored> = HashMap::new();
    for row in rows {
        Stored::add(&mut stored, row);
    }
    let mut answers = Vec::with_capacity(events.len());
    for event in events {
        answers.push(match stored.remove(&event.id) {
            Some(stored) => Some(stored),
            None => accepted_before(database, event).await?,
        });
    }
    Ok(answers)
}

fn event_row(event: &NewEvent) -> Vec<Value> {
    let lease = event.lease.as_ref();
    let mut row = values![
        &event.id,
        &event.workspace,
        &event.call_id,
        event.is_test(),
        &event.recording,
        &event.transcript,
        event.at,
        &event.endpoint,
        &event.claims,
        lease.map(|lease| lease.holder.clone()),
        lease.map(|lease| lease.until),
        lease.map(|lease| lease.links_expire),
        event.traits,
    ];
    row.extend(event.search.columns());
    row
}

/// The event that was accepted earlier under this call id, if it is the same call; or this event itself, if an earlier
/// write succeeded without an answer.
async fn accepted_before(database: &Database, event: &NewEvent) -> Result<Option<Stored>> {
    const EXISTING: Statement = Statement::same(
        // As the call was handed in: without the assets that were named later.
        "SELECT id, content, CASE WHEN (named_late & 1) = 0 THEN recording END AS recording, \
         CASE WHEN (named_late & 2) = 0 THEN transcript END AS transcript \
         FROM events WHERE id = $3 OR (workspace = $1 AND call_id = $2)",
    );
    const READ: Statement =
        Statement::same(select_stored!("(SELECT CAST($1 AS TEXT) AS id) AS v", "CAST($2 AS TEXT)"));
    let values = values![&event.workspace, &event.call_id, &event.id];
    let (content, recording, transcript) = (&event.content, &event.recording, &event.transcript);
    let existing: Option<(String, String, Option<String>, Option<String>)> =
        database.fetch(EXISTING, values).await?.pop();
    let Some((id, ..)) =
        existing.filter(|(_, stored, one, other)| (stored, one, other) == (content, recording, transcript))
    else {
        return Ok(None);
    };
    let holder = event.lease.as_ref().filter(|_| id == event.id).map(|lease| lease.holder.clone());
    let mut stored = HashMap::new();
    for row in database.fetch::<StoredRow>(READ, values![&id, holder]).await? {
        Stored::add(&mut stored, row);
    }
    Ok(stored.remove(&id))
}
