//! Gives what is due to one sender at a time, under a lease.
//!
//! A delivery is `waiting` until its time comes (a retry, an asset that is not there yet), then `queued`: in the line of
//! its endpoint, the oldest first. First attempts are queued from the start. A sender says from which lines it wants how
//! many, and they are `sending`. So a backlog of one endpoint, however long, is never looked at for the sake of another.

use std::time::Duration;

use serde_json::json;
use sqlx::FromRow;

use super::database::{Statement, values};
use super::endpoints::limit;
use super::health::{Health, HealthRow};
use super::secrets::SecretRow;
use super::{Ledger, LedgerError, Secrets, count, moment, stored};
use crate::clock::{UnixMillis, UnixSeconds};
use crate::webhook::CompletedCall;

/// Which line of its endpoint a delivery stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Lane {
    /// It has not been attempted yet.
    First,
    /// An attempt failed, or it is recovered. Retries keep their schedule while the endpoint is held.
    Retry,
    /// It is a test event: a person waits for it. Sent to paused and held endpoints too.
    Test,
    /// A person has it sent again. Sent to held endpoints too.
    Resend,
}

impl Lane {
    /// Every lane, in the order of their numbers in the database.
    pub const ALL: [Self; 4] = [Self::First, Self::Retry, Self::Test, Self::Resend];

    /// Its number in the database.
    #[must_use]
    pub fn number(self) -> usize {
        self as usize
    }

    fn of(number: i64) -> Self {
        match number {
            0 => Self::First,
            2 => Self::Test,
            3 => Self::Resend,
            _ => Self::Retry,
        }
    }
}

/// What a sender wants from one line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// Whose line.
    pub endpoint: String,
    /// Which of its lines.
    pub lane: Lane,
    /// How many deliveries at most.
    pub count: usize,
}

/// A line that has deliveries in it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Queue {
    /// Whose endpoint it is.
    pub workspace: String,
    /// The endpoint.
    pub endpoint: String,
    /// Which of its lines.
    pub lane: Lane,
}

/// A lease: who sends, and until when nobody else may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Names the sender.
    pub holder: String,
    /// After this, whoever looks takes the delivery over.
    pub until: UnixMillis,
    /// When links expire that are minted under it, but for the seconds that tell them apart.
    pub links_expire: UnixSeconds,
}

/// A delivery that this process has to send now.
#[derive(Debug, Clone)]
pub struct Claimed {
    /// `dlv_…`
    pub delivery: String,
    /// `msg_…`
    pub event: String,
    /// `ep_…`
    pub endpoint: String,
    /// Whose.
    pub workspace: String,
    /// Where to.
    pub url: String,
    /// Signed with these; `None` if they do not open with the key file in use.
    pub secrets: Option<Secrets>,
    /// Which secret makes `X-Webhook-Signature` first: 0 is the newest.
    pub plain_secret: usize,
    /// What happened. `None` if what is stored cannot be read.
    pub call: Option<CompletedCall>,
    /// The recording's id, if there is to be one.
    pub recording: Option<String>,
    /// The transcript's id, if there is to be one.
    pub transcript: Option<String>,
    /// Whether it is a test event.
    pub test: bool,
    /// The line that it was taken from.
    pub lane: Lane,
    /// How long it has waited for its assets.
    pub asset_waited: Duration,
    /// When its last pause began; `None` if it was due as soon as it came.
    pub scheduled_at: Option<UnixMillis>,
    /// When the event was accepted.
    pub accepted_at: UnixMillis,
    /// Attempts since it was accepted or resent.
    pub tries: u32,
    /// Attempts ever.
    pub attempts: u32,
    /// The last answer's status.
    pub last_status: Option<u16>,
    /// When links expire that are minted for it now: distinct among the deliveries of an event, so that a download tells
    /// whose link was followed.
    pub links_expire: UnixSeconds,
    /// Whether retries go on for a day.
    pub long_tail: bool,
    /// How many attempts the endpoint takes at once, if its owner chose a limit.
    pub concurrency: Option<u32>,
    /// How many a second.
    pub per_second: Option<u32>,
    /// How the endpoint's last attempts went.
    pub health: Health,
}

