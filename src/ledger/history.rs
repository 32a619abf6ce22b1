//! Searches the delivery history page by page.

use super::database::{Database, Statement, int, values};
use super::delivery::{Attempt, Delivery, DeliveryState};
use super::error::Result;
use super::handle::Ledger;
use super::pick_up::{PickUp, links_followed};
use crate::clock::UnixMillis;

/// The deliveries to list.
#[derive(Debug, Clone, Default)]
pub struct DeliveryFilter {
    /// Of this endpoint only.
    pub endpoint: Option<String>,
    /// In this state only.
    pub state: Option<DeliveryState>,
    /// Delivered, with links that were followed, or that were not.
    pub pick_up: Option<PickUp>,
    /// Of this call only.
    pub call: Option<String>,
    /// Accepted at this time or later.
    pub from: Option<UnixMillis>,
    /// Accepted before this time.
    pub to: Option<UnixMillis>,
    /// After this cursor, from the previous page.
    pub cursor: Option<String>,
}

/// A page of the history, newest first.
#[derive(Debug, Clone)]
pub struct HistoryPage {
    /// Its deliveries.
    pub deliveries: Vec<Delivery>,
    /// The cursor of the next page, if there is one.
    pub next: Option<String>,
}

macro_rules! select_deliveries {
    ($rest:expr) => {
        select_deliveries!("deliveries d JOIN events v ON v.id = d.event_id", $rest)
    };
    ($from:literal, $rest:expr) => {
        concat!(
            "SELECT d.id, ",
            $crate::ledger::assets::event_id!(),
            " AS event, d.arrived, d.endpoint_id, v.call_id, d.test, d.state, d.attempts, d.resends, \
             CASE WHEN d.state = 'waiting' THEN d.due_at END AS due_at, d.note, d.last_status, d.last_summary, d.links_expire_at, v.recording, v.transcript, d.recording_fetched_at, \
             d.transcript_fetched_at, d.created_at, d.ended_at, d.active_at FROM ",
            $from,
            " WHERE d.workspace = $1 AND ",
            $rest
        )
    };
}

pub(super) use select_deliveries;

/// The conditions of every search. Each search adds one condition, so that it uses the best index.
macro_rules! search {
    ($driving:expr) => {
        Statement::same(search!("deliveries d JOIN events v ON v.id = d.event_id", $driving))
    };
    ($from:literal, $driving:expr) => {
        concat!(
            select_deliveries!($from, $driving),
            " AND ($2 IS NULL OR d.endpoint_id = $2) AND ($3 IS NULL OR d.state = $3) \
             AND ($4 IS NULL OR v.call_id = $4) AND d.created_at >= $5 AND d.created_at < $6 \
             AND (d.created_at, d.id) < ($7, $8) ORDER BY d.created_at DESC, d.id DESC LIMIT $9"
        )
    };
}

const ALL: Statement = search!("TRUE");
const FAILED: Statement = search!("d.state = 'failed'");
const PENDING: Statement = search!("d.state IN ('waiting', 'queued', 'sending')");
/// Without a hint, SQLite would read all deliveries of the workspace.
macro_rules! search_by_pick_up {
    ($followed:literal) => {
        Statement {
            sqlite: search!(
                "deliveries d INDEXED BY deliveries_pick_up JOIN events v ON v.id = d.event_id",
                links_followed!($followed)
            ),
            postgres: search!("deliveries d JOIN events v ON v.id = d.event_id", links_followed!($followed)),
        }
    };
}

const FETCHED: Statement = search_by_pick_up!("1");
const NOT_FETCHED: Statement = search_by_pick_up!("0");
const OF_ENDPOINT: Statement = search!("d.endpoint_id = $2");
// Without a hint, SQLite would scan deliveries in order until it finds those of the event.
const OF_CALL: Statement = Statement {
    sqlite: search!(
        "events v CROSS JOIN deliveries d INDEXED BY deliveries_of_event",
        "d.event_id = v.id AND v.workspace = $1 AND v.call_id = $4"
    ),
    postgres: search!(
        "deliveries d JOIN events v ON v.id = d.event_id",
        "v.workspace = $1 AND v.call_id = $4"
    ),
};

impl Ledger {
    /// A page of a workspace's deliveries, newest first. `None` if the cursor is invalid.
    ///
    /// # Errors
    /// If they cannot be read.
    pub async fn deliveries(
        &self,
        workspace: &str,
        filter: &DeliveryFilter,
        limit: usize,
    ) -> Result<Option<HistoryPage>> {
        let (before, before_id) = match &filter.cursor {
            None => (i64::MAX, ""),
            Some(cursor) => match cursor.split_once('.').map(|(at, id)| (at.parse::<i64>(), id)) {
                Some((Ok(at), id)) => (at, id),
                _ => return Ok(None),
            },
        };
        let statement = match filter {
            DeliveryFilter { call: Some(_), pick_up: None, .. } => OF_CALL,
            DeliveryFilter { pick_up: Some(PickUp::Fetched), .. } => FETCHED,
            DeliveryFilter { pick_up: Some(PickUp::NotFetched), .. } => NOT_FETCHED,
            // An endpoint has fewer failed or pending deliveries than deliveries in total.
            DeliveryFilter { state: Some(DeliveryState::Failed), .. } => FAILED,
            DeliveryFilter {
                state: Some(DeliveryState::Waiting | DeliveryState::Queued | DeliveryState::Sending),
                ..
            } => PENDING,
            DeliveryFilter { endpoint: Some(_), .. } => OF_ENDPOINT,
            _ => ALL,
        };
        let values = values![
            workspace,
            &filter.endpoint,
            filter.state.map(|state| state.name().to_owned()),
            &filter.call,
            filter.from.unwrap_or_default(),
            filter.to.map_or(i64::MAX, |to| int(to.0)),
            before,
            before_id,
            limit.saturating_add(1),
        ];
        let _permit = self.search_limiter.acquire(workspace).await;
        let mut deliveries: Vec<Delivery> = self.database.fetch(statement, values).await?;
        let more = deliveries.len() > limit;
        deliveries.truncate(limit);
        let last = deliveries.last().filter(|_| more);
        let next = last.map(|last| format!("{}.{}", int(last.created_at.0), last.id));
        Ok(Some(HistoryPage { deliveries, next }))
    }

    /// One delivery with its attempts; `None` for an id of another workspace.
    ///
    /// # Errors
    /// If it cannot be read.
    pub async fn delivery(&self, workspace: &str, id: &str) -> Result<Option<(Delivery, Vec<Attempt>)>> {
        const GET: Statement = Statement::same(select_deliveries!("d.id = $2"));
        let Some(delivery) = self.database.fetch(GET, values![workspace, id]).await?.pop() else {
            return Ok(None);
        };
        Ok(Some((delivery, read_attempts(&self.database, id).await?)))
    }
}

/// The attempts of a delivery, the first one first.
pub(super) async fn read_attempts(database: &Database, delivery: &str) -> Result<Vec<Attempt>> {
    const ATTEMPTS: Statement = Statement::same(
        "SELECT number, resend, started_at, took_ms, status, code, summary, advice, excerpt, links_expire_at, \
         request_fields, answer_fields, lookup_ms, connect_ms, tls_ms, first_byte_ms FROM attempts \
         WHERE delivery_id = $1 ORDER BY number",
    );
    database.fetch(ATTEMPTS, values![delivery]).await
}
