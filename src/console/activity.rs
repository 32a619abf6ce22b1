//! The activity of a workspace: who did what and when, from the audit trail.

use askama::Template;
use http::StatusCode;

use super::context::RequestContext;
use super::display::{Time, name_of};
use super::error::PageError;
use super::i18n::{Lang, action_label, activity_words, actor_label, exact, field_label, value_label};
use super::layout::Layout;
use super::payload::cut_markup;
use super::response::{PageResult, page};
use super::route::in_path;
use super::time_range::read_time;
use crate::ledger::{AuditEntry, AuditFilter, Endpoint, ListedEndpoint};

/// The number of entries on the page of a webhook.
const RECENT: usize = 5;

/// The number of entries on a page.
const LIMIT: usize = 50;

/// The longest value of a change, in bytes of markup.
const MAX_VALUE: usize = 200;

#[derive(Template)]
#[template(path = "activity.html")]
struct Activity {
    layout: Layout,
    rows: Vec<Row>,
    first: Option<String>,
    next: Option<String>,
    /// The name of the webhook whose entries these are, if not all.
    of: Option<String>,
    /// The path of all entries.
    all: String,
}

pub(super) struct Row {
    pub(super) at: Time,
    pub(super) who: String,
    pub(super) what: String,
    subject: Option<String>,
    pub(super) changes: Vec<String>,
}

impl RequestContext<'_> {
    pub(super) async fn list_activity(&self) -> PageResult {
        let (after, webhook) = (self.query.get("after"), self.query.get("webhook"));
        let filter = AuditFilter {
            workspace: Some(self.workspace.to_owned()),
            subject: (!webhook.is_empty()).then(|| webhook.to_owned()),
            cursor: (!after.is_empty()).then(|| after.to_owned()),
            ..AuditFilter::default()
        };
        let found = self.ledger().audit_trail(&filter, LIMIT).await?;
        let endpoints = self.ledger().listed_endpoints(self.workspace).await?;
        let all = self.path("/activity");
        let path = match &filter.subject {
            Some(subject) => format!("{all}?webhook={}", in_path(subject)),
            None => all.clone(),
        };
        let joint = if filter.subject.is_some() { '&' } else { '?' };
        let activity = Activity {
            rows: found.entries.iter().map(|entry| Row::of(entry, &endpoints, self.lang)).collect(),
            first: filter.cursor.is_some().then(|| path.clone()),
            next: found.next.map(|next| format!("{path}{joint}after={}", in_path(&next))),
            of: filter.subject.as_ref().map(|subject| name_in(&endpoints, subject)),
            all,
            layout: self.layout(activity_words(self.lang).title, "activity", &path),
        };
        page(StatusCode::OK, &activity)
    }

    /// The last entries about an endpoint.
    pub(super) async fn changes_of(&self, endpoint: &Endpoint) -> Result<Vec<Row>, PageError> {
        let filter = AuditFilter {
            workspace: Some(self.workspace.to_owned()),
            subject: Some(endpoint.id.clone()),
            ..AuditFilter::default()
        };
        let found = self.ledger().audit_trail(&filter, RECENT).await?;
        let known = [endpoint.listed()];
        Ok(found.entries.iter().map(|entry| Row::of(entry, &known, self.lang)).collect())
    }
}

impl Row {
    fn of(entry: &AuditEntry, endpoints: &[ListedEndpoint], lang: Lang) -> Self {
        Self {
            at: Time(entry.at),
            who: actor_label(lang, &entry.actor, entry.name.as_deref()),
            what: action_label(lang, &entry.action),
            subject: entry.subject.as_ref().map(|subject| name_in(endpoints, subject)),
            changes: entry
                .changes()
                .into_iter()
                .filter(says_something)
                .map(|change| shown(lang, change))
                .collect(),
        }
    }
}

/// The name of a webhook; the id of everything else.
fn name_in(endpoints: &[ListedEndpoint], id: &str) -> String {
    endpoints.iter().find(|endpoint| endpoint.id == id).map_or_else(|| id.to_owned(), name_of)
}

/// Whether a field was changed, or has a value in something new.
fn says_something((name, before, after): &(String, Option<String>, Option<String>)) -> bool {
    // A recovery of everything begins before the first call.
    let is_open = name == "from" && after.as_deref().is_some_and(|from| from.starts_with("1970-"));
    before.is_some() || !is_open && !matches!(after.as_deref(), None | Some("" | "null" | "false"))
}

/// A change as text: the field, its value before and after.
fn shown(lang: Lang, (name, before, after): (String, Option<String>, Option<String>)) -> String {
    let word = |value: String| match name.as_str() {
        "description" => value,
        "from" | "to" | "previous_until" => read_time(&value).map_or(value, |at| exact(lang, at)),
        _ => value_label(lang, &value),
    };
    let value = |value: Option<String>| {
        let value = value.filter(|value| !value.is_empty());
        value.map_or_else(|| "–".to_owned(), |value| cut_markup(&word(value), MAX_VALUE).0)
    };
    let label = format!("{}{}", field_label(lang, &name), lang.colon());
    match (before, after) {
        (None, after) => format!("{label} {}", value(after)),
        (before, None) => format!("{label} {}", value(before)),
        (before, after) => format!("{label} {} → {}", value(before), value(after)),
    }
}
