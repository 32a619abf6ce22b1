//! Tries a failing endpoint at once, as a person asks.

use super::audit_entry::Action;
use super::database::{Statement, values};
use super::error::Result;
use super::handle::Ledger;
use crate::clock::UnixMillis;

/// The result of asking for an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TryOutcome {
    /// A delivery is attempted at once, or was being attempted.
    Tried,
    /// No delivery is pending that could be attempted.
    NothingPending,
    /// The endpoint's health was reset since the person saw it, by another click for example; or it does not fail.
    Unchanged,
}

/// Finds a delivery of the endpoint that is in flight, or that a sender takes when there is no hold.
macro_rules! find_started {
    ($in_flight:literal) => {
        concat!(
            "SELECT id FROM deliveries WHERE endpoint_id = $1 AND state = 'queued' UNION ALL SELECT id FROM ",
            $in_flight,
            " WHERE endpoint_id = $1 AND state = 'sending' LIMIT 1"
        )
    };
}

/// Without a hint, SQLite could read all deliveries of the endpoint.
const FIND_STARTED: Statement = Statement {
    sqlite: find_started!("deliveries INDEXED BY deliveries_leased"),
    postgres: find_started!("deliveries"),
};

/// Makes the endpoint's next retry due. (A first attempt may wait for its assets.)
macro_rules! hasten {
    ($deliveries:literal) => {
        concat!(
            "UPDATE deliveries SET due_at = $2, scheduled_at = NULL WHERE id = (SELECT id FROM ",
            $deliveries,
            " WHERE endpoint_id = $1 AND state = 'waiting' AND tries > 0 ORDER BY due_at LIMIT 1)"
        )
    };
}

/// With a hint for the same reason.
const HASTEN: Statement = Statement {
    sqlite: hasten!("deliveries INDEXED BY deliveries_waiting"),
    postgres: hasten!("deliveries"),
};

impl Ledger {
    /// Lifts the hold of a failing endpoint, and makes one delivery due now if none is queued or in flight. Each `epoch` of its
    /// health does so once: a second click changes nothing.
    ///
    /// # Errors
    /// If it cannot be written.
    pub async fn try_now(
        &self,
        workspace: &str,
        id: &str,
        epoch: u64,
        now: UnixMillis,
    ) -> Result<TryOutcome> {
        const RELEASE: Statement = Statement::same(
            "UPDATE endpoints SET held_since = NULL, held_until = NULL, health_epoch = health_epoch + 1 \
             WHERE workspace = $1 AND id = $2 AND health_epoch = $3 AND failing_since IS NOT NULL AND state = 'active' \
             AND removed_at IS NULL",
        );
        let mut tx = self.database.begin().await?;
        if tx.execute(RELEASE, values![workspace, id, epoch]).await? == 0 {
            return Ok(TryOutcome::Unchanged);
        }
        let is_started = !tx.fetch::<(String,)>(FIND_STARTED, values![id]).await?.is_empty();
        let is_tried = is_started || tx.execute(HASTEN, values![id, now]).await? == 1;
        self.commit_recorded(tx, Action::of("endpoint.tried", workspace, id)).await?;
        Ok(if is_tried { TryOutcome::Tried } else { TryOutcome::NothingPending })
    }
}
