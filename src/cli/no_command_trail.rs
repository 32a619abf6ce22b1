//! Replaces the audit trail in a build without the sender, which has no database.

use super::command_action::CommandAction;
use crate::config::Sources;

/// Nothing is recorded.
pub(super) struct CommandTrail;

#[expect(clippy::unused_async, reason = "as the sender's")]
impl CommandTrail {
    pub(super) async fn open(_sources: &Sources) -> Self {
        Self
    }

    pub(super) async fn record(&self, action: CommandAction<'_>) {
        log(action);
    }

    pub(super) async fn close(self) {}
}

pub(super) fn record_command(_sources: &Sources, action: CommandAction<'_>) {
    log(action);
}

fn log(action: CommandAction<'_>) {
    let CommandAction { name, workspace, subject, after } = action;
    tracing::debug!(name, workspace, subject, ?after, "done; a build without the sender has no audit trail");
}
