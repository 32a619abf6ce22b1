//! `POST /v1/calls`: accepts a completed call from the product.

use http::{Request, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use super::api::{Api, read_json};
use super::fields::Fields;
use crate::admin::response::{Answer, invalid, json_answer};
use crate::admin::upload::Upload;
use crate::ledger::{Accepted, NewEvent};
use crate::problem::Problem;
use crate::webhook::CompletedCall;

const KNOWN: [&str; 8] =
    ["workspace", "call_id", "recording", "transcript", "call", "prospect", "user", "list"];

/// Valid assets, as the end of the sentence "… takes …".
pub(super) const ASSET: &str =
    "a UUID such as 550e8400-e29b-41d4-a716-446655440000, or null if there is none";

impl Api<'_> {
    /// Answers 202 for a new call, 200 for a call that was accepted earlier. In both cases, the call is on disk.
    pub(super) async fn accept_call(&self, request: Request<Upload>) -> Result<Answer, Problem> {
        let mut fields = Fields::of(read_json(request).await?, &KNOWN)?;
        let workspace = fields.name("workspace")?;
        self.require_workspace(&workspace)?;
        let call_id = fields.name("call_id")?;
        let recording = fields.required("recording", ASSET, asset)?;
        let transcript = fields.required("transcript", ASSET, asset)?;
        let call = CompletedCall::from_value(fields.rest())
            .map_err(|error| invalid(error.pointer(), &error.to_string()))?;
        let now = self.sender.now();
        let event = NewEvent::call(&workspace, &call_id, &call, recording, transcript, now)
            .map_err(|error| self.failed(&error))?;
        match self.call(self.sender.accept(event)).await? {
            Some(accepted) => {
                let status = if accepted.is_new { StatusCode::ACCEPTED } else { StatusCode::OK };
                Ok(json_answer(status, &accepted_to_json(&accepted)))
            }
            None => Err(Problem::new(
                StatusCode::CONFLICT,
                "call_id_taken",
                "Call id taken",
                "Another call was accepted under this call_id before. Give each call an id of its own; one that was \
                 accepted cannot be changed.",
            )),
        }
    }
}

pub(super) fn accepted_to_json(accepted: &Accepted) -> Value {
    json!({"event": accepted.event, "deliveries": accepted.deliveries})
}

/// Parses an asset or null. The outer `None` means an invalid value.
pub(super) fn asset(value: &Value) -> Option<Option<Uuid>> {
    match value {
        Value::Null => Some(None),
        Value::String(id) if id.len() == 36 => Uuid::try_parse(id).ok().map(Some),
        _ => None,
    }
}