#[derive(FromRow)]
struct QueueRow {
    workspace: String,
    id: String,
    number: i64,
    #[sqlx(flatten)]
    health: HealthRow,
}

#[derive(FromRow)]
struct ClaimedRow {
    delivery: String,
    event: String,
    endpoint: String,
    workspace: String,
    url: String,
    #[sqlx(flatten)]
    secrets: SecretRow,
    content: String,
    recording: Option<String>,
    transcript: Option<String>,
    test: bool,
    lane: i64,
    asset_waited: i64,
    scheduled_at: Option<i64>,
    accepted_at: i64,
    tries: i64,
    attempts: i64,
    last_status: Option<i64>,
    links_expire_at: i64,
    long_tail: bool,
    concurrency: i64,
    per_second: Option<i64>,
    #[sqlx(flatten)]
    health: HealthRow,
}

/// Takes what the shares ask for. Lines of endpoints that are paused, held, disabled or removed give nothing; tests go to
/// any endpoint that is there.
const CLAIM: Statement = Statement {
    // A subquery that returns rows cannot refer to the row beside it in SQLite, and its LIMIT to no row at all.
    sqlite: "UPDATE deliveries SET state = 'sending', lease = $3, lease_until = $4, links_expire_at = $5 + position \
             WHERE id IN (SELECT taken.value FROM json_each($1) AS r \
             JOIN endpoints e ON e.id = r.value->>'endpoint' AND e.removed_at IS NULL AND (r.value->>'lane' = 2 \
                  OR e.state = 'active' AND (r.value->>'lane' IN (1, 3) OR e.held_until IS NULL OR e.held_until <= $2)), \
             json_each((SELECT json_group_array(id) FROM (SELECT id FROM deliveries WHERE state = 'queued' \
                  AND endpoint_id = r.value->>'endpoint' AND lane = r.value->>'lane' ORDER BY due_at LIMIT $6))) AS taken \
             WHERE taken.key < r.value->>'count') RETURNING id",
    // The inner LIMIT keeps the planner from reading all endpoints for a list that it believes to be long.
    postgres: "UPDATE deliveries SET state = 'sending', lease = $3, lease_until = $4, links_expire_at = $5 + position \
               WHERE id = ANY (ARRAY(SELECT taken.id \
               FROM json_to_recordset($1::json) AS r(endpoint text, lane bigint, count bigint) \
               CROSS JOIN LATERAL (SELECT e.id FROM endpoints e WHERE e.id = r.endpoint AND e.removed_at IS NULL \
                    AND (r.lane = 2 OR e.state = 'active' \
                    AND (r.lane IN (1, 3) OR e.held_until IS NULL OR e.held_until <= $2)) LIMIT 1) AS open \
               CROSS JOIN LATERAL (SELECT d.id FROM deliveries d WHERE d.state = 'queued' AND d.endpoint_id = open.id \
                    AND d.lane = r.lane ORDER BY d.due_at LIMIT least(r.count, $6) FOR UPDATE SKIP LOCKED) AS taken)) \
               RETURNING id",
};

macro_rules! read_claimed {
    ($ids:literal) => {
        concat!(
            "SELECT d.id AS delivery, d.event_id AS event, d.endpoint_id AS endpoint, d.workspace, e.url, e.secret, \
             e.previous_secret, e.previous_until, e.earlier_secrets, e.plain_secret, v.content, v.recording, v.transcript, d.test, d.lane, \
             d.asset_waited, d.scheduled_at, v.accepted_at, d.tries, d.attempts, d.last_status, d.links_expire_at, e.long_tail, e.concurrency, e.per_second, \
             e.failures, e.failing_since, e.held_since, e.held_until, e.health_epoch \
             FROM deliveries d JOIN endpoints e ON e.id = d.endpoint_id JOIN events v ON v.id = d.event_id \
             WHERE d.id ",
            $ids,
            " ORDER BY d.due_at"
        )
    };
}

