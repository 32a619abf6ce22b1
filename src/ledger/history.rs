//! The delivery history: what was sent to whom, attempt by attempt.

use std::time::Duration;

use sqlx::FromRow;

use super::database::{Statement, values};
use super::{Ledger, LedgerError, count, moment, stored};
use crate::clock::{UnixMillis, UnixSeconds};

/// How a delivery stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryState {
    /// Its time has not come: it is tried again later, or an asset is not there yet.
    Waiting,
    /// It stands in its endpoint's line: the endpoint is paused, held or busy, or it is its turn next.
    Queued,
    /// An attempt is under way.
    Sending,
    /// It has arrived.
    Delivered,
    /// Its attempts are used up, or its endpoint is gone.
    Failed,
}

impl DeliveryState {
    /// Every state.
    pub const ALL: [Self; 5] = [Self::Waiting, Self::Queued, Self::Sending, Self::Delivered, Self::Failed];

    /// Its word, here and in the API.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Queued => "queued",
            Self::Sending => "sending",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
        }
    }

    /// The state of this name.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

/// One line of the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// `dlv_…`
    pub id: String,
    /// `msg_…`
    pub event: String,
    /// `ep_…`
    pub endpoint: String,
    /// The caller's id of the call; `None` for test events.
    pub call: Option<String>,
    /// Whether it is a test event.
    pub test: bool,
    /// How it stands.
    pub state: DeliveryState,
    /// Attempts ever.
    pub attempts: u32,
    /// When it is due, while it waits.
    pub due_at: Option<UnixMillis>,
    /// What an operator should know: why it waits, why a link is null.
    pub note: Option<String>,
    /// The last answer's status.
    pub last_status: Option<u16>,
    /// What came of the last attempt, in a sentence.
    pub last_summary: Option<String>,
    /// When the links expire that were sent last; `None` if none were.
    pub links_expire: Option<UnixSeconds>,
    /// The recording's id, if the call has one.
    pub recording: Option<String>,
    /// The transcript's id, if the call has one.
    pub transcript: Option<String>,
    /// When the recording was first fetched by a link of this delivery.
    pub recording_fetched_at: Option<UnixMillis>,
    /// When the transcript was.
    pub transcript_fetched_at: Option<UnixMillis>,
    /// When the event was accepted.
    pub created_at: UnixMillis,
    /// When it was delivered, or had failed.
    pub ended_at: Option<UnixMillis>,
}

impl Delivery {
    /// Whether its links were followed, as a person would say it; `None` if it carried none that live.
    #[must_use]
    pub fn pick_up(&self, now: UnixSeconds) -> Option<String> {
        let expires = self.links_expire.filter(|_| self.state == DeliveryState::Delivered)?;
        let fetched = match (self.recording_fetched_at, self.transcript_fetched_at) {
            (Some(_), Some(_)) => "recording and transcript fetched",
            (Some(_), None) if self.transcript.is_some() => "recording fetched, transcript not",
            (Some(_), None) => "recording fetched",
            (None, Some(_)) if self.recording.is_some() => "transcript fetched, recording not",
            (None, Some(_)) => "transcript fetched",
            (None, None) if now < expires => {
                let left = Duration::from_secs(expires.since(now).as_secs() / 60 * 60);
                let left = left.max(Duration::from_secs(60));
                return Some(format!("never fetched, expires in {}", humantime::format_duration(left)));
            }
            (None, None) => "never fetched, expired",
        };
        Some(fetched.to_owned())
    }
}

/// One attempt of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// Counted from 1.
    pub number: u32,
    /// When it began.
    pub started_at: UnixMillis,
    /// How long it took.
    pub took: Duration,
    /// The answer's status, if there was an answer.
    pub status: Option<u16>,
    /// What came of it, in a word.
    pub code: String,
    /// … and in a sentence.
    pub summary: String,
    /// What to do about it.
    pub advice: Option<String>,
    /// The answer's first bytes.
    pub excerpt: Option<String>,
}

/// Which deliveries to list.
#[derive(Debug, Clone, Default)]
pub struct DeliveryFilter {
    /// Of this endpoint alone.
    pub endpoint: Option<String>,
    /// In this state alone.
    pub state: Option<DeliveryState>,
    /// Of this call alone.
    pub call: Option<String>,
    /// Accepted at this moment or later.
    pub from: Option<UnixMillis>,
    /// Accepted before this moment.
    pub to: Option<UnixMillis>,
    /// Below this cursor, as the page before gave it.
    pub cursor: Option<String>,
}

/// A page of the history, newest first.
#[derive(Debug, Clone)]
pub struct HistoryPage {
    /// Its deliveries.
    pub deliveries: Vec<Delivery>,
    /// Where the next page begins, if there is one.
    pub next: Option<String>,
}

