//! Reads the whole life of a call: its deliveries to each endpoint, with their attempts.

use std::collections::HashMap;

use super::database::{Statement, values};
use super::delivery::{Attempt, Delivery};
use super::error::Result;
use super::find::{FoundCall, select_calls};
use super::handle::Ledger;
use super::history::read_attempts;
use super::history_statements::select_deliveries;

/// The most deliveries that are read.
const MAX_DELIVERIES: i64 = 100;

/// A call, and what became of it.
#[derive(Debug, Clone)]
pub struct CallLife {
    /// The call.
    pub call: FoundCall,
    /// Its deliveries, in the order of its endpoints.
    pub deliveries: Vec<DeliveryLife>,
}

/// A delivery of a call.
#[derive(Debug, Clone)]
pub struct DeliveryLife {
    /// The delivery.
    pub delivery: Delivery,
    /// The URL of its endpoint, as it is now; `None` if the endpoint is no longer known.
    pub url: Option<String>,
    /// Its attempts, the first one first.
    pub attempts: Vec<Attempt>,
}

macro_rules! deliveries_of {
    ($deliveries:literal) => {
        select_deliveries!($deliveries, "v.id = $2 AND d.event_id = v.id ORDER BY d.position LIMIT $3")
    };
}

impl Ledger {
    /// The life of a call, by its own id or by the id of its event; `None` if the workspace has none with that id.
    ///
    /// # Errors
    /// If it cannot be read.
    pub async fn call_life(&self, workspace: &str, id: &str) -> Result<Option<CallLife>> {
        const BY_CALL_ID: Statement = Statement::same(select_calls!(
            "events v",
            "v.workspace = $2 AND v.call_id = $1",
            "v.accepted_at"
        ));
        const BY_EVENT: Statement = Statement::same(select_calls!("events v", "v.id = $1", "v.accepted_at"));
        let mut found: Vec<FoundCall> = self.database.fetch(BY_CALL_ID, values![id, workspace]).await?;
        if found.is_empty() {
            found = self.database.fetch(BY_EVENT, values![id, workspace]).await?;
        }
        let Some(call) = found.pop() else { return Ok(None) };
        let deliveries = self.deliveries_of(&call).await?;
        Ok(Some(CallLife { call, deliveries }))
    }

    async fn deliveries_of(&self, call: &FoundCall) -> Result<Vec<DeliveryLife>> {
        // Without a hint, SQLite would read all deliveries of the workspace.
        const DELIVERIES: Statement = Statement {
            sqlite: deliveries_of!("events v CROSS JOIN deliveries d INDEXED BY deliveries_of_event"),
            postgres: deliveries_of!("events v CROSS JOIN deliveries d"),
        };
        const URLS: Statement = Statement::same(
            "SELECT DISTINCT e.id, e.url FROM deliveries d JOIN endpoints e ON e.id = d.endpoint_id WHERE d.event_id = $1",
        );
        let values = values![&call.workspace, &call.event, MAX_DELIVERIES];
        let deliveries: Vec<Delivery> = self.database.fetch(DELIVERIES, values).await?;
        let urls: Vec<(String, String)> = self.database.fetch(URLS, values![&call.event]).await?;
        let urls: HashMap<_, _> = urls.into_iter().collect();
        let mut lives = Vec::with_capacity(deliveries.len());
        for delivery in deliveries {
            let attempts = read_attempts(&self.database, &delivery.id).await?;
            lives.push(DeliveryLife { url: urls.get(&delivery.endpoint).cloned(), delivery, attempts });
        }
        Ok(lives)
    }
}