const READ_CLAIMED: Statement = Statement {
    sqlite: read_claimed!("IN (SELECT value FROM json_each($1))"),
    postgres: read_claimed!("= ANY (ARRAY(SELECT json_array_elements_text($1::json)))"),
};

macro_rules! queue_due {
    ($due:literal) => {
        concat!(
            "UPDATE deliveries SET state = 'queued' WHERE id ",
            $due,
            " RETURNING workspace, endpoint_id, lane"
        )
    };
}

/// The time of these has come: they get in line.
const QUEUE_DUE: Statement = Statement {
    sqlite: queue_due!(
        "IN (SELECT id FROM deliveries WHERE state = 'waiting' AND due_at <= $1 ORDER BY due_at LIMIT $2)"
    ),
    postgres: queue_due!(
        "= ANY (ARRAY(SELECT id FROM deliveries WHERE state = 'waiting' AND due_at <= $1 \
         ORDER BY due_at LIMIT $2 FOR UPDATE SKIP LOCKED))"
    ),
};

/// Walks from one endpoint with a line to the next in the index of lines, past whatever stands in each.
macro_rules! endpoints_with_queues {
    () => {
        "WITH RECURSIVE line(endpoint) AS (SELECT min(endpoint_id) FROM deliveries WHERE state = 'queued' \
         UNION ALL SELECT (SELECT min(d.endpoint_id) FROM deliveries d WHERE d.state = 'queued' AND d.endpoint_id > line.endpoint) \
         FROM line WHERE line.endpoint IS NOT NULL) "
    };
}

/// What can be taken from, however long: the lines of endpoints that may be sent to.
const QUEUES: Statement = Statement::same(concat!(
    endpoints_with_queues!(),
    "SELECT e.workspace, e.id, lane.number, e.failures, e.failing_since, e.held_since, e.held_until, e.health_epoch FROM line JOIN endpoints e ON e.id = line.endpoint \
     CROSS JOIN (SELECT CAST(0 AS BIGINT) AS number UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3) AS lane \
     WHERE e.removed_at IS NULL AND (lane.number = 2 OR e.state = 'active' \
          AND (lane.number IN (1, 3) OR e.held_until IS NULL OR e.held_until <= $1)) \
     AND EXISTS (SELECT 1 FROM deliveries d WHERE d.state = 'queued' AND d.endpoint_id = e.id AND d.lane = lane.number)"
));

/// What waits although nothing of its endpoint's doing stands in the way: its time has come, and it is not in line yet; or
/// it is first in line, and its endpoint is active, wants no pause between attempts, and has none under way.
const OVERDUE: Statement = Statement::same(concat!(
    endpoints_with_queues!(),
    "SELECT min(due_at) FROM (SELECT min(due_at) AS due_at FROM deliveries WHERE state = 'waiting' \
     UNION ALL SELECT min((SELECT min(d.due_at) FROM deliveries d WHERE d.state = 'queued' AND d.endpoint_id = e.id)) AS due_at \
     FROM line JOIN endpoints e ON e.id = line.endpoint WHERE e.removed_at IS NULL AND e.state = 'active' \
     AND (e.held_until IS NULL OR e.held_until <= $1) AND e.per_second IS NULL \
     AND e.id NOT IN (SELECT endpoint_id FROM deliveries WHERE state = 'sending')) AS heads"
));

impl Ledger {
    /// Takes what the shares ask for, as far as it is there, for one sender.
    ///
    /// # Errors
    /// [`LedgerError`] if the database fails; then nothing was taken.
    pub async fn claim(
        &self,
        shares: &[Share],
        lease: &Lease,
        now: UnixMillis,
    ) -> Result<Vec<Claimed>, LedgerError> {
        let rows: Vec<_> = shares
            .iter()
            .map(|share| {
                json!({"endpoint": share.endpoint, "lane": share.lane.number(), "count": share.count})
            })
            .collect();
        let largest = shares.iter().map(|share| share.count).max().unwrap_or_default();
        let expires = lease.links_expire.0.saturating_add(1);
        let values = values![
            json!(rows).to_string(),
            stored(now),
            lease.holder.clone(),
            stored(lease.until),
            i64::try_from(expires).unwrap_or(i64::MAX),
            i64::try_from(largest).unwrap_or(i64::MAX),
        ];
        let mut tx = self.database.begin_unchecked().await?;
        let taken = tx.fetch::<(String,)>(CLAIM, values).await?;
        let ids: Vec<String> = taken.into_iter().map(|(id,)| id).collect();
        let rows = if ids.is_empty() {
            Vec::new()
        } else {
            tx.fetch::<ClaimedRow>(READ_CLAIMED, values![json!(ids).to_string()]).await?
        };
        tx.commit().await?;
        Ok(rows.into_iter().map(|row| self.claimed(row, now)).collect())
    }

