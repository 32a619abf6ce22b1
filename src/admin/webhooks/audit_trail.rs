//! Shows the audit trail, and records what does not go through the ledger.

use http::StatusCode;
use serde_json::{Value, json};

use super::api::{Api, NAME};
use super::deliveries::{DEFAULT_LIMIT, count, invalid_parameter, named, problem_of_query, take_once, time};
use crate::admin::listener::Admin;
use crate::admin::response::{Answer, json_answer};
use crate::ledger::{Action, Actor, AuditEntry, AuditFilter};
use crate::problem::Problem;
use crate::tokens::{Caller, Principal};
use crate::webhook::TIME_TAKES;

impl Api<'_> {
    pub(super) async fn list_audit_trail(
        &self,
        workspace: Option<&str>,
        query: &str,
    ) -> Result<Answer, Problem> {
        let (filter, limit) = read_query(query)?;
        let filter = AuditFilter { workspace: workspace.map(str::to_owned), ..filter };
        let page = self.call(self.sender.ledger().audit_trail(&filter, limit)).await?;
        let entries: Vec<Value> = page.entries.iter().map(AuditEntry::to_json).collect();
        Ok(json_answer(StatusCode::OK, &json!({"entries": entries, "next": page.next})))
    }
}

/// Parses the filter and the page size of a query.
fn read_query(query: &str) -> Result<(AuditFilter, usize), Problem> {
    let (mut filter, mut limit) = (AuditFilter::default(), None);
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        let value = value.as_ref();
        match name.as_ref() {
            "action" => {
                take_once(&mut filter.action, "action", "an action such as secret.shown", named(value))?;
            }
            "actor" => take_once(&mut filter.actor, "actor", NAME, Some(value.to_owned()))?,
            "from" => take_once(&mut filter.from, "from", TIME_TAKES, time(value))?,
            "to" => take_once(&mut filter.to, "to", TIME_TAKES, time(value))?,
            "cursor" => take_once(&mut filter.cursor, "cursor", CURSOR, cursor(value))?,
            "limit" => take_once(&mut limit, "limit", "a whole number from 1 to 200", count(value))?,
            _ => {
                let detail = "a parameter is not known; there are action, actor, from, to, cursor and limit";
                return Err(problem_of_query(name.as_ref(), detail));
            }
        }
    }
    if filter.from.zip(filter.to).is_some_and(|(from, to)| from >= to) {
        return Err(invalid_parameter("to", "a time after from"));
    }
    Ok((filter, limit.unwrap_or(DEFAULT_LIMIT)))
}

const CURSOR: &str = "what `next` of the page before says";

fn cursor(value: &str) -> Option<String> {
    named(value).filter(|cursor| cursor.starts_with("aud_"))
}

/// The actor of the audit trail that a principal is.
pub(super) fn actor_of(principal: &Principal) -> Actor {
    match principal.caller() {
        Caller::Operator => Actor::operator(),
        Caller::Token(name) => Actor::token(name),
    }
}

/// Records an action that was done outside the ledger. The log has it too, so a failure is only logged.
pub(crate) async fn record(admin: &Admin, principal: &Principal, action: Action<'_>) {
    let Some(sender) = &admin.0.services.sender else { return };
    let name = action.name;
    if let Err(error) = sender.acting_as(actor_of(principal)).ledger().record(action).await {
        sender.metrics().action_missed();
        tracing::error!(target: "webhook_assets::audit", %error, action = name, "an action is missing in the audit trail");
    }
}
