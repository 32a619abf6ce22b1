//! Gives what is due to one sender at a time, under a lease, and takes back what came of it.
//!
//! A delivery is `waiting` until it is due, `sending` while a sender has it, and `queued` behind its endpoint when that
//! takes no more at the moment: so that a hundred thousand deliveries for one dead endpoint are stepped over once, not
//! at every look.

use std::time::Duration;

use serde_json::json;
use sqlx::FromRow;

use super::database::{Database, Statement, values};
use super::{Health, Ledger, LedgerError, Secrets, count, moment, stored};
use crate::clock::{UnixMillis, UnixSeconds};
use crate::webhook::CompletedCall;

/// A lease: who sends, and until when nobody else may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Names the sender.
    pub holder: String,
    /// After this, whoever looks takes the delivery over.
    pub until: UnixMillis,
    /// How long links live that are minted under it.
    pub link_lifetime: Duration,
}

/// What came of a look at what is due.
#[derive(Debug, Clone)]
pub struct Claims {
    /// How many deliveries were moved: those to be sent, and those that went behind an endpoint that is paused or held.
    pub looked_at: usize,
    /// Those to be sent.
    pub claimed: Vec<Claimed>,
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
    /// Which secret makes `X-Webhook-Signature` first.
    pub plain_previous: bool,
    /// What happened. `None` if what is stored cannot be read.
    pub call: Option<CompletedCall>,
    /// The recording's id, if there is to be one.
    pub recording: Option<String>,
    /// The transcript's id, if there is to be one.
    pub transcript: Option<String>,
    /// Whether it is a test event.
    pub test: bool,
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
    /// How many attempts the endpoint takes at once.
    pub concurrency: u32,
    /// How many a second.
    pub per_second: Option<u32>,
    /// How the endpoint's last attempts went.
    pub health: Health,
}

/// What follows an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Nothing: it has arrived.
    Delivered,
    /// Nothing: there are no attempts left.
    Failed,
    /// Another attempt.
    RetryAt(UnixMillis),
}

/// An attempt that came to an end.
#[derive(Debug, Clone)]
pub struct Finished {
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
    pub next: Next,
    /// When it ended.
    pub at: UnixMillis,
}

/// Why a claimed delivery goes back without an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Setback {
    /// Its endpoint takes no more at the moment.
    Queued,
    /// It waits for something else until then, as the note says.
    Until(UnixMillis, String),
}

#[derive(FromRow)]
struct ClaimedRow {
    delivery: String,
    event: String,
    endpoint: String,
    workspace: String,
    url: String,
    secret: Vec<u8>,
    previous_secret: Option<Vec<u8>>,
    previous_until: Option<i64>,
    plain_previous: bool,
    content: String,
    recording: Option<String>,
    transcript: Option<String>,
    test: bool,
    accepted_at: i64,
    tries: i64,
    attempts: i64,
    last_status: Option<i64>,
    links_expire_at: i64,
    long_tail: bool,
    concurrency: i64,
    per_second: Option<i64>,
    failures: i64,
    failing_since: Option<i64>,
    held_until: Option<i64>,
}

macro_rules! claim {
    ($due:literal) => {
        concat!(
            "UPDATE deliveries SET state = CASE WHEN EXISTS (SELECT 1 FROM endpoints e WHERE e.id = endpoint_id \
             AND e.removed_at IS NULL AND (test OR e.state = 'active' AND (e.held_until IS NULL OR e.held_until <= $2))) \
             THEN 'sending' ELSE 'queued' END, \
             lease = $4, lease_until = $5, links_expire_at = $6 + position WHERE id ",
            $due,
            " RETURNING id, state"
        )
    };
}

/// What is due, in one lane. What belongs to an endpoint that is paused or held goes behind it.
const CLAIM_DUE: Statement = Statement {
    sqlite: claim!(
        "IN (SELECT id FROM deliveries WHERE state = 'waiting' AND lane = $1 AND due_at <= $2 ORDER BY due_at LIMIT $3)"
    ),
    postgres: claim!(
        "= ANY (ARRAY(SELECT id FROM deliveries WHERE state = 'waiting' AND lane = $1 AND due_at <= $2 \
         ORDER BY due_at LIMIT $3 FOR UPDATE SKIP LOCKED))"
    ),
};

