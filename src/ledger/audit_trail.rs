//! The audit trail: who did what to which thing and when, with what it was before and after. A ledger that
//! [acts](Ledger::acting_as) for somebody writes each entry in the transaction of the change itself.

use std::sync::Arc;

use super::audit_entry::{Acting, Action, Actor, AuditEntry, AuditSink};
use super::database::{Statement, Tx, int, values};
use super::error::Result;
use super::handle::Ledger;
use crate::clock::UnixMillis;

/// The entries to list.
#[derive(Debug, Clone, Default)]
pub struct AuditFilter {
    /// Of this workspace only.
    pub workspace: Option<String>,
    /// With this action only.
    pub action: Option<String>,
    /// About this thing only. Takes a workspace.
    pub subject: Option<String>,
    /// By the actor of this name only.
    pub actor: Option<String>,
    /// Recorded at this time or later.
    pub from: Option<UnixMillis>,
    /// Recorded before this time.
    pub to: Option<UnixMillis>,
    /// After this cursor, from the page before.
    pub cursor: Option<String>,
}

/// A page of the trail, newest first.
#[derive(Debug, Clone)]
pub struct AuditPage {
    /// Its entries.
    pub entries: Vec<AuditEntry>,
    /// The cursor of the next page, if there is one.
    pub next: Option<String>,
}

/// Sorts after every id.
const AFTER_ALL: &str = "b";

/// How many entries one transaction deletes.
const BATCH: i64 = 500;

macro_rules! list {
    ($which:literal) => {
        Statement::same(concat!(
            "SELECT id, at, workspace, actor, name, action, subject, before, after FROM audit_trail WHERE ",
            $which,
            " AND ($2 IS NULL OR action = $2) AND ($3 IS NULL OR name = $3) AND at >= $4 AND at < $5 AND id < $6 \
             ORDER BY id DESC LIMIT $7"
        ))
    };
}

impl Ledger {
    /// A handle that records what it changes as done by `actor`. Without an actor nothing is recorded.
    #[must_use]
    pub fn acting_as(&self, actor: Actor, at: UnixMillis) -> Self {
        Self { acting: Some(Arc::new(Acting::new(actor, at))), ..self.clone() }
    }

    /// A handle that gives a copy of each recorded entry to `sink`.
    #[must_use]
    pub fn with_audit_sink(self, sink: Option<AuditSink>) -> Self {
        Self { audit_sink: sink, ..self }
    }

    /// Records an action that changes nothing in the ledger.
    ///
    /// # Errors
    /// If it cannot be written.
    pub async fn record(&self, action: Action<'_>) -> Result<()> {
        if self.acting.is_none() {
            return Ok(());
        }
        let tx = self.database.begin().await?;
        self.commit_recorded(tx, action).await
    }

    /// Commits a change together with its entry.
    pub(super) async fn commit_recorded(&self, mut tx: Tx, action: Action<'_>) -> Result<()> {
        const INSERT: Statement = Statement::same(
            "INSERT INTO audit_trail (id, at, workspace, actor, name, action, subject, before, after) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        );
        let Some(acting) = &self.acting else { return tx.commit().await };
        let entry = acting.entry(action)?;
        let values = values![
            &entry.id,
            entry.at,
            &entry.workspace,
            &entry.actor,
            &entry.name,
            &entry.action,
            &entry.subject,
            &entry.before,
            &entry.after,
        ];
        tx.execute(INSERT, values).await?;
        tx.commit().await?;
        if let Some(sink) = &self.audit_sink {
            sink.write(&entry);
        }
        Ok(())
    }

    /// A page of the audit trail, newest first.
    ///
    /// # Errors
    /// If it cannot be read.
    pub async fn audit_trail(&self, filter: &AuditFilter, limit: usize) -> Result<AuditPage> {
        const ALL: Statement = list!("$1 IS NULL");
        const OF_WORKSPACE: Statement = list!("workspace = $1");
        const OF_SUBJECT: Statement = list!("workspace = $1 AND subject = $8");
        let mut values = values![
            &filter.workspace,
            &filter.action,
            &filter.actor,
            filter.from.unwrap_or_default(),
            filter.to.map_or(i64::MAX, |to| int(to.0)),
            filter.cursor.as_deref().unwrap_or(AFTER_ALL),
            limit.saturating_add(1),
        ];
        let statement = match (&filter.workspace, &filter.subject) {
            (Some(_), Some(subject)) => {
                values.extend(values![subject]);
                OF_SUBJECT
            }
            (Some(_), None) => OF_WORKSPACE,
            (None, _) => ALL,
        };
        let mut entries: Vec<AuditEntry> = self.database.fetch(statement, values).await?;
        let more = entries.len() > limit;
        entries.truncate(limit);
        let next = entries.last().filter(|_| more).map(|last| last.id.clone());
        Ok(AuditPage { entries, next })
    }

    /// Deletes entries from before `moment`. Returns their number.
    ///
    /// # Errors
    /// If the database fails.
    pub async fn purge_audit_trail(&self, moment: UnixMillis) -> Result<u64> {
        const PURGE: Statement = Statement::same(
            "DELETE FROM audit_trail WHERE id IN (SELECT id FROM audit_trail WHERE at < $1 ORDER BY at LIMIT $2)",
        );
        let mut purged = 0;
        loop {
            let batch = self.database.execute(PURGE, values![moment, BATCH]).await?;
            purged += batch;
            if batch == 0 {
                return Ok(purged);
            }
        }
    }
}

/// Erases names and values from the entries of a workspace: that something was done, and when, remains.
pub(super) async fn erase_names(tx: &mut Tx, workspace: &str) -> Result<()> {
    const ERASE: Statement = Statement::same(
        "UPDATE audit_trail SET name = NULL, subject = NULL, before = NULL, after = NULL WHERE workspace = $1",
    );
    tx.execute(ERASE, values![workspace]).await.map(|_| ())
}