/// How much there is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Backlog {
    /// Deliveries that wait for their time.
    pub waiting: u64,
    /// Deliveries that stand in line.
    pub queued: u64,
    /// Deliveries under way.
    pub sending: u64,
    /// Delivered, links alive, never fetched.
    pub not_fetched: u64,
    /// Since when the one waits that waits longest for the sender alone.
    pub oldest_due: Option<UnixMillis>,
}

#[derive(FromRow)]
struct DeliveryRow {
    id: String,
    event_id: String,
    endpoint_id: String,
    call_id: Option<String>,
    test: bool,
    state: String,
    attempts: i64,
    due_at: i64,
    note: Option<String>,
    last_status: Option<i64>,
    last_summary: Option<String>,
    links_expire_at: Option<i64>,
    recording: Option<String>,
    transcript: Option<String>,
    recording_fetched_at: Option<i64>,
    transcript_fetched_at: Option<i64>,
    created_at: i64,
    ended_at: Option<i64>,
}

impl From<DeliveryRow> for Delivery {
    fn from(row: DeliveryRow) -> Self {
        let state = DeliveryState::of(&row.state).unwrap_or(DeliveryState::Failed);
        Self {
            state,
            due_at: (state == DeliveryState::Waiting).then(|| moment(row.due_at)),
            id: row.id,
            event: row.event_id,
            endpoint: row.endpoint_id,
            call: row.call_id,
            test: row.test,
            attempts: count(row.attempts),
            note: row.note,
            last_status: row.last_status.and_then(|status| u16::try_from(status).ok()),
            last_summary: row.last_summary,
            links_expire: row.links_expire_at.and_then(|at| u64::try_from(at).ok()).map(UnixSeconds),
            recording: row.recording,
            transcript: row.transcript,
            recording_fetched_at: row.recording_fetched_at.map(moment),
            transcript_fetched_at: row.transcript_fetched_at.map(moment),
            created_at: moment(row.created_at),
            ended_at: row.ended_at.map(moment),
        }
    }
}

macro_rules! select_deliveries {
    ($rest:literal) => {
        select_deliveries!("deliveries d JOIN events v ON v.id = d.event_id", $rest)
    };
    ($from:literal, $rest:literal) => {
        concat!(
            "SELECT d.id, d.event_id, d.endpoint_id, v.call_id, d.test, d.state, d.attempts, d.due_at, d.note, \
             d.last_status, d.last_summary, d.links_expire_at, v.recording, v.transcript, d.recording_fetched_at, \
             d.transcript_fetched_at, d.created_at, d.ended_at FROM ",
            $from,
            " WHERE d.workspace = $1 AND ",
            $rest
        )
    };
}

