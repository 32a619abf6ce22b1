//! Indexes calls that an earlier version accepted.

use super::database::{Statement, Value, rows, values};
use super::error::Result;
use super::find_index::SearchValues;
use super::handle::Ledger;
use crate::webhook::CompletedCall;

/// How many calls one transaction indexes.
const BATCH: i64 = 500;

macro_rules! updates {
    ($engine:ident) => {
        rows!($engine: [
            1 id text, 2 call_id_reversed text, 3 from_number text, 4 to_number text, 5 user_email text,
            6 prospect_email text
        ])
    };
}

macro_rules! index {
    ($rows:expr) => {
        concat!(
            "UPDATE events SET call_id_reversed = r.call_id_reversed, from_number_reversed = r.from_number, \
             to_number_reversed = r.to_number, user_email = r.user_email, prospect_email = r.prospect_email FROM ",
            $rows,
            " WHERE events.id = r.id"
        )
    };
}

impl Ledger {
    /// Indexes a batch of calls that an earlier version accepted, the newest first. Returns how many there were.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn index_earlier_calls(&self) -> Result<usize> {
        macro_rules! find {
            ($hint:literal) => {
                concat!(
                    "SELECT id, call_id, content FROM events ",
                    $hint,
                    " WHERE from_number_reversed IS NULL ORDER BY accepted_at DESC LIMIT $1"
                )
            };
        }
        const FIND: Statement =
            Statement { sqlite: find!("INDEXED BY events_not_indexed"), postgres: find!("") };
        const INDEX: Statement =
            Statement { sqlite: index!(updates!(sqlite)), postgres: index!(updates!(postgres)) };
        let found: Vec<(String, Option<String>, String)> = self.database.fetch(FIND, values![BATCH]).await?;
        let rows: Vec<Vec<Value>> = found.into_iter().map(row).collect();
        let count = rows.len();
        if count > 0 {
            self.database.execute(INDEX, values![rows]).await?;
        }
        Ok(count)
    }
}

/// A call that cannot be read has no values, so that it is not read again.
fn row((id, call_id, content): (String, Option<String>, String)) -> Vec<Value> {
    let call = CompletedCall::parse(content.as_bytes()).ok();
    let found = call_id.zip(call).map(|(call_id, call)| SearchValues::of(&call_id, &call));
    let mut row = values![id];
    row.extend(found.unwrap_or_default().columns());
    row
}
