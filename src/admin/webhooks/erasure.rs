//! Erases personal data on request: a call, or a whole workspace.

use http::StatusCode;
use serde_json::json;

use super::api::Api;
use crate::admin::response::{Answer, json_answer, no_content, not_found};
use crate::problem::Problem;

impl Api<'_> {
    pub(super) async fn erase_call(&self, workspace: &str, call: &str) -> Result<Answer, Problem> {
        if !self.call(self.sender.ledger().erase_call(workspace, call)).await? {
            return Err(not_found("No event of this call is kept. (Its recording is erased at /v1/assets.)"));
        }
        tracing::info!(target: "webhook_assets::audit", workspace, call, "forgot a call's event and its history");
        Ok(no_content())
    }

    pub(super) async fn erase_workspace(&self, workspace: &str) -> Result<Answer, Problem> {
        let events = self.call(self.sender.ledger().erase_workspace(workspace)).await?;
        tracing::info!(target: "webhook_assets::audit", workspace, events, "forgot a workspace");
        Ok(json_answer(StatusCode::OK, &json!({"events": events})))
    }
}
