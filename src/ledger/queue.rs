//! Manages the queues of endpoints.
//!
//! A delivery is `waiting` until it is due (for a retry or a missing asset), then `queued` in a queue of its endpoint,
//! oldest first. First attempts are queued immediately. A sender claims as many deliveries from each queue as it has
//! room for, and they become `sending`. So a long backlog of one endpoint does not slow down the others.

use std::collections::HashMap;

use super::database::{Statement, from_row, values};
use super::error::Result;
use super::handle::Ledger;
use super::health::Health;
use super::lane::Queue;
use crate::clock::UnixMillis;

struct QueueRow {
    queue: Queue,
    health: Health,
}

from_row!(row => QueueRow {
    queue: sqlx::FromRow::from_row(row)?,
    health: sqlx::FromRow::from_row(row)?,
});

macro_rules! queue_due {
    ($due:literal) => {
        concat!(
            "UPDATE deliveries SET state = 'queued' WHERE id ",
            $due,
            " RETURNING workspace, endpoint_id AS endpoint, lane"
        )
    };
}

const QUEUE_DUE: Statement = Statement {
    sqlite: queue_due!(
        "IN (SELECT id FROM deliveries WHERE state = 'waiting' AND due_at <= $1 ORDER BY due_at LIMIT $2)"
    ),
    postgres: queue_due!(
        "= ANY (ARRAY(SELECT id FROM deliveries WHERE state = 'waiting' AND due_at <= $1 \
         ORDER BY due_at LIMIT $2 FOR UPDATE SKIP LOCKED))"
    ),
};

/// Steps through the index from one endpoint with a queue to the next, without reading the queues (a loose index scan).
/// (PostgreSQL reads whole queues for min() while its statistics say that nothing is queued.)
macro_rules! endpoints_with_queues {
    () => {
        "WITH RECURSIVE line(endpoint) AS (\
         SELECT (SELECT d.endpoint_id FROM deliveries d WHERE d.state = 'queued' ORDER BY d.endpoint_id LIMIT 1) \
         UNION ALL SELECT (SELECT d.endpoint_id FROM deliveries d WHERE d.state = 'queued' AND d.endpoint_id > line.endpoint \
         ORDER BY d.endpoint_id LIMIT 1) FROM line WHERE line.endpoint IS NOT NULL), \
         lane(number) AS (SELECT CAST(0 AS BIGINT) UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3) "
    };
}

/// When the first delivery in a queue of the endpoint of `line` was due; null if there is none. (Of EXISTS, PostgreSQL makes a
/// join that reads whole queues of paused endpoints.)
macro_rules! first_due {
    () => {
        "(SELECT d.due_at FROM deliveries d WHERE d.state = 'queued' AND d.endpoint_id = line.endpoint AND d.lane = lane.number \
         ORDER BY d.due_at LIMIT 1)"
    };
}

/// The queues of endpoints that may be sent to.
const QUEUES: Statement = Statement::same(concat!(
    endpoints_with_queues!(),
    "SELECT e.workspace, e.id AS endpoint, lane.number AS lane, e.failures, e.failing_since, e.held_since, e.held_until, \
     e.health_epoch FROM line JOIN endpoints e ON e.id = line.endpoint CROSS JOIN lane \
     WHERE e.removed_at IS NULL AND (lane.number = 2 OR e.state = 'active' \
          AND (lane.number IN (1, 3) OR e.held_until IS NULL OR e.held_until <= $1)) AND ",
    first_due!(),
    " IS NOT NULL"
));

/// When the next waiting delivery is due.
macro_rules! next_due {
    () => {
        "SELECT d.due_at FROM deliveries d WHERE d.state = 'waiting' ORDER BY d.due_at LIMIT 1"
    };
}

/// Deliveries that wait only for the sender: due but not queued yet; or first in a queue of an endpoint that is active,
/// not held, without a rate limit and without an attempt in flight.
const OVERDUE: Statement = Statement::same(concat!(
    endpoints_with_queues!(),
    "SELECT min(due_at) FROM (SELECT (",
    next_due!(),
    ") AS due_at UNION ALL SELECT ",
    first_due!(),
    " AS due_at FROM line JOIN endpoints e ON e.id = line.endpoint CROSS JOIN lane WHERE e.removed_at IS NULL AND e.state = 'active' \
     AND (e.held_until IS NULL OR e.held_until <= $1) AND e.per_second IS NULL \
     AND e.id NOT IN (SELECT endpoint_id FROM deliveries WHERE state = 'sending')) AS heads"
));

impl Ledger {
    /// Queues up to `limit` due deliveries. Returns how many entered each queue.
    ///
    /// # Errors
    /// If it could not be written.
    pub async fn queue_due(&self, limit: usize, now: UnixMillis) -> Result<HashMap<Queue, usize>> {
        let mut tx = self.database.begin_unchecked().await?;
        let queued = tx.fetch::<Queue>(QUEUE_DUE, values![now, limit]).await?;
        tx.commit().await?;
        let mut counts = HashMap::new();
        for queue in queued {
            *counts.entry(queue).or_default() += 1;
        }
        Ok(counts)
    }

    /// The queues from which a sender can claim, with the health of their endpoints.
    ///
    /// # Errors
    /// If they cannot be read.
    pub async fn queues(&self, now: UnixMillis) -> Result<Vec<(Queue, Health)>> {
        let rows = self.database.fetch::<QueueRow>(QUEUES, values![now]).await?;
        Ok(rows.into_iter().map(|row| (row.queue, row.health)).collect())
    }

    /// When the next waiting delivery is due.
    ///
    /// # Errors
    /// If it cannot be read.
    pub async fn next_due(&self) -> Result<Option<UnixMillis>> {
        const NEXT: Statement = Statement::same(next_due!());
        let rows = self.database.fetch::<(UnixMillis,)>(NEXT, Vec::new()).await?;
        Ok(rows.into_iter().map(|(due,)| due).next())
    }

    /// The due time of the delivery that has waited longest for the sender only.
    pub(super) async fn oldest_overdue(&self, now: UnixMillis) -> Result<Option<UnixMillis>> {
        let rows = self.database.fetch::<(Option<UnixMillis>,)>(OVERDUE, values![now]).await?;
        Ok(rows.into_iter().find_map(|(due,)| due))
    }
}
