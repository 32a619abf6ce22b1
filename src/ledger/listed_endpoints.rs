//! Endpoints as lists show them: a workspace may have thousands, and a page that names or orders them reads little of each.

use super::database::{Statement, column, converted, from_row, values};
use super::endpoints::{Endpoint, EndpointState};
use super::error::Result;
use super::handle::Ledger;
use crate::clock::UnixMillis;

/// An endpoint in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedEndpoint {
    /// `ep_…`
    pub id: String,
    /// The URL that events are sent to.
    pub url: String,
    /// The owner's description.
    pub description: String,
    /// Whether events are sent to it.
    pub state: EndpointState,
    /// When the first of the attempts failed that have failed since the last success.
    pub failing_since: Option<UnixMillis>,
    /// Since when it is held.
    pub held_since: Option<UnixMillis>,
}

from_row!(row => ListedEndpoint {
    id: column(row, "id")?,
    url: column(row, "url")?,
    description: column(row, "description")?,
    state: converted::<String, _, _>(row, "state")?,
    failing_since: column(row, "failing_since")?,
    held_since: column(row, "held_since")?,
});

impl Endpoint {
    /// What a list shows of it.
    #[must_use]
    pub fn listed(&self) -> ListedEndpoint {
        ListedEndpoint {
            id: self.id.clone(),
            url: self.url.clone(),
            description: self.description.clone(),
            state: self.state,
            failing_since: self.health.failing_since,
            held_since: self.health.held_since,
        }
    }
}

impl Ledger {
    /// The endpoints of a workspace as lists show them, oldest first.
    ///
    /// # Errors
    /// If they cannot be read.
    pub async fn listed_endpoints(&self, workspace: &str) -> Result<Vec<ListedEndpoint>> {
        const LIST: Statement = Statement::same(
            "SELECT id, url, description, state, failing_since, held_since FROM endpoints \
             WHERE workspace = $1 AND removed_at IS NULL ORDER BY created_at, id",
        );
        self.database.fetch(LIST, values![workspace]).await
    }
}
