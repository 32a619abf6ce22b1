//! Claims due deliveries for one sender at a time, under a lease.

use super::assets::event_id;
use super::claimed::{Claimed, Lease};
use super::database::{Statement, from_row, int, values};
use super::error::Result;
use super::handle::Ledger;
use super::lane::Share;
use super::sealed_secrets::SealedSecrets;
use crate::clock::UnixMillis;

struct ClaimedRow {
    claimed: Claimed,
    secrets: SealedSecrets,
}

from_row!(row => ClaimedRow {
    claimed: sqlx::FromRow::from_row(row)?,
    secrets: sqlx::FromRow::from_row(row)?,
});

/// Claims the shares. Paused, held, disabled and removed endpoints are skipped, but test events go to any endpoint that
/// is not removed.
const CLAIM: Statement = Statement {
    // In SQLite, a subquery in FROM cannot refer to another table's row, and LIMIT cannot refer to any row.
    sqlite: "UPDATE deliveries SET state = 'sending', lease = $3, lease_until = $4, links_expire_at = $5 + position \
             WHERE id IN (SELECT taken.value FROM json_each($1) AS r \
             JOIN endpoints e ON e.id = r.value->>0 AND e.removed_at IS NULL AND (r.value->>1 = 2 \
                  OR e.state = 'active' AND (r.value->>1 IN (1, 3) OR e.held_until IS NULL OR e.held_until <= $2)), \
             json_each((SELECT json_group_array(id) FROM (SELECT id FROM deliveries WHERE state = 'queued' \
                  AND endpoint_id = r.value->>0 AND lane = r.value->>1 ORDER BY due_at LIMIT $6))) AS taken \
             WHERE taken.key < r.value->>2) RETURNING id",
    // The inner LIMIT keeps the planner from reading all endpoints.
    postgres: "UPDATE deliveries SET state = 'sending', lease = $5, lease_until = $6, links_expire_at = $7 + position \
               WHERE id = ANY (ARRAY(SELECT taken.id \
               FROM unnest($1::text[], $2::bigint[], $3::bigint[]) AS r(endpoint, lane, count) \
               CROSS JOIN LATERAL (SELECT e.id FROM endpoints e WHERE e.id = r.endpoint AND e.removed_at IS NULL \
                    AND (r.lane = 2 OR e.state = 'active' \
                    AND (r.lane IN (1, 3) OR e.held_until IS NULL OR e.held_until <= $4)) LIMIT 1) AS open \
               CROSS JOIN LATERAL (SELECT d.id FROM deliveries d WHERE d.state = 'queued' AND d.endpoint_id = open.id \
                    AND d.lane = r.lane ORDER BY d.due_at LIMIT least(r.count, $8) FOR UPDATE SKIP LOCKED) AS taken)) \
               RETURNING id",
};

macro_rules! read_claimed {
    ($endpoint:literal, $event:literal, $ids:literal) => {
        concat!(
            "SELECT d.id AS delivery, ",
            event_id!(),
            " AS event, d.arrived, v.call_id, d.endpoint_id AS endpoint, d.workspace, e.url, e.secret, \
             e.previous_secret, e.previous_until, e.earlier_secrets, e.plain_secret, e.headers, v.content, v.recording, v.transcript, \
             d.test, d.lane, d.asset_waited, d.scheduled_at, d.created_at AS accepted_at, d.tries, d.attempts, d.resends, d.last_status, \
             d.links_expire_at, d.lease_until, e.long_tail, e.late_assets, e.concurrency, e.per_second, e.failures, e.failing_since, e.held_since, \
             e.held_until, e.health_epoch FROM deliveries d JOIN endpoints e ON e.id ",
            $endpoint,
            " JOIN events v ON v.id ",
            $event,
            " WHERE d.id ",
            $ids,
            " ORDER BY d.due_at"
        )
    };
}

/// Reads claimed deliveries. (`= ANY` is a join that PostgreSQL can only do by index.)
const READ_CLAIMED: Statement = Statement {
    sqlite: read_claimed!("= d.endpoint_id", "= d.event_id", "IN (SELECT value FROM json_each($1))"),
    postgres: read_claimed!(
        "= ANY (ARRAY[d.endpoint_id])",
        "= ANY (ARRAY[d.event_id])",
        "= ANY ($1::text[])"
    ),
};

impl Ledger {
    /// Claims up to the given shares for one sender.
    ///
    /// # Errors
    /// If the database fails; then nothing is claimed.
    pub async fn claim(&self, shares: &[Share], lease: &Lease, now: UnixMillis) -> Result<Vec<Claimed>> {
        let row = |share: &Share| values![&share.endpoint, share.lane.number(), share.count];
        let rows: Vec<_> = shares.iter().map(row).collect();
        let largest = shares.iter().map(|share| share.count).max().unwrap_or_default();
        let expires = int(lease.links_expire.0.saturating_add(1));
        let values = values![rows, now, &lease.holder, lease.until, expires, largest];
        let mut tx = self.database.begin_unchecked().await?;
        let ids = tx.fetch::<(String,)>(CLAIM, values).await?;
        let ids: Vec<String> = ids.into_iter().map(|(id,)| id).collect();
        let rows = if ids.is_empty() {
            Vec::new()
        } else {
            tx.fetch::<ClaimedRow>(READ_CLAIMED, values![ids]).await?
        };
        tx.commit().await?;
        Ok(rows.into_iter().map(|row| self.open_claimed(row, now)).collect())
    }

    fn open_claimed(&self, row: ClaimedRow, now: UnixMillis) -> Claimed {
        let (seal, claimed) = (&self.seal, row.claimed);
        let secrets = row.secrets.open(seal, &claimed.endpoint, now).ok();
        let headers = row.secrets.open_headers(seal, &claimed.endpoint, &claimed.target.url).ok();
        Claimed { secrets, headers, ..claimed }
    }
}
