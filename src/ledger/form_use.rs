//! Stores which forms of the settings page were sent, so that the same form, sent again to any replica, does nothing twice.

use super::database::{Statement, values};
use super::error::Result;
use super::handle::Ledger;
use crate::clock::UnixSeconds;

/// What is known of a form that is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FormUse {
    /// It was not sent before. Its request does what it asks for, and then stores the answer or releases the form.
    First,
    /// Another request is at work on it.
    InProgress,
    /// It was sent before, and answered with this.
    Answered(String),
}

impl Ledger {
    /// Uses a form, unless it is used already.
    ///
    /// # Errors
    /// If it cannot be written. Then the form is not used.
    pub async fn use_form(&self, id: &str, expires: UnixSeconds, now: UnixSeconds) -> Result<FormUse> {
        const ANSWER: Statement = Statement::same("SELECT answer FROM used_portal_links WHERE id = $1");
        if self.use_once(id, expires, now).await? {
            return Ok(FormUse::First);
        }
        let found = self.database.fetch::<(Option<String>,)>(ANSWER, values![id]).await?;
        // Without a row, the other request has just released the form.
        let answer = found.into_iter().next().and_then(|(answer,)| answer);
        Ok(answer.map_or(FormUse::InProgress, FormUse::Answered))
    }

    /// Stores the answer to a form that this process has used.
    ///
    /// # Errors
    /// If it cannot be written.
    pub async fn answer_form(&self, id: &str, answer: &str) -> Result<()> {
        const STORE: Statement = Statement::same("UPDATE used_portal_links SET answer = $2 WHERE id = $1");
        self.database.execute(STORE, values![id, answer]).await.map(drop)
    }

    /// Lets a form be sent again that has done nothing.
    ///
    /// # Errors
    /// If it cannot be written.
    pub async fn release_form(&self, id: &str) -> Result<()> {
        const RELEASE: Statement = Statement::same("DELETE FROM used_portal_links WHERE id = $1");
        self.database.execute(RELEASE, values![id]).await.map(drop)
    }
}
