//! Ends a claim: records the attempt and its consequence, or requeues a delivery that was not attempted.

use serde_json::{Value, json};

use super::attempt::{Disposition, FinishedAttempt, Requeue};
use super::database::{Database, Statement, int, over_json_rows, values, without_nul};
use super::error::Result;
use super::handle::Ledger;

const INSERT_ATTEMPTS: Statement = over_json_rows!(
    "INSERT INTO attempts (delivery_id, number, started_at, took_ms, status, code, summary, advice, excerpt, \
     links_expire_at) SELECT id, number, started_at, took_ms, status, code, summary, advice, excerpt, links FROM ",
    [id text, number bigint, started_at bigint, took_ms bigint, status bigint, code text, summary text, advice text,
     excerpt text, links bigint],
    // A delivery that was purged meanwhile no longer has a history.
    " WHERE EXISTS (SELECT 1 FROM deliveries d WHERE d.id = r.id) ON CONFLICT (delivery_id, number) DO NOTHING"
);

const FINISH: Statement = over_json_rows!(
    "UPDATE deliveries SET state = r.state, lane = CASE WHEN deliveries.test THEN 2 ELSE 1 END, \
     due_at = coalesce(r.due_at, deliveries.due_at), scheduled_at = r.scheduled_at, scheduled_by = deliveries.lease, \
     lease = NULL, lease_until = NULL, tries = deliveries.tries + 1, \
     attempts = CASE WHEN deliveries.attempts < r.number THEN r.number ELSE deliveries.attempts END, note = r.note, \
     last_status = r.status, last_summary = r.summary, links_expire_at = r.links, ended_at = r.ended_at FROM ",
    [id text, state text, due_at bigint, scheduled_at bigint, number bigint, note text, status bigint, summary text,
     links bigint, ended_at bigint, holder text],
    " WHERE deliveries.id = r.id AND deliveries.lease = r.holder"
);

const REQUEUE: Statement = over_json_rows!(
    "UPDATE deliveries SET state = r.state, due_at = coalesce(r.due_at, deliveries.due_at), \
     scheduled_at = coalesce(r.scheduled_at, deliveries.scheduled_at), scheduled_by = deliveries.lease, \
     asset_waited = coalesce(r.waited, deliveries.asset_waited), note = coalesce(r.note, deliveries.note), \
     lease = NULL, lease_until = NULL FROM ",
    [id text, state text, due_at bigint, scheduled_at bigint, waited bigint, note text],
    " WHERE deliveries.id = r.id AND deliveries.lease = $2"
);

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
        let rows: Vec<_> = requeued.iter().map(|(id, requeue)| requeue_row(id, requeue)).collect();
        self.database.execute_unchecked(REQUEUE, values![json!(rows).to_string(), holder]).await.map(|_| ())
    }
}

/// Writes a batch of attempts and their consequences in one transaction.
pub(super) async fn finish_all(database: &Database, finished: &[FinishedAttempt]) -> Result<Vec<()>> {
    let rows: Vec<_> = finished.iter().map(attempt_row).collect();
    let rows = json!(rows).to_string();
    let mut tx = database.begin_unchecked().await?;
    tx.execute(INSERT_ATTEMPTS, values![&rows]).await?;
    tx.execute(FINISH, values![rows]).await?;
    tx.commit().await?;
    Ok(vec![(); finished.len()])
}

fn requeue_row(id: &str, requeue: &Requeue) -> Value {
    match requeue {
        Requeue::Now => json!({"id": id, "state": "queued"}),
        Requeue::After { from, until, note, asset_waited } => json!({
            "id": id, "state": "waiting", "due_at": int(until.0), "scheduled_at": int(from.0),
            "note": note, "waited": int(asset_waited.as_millis()),
        }),
    }
}

fn attempt_row(finished: &FinishedAttempt) -> Value {
    let (state, due_at) = match finished.disposition {
        Disposition::Delivered => ("delivered", None),
        Disposition::Failed => ("failed", None),
        Disposition::RetryAt(due) => ("waiting", Some(int(due.0))),
    };
    let result = &finished.result;
    json!({
        "id": finished.delivery,
        "holder": finished.holder,
        "number": finished.number,
        "started_at": int(result.started_at.0),
        "took_ms": int(result.took.as_millis()),
        "status": result.status,
        "code": result.code,
        "summary": without_nul(&result.summary),
        "advice": result.advice.as_deref().map(without_nul),
        "excerpt": result.excerpt.as_deref().map(without_nul),
        "links": result.links_expire.map(|expires| expires.0),
        "note": result.note.as_deref().map(without_nul),
        "state": state,
        "due_at": due_at,
        "scheduled_at": due_at.map(|_| int(finished.at.0)),
        "ended_at": due_at.is_none().then(|| int(finished.at.0)),
    })
}
