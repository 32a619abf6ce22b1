//! Reads what a list of deliveries shows beside them: the call, and the result of the last attempt.

use std::collections::HashMap;

use super::database::{Statement, column, from_row, over_ids, values};
use super::delivery::Delivery;
use super::error::Result;
use super::handle::Ledger;
use crate::webhook::CompletedCall;

/// What a delivery sends, and what came of its last attempt.
#[derive(Debug, Clone)]
pub struct DeliveryContent {
    /// The call; `None` if the stored text cannot be read.
    pub call: Option<CompletedCall>,
    /// The result of the last attempt, as a code.
    pub code: Option<String>,
    /// The first bytes of its response.
    pub excerpt: Option<String>,
}

struct ContentRow {
    id: String,
    content: String,
    code: Option<String>,
    excerpt: Option<String>,
}

from_row!(row => ContentRow {
    id: column(row, "id")?,
    content: column(row, "content")?,
    code: column(row, "code")?,
    excerpt: column(row, "excerpt")?,
});

impl Ledger {
    /// What deliveries of the history send, and what came of their last attempts, by their ids.
    ///
    /// # Errors
    /// If it cannot be read.
    pub async fn contents_of(&self, deliveries: &[Delivery]) -> Result<HashMap<String, DeliveryContent>> {
        const READ: Statement = over_ids!(
            "SELECT d.id, v.content, a.code, a.excerpt FROM deliveries d JOIN events v ON v.id = d.event_id \
             LEFT JOIN attempts a ON a.delivery_id = d.id AND a.number = d.attempts WHERE d.id",
            ""
        );
        let ids: Vec<String> = deliveries.iter().map(|delivery| delivery.id.clone()).collect();
        let rows: Vec<ContentRow> = self.database.fetch(READ, values![ids]).await?;
        Ok(rows.into_iter().map(content_of).collect())
    }
}

fn content_of(row: ContentRow) -> (String, DeliveryContent) {
    let call = CompletedCall::parse(row.content.as_bytes()).ok();
    (row.id, DeliveryContent { call, code: row.code, excerpt: row.excerpt })
}
