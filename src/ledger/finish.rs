//! Ends a claim: records the attempt and its consequence, or requeues a delivery that was not attempted.

use std::time::Duration;

use super::attempt::{Disposition, FinishedAttempt, Requeue};
use super::database::{Database, Statement, Value, int, rows, values, without_nul};
use super::error::Result;
use super::exhausted;
use super::handle::Ledger;

macro_rules! attempts {
    ($engine:ident) => {
        rows!($engine: [
            1 id text, 2 holder text, 3 number bigint, 4 started_at bigint, 5 took_ms bigint, 6 status bigint, 7 code text,
            8 summary text, 9 advice text, 10 excerpt text, 11 links bigint, 12 note text, 13 state text, 14 due_at bigint,
            15 scheduled_at bigint, 16 ended_at bigint, 17 resend bigint, 18 awaits bigint, 19 nulls bigint, 20 look_at bigint,
            21 request_fields text, 22 answer_fields text, 23 lookup_ms bigint, 24 connect_ms bigint, 25 tls_ms bigint,
            26 first_byte_ms bigint
        ])
    };
}

macro_rules! insert_attempts {
    ($from:expr) => {
        concat!(
            "INSERT INTO attempts (delivery_id, number, started_at, took_ms, status, code, summary, advice, excerpt, \
             links_expire_at, resend, request_fields, answer_fields, lookup_ms, connect_ms, tls_ms, first_byte_ms) \
             SELECT id, number, started_at, took_ms, status, code, summary, advice, excerpt, links, resend, \
             request_fields, answer_fields, lookup_ms, connect_ms, tls_ms, first_byte_ms FROM ",
            $from,
            " ON CONFLICT (delivery_id, number) DO NOTHING"
        )
    };
}

/// What a delivered call awaits: what this attempt says, and what the delivery awaited before and has not sent either.
macro_rules! awaits {
    () => {
        "(r.awaits | (coalesce(deliveries.awaits, 0) & r.nulls))"
    };
}

macro_rules! finish_deliveries {
    ($from:expr, $is:literal) => {
        concat!(
            "UPDATE deliveries SET state = r.state, lane = CASE WHEN deliveries.test THEN 2 ELSE 1 END, \
             due_at = coalesce(r.due_at, deliveries.due_at), scheduled_at = r.scheduled_at, \
             scheduled_by = deliveries.lease, lease = NULL, lease_until = NULL, tries = deliveries.tries + 1, \
             attempts = CASE WHEN deliveries.attempts < r.number THEN r.number ELSE deliveries.attempts END, note = r.note, \
             last_status = r.status, last_summary = r.summary, links_expire_at = r.links, ended_at = r.ended_at, \
             active_at = coalesce(r.ended_at, r.scheduled_at), \
             awaits = CASE WHEN r.state = 'delivered' THEN nullif(",
            awaits!(),
            ", 0) ELSE deliveries.awaits END, \
             look_at = CASE WHEN r.state <> 'delivered' THEN deliveries.look_at WHEN ",
            awaits!(),
            " = 0 THEN NULL ELSE coalesce(r.look_at, deliveries.look_at) END FROM ",
            $from,
            " WHERE deliveries.id ",
            $is,
            " AND deliveries.lease = r.holder"
        )
    };
}

/// Records attempts and their consequences. A delivery that was purged meanwhile no longer has a history; PostgreSQL
/// locks the others, so that they are not purged meanwhile. (`= ANY` is a join that PostgreSQL can only do by index.)
const FINISH: Statement = Statement {
    sqlite: concat!(
        insert_attempts!(concat!(
            attempts!(sqlite),
            " WHERE EXISTS (SELECT 1 FROM deliveries d WHERE d.id = r.id)"
        )),
        "; ",
        finish_deliveries!(attempts!(sqlite), "= r.id"),
    ),
    postgres: concat!(
        "WITH r AS MATERIALIZED (SELECT r.* FROM ",
        attempts!(postgres),
        " JOIN deliveries d ON d.id = ANY (ARRAY[r.id]) FOR KEY SHARE OF d), a AS (",
        insert_attempts!("r"),
        ") ",
        finish_deliveries!("r", "= ANY (ARRAY[r.id])")
    ),
};

