//! Finds calls by what people know of them. Each search reads a bounded part of one index.

use super::database::{Statement, column, from_row, values};
use super::error::Result;
use super::find_index::reversed;
use super::find_term::FindTerm;
use super::handle::Ledger;
use crate::clock::UnixMillis;

/// The most calls that a search returns.
pub const MAX_FOUND: usize = 25;

/// The most phone numbers with the same last digits that a search looks at.
const MAX_NUMBERS: i64 = 5;

/// The most endpoints of a host whose calls a search looks at.
const MAX_ENDPOINTS: usize = 10;

/// A call that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundCall {
    /// `msg_…`
    pub event: String,
    /// Its workspace.
    pub workspace: String,
    /// The caller's id of the call; `None` for test events.
    pub call: Option<String>,
    /// The recording's id, if the call has one.
    pub recording: Option<String>,
    /// The transcript's id, if the call has one.
    pub transcript: Option<String>,
    /// When it was accepted.
    pub accepted_at: UnixMillis,
}

from_row!(row => FoundCall {
    event: column(row, "id")?,
    workspace: column(row, "workspace")?,
    call: column(row, "call_id")?,
    recording: column(row, "recording")?,
    transcript: column(row, "transcript")?,
    accepted_at: column(row, "accepted_at")?,
});

/// The calls that a search found, newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FoundCalls {
    /// The calls, at most [`MAX_FOUND`].
    pub calls: Vec<FoundCall>,
    /// Whether there are more.
    pub more: bool,
}

/// Selects calls of a workspace, or of all if it is null, from the first 1,000 entries of an index: in a workspace's
/// search the calls of others are skipped, and a short part of an id fits many.
macro_rules! select_calls {
    ($from:expr, $condition:expr, $order:literal) => {
        concat!(
            "SELECT id, workspace, call_id, recording, transcript, accepted_at FROM (\
             SELECT v.id, v.workspace, v.call_id, v.recording, v.transcript, v.accepted_at FROM ",
            $from,
            " WHERE ",
            $condition,
            " ORDER BY ",
            $order,
            " LIMIT 1000) AS found WHERE ($2 IS NULL OR workspace = $2) LIMIT 26"
        )
    };
}
pub(super) use select_calls;

macro_rules! newest_with {
    ($column:literal) => {
        Statement::same(select_calls!("events v", concat!("v.", $column, " = $1"), "v.accepted_at DESC"))
    };
}

// Both find what begins with `$1`; `$3` is the first text behind all that do.
const CALL_ID: Statement = Statement {
    sqlite: select_calls!(
        "events v INDEXED BY events_by_call_id",
        "v.call_id >= $1 AND v.call_id < $3",
        "v.call_id"
    ),
    postgres: select_calls!(
        "events v",
        "v.call_id COLLATE \"C\" >= $1 AND v.call_id COLLATE \"C\" < $3",
        "v.call_id COLLATE \"C\""
    ),
};
const CALL_ID_END: Statement = Statement {
    sqlite: select_calls!(
        "events v INDEXED BY events_by_call_id_reversed",
        "v.call_id_reversed >= $1 AND v.call_id_reversed < $3",
        "v.call_id_reversed"
    ),
    postgres: select_calls!(
        "events v",
        "v.call_id_reversed >= $1 AND v.call_id_reversed < $3",
        "v.call_id_reversed"
    ),
};
const EVENT: Statement = newest_with!("id");
const RECORDING: Statement = newest_with!("recording");
const TRANSCRIPT: Statement = newest_with!("transcript");
const FROM_NUMBER: Statement = newest_with!("from_number_reversed");
const TO_NUMBER: Statement = newest_with!("to_number_reversed");
const USER_EMAIL: Statement = newest_with!("user_email");
const PROSPECT_EMAIL: Statement = newest_with!("prospect_email");
const DELIVERY: Statement = Statement::same(select_calls!(
    "events v",
    "v.id = (SELECT event_id FROM deliveries WHERE id = $1)",
    "v.accepted_at DESC"
));
// CROSS JOIN keeps SQLite from reading the events first.
const ENDPOINT: Statement = Statement::same(select_calls!(
    "deliveries d CROSS JOIN events v",
    "d.endpoint_id = $1 AND v.id = d.event_id",
    "d.created_at DESC, d.id DESC"
));

/// The different numbers that end with some digits, each by one step in the index: a number may have a million calls.
macro_rules! numbers_like {
    ($column:literal) => {
        Statement::same(concat!(
            "WITH RECURSIVE numbers(number, place) AS (\
             SELECT (SELECT min(",
            $column,
            ") FROM events WHERE ",
            $column,
            " >= $1 AND ",
            $column,
            " < $2), CAST(1 AS BIGINT) UNION ALL SELECT (SELECT min(",
            $column,
            ") FROM events WHERE ",
            $column,
            " > number AND ",
            $column,
            " < $2), place + 1 FROM numbers WHERE number IS NOT NULL AND place < CAST($3 AS BIGINT)) \
             SELECT number FROM numbers WHERE number IS NOT NULL"
        ))
    };
}

