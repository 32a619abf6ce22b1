//! Searches the delivery history page by page.

use super::database::{Database, Statement, int, values};
use super::delivery::{Attempt, Delivery};
use super::error::Result;
use super::handle::Ledger;
use super::history_filter::DeliveryFilter;
use super::history_statements::{select_deliveries, statement_of};

/// A page of the history, newest first.
#[derive(Debug, Clone)]
pub struct HistoryPage {
    /// Its deliveries.
    pub deliveries: Vec<Delivery>,
    /// The cursor of the next page, if there is one.
    pub next: Option<String>,
}

impl Ledger {
    /// A page of a workspace's deliveries, newest first. `None` if the cursor is invalid.
    ///
    /// # Errors
    /// If they cannot be read.
    pub async fn deliveries(
        &self,
        workspace: &str,
        filter: &DeliveryFilter,
        limit: usize,
    ) -> Result<Option<HistoryPage>> {
        let (before, before_id) = match &filter.cursor {
            None => (i64::MAX, ""),
            Some(cursor) => match cursor.split_once('.').map(|(at, id)| (at.parse::<i64>(), id)) {
                Some((Ok(at), id)) => (at, id),
                _ => return Ok(None),
            },
        };
        let values = values![
            workspace,
            &filter.endpoint,
            filter.state.map(|state| state.name().to_owned()),
            &filter.call,
            filter.from.unwrap_or_default(),
            filter.to.map_or(i64::MAX, |to| int(to.0)),
            before,
            before_id,
            limit.saturating_add(1),
        ];
        let _permit = self.search_limiter.acquire(workspace).await;
        let mut deliveries: Vec<Delivery> = self.database.fetch(statement_of(filter), values).await?;
        let more = deliveries.len() > limit;
        deliveries.truncate(limit);
        let last = deliveries.last().filter(|_| more);
        let next = last.map(|last| format!("{}.{}", int(filter.order.time_of(last).0), last.id));
        Ok(Some(HistoryPage { deliveries, next }))
    }

    /// One delivery with its attempts; `None` for an id of another workspace.
    ///
    /// # Errors
    /// If it cannot be read.
    pub async fn delivery(&self, workspace: &str, id: &str) -> Result<Option<(Delivery, Vec<Attempt>)>> {
        const GET: Statement = Statement::same(select_deliveries!("d.id = $2"));
        let Some(delivery) = self.database.fetch(GET, values![workspace, id]).await?.pop() else {
            return Ok(None);
        };
        Ok(Some((delivery, read_attempts(&self.database, id).await?)))
    }
}

/// The attempts of a delivery, the first one first.
pub(super) async fn read_attempts(database: &Database, delivery: &str) -> Result<Vec<Attempt>> {
    const ATTEMPTS: Statement = Statement::same(
        "SELECT number, resend, started_at, took_ms, status, code, summary, advice, excerpt, links_expire_at, \
         request_fields, answer_fields, lookup_ms, connect_ms, tls_ms, first_byte_ms FROM attempts \
         WHERE delivery_id = $1 ORDER BY number",
    );
    database.fetch(ATTEMPTS, values![delivery]).await
}