macro_rules! requeue {
    ($engine:ident, $is:literal) => {
        concat!(
            "UPDATE deliveries SET state = r.state, due_at = coalesce(r.due_at, deliveries.due_at), \
             scheduled_at = coalesce(r.scheduled_at, deliveries.scheduled_at), scheduled_by = deliveries.lease, \
             asset_waited = coalesce(r.waited, deliveries.asset_waited), note = coalesce(r.note, deliveries.note), \
             lease = NULL, lease_until = NULL FROM ",
            rows!($engine: [
                1 id text, 2 holder text, 3 state text, 4 due_at bigint, 5 scheduled_at bigint, 6 waited bigint, 7 note text
            ]),
            " WHERE deliveries.id ",
            $is,
            " AND deliveries.lease = r.holder"
        )
    };
}

const REQUEUE: Statement =
    Statement { sqlite: requeue!(sqlite, "= r.id"), postgres: requeue!(postgres, "= ANY (ARRAY[r.id])") };

impl Ledger {
    /// Records an attempt and its consequence. If another sender holds the lease by now, the delivery stays unchanged,
    /// but the attempt is added to its history.
    ///
    /// # Errors
    /// If it could not be written.
    pub async fn finish(&self, finished: FinishedAttempt) -> Result<()> {
        self.finished.write(finished).await
    }

    /// Requeues deliveries that were claimed but not attempted.
    ///
    /// # Errors
    /// If it could not be written.
    pub async fn requeue(&self, holder: &str, requeued: &[(String, Requeue)]) -> Result<()> {
        if requeued.is_empty() {
            return Ok(());
        }
        let rows: Vec<_> = requeued.iter().map(|(id, requeue)| requeue_row(id, holder, requeue)).collect();
        self.database.execute_unchecked(REQUEUE, values![rows]).await.map(|_| ())
    }
}

/// Writes a batch of attempts and their consequences in one transaction.
pub(super) async fn finish_all(database: &Database, finished: &[FinishedAttempt]) -> Result<Vec<()>> {
    let rows: Vec<_> = finished.iter().map(attempt_row).collect();
    if finished.iter().any(exhausted::alerts) {
        let mut tx = database.begin_unchecked().await?;
        exhausted::add_alerts(&mut tx, finished).await?;
        tx.fetch::<()>(FINISH, values![rows]).await?;
        tx.commit().await?;
    } else {
        database.write_unchecked::<()>(FINISH, values![rows]).await?;
    }
    Ok(vec![(); finished.len()])
}

fn requeue_row(id: &str, holder: &str, requeue: &Requeue) -> Vec<Value> {
    let (state, after) = match requeue {
        Requeue::Now => ("queued", None),
        Requeue::After { from, until, note, asset_waited } => {
            ("waiting", Some((*until, *from, int(asset_waited.as_millis()), note.clone())))
        }
    };
    let (until, from) = (after.as_ref().map(|it| it.0), after.as_ref().map(|it| it.1));
    let (waited, note) = after.map(|(_, _, waited, note)| (waited, note)).unzip();
    values![id, holder, state, until, from, waited, note]
}

fn attempt_row(finished: &FinishedAttempt) -> Vec<Value> {
    let (state, due_at) = match finished.disposition {
        Disposition::Delivered => ("delivered", None),
        Disposition::Failed => ("failed", None),
        Disposition::RetryAt(due) => ("waiting", Some(due)),
    };
    let result = &finished.result;
    values![
        &finished.delivery,
        &finished.holder,
        finished.number,
        result.started_at,
        int(result.took.as_millis()),
        result.status.map(u32::from),
        result.code,
        without_nul(&result.summary),
        result.advice.as_deref().map(without_nul),
        result.excerpt.as_deref().map(without_nul),
        result.links_expire,
        result.note.as_deref().map(without_nul),
        state,
        due_at,
        due_at.map(|_| finished.at),
        due_at.is_none().then_some(finished.at),
        finished.resend,
        finished.awaited.assets,
        result.nulls,
        finished.awaited.look_at,
        result.sent.stored().map(without_nul),
        result.answered.stored().map(without_nul),
        millis(result.phases.lookup),
        millis(result.phases.connect),
        millis(result.phases.tls),
        millis(result.phases.first_byte),
    ]
}

fn millis(duration: Option<Duration>) -> Option<i64> {
    duration.map(|duration| int(duration.as_millis()))
}
