//! The entries of the audit trail: who acts, what is recorded of an action, and where a copy goes.

use std::fmt;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::database::{column, from_row};
use super::error::Result;
use super::id::new_id;
use crate::clock::UnixMillis;

/// Who acts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// The kind: `operator`, `token`, `portal` or `cli`.
    pub kind: &'static str,
    /// The name of the token, of the portal link's person, or of the user of the command line.
    pub name: Option<String>,
}

impl Actor {
    /// The operator, without a name.
    #[must_use]
    pub fn operator() -> Self {
        Self { kind: "operator", name: None }
    }

    /// The bearer of a named token.
    #[must_use]
    pub fn token(name: &str) -> Self {
        Self { kind: "token", name: Some(name.to_owned()) }
    }

    /// A person who came by a portal link, with the name that the link carries.
    #[must_use]
    pub fn portal(name: Option<String>) -> Self {
        Self { kind: "portal", name }
    }

    /// A user of the command line.
    #[must_use]
    pub fn cli(user: Option<String>) -> Self {
        Self { kind: "cli", name: user }
    }
}

/// An action to record. Its values are for people of its workspace and hold no secret.
#[derive(Debug, Clone, Default)]
pub struct Action<'a> {
    /// What was done, such as `endpoint.changed`.
    pub name: &'static str,
    /// Where; `None` for what belongs to no workspace.
    pub workspace: Option<&'a str>,
    /// To which endpoint, delivery, call, recording or token.
    pub subject: Option<&'a str>,
    /// What was there before.
    pub before: Option<Value>,
    /// What is there now.
    pub after: Option<Value>,
}

impl<'a> Action<'a> {
    /// An action on a thing in a workspace.
    #[must_use]
    pub fn of(name: &'static str, workspace: &'a str, subject: &'a str) -> Self {
        Self { name, workspace: Some(workspace), subject: Some(subject), ..Self::default() }
    }
}

/// An entry of the trail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// `aud_…`, which sorts by time.
    pub id: String,
    /// When.
    pub at: UnixMillis,
    /// Where.
    pub workspace: Option<String>,
    /// The kind of the actor.
    pub actor: String,
    /// The actor's name.
    pub name: Option<String>,
    /// What.
    pub action: String,
    /// To which thing.
    pub subject: Option<String>,
    pub(super) before: Option<String>,
    pub(super) after: Option<String>,
}

from_row!(row => AuditEntry {
    id: column(row, "id")?,
    at: column(row, "at")?,
    workspace: column(row, "workspace")?,
    actor: column(row, "actor")?,
    name: column(row, "name")?,
    action: column(row, "action")?,
    subject: column(row, "subject")?,
    before: column(row, "before")?,
    after: column(row, "after")?,
});

impl AuditEntry {
    /// The entry as JSON.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({
            "id": self.id,
            "at": self.at.to_string(),
            "workspace": self.workspace,
            "actor": {"kind": self.actor, "name": self.name},
            "action": self.action,
            "subject": self.subject,
            "before": parsed(self.before.as_ref()),
            "after": parsed(self.after.as_ref()),
        })
    }

    /// What changed: each field with its value before and after, as text.
    #[must_use]
    pub fn changes(&self) -> Vec<(String, Option<String>, Option<String>)> {
        let (before, after) = (fields(self.before.as_ref()), fields(self.after.as_ref()));
        let mut names: Vec<&String> = before.keys().collect();
        names.extend(after.keys().filter(|name| !before.contains_key(*name)));
        let names = names.into_iter();
        names.map(|name| (name.clone(), before.get(name).map(shown), after.get(name).map(shown))).collect()
    }
}

fn parsed(text: Option<&String>) -> Option<Value> {
    serde_json::from_str(text?).ok()
}

fn fields(text: Option<&String>) -> Map<String, Value> {
    if let Some(Value::Object(fields)) = parsed(text) { fields } else { Map::new() }
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(shown).collect::<Vec<_>>().join(", "),
        // The conditions of a filter that are set.
        Value::Object(fields) => {
            let is_set = |value: &&Value| !value.is_null() && **value != json!([]);
            let set: Vec<String> = fields.values().filter(is_set).map(shown).collect();
            if set.is_empty() { Value::Null.to_string() } else { set.join(", ") }
        }
        value => value.to_string(),
    }
}

/// Gets a copy of each recorded entry, once it is on disk.
#[derive(Clone)]
pub struct AuditSink(Arc<dyn Fn(&AuditEntry) + Send + Sync>);

impl AuditSink {
    /// A sink that calls `write`, which must not block.
    pub fn new(write: impl Fn(&AuditEntry) + Send + Sync + 'static) -> Self {
        Self(Arc::new(write))
    }
}

impl AuditSink {
    pub(super) fn write(&self, entry: &AuditEntry) {
        (self.0)(entry);
    }
}

impl fmt::Debug for AuditSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuditSink")
    }
}

/// The actor of a ledger's handle, and when it acts.
#[derive(Debug)]
pub(super) struct Acting {
    actor: Actor,
    at: UnixMillis,
}

impl Acting {
    pub(super) fn new(actor: Actor, at: UnixMillis) -> Self {
        Self { actor, at }
    }

    pub(super) fn entry(&self, action: Action<'_>) -> Result<AuditEntry> {
        Ok(AuditEntry {
            id: new_id("aud", self.at)?,
            at: self.at,
            workspace: action.workspace.map(str::to_owned),
            actor: self.actor.kind.to_owned(),
            name: self.actor.name.clone(),
            action: action.name.to_owned(),
            subject: action.subject.map(str::to_owned),
            before: action.before.map(|value| value.to_string()),
            after: action.after.map(|value| value.to_string()),
        })
    }
}
