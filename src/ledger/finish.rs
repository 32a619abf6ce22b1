//! Takes back what a sender claimed: attempts that came to an end, and deliveries that it could not attempt.

use std::time::Duration;

use serde_json::json;

use super::database::{Database, Statement, values};
use super::{Ledger, LedgerError, stored};
use crate::clock::{UnixMillis, UnixSeconds};

/// What follows an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disposition {
    /// Nothing: it has arrived.
    Delivered,
    /// Nothing: there are no attempts left.
    Failed,
    /// Another attempt.
    RetryAt(UnixMillis),
}

/// An attempt that came to an end.
#[derive(Debug, Clone)]
pub struct FinishedAttempt {
    /// Which delivery.
    pub delivery: String,
    /// Under whose lease.
    pub holder: String,
    /// Which attempt, counted from 1 over all rounds.
    pub number: u32,
    /// When it began.
    pub started_at: UnixMillis,
    /// How long it took.
    pub took: Duration,
    /// The answer's status, if there was an answer.
    pub status: Option<u16>,
    /// What came of it, in a word.
    pub code: &'static str,
    /// … and in a sentence.
    pub summary: String,
    /// What to do about it.
    pub advice: Option<String>,
    /// The answer's first bytes.
    pub excerpt: Option<String>,
    /// When the links expire that it carried; `None` if it carried none.
    pub links_expire: Option<UnixSeconds>,
    /// What an operator should know besides: why a link is null.
    pub note: Option<String>,
    /// What follows.
    pub disposition: Disposition,
    /// When it ended.
    pub at: UnixMillis,
}

/// Why a claimed delivery goes back without an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Requeue {
    /// Its endpoint takes no more at the moment.
    Now,
    /// It is tried again after a pause.
    After {
        /// When the pause begins.
        from: UnixMillis,
        /// When it ends.
        until: UnixMillis,
        /// What the delivery waits for.
        note: String,
        /// How long it has waited for its assets.
        asset_waited: Duration,
    },
}

impl Ledger {
    /// Writes down an attempt and what follows. Does nothing to a delivery whose lease somebody else has now, but keeps
    /// the attempt in its history.
    ///
    /// # Errors
    /// [`LedgerError`] if it could not be written.
    pub async fn finish(&self, finished: FinishedAttempt) -> Result<(), LedgerError> {
        self.finished.write(finished).await
    }

    /// Puts deliveries back that were claimed but not attempted.
    ///
    /// # Errors
    /// [`LedgerError`] if it could not be written.
    pub async fn requeue(&self, holder: &str, requeued: &[(String, Requeue)]) -> Result<(), LedgerError> {
        const REQUEUE: Statement = Statement {
            sqlite: "UPDATE deliveries SET state = r.value->>'state', due_at = coalesce(r.value->>'due_at', due_at), \
                     scheduled_at = coalesce(r.value->>'scheduled_at', scheduled_at), scheduled_by = lease, \
                     asset_waited = coalesce(r.value->>'waited', asset_waited), note = coalesce(r.value->>'note', note), lease = NULL, lease_until = NULL \
                     FROM json_each($1) AS r WHERE deliveries.id = r.value->>'id' AND lease = $2",
            postgres: "UPDATE deliveries d SET state = r.state, due_at = coalesce(r.due_at, d.due_at), \
                       scheduled_at = coalesce(r.scheduled_at, d.scheduled_at), scheduled_by = d.lease, \
                       asset_waited = coalesce(r.waited, d.asset_waited), \
                       note = coalesce(r.note, d.note), lease = NULL, lease_until = NULL \
                       FROM json_to_recordset($1::json) AS r(id text, state text, due_at bigint, scheduled_at bigint, \
                       waited bigint, note text) WHERE d.id = r.id AND d.lease = $2",
        };
        if requeued.is_empty() {
            return Ok(());
        }
        let rows: Vec<_> = requeued.iter().map(|(id, requeue)| requeue_row(id, requeue)).collect();
        self.database.execute_unchecked(REQUEUE, values![json!(rows).to_string(), holder]).await.map(|_| ())
    }
}

