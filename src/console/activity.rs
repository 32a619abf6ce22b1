//! The activity of a workspace: who did what and when, from the audit trail.

use askama::Template;
use http::StatusCode;

use super::context::RequestContext;
use super::display::{Time, name_of};
use super::i18n::{Lang, action_label, activity_words, actor_label};
use super::layout::Layout;
use super::payload::cut_markup;
use super::response::{PageResult, page};
use super::route::in_path;
use crate::ledger::{AuditEntry, AuditFilter, Endpoint};

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
}

struct Row {
    at: Time,
    who: String,
    what: String,
    subject: Option<String>,
    changes: Vec<String>,
}

impl RequestContext<'_> {
    pub(super) async fn list_activity(&self) -> PageResult {
        let after = self.query.get("after");
        let filter = AuditFilter {
            workspace: Some(self.workspace.to_owned()),
            cursor: (!after.is_empty()).then(|| after.to_owned()),
            ..AuditFilter::default()
        };
        let found = self.ledger().audit_trail(&filter, LIMIT).await?;
        let endpoints = self.ledger().endpoints(self.workspace).await?;
        let path = self.path("/activity");
        let activity = Activity {
            rows: found.entries.iter().map(|entry| Row::of(entry, &endpoints, self.lang)).collect(),
            first: filter.cursor.is_some().then(|| path.clone()),
            next: found.next.map(|next| format!("{path}?after={}", in_path(&next))),
            layout: self.layout(activity_words(self.lang).title, "activity", &path),
        };
        page(StatusCode::OK, &activity)
    }
}

impl Row {
    fn of(entry: &AuditEntry, endpoints: &[Endpoint], lang: Lang) -> Self {
        let endpoint = |id: &String| endpoints.iter().find(|endpoint| endpoint.id == *id);
        let name = |id: &String| endpoint(id).map_or_else(|| id.clone(), name_of);
        Self {
            at: Time(entry.at),
            who: actor_label(lang, &entry.actor, entry.name.as_deref()),
            what: action_label(lang, &entry.action),
            subject: entry.subject.as_ref().map(name),
            changes: entry.changes().into_iter().filter(says_something).map(shown).collect(),
        }
    }
}

/// Whether a field was changed, or has a value in something new.
fn says_something((_, before, after): &(String, Option<String>, Option<String>)) -> bool {
    before.is_some() || !matches!(after.as_deref(), None | Some("" | "null" | "false"))
}

/// A change as text: the field, its value before and after.
fn shown((name, before, after): (String, Option<String>, Option<String>)) -> String {
    let value =
        |value: Option<String>| value.map_or_else(|| "–".to_owned(), |value| cut_markup(&value, MAX_VALUE).0);
    match (before, after) {
        (None, after) => format!("{name}: {}", value(after)),
        (before, None) => format!("{name}: {}", value(before)),
        (before, after) => format!("{name}: {} → {}", value(before), value(after)),
    }
}
