//! An action of a command, for the audit trail.

use serde_json::Value;

/// What a command did outside the database. Its values hold no secret.
#[derive(Debug, Clone, Default)]
pub(super) struct CommandAction<'a> {
    /// What was done, as the API names it.
    pub(super) name: &'static str,
    /// Where; `None` for what belongs to no workspace.
    pub(super) workspace: Option<&'a str>,
    /// To which token, key, recording or folder.
    pub(super) subject: Option<&'a str>,
    /// What is there now.
    pub(super) after: Option<Value>,
}