fn requeue_row(id: &str, requeue: &Requeue) -> serde_json::Value {
    match requeue {
        Requeue::Now => json!({"id": id, "state": "queued"}),
        Requeue::After { from, until, note, asset_waited } => json!({
            "id": id, "state": "waiting", "due_at": stored(*until), "scheduled_at": stored(*from),
            "note": note, "waited": millis(*asset_waited),
        }),
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

macro_rules! insert_attempts {
    ($columns:literal, $rows:literal, $id:literal) => {
        concat!(
            "INSERT INTO attempts (delivery_id, number, started_at, took_ms, status, code, summary, advice, excerpt, \
             links_expire_at) SELECT ",
            $columns,
            " FROM ",
            $rows,
            // What was purged meanwhile has no history any more.
            " WHERE EXISTS (SELECT 1 FROM deliveries d WHERE d.id = ",
            $id,
            ") ON CONFLICT (delivery_id, number) DO NOTHING"
        )
    };
}

const INSERT_ATTEMPTS: Statement = Statement {
    sqlite: insert_attempts!(
        "r.value->>'id', r.value->>'number', r.value->>'started_at', r.value->>'took_ms', r.value->>'status', \
         r.value->>'code', r.value->>'summary', r.value->>'advice', r.value->>'excerpt', r.value->>'links'",
        "json_each($1) AS r",
        "r.value->>'id'"
    ),
    postgres: insert_attempts!(
        "r.id, r.number, r.started_at, r.took_ms, r.status, r.code, r.summary, r.advice, r.excerpt, r.links",
        "json_to_recordset($1::json) AS r(id text, number bigint, started_at bigint, took_ms bigint, status bigint, \
         code text, summary text, advice text, excerpt text, links bigint)",
        "r.id"
    ),
};

const FINISH: Statement = Statement {
    sqlite: "UPDATE deliveries SET state = r.value->>'state', lane = CASE WHEN test THEN 2 ELSE 1 END, \
             due_at = coalesce(r.value->>'due_at', due_at), scheduled_at = r.value->>'scheduled_at', scheduled_by = lease, lease = NULL, lease_until = NULL, \
             tries = tries + 1, attempts = max(attempts, r.value->>'number'), \
             note = r.value->>'note', last_status = r.value->>'status', last_summary = r.value->>'summary', \
             links_expire_at = r.value->>'links', ended_at = r.value->>'ended_at' \
             FROM json_each($1) AS r WHERE deliveries.id = r.value->>'id' AND lease = r.value->>'holder'",
    postgres: "UPDATE deliveries d SET state = r.state, lane = CASE WHEN d.test THEN 2 ELSE 1 END, \
               due_at = coalesce(r.due_at, d.due_at), scheduled_at = r.scheduled_at, scheduled_by = d.lease, \
               lease = NULL, lease_until = NULL, tries = d.tries + 1, attempts = greatest(d.attempts, r.number), \
               note = r.note, last_status = r.status, last_summary = r.summary, links_expire_at = r.links, \
               ended_at = r.ended_at \
               FROM json_to_recordset($1::json) AS r(id text, state text, due_at bigint, scheduled_at bigint, number bigint, \
               note text, status bigint, summary text, links bigint, ended_at bigint, holder text) \
               WHERE d.id = r.id AND d.lease = r.holder",
};

/// Writes a batch of attempts and what follows them in one transaction.
pub(super) async fn finish_all(
    database: &Database,
    finished: &[FinishedAttempt],
) -> Result<Vec<()>, LedgerError> {
    let rows: Vec<_> = finished.iter().map(row_of).collect();
    let rows = json!(rows).to_string();
    let mut tx = database.begin_unchecked().await?;
    tx.execute(INSERT_ATTEMPTS, values![rows.clone()]).await?;
    tx.execute(FINISH, values![rows]).await?;
    tx.commit().await?;
    Ok(vec![(); finished.len()])
}

fn row_of(finished: &FinishedAttempt) -> serde_json::Value {
    let (state, due_at) = match finished.disposition {
        Disposition::Delivered => ("delivered", None),
        Disposition::Failed => ("failed", None),
        Disposition::RetryAt(due) => ("waiting", Some(stored(due))),
    };
    json!({
        "id": finished.delivery,
        "holder": finished.holder,
        "number": finished.number,
        "started_at": stored(finished.started_at),
        "took_ms": millis(finished.took),
        "status": finished.status,
        "code": finished.code,
        "summary": without_nul(&finished.summary),
        "advice": finished.advice.as_deref().map(without_nul),
        "excerpt": finished.excerpt.as_deref().map(without_nul),
        "links": finished.links_expire.map(|expires| expires.0),
        "note": finished.note.as_deref().map(without_nul),
        "state": state,
        "due_at": due_at,
        "scheduled_at": due_at.map(|_| stored(finished.at)),
        "ended_at": due_at.is_none().then(|| stored(finished.at)),
    })
}

/// PostgreSQL's texts cannot hold U+0000.
fn without_nul(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}
