//! Reads the custom header fields of an endpoint in a request. Responses never show their values.

use serde_json::Value;

use super::api::header_refused;
use super::fields::Fields;
use crate::admin::response::invalid;
use crate::problem::Problem;
use crate::webhook::HeaderChanges;

/// Reads the changes to header fields: a text sets a value, `null` removes it, and `true`, as responses have it, keeps it.
pub(super) fn header_changes(fields: &mut Fields) -> Result<HeaderChanges, Problem> {
    let mut changes = HeaderChanges::default();
    let object = |value: &Value| value.as_object().cloned();
    let takes = "an object with a text for each header, null to remove it, or true to keep it";
    for (name, value) in fields.optional("headers", takes, object)?.unwrap_or_default() {
        let changed = match &value {
            Value::String(value) => changes.set(&name, value),
            Value::Null => changes.remove(&name),
            Value::Bool(true) => changes.keep(&name),
            _ => return Err(invalid("/headers", &format!("/headers takes {takes}"))),
        };
        changed.map_err(|error| header_refused(&error))?;
    }
    let text = |value: &Value| value.as_str().map(str::to_owned);
    if let Some(mut basic) = fields.object("basic_auth", &["username", "password"])? {
        let username = basic.required("username", "a text", text)?;
        let password = basic.required("password", "a text", text)?;
        changes.set_basic(&username, &password).map_err(|error| header_refused(&error))?;
    }
    Ok(changes)
}