    fn claimed(&self, row: ClaimedRow, now: UnixMillis) -> Claimed {
        Claimed {
            secrets: self.open_secrets(&row.endpoint, &row.secrets, now).ok(),
            plain_secret: row.secrets.plain(),
            call: CompletedCall::parse(row.content.as_bytes()).ok(),
            recording: row.recording,
            transcript: row.transcript,
            test: row.test,
            lane: Lane::of(row.lane),
            asset_waited: Duration::from_millis(u64::try_from(row.asset_waited).unwrap_or_default()),
            scheduled_at: row.scheduled_at.map(moment),
            accepted_at: moment(row.accepted_at),
            tries: count(row.tries),
            attempts: count(row.attempts),
            last_status: row.last_status.and_then(|status| u16::try_from(status).ok()),
            links_expire: UnixSeconds(u64::try_from(row.links_expire_at).unwrap_or_default()),
            long_tail: row.long_tail,
            concurrency: limit(row.concurrency),
            per_second: row.per_second.map(count),
            health: row.health.into(),
            delivery: row.delivery,
            event: row.event,
            endpoint: row.endpoint,
            workspace: row.workspace,
            url: row.url,
        }
    }

    /// Puts up to `limit` deliveries in line whose time has come; says in which lines, one entry for each delivery.
    ///
    /// # Errors
    /// [`LedgerError`] if it could not be written.
    pub async fn queue_due(&self, limit: usize, now: UnixMillis) -> Result<Vec<Queue>, LedgerError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut tx = self.database.begin_unchecked().await?;
        let rows = tx.fetch::<(String, String, i64)>(QUEUE_DUE, values![stored(now), limit]).await?;
        tx.commit().await?;
        Ok(rows.into_iter().map(queue).collect())
    }

    /// The lines that can be taken from, and how their endpoints' attempts go.
    ///
    /// # Errors
    /// [`LedgerError`] if they cannot be read.
    pub async fn queues(&self, now: UnixMillis) -> Result<Vec<(Queue, Health)>, LedgerError> {
        let rows = self.database.fetch::<QueueRow>(QUEUES, values![stored(now)]).await?;
        let queues =
            rows.into_iter().map(|row| (queue((row.workspace, row.id, row.number)), row.health.into()));
        Ok(queues.collect())
    }

    /// When the next waiting delivery is due.
    ///
    /// # Errors
    /// [`LedgerError`] if it cannot be read.
    pub async fn next_due(&self) -> Result<Option<UnixMillis>, LedgerError> {
        const NEXT: Statement = Statement::same("SELECT min(due_at) FROM deliveries WHERE state = 'waiting'");
        let rows = self.database.fetch::<(Option<i64>,)>(NEXT, Vec::new()).await?;
        Ok(rows.into_iter().find_map(|(due,)| due).map(moment))
    }

    /// Since when the delivery waits that waits longest for the sender alone.
    pub(super) async fn oldest_overdue(&self, now: UnixMillis) -> Result<Option<UnixMillis>, LedgerError> {
        let rows = self.database.fetch::<(Option<i64>,)>(OVERDUE, values![stored(now)]).await?;
        Ok(rows.into_iter().find_map(|(due,)| due).map(moment))
    }
}

fn queue((workspace, endpoint, lane): (String, String, i64)) -> Queue {
    Queue { workspace, endpoint, lane: Lane::of(lane) }
}
