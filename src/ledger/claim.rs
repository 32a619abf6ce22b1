//! Claims due deliveries for one sender at a time, under a lease.

use std::time::Duration;

use serde_json::json;
use sqlx::FromRow;

use super::database::{Int, Statement, int, over_json_ids, values};
use super::error::Result;
use super::handle::Ledger;
use super::health::Health;
use super::lane::{Lane, Share};
use super::secrets::{SealedSecrets, Secrets};
use crate::clock::{UnixMillis, UnixSeconds};
use crate::webhook::CompletedCall;

/// A lease: who sends, and until when no other sender may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Names the sender.
    pub holder: String,
    /// After this, any sender may requeue the delivery.
    pub until: UnixMillis,
    /// When links minted under this lease expire. Each delivery of an event adds a different number of seconds.
    pub links_expire: UnixSeconds,
}

/// A delivery that this process must send now.
#[derive(Debug, Clone, FromRow)]
pub struct Claimed {
    /// `dlv_…`
    pub delivery: String,
    /// `msg_…`
    pub event: String,
    /// `ep_…`
    pub endpoint: String,
    /// The workspace of the endpoint.
    pub workspace: String,
    /// The endpoint's URL.
    pub url: String,
    /// The signing secrets; `None` if the current key file does not open them.
    #[sqlx(skip)]
    pub secrets: Option<Secrets>,
    /// The index of the secret that first signs `X-Webhook-Signature`; 0 is the newest.
    #[sqlx(try_from = "i64")]
    pub plain_secret: usize,
    /// The call. `None` if the stored text cannot be read.
    #[sqlx(rename = "content", try_from = "Content")]
    pub call: Option<CompletedCall>,
    /// The recording's id, if the call has or will have one.
    pub recording: Option<String>,
    /// The transcript's id, if the call has or will have one.
    pub transcript: Option<String>,
    /// Whether it is a test event.
    pub test: bool,
    /// The queue that it was claimed from.
    #[sqlx(try_from = "i64")]
    pub lane: Lane,
    /// How long it has waited for its assets.
    #[sqlx(try_from = "Int")]
    pub asset_waited: Duration,
    /// When its last pause began; `None` if it was due immediately.
    pub scheduled_at: Option<UnixMillis>,
    /// When the event was accepted.
    pub accepted_at: UnixMillis,
    /// Attempts since it was accepted or resent.
    #[sqlx(try_from = "i64")]
    pub tries: u32,
    /// The total number of attempts.
    #[sqlx(try_from = "i64")]
    pub attempts: u32,
    /// The status code of the last response.
    #[sqlx(try_from = "Int")]
    pub last_status: Option<u16>,
    /// When links minted for this delivery now expire. The time differs between the deliveries of an event, so that a
    /// download identifies the delivery whose link was followed.
    #[sqlx(rename = "links_expire_at")]
    pub links_expire: UnixSeconds,
    /// Whether retries continue for a day.
    pub long_tail: bool,
    /// The maximum number of concurrent attempts, if the owner set a limit.
    #[sqlx(try_from = "Int")]
    pub concurrency: Option<u32>,
    /// The maximum number of attempts per second, if the owner set a limit.
    #[sqlx(try_from = "Int")]
    pub per_second: Option<u32>,
    /// The endpoint's health.
    #[sqlx(flatten)]
    pub health: Health,
}

/// A call in its stored form, JSON.
#[derive(sqlx::Type)]
#[sqlx(transparent)]
struct Content(String);

impl From<Content> for Option<CompletedCall> {
    fn from(content: Content) -> Self {
        CompletedCall::parse(content.0.as_bytes()).ok()
    }
}

#[derive(FromRow)]
struct ClaimedRow {
    #[sqlx(flatten)]
    claimed: Claimed,
    #[sqlx(flatten)]
    secrets: SealedSecrets,
}

/// Claims the shares. Paused, held, disabled and removed endpoints are skipped, but test events go to any endpoint that
/// is not removed.
const CLAIM: Statement = Statement {
    // In SQLite, a subquery in FROM cannot refer to another table's row, and LIMIT cannot refer to any row.
    sqlite: "UPDATE deliveries SET state = 'sending', lease = $3, lease_until = $4, links_expire_at = $5 + position \
             WHERE id IN (SELECT taken.value FROM json_each($1) AS r \
             JOIN endpoints e ON e.id = r.value->>'endpoint' AND e.removed_at IS NULL AND (r.value->>'lane' = 2 \
                  OR e.state = 'active' AND (r.value->>'lane' IN (1, 3) OR e.held_until IS NULL OR e.held_until <= $2)), \
             json_each((SELECT json_group_array(id) FROM (SELECT id FROM deliveries WHERE state = 'queued' \
                  AND endpoint_id = r.value->>'endpoint' AND lane = r.value->>'lane' ORDER BY due_at LIMIT $6))) AS taken \
             WHERE taken.key < r.value->>'count') RETURNING id",
    // The planner overestimates the list. The inner LIMIT keeps it from reading all endpoints.
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

const READ_CLAIMED: Statement = over_json_ids!(
    "SELECT d.id AS delivery, d.event_id AS event, d.endpoint_id AS endpoint, d.workspace, e.url, e.secret, \
     e.previous_secret, e.previous_until, e.earlier_secrets, e.plain_secret, v.content, v.recording, v.transcript, d.test, \
     d.lane, d.asset_waited, d.scheduled_at, v.accepted_at, d.tries, d.attempts, d.last_status, d.links_expire_at, \
     e.long_tail, e.concurrency, e.per_second, e.failures, e.failing_since, e.held_since, e.held_until, e.health_epoch \
     FROM deliveries d JOIN endpoints e ON e.id = d.endpoint_id JOIN events v ON v.id = d.event_id WHERE d.id",
    " ORDER BY d.due_at"
);

impl Ledger {
    /// Claims up to the given shares for one sender.
    ///
    /// # Errors
    /// If the database fails; then nothing is claimed.
    pub async fn claim(&self, shares: &[Share], lease: &Lease, now: UnixMillis) -> Result<Vec<Claimed>> {
        let row = |share: &Share| json!({"endpoint": share.endpoint, "lane": share.lane.number(), "count": share.count});
        let rows: Vec<_> = shares.iter().map(row).collect();
        let largest = shares.iter().map(|share| share.count).max().unwrap_or_default();
        let expires = int(lease.links_expire.0.saturating_add(1));
        let values = values![json!(rows).to_string(), now, &lease.holder, lease.until, expires, largest];
        let mut tx = self.database.begin_unchecked().await?;
        let ids = tx.fetch::<(String,)>(CLAIM, values).await?;
        let ids: Vec<String> = ids.into_iter().map(|(id,)| id).collect();
        let rows = if ids.is_empty() {
            Vec::new()
        } else {
            tx.fetch::<ClaimedRow>(READ_CLAIMED, values![json!(ids).to_string()]).await?
        };
        tx.commit().await?;
        Ok(rows.into_iter().map(|row| self.open_claimed(row, now)).collect())
    }

    fn open_claimed(&self, row: ClaimedRow, now: UnixMillis) -> Claimed {
        let secrets = self.open_secrets(&row.claimed.endpoint, &row.secrets, now).ok();
        Claimed { secrets, ..row.claimed }
    }
}