/// What stands behind one endpoint, the longest waiting first.
const CLAIM_QUEUED: Statement = Statement {
    sqlite: claim!(
        "IN (SELECT id FROM deliveries WHERE state = 'queued' AND endpoint_id = $1 ORDER BY due_at LIMIT $3)"
    ),
    postgres: claim!(
        "= ANY (ARRAY(SELECT id FROM deliveries WHERE state = 'queued' AND endpoint_id = $1 \
         ORDER BY due_at LIMIT $3 FOR UPDATE SKIP LOCKED))"
    ),
};

macro_rules! read_claimed {
    ($ids:literal) => {
        concat!(
            "SELECT d.id AS delivery, d.event_id AS event, d.endpoint_id AS endpoint, d.workspace, e.url, e.secret, \
             e.previous_secret, e.previous_until, e.plain_previous, v.content, v.recording, v.transcript, d.test, \
             v.accepted_at, d.tries, d.attempts, d.last_status, d.links_expire_at, e.long_tail, e.concurrency, e.per_second, \
             e.failures, e.failing_since, e.held_until \
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

impl Ledger {
    /// Takes up to `limit` deliveries of one lane (0: first attempts, 1: retries) that are due.
    ///
    /// # Errors
    /// [`LedgerError`] if the database fails; then nothing was taken.
    pub async fn claim_due(
        &self,
        lane: u8,
        limit: usize,
        lease: &Lease,
        now: UnixMillis,
    ) -> Result<Claims, LedgerError> {
        let lane = super::database::Value::from(i64::from(lane));
        self.claim(CLAIM_DUE, lane, limit, lease, now).await
    }

    /// Takes up to `limit` deliveries that stand behind an endpoint.
    ///
    /// # Errors
    /// As [`Ledger::claim_due`].
    pub async fn claim_queued(
        &self,
        endpoint: &str,
        limit: usize,
        lease: &Lease,
        now: UnixMillis,
    ) -> Result<Claims, LedgerError> {
        self.claim(CLAIM_QUEUED, endpoint.into(), limit, lease, now).await
    }

    async fn claim(
        &self,
        statement: Statement,
        which: super::database::Value,
        limit: usize,
        lease: &Lease,
        now: UnixMillis,
    ) -> Result<Claims, LedgerError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let expires = now.seconds().plus(lease.link_lifetime).0.saturating_add(1);
        let mut values = vec![which];
        values.extend(values![
            stored(now),
            limit,
            lease.holder.clone(),
            stored(lease.until),
            i64::try_from(expires).unwrap_or(i64::MAX),
        ]);
        let mut tx = self.database.begin().await?;
        let taken = tx.fetch::<(String, String)>(statement, values).await?;
        let looked_at = taken.len();
        let ids: Vec<String> =
            taken.into_iter().filter(|(_, state)| state == "sending").map(|(id, _)| id).collect();
        let rows = if ids.is_empty() {
            Vec::new()
        } else {
            tx.fetch::<ClaimedRow>(READ_CLAIMED, values![json!(ids).to_string()]).await?
        };
        tx.commit().await?;
        Ok(Claims { looked_at, claimed: rows.into_iter().map(|row| self.claimed(row, now)).collect() })
    }

    fn claimed(&self, row: ClaimedRow, now: UnixMillis) -> Claimed {
        let previous_until = row.previous_until.map(moment);
        let secrets = self.open_secrets(
            &row.endpoint,
            &row.secret,
            row.previous_secret.as_deref(),
            previous_until,
            now,
        );
        Claimed {
            secrets: secrets.ok(),
            plain_previous: row.plain_previous,
            call: CompletedCall::parse(row.content.as_bytes()).ok(),
            recording: row.recording,
            transcript: row.transcript,
            test: row.test,
            accepted_at: moment(row.accepted_at),
            tries: count(row.tries),
            attempts: count(row.attempts),
            last_status: row.last_status.and_then(|status| u16::try_from(status).ok()),
            links_expire: UnixSeconds(u64::try_from(row.links_expire_at).unwrap_or_default()),
            long_tail: row.long_tail,
            concurrency: count(row.concurrency).max(1),
            per_second: row.per_second.map(count),
            health: Health {
                failures: count(row.failures),
                failing_since: row.failing_since.map(moment),
                held_until: row.held_until.map(moment),
            },
            delivery: row.delivery,
            event: row.event,
            endpoint: row.endpoint,
            workspace: row.workspace,
            url: row.url,
        }
    }

    /// Writes down an attempt and what follows. Does nothing to a delivery whose lease somebody else has now, but keeps
    /// the attempt in its history.
    ///
    /// # Errors
    /// [`LedgerError`] if it could not be written.
    pub async fn finish(&self, finished: Finished) -> Result<(), LedgerError> {
        self.finished.write(finished).await
    }

    /// Puts deliveries back that were claimed but not attempted.
    ///
    /// # Errors
    /// [`LedgerError`] if it could not be written.
    pub async fn put_back(&self, holder: &str, setbacks: &[(String, Setback)]) -> Result<(), LedgerError> {
        const PUT_BACK: Statement = Statement {
            sqlite: "UPDATE deliveries SET state = r.value->>'state', due_at = coalesce(r.value->>'due_at', due_at), \
                     note = coalesce(r.value->>'note', note), lease = NULL, lease_until = NULL \
                     FROM json_each($1) AS r WHERE deliveries.id = r.value->>'id' AND lease = $2",
            postgres: "UPDATE deliveries d SET state = r.state, due_at = coalesce(r.due_at, d.due_at), \
                       note = coalesce(r.note, d.note), lease = NULL, lease_until = NULL \
                       FROM json_to_recordset($1::json) AS r(id text, state text, due_at bigint, note text) \
                       WHERE d.id = r.id AND d.lease = $2",
        };
        if setbacks.is_empty() {
            return Ok(());
        }
        let rows: Vec<_> = setbacks
            .iter()
            .map(|(id, setback)| match setback {
                Setback::Queued => json!({"id": id, "state": "queued"}),
                Setback::Until(due, note) => {
                    json!({"id": id, "state": "waiting", "due_at": stored(*due), "note": note})
                }
            })
            .collect();
        self.database.execute(PUT_BACK, values![json!(rows).to_string(), holder]).await.map(|_| ())
    }

    /// Endpoints that may be sent to and have deliveries standing behind them.
    ///
    /// # Errors
    /// [`LedgerError`] if they cannot be read.
    pub async fn endpoints_with_queue(&self, now: UnixMillis) -> Result<Vec<String>, LedgerError> {
        const LIST: Statement = Statement::same(
            "SELECT e.id FROM endpoints e WHERE e.removed_at IS NULL AND e.state = 'active' AND (e.held_until IS NULL OR e.held_until <= $1) \
             AND EXISTS (SELECT 1 FROM deliveries d WHERE d.endpoint_id = e.id AND d.state = 'queued')",
        );
        let rows = self.database.fetch::<(String,)>(LIST, values![stored(now)]).await?;
        Ok(rows.into_iter().map(|(id,)| id).collect())
    }

    /// When the next waiting delivery is due.
    ///
    /// # Errors
    /// [`LedgerError`] if it cannot be read.
    pub async fn next_due(&self) -> Result<Option<UnixMillis>, LedgerError> {
        const NEXT: Statement = Statement::same(
            "SELECT min(due_at) FROM (SELECT min(due_at) AS due_at FROM deliveries WHERE state = 'waiting' AND lane = 0 \
             UNION ALL SELECT min(due_at) AS due_at FROM deliveries WHERE state = 'waiting' AND lane = 1) AS lanes",
        );
        let rows = self.database.fetch::<(Option<i64>,)>(NEXT, Vec::new()).await?;
        Ok(rows.into_iter().find_map(|(due,)| due).map(moment))
    }

    /// Makes deliveries due again whose sender died: their leases have ended.
    ///
    /// # Errors
    /// [`LedgerError`] if it could not be written.
    pub async fn take_back(&self, now: UnixMillis) -> Result<u64, LedgerError> {
        const TAKE_BACK: Statement = Statement::same(
            "UPDATE deliveries SET state = 'waiting', due_at = $1, lease = NULL, lease_until = NULL \
             WHERE state = 'sending' AND lease_until < $1",
        );
        self.database.execute(TAKE_BACK, values![stored(now)]).await
    }

    /// The same for every lease, when this process is the only sender.
    pub(super) async fn take_back_all(&self, now: UnixMillis) -> Result<(), LedgerError> {
        const TAKE_BACK: Statement = Statement::same(
            "UPDATE deliveries SET state = 'waiting', due_at = $1, lease = NULL, lease_until = NULL \
             WHERE state = 'sending'",
        );
        self.database.execute(TAKE_BACK, values![stored(now)]).await.map(|_| ())
    }
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
    sqlite: "UPDATE deliveries SET state = r.value->>'state', lane = 1, due_at = coalesce(r.value->>'due_at', due_at), \
             lease = NULL, lease_until = NULL, tries = tries + 1, attempts = max(attempts, r.value->>'number'), \
             note = r.value->>'note', last_status = r.value->>'status', last_summary = r.value->>'summary', \
             links_expire_at = r.value->>'links', ended_at = r.value->>'ended_at' \
             FROM json_each($1) AS r WHERE deliveries.id = r.value->>'id' AND lease = r.value->>'holder'",
    postgres: "UPDATE deliveries d SET state = r.state, lane = 1, due_at = coalesce(r.due_at, d.due_at), lease = NULL, \
               lease_until = NULL, tries = d.tries + 1, attempts = greatest(d.attempts, r.number), note = r.note, \
               last_status = r.status, last_summary = r.summary, links_expire_at = r.links, ended_at = r.ended_at \
               FROM json_to_recordset($1::json) AS r(id text, state text, due_at bigint, number bigint, note text, \
               status bigint, summary text, links bigint, ended_at bigint, holder text) \
               WHERE d.id = r.id AND d.lease = r.holder",
};

/// Writes a batch of attempts and what follows them in one transaction.
pub(super) async fn finish_all(database: &Database, finished: &[Finished]) -> Result<Vec<()>, LedgerError> {
    let rows: Vec<_> = finished.iter().map(row_of).collect();
    let rows = json!(rows).to_string();
    let mut tx = database.begin().await?;
    tx.execute(INSERT_ATTEMPTS, values![rows.clone()]).await?;
    tx.execute(FINISH, values![rows]).await?;
    tx.commit().await?;
    Ok(vec![(); finished.len()])
}

fn row_of(finished: &Finished) -> serde_json::Value {
    let (state, due_at) = match finished.next {
        Next::Delivered => ("delivered", None),
        Next::Failed => ("failed", None),
        Next::RetryAt(due) => ("waiting", Some(stored(due))),
    };
    json!({
        "id": finished.delivery,
        "holder": finished.holder,
        "number": finished.number,
        "started_at": stored(finished.started_at),
        "took_ms": u64::try_from(finished.took.as_millis()).unwrap_or(u64::MAX),
        "status": finished.status,
        "code": finished.code,
        "summary": without_nul(&finished.summary),
        "advice": finished.advice.as_deref().map(without_nul),
        "excerpt": finished.excerpt.as_deref().map(without_nul),
        "links": finished.links_expire.map(|expires| expires.0),
        "note": finished.note.as_deref().map(without_nul),
        "state": state,
        "due_at": due_at,
        "ended_at": due_at.is_none().then(|| stored(finished.at)),
    })
}

/// PostgreSQL's texts cannot hold U+0000.
fn without_nul(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}
