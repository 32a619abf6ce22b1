//! `POST /v1/find` and `GET` of a call: finds calls, and shows the life of one. What is looked for stands in the body: in a
//! query, a phone number would be in the logs of proxies.

use http::{Request, StatusCode};
use serde_json::{Value, json};

use super::api::{Api, NAME, read_json};
use super::fields::Fields;
use super::json::{call_life_to_json, found_call_to_json, link_to_json};
use crate::admin::access::require_all_workspaces;
use crate::admin::response::{Answer, json_answer, not_found};
use crate::admin::upload::Upload;
use crate::ledger::is_name;
use crate::problem::Problem;

/// The longest text to look for, in bytes.
const MAX_TEXT: usize = 4 * 1024;

impl Api<'_> {
    pub(super) async fn find(&self, request: Request<Upload>) -> Result<Answer, Problem> {
        let mut fields = Fields::of(read_json(request).await?, &["query", "workspace"])?;
        let query = fields.required("query", "a text of 1 to 4096 bytes", |value| {
            value.as_str().filter(|text| (1..=MAX_TEXT).contains(&text.len())).map(str::to_owned)
        })?;
        let workspace = fields.optional("workspace", NAME, |value| {
            value.as_str().filter(|name| is_name(name)).map(str::to_owned)
        })?;
        match &workspace {
            Some(workspace) => self.require_workspace(workspace)?,
            None => require_all_workspaces(self.principal)?,
        }
        let question = self.sender.read_question(&query);
        let found = self.call(self.sender.ledger().find(&question.terms, workspace.as_deref())).await?;
        let calls: Vec<Value> = found.calls.iter().map(found_call_to_json).collect();
        Ok(json_answer(
            StatusCode::OK,
            &json!({"calls": calls, "more": found.more, "link": question.link.as_ref().map(link_to_json)}),
        ))
    }

    pub(super) async fn show_call(&self, workspace: &str, id: &str) -> Result<Answer, Problem> {
        let life = self.call(self.sender.ledger().call_life(workspace, id)).await?;
        let life = life.ok_or_else(|| {
            not_found("This workspace has no call of this id; its history is kept for webhooks.retention.")
        })?;
        Ok(json_answer(StatusCode::OK, &call_life_to_json(&life, self.sender.now().seconds())))
    }
}