impl Ledger {
    /// Finds the calls that any of the terms means, in a workspace or in all. If a call has exactly the id that is looked
    /// for, calls that only contain it are left out.
    ///
    /// # Errors
    /// If they cannot be read.
    pub async fn find(&self, terms: &[FindTerm], workspace: Option<&str>) -> Result<FoundCalls> {
        let _permit = self.search_limiter.acquire(workspace.unwrap_or_default()).await;
        let mut calls: Vec<FoundCall> = Vec::new();
        for term in terms {
            let found = self.find_term(term, workspace).await?;
            let is_whole =
                |call: &FoundCall| matches!(term, FindTerm::Call(id) if call.call.as_ref() == Some(id));
            match found.iter().any(is_whole) {
                true => calls.extend(found.into_iter().filter(is_whole)),
                false => calls.extend(found),
            }
        }
        calls.sort_by(|a, b| (b.accepted_at, &b.event).cmp(&(a.accepted_at, &a.event)));
        calls.dedup_by(|a, b| a.event == b.event);
        let more = calls.len() > MAX_FOUND;
        calls.truncate(MAX_FOUND);
        Ok(FoundCalls { calls, more })
    }

    async fn find_term(&self, term: &FindTerm, workspace: Option<&str>) -> Result<Vec<FoundCall>> {
        let (statements, texts): (&[Statement], Vec<String>) = match term {
            FindTerm::Call(id) => return self.find_part(id, workspace).await,
            FindTerm::Event(id) => (&[EVENT], vec![id.clone()]),
            FindTerm::Delivery(id) => (&[DELIVERY], vec![id.clone()]),
            FindTerm::Endpoint(id) => (&[ENDPOINT], vec![id.clone()]),
            FindTerm::Asset(id) => (&[RECORDING, TRANSCRIPT], vec![id.to_string()]),
            FindTerm::Email(email) => (&[USER_EMAIL, PROSPECT_EMAIL], vec![email.clone()]),
            FindTerm::Number(digits) => (&[FROM_NUMBER, TO_NUMBER], self.numbers_like(digits).await?),
            FindTerm::Host(host) => (&[ENDPOINT], self.endpoints_at(host, workspace).await?),
        };
        let mut found = Vec::new();
        for statement in statements {
            for text in &texts {
                found.extend(self.database.fetch(*statement, values![text, workspace_of(workspace)]).await?);
            }
        }
        Ok(found)
    }

    /// Finds calls by the beginning or the end of their id.
    async fn find_part(&self, part: &str, workspace: Option<&str>) -> Result<Vec<FoundCall>> {
        let workspace = || workspace_of(workspace);
        let begin = values![part, workspace(), after_all_with(part)];
        let mut found: Vec<FoundCall> = self.database.fetch(CALL_ID, begin).await?;
        let part = reversed(part);
        let end = values![&part, workspace(), after_all_with(&part)];
        found.extend(self.database.fetch::<FoundCall>(CALL_ID_END, end).await?);
        Ok(found)
    }

    async fn numbers_like(&self, digits: &str) -> Result<Vec<String>> {
        const FROM: Statement = numbers_like!("from_number_reversed");
        const TO: Statement = numbers_like!("to_number_reversed");
        let mut numbers = Vec::new();
        for statement in [FROM, TO] {
            let values = values![digits, after_all_with(digits), MAX_NUMBERS];
            numbers.extend(self.database.fetch::<(String,)>(statement, values).await?);
        }
        let mut numbers: Vec<_> = numbers.into_iter().map(|(number,)| number).collect();
        numbers.sort_unstable();
        numbers.dedup();
        Ok(numbers)
    }

    /// The endpoints, also removed ones, whose host begins with a text or is in a domain that does. It reads all
    /// endpoints: people add them, so there are few.
    async fn endpoints_at(&self, host: &str, workspace: Option<&str>) -> Result<Vec<String>> {
        macro_rules! at_host {
            ($position_in:literal) => {
                concat!(
                    "SELECT id, url FROM endpoints WHERE ",
                    $position_in,
                    "(url, $1) > 0 AND ($2 IS NULL OR workspace = $2) ORDER BY created_at DESC LIMIT 1000"
                )
            };
        }
        const AT_HOST: Statement = Statement { sqlite: at_host!("instr"), postgres: at_host!("strpos") };
        let values = values![host, workspace_of(workspace)];
        let found: Vec<(String, String)> = self.database.fetch(AT_HOST, values).await?;
        let at_host = found.into_iter().filter(|(_, url)| is_at(url, host));
        Ok(at_host.map(|(id, _)| id).take(MAX_ENDPOINTS).collect())
    }
}

fn workspace_of(workspace: Option<&str>) -> Option<String> {
    workspace.map(str::to_owned)
}

/// The first text after all that begin with a part: no character sorts behind this one.
fn after_all_with(part: &str) -> String {
    format!("{part}\u{10ffff}")
}

/// Whether the host of a URL begins with a text, or a domain that it is in.
fn is_at(url: &str, host: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let own = rest.split(['/', '?']).next().unwrap_or_default();
    own.starts_with(host) || own.contains(&format!(".{host}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_found_by_its_beginning_and_by_its_domain() {
        let url = "https://hooks.zapier.com/hooks/catch/example.com/";
        assert!(is_at(url, "hooks.zap") && is_at(url, "zapier.com"));
        assert!(
            !is_at(url, "apier.com") && !is_at(url, "example.com") && !is_at(url, "hooks.zapier.com.evil")
        );
    }
}