/// The conditions of every search. Each has a statement of its own beside these, so that each walks the index that fits.
macro_rules! search {
    ($driving:literal) => {
        Statement::same(search!("deliveries d JOIN events v ON v.id = d.event_id", $driving))
    };
    ($from:literal, $driving:literal) => {
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
const UNDER_WAY: Statement = search!("d.state IN ('waiting', 'queued', 'sending')");
const OF_ENDPOINT: Statement = search!("d.endpoint_id = $2");
// SQLite would rather read every delivery in order until those of one event are among them.
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

#[derive(FromRow)]
struct AttemptRow {
    number: i64,
    started_at: i64,
    took_ms: i64,
    status: Option<i64>,
    code: String,
    summary: String,
    advice: Option<String>,
    excerpt: Option<String>,
}

impl From<AttemptRow> for Attempt {
    fn from(row: AttemptRow) -> Self {
        Self {
            number: count(row.number),
            started_at: moment(row.started_at),
            took: Duration::from_millis(u64::try_from(row.took_ms).unwrap_or_default()),
            status: row.status.and_then(|status| u16::try_from(status).ok()),
            code: row.code,
            summary: row.summary,
            advice: row.advice,
            excerpt: row.excerpt,
        }
    }
}

impl Ledger {
    /// A page of a workspace's deliveries, newest first. `None` if the cursor is not one.
    ///
    /// # Errors
    /// [`LedgerError`] if they cannot be read.
    pub async fn deliveries(
        &self,
        workspace: &str,
        filter: &DeliveryFilter,
        limit: usize,
    ) -> Result<Option<HistoryPage>, LedgerError> {
        let (before, before_id) = match &filter.cursor {
            None => (i64::MAX, ""),
            Some(cursor) => match cursor.split_once('.').map(|(at, id)| (at.parse::<i64>(), id)) {
                Some((Ok(at), id)) => (at, id),
                _ => return Ok(None),
            },
        };
        let statement = match filter {
            DeliveryFilter { call: Some(_), .. } => OF_CALL,
            // What failed or is under way is little beside what an endpoint was ever sent.
            DeliveryFilter { state: Some(DeliveryState::Failed), .. } => FAILED,
            DeliveryFilter {
                state: Some(DeliveryState::Waiting | DeliveryState::Queued | DeliveryState::Sending),
                ..
            } => UNDER_WAY,
            DeliveryFilter { endpoint: Some(_), .. } => OF_ENDPOINT,
            _ => ALL,
        };
        let values = values![
            workspace,
            filter.endpoint.clone(),
            filter.state.map(|state| state.name().to_owned()),
            filter.call.clone(),
            filter.from.map_or(0, stored),
            filter.to.map_or(i64::MAX, stored),
            before,
            before_id,
            i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1),
        ];
        let _permit = self.search_limiter.acquire(workspace).await;
        let rows = self.database.fetch::<DeliveryRow>(statement, values).await?;
        let mut deliveries: Vec<Delivery> = rows.into_iter().map(Delivery::from).collect();
        let more = deliveries.len() > limit;
        deliveries.truncate(limit);
        let last = deliveries.last().filter(|_| more);
        let next = last.map(|last| format!("{}.{}", stored(last.created_at), last.id));
        Ok(Some(HistoryPage { deliveries, next }))
    }

    /// One delivery with its attempts; `None` for an id of another workspace.
    ///
    /// # Errors
    /// [`LedgerError`] if it cannot be read.
    pub async fn delivery(
        &self,
        workspace: &str,
        id: &str,
    ) -> Result<Option<(Delivery, Vec<Attempt>)>, LedgerError> {
        const GET: Statement = Statement::same(select_deliveries!("d.id = $2"));
        const ATTEMPTS: Statement = Statement::same(
            "SELECT number, started_at, took_ms, status, code, summary, advice, excerpt FROM attempts \
             WHERE delivery_id = $1 ORDER BY number",
        );
        let mut rows = self.database.fetch::<DeliveryRow>(GET, values![workspace, id]).await?;
        let Some(row) = rows.pop() else { return Ok(None) };
        let attempts = self.database.fetch::<AttemptRow>(ATTEMPTS, values![id]).await?;
        Ok(Some((row.into(), attempts.into_iter().map(Attempt::from).collect())))
    }

    /// How much there is to do, over all workspaces.
    ///
    /// # Errors
    /// [`LedgerError`] if it cannot be read.
    pub async fn backlog(&self, now: UnixMillis) -> Result<Backlog, LedgerError> {
        const COUNT: Statement = Statement::same(
            "SELECT (SELECT count(*) FROM deliveries WHERE state = 'waiting'), \
             (SELECT count(*) FROM deliveries WHERE state = 'queued'), \
             (SELECT count(*) FROM deliveries WHERE state = 'sending'), \
             (SELECT count(*) FROM deliveries WHERE state = 'delivered' AND recording_fetched_at IS NULL \
              AND transcript_fetched_at IS NULL AND links_expire_at > $1)",
        );
        let seconds = i64::try_from(now.seconds().0).unwrap_or(i64::MAX);
        let rows = self.database.fetch::<(i64, i64, i64, i64)>(COUNT, values![seconds]).await?;
        let number = |stored: i64| u64::try_from(stored).unwrap_or_default();
        let oldest_due = self.oldest_overdue(now).await?;
        Ok(rows.first().map_or_else(Backlog::default, |(waiting, queued, sending, not_fetched)| Backlog {
            waiting: number(*waiting),
            queued: number(*queued),
            sending: number(*sending),
            not_fetched: number(*not_fetched),
            oldest_due,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pick_up_is_said_as_a_person_would() {
        let delivered = Delivery {
            id: "dlv_1".to_owned(),
            event: "msg_1".to_owned(),
            endpoint: "ep_1".to_owned(),
            call: None,
            test: false,
            state: DeliveryState::Delivered,
            attempts: 1,
            due_at: None,
            note: None,
            last_status: Some(200),
            last_summary: None,
            links_expire: Some(UnixSeconds(100_000)),
            recording: Some("r".to_owned()),
            transcript: Some("t".to_owned()),
            recording_fetched_at: None,
            transcript_fetched_at: None,
            created_at: UnixMillis(0),
            ended_at: Some(UnixMillis(0)),
        };
        let said = |delivery: &Delivery, now| delivery.pick_up(UnixSeconds(now)).unwrap_or_default();
        assert_eq!(said(&delivered, 100_000 - 7_230), "never fetched, expires in 2h");
        assert_eq!(said(&delivered, 99_999), "never fetched, expires in 1m");
        assert_eq!(said(&delivered, 100_000), "never fetched, expired");
        let one = Delivery { recording_fetched_at: Some(UnixMillis(1)), ..delivered.clone() };
        assert_eq!(said(&one, 0), "recording fetched, transcript not");
        assert_eq!(said(&Delivery { transcript: None, ..one.clone() }, 0), "recording fetched");
        let both = Delivery { transcript_fetched_at: Some(UnixMillis(1)), ..one };
        assert_eq!(said(&both, 0), "recording and transcript fetched");
        assert_eq!(said(&Delivery { links_expire: None, ..delivered.clone() }, 0), "");
        assert_eq!(said(&Delivery { state: DeliveryState::Failed, ..delivered }, 0), "");
    }
}
