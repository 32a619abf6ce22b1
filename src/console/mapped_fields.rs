//! The body of a test, with the fields marked that receivers use most, and each explained.

use serde_json::Value;

use super::context::RequestContext;
use super::payload::Payload;
use super::platform::Platform;
use crate::ledger::{Delivery, Endpoint};

/// The body with marks, and the explanation of each mark.
pub(super) struct MarkedBody {
    pub(super) lines: Vec<Line>,
    pub(super) fields: Vec<Field>,
    /// The platform, as the head of a column.
    pub(super) named_by: &'static str,
}

/// A line of the body; the name of its field is marked.
pub(super) struct Line {
    pub(super) before: String,
    pub(super) marked: Option<String>,
    pub(super) after: String,
}

/// A field that is marked.
pub(super) struct Field {
    pub(super) path: &'static str,
    /// How the platform names it.
    pub(super) named: String,
    pub(super) use_for: &'static str,
}

/// The paths of the marked fields. Their explanations have the same order.
const PATHS: [&str; 11] = [
    "id",
    "call.id",
    "call.recording_url",
    "call.transcript_url",
    "call.summary",
    "call.status",
    "call.ended_at",
    "prospect.email",
    "prospect.crm_contact_id",
    "user.email",
    "test",
];

impl RequestContext<'_> {
    /// The payload of a test with its marks; `None` for other deliveries.
    pub(super) fn marked_test(
        &self,
        delivery: &Delivery,
        payload: Option<&Payload>,
        endpoint: Option<&Endpoint>,
    ) -> Option<MarkedBody> {
        let payload = payload.filter(|_| delivery.call.is_none())?;
        Some(self.marked_body(&payload.pretty, endpoint.map_or(Platform::Own, |it| self.platform_of(it))))
    }

    /// Marks a body of several lines.
    fn marked_body(&self, pretty: &str, platform: Platform) -> MarkedBody {
        let words = self.onboarding_words();
        let field = |(path, use_for): (&'static str, &&'static str)| Field {
            path,
            named: platform.field(path),
            use_for,
        };
        let named_by = match platform {
            Platform::Zapier => "Zapier",
            Platform::N8n => "n8n",
            Platform::Make => "Make",
            Platform::Own | Platform::Other => "",
        };
        MarkedBody {
            lines: marked(pretty),
            fields: PATHS.into_iter().zip(words.field_uses).map(field).collect(),
            named_by,
        }
    }
}

/// The lines of indented JSON, with the marked fields apart.
fn marked(pretty: &str) -> Vec<Line> {
    let mut parents: Vec<String> = Vec::new();
    pretty.lines().map(|line| marked_line(line, &mut parents)).collect()
}

fn marked_line(line: &str, parents: &mut Vec<String>) -> Line {
    const INDENT: usize = 2;
    let whole = || Line { before: line.to_owned(), marked: None, after: String::new() };
    let indent = line.len() - line.trim_start().len();
    let Some((name, rest)) = line.trim_start().split_once(": ") else { return whole() };
    let Ok(Value::String(key)) = serde_json::from_str(name) else { return whole() };
    parents.truncate((indent / INDENT).saturating_sub(1));
    let path: String = parents.iter().map(|parent| format!("{parent}.")).chain([key.clone()]).collect();
    if rest == "{" {
        parents.push(key);
    }
    if !PATHS.contains(&path.as_str()) {
        return whole();
    }
    Line { before: " ".repeat(indent), marked: Some(name.to_owned()), after: format!(": {rest}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_marked_lines_are_those_of_the_paths_and_the_text_stays_as_it_is() {
        let body = serde_json::json!({
            "call": {"id": "c", "summary": "a \"call\": {", "recording_url": null, "other": {"id": "no"}},
            "prospect": null, "user": {"name": "x", "email": "a@b"}, "id": "m",
        });
        let pretty = format!("{body:#}");
        let lines = marked(&pretty);
        let text = |line: &Line| {
            format!("{}{}{}", line.before, line.marked.as_deref().unwrap_or_default(), line.after)
        };
        assert_eq!(lines.iter().map(text).collect::<Vec<_>>().join("\n"), pretty);
        let mut marks: Vec<_> = lines.iter().filter_map(|line| line.marked.as_deref()).collect();
        marks.sort_unstable();
        assert_eq!(marks, ["\"email\"", "\"id\"", "\"id\"", "\"recording_url\"", "\"summary\""]);
    }
}
