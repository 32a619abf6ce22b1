//! What the audit trail says of an endpoint before and after a change. Values of header fields are left out, and of the URL
//! what may be a key: its path and query.

use serde_json::{Map, Value, json};

use super::call_filter::CallFilter;
use crate::webhook::Direction;

/// The fields that differ, before and after. A new value of a header field shows its name only.
pub(super) fn differences(
    mut before: Map<String, Value>,
    mut after: Map<String, Value>,
    has_moved: bool,
    new_headers: &[String],
) -> (Value, Value) {
    let is_same = |(name, value): &(&String, &Value)| {
        after.get(*name) == Some(*value) && !(has_moved && *name == "url")
    };
    let same: Vec<String> = before.iter().filter(is_same).map(|(name, _)| name.clone()).collect();
    before.retain(|name, _| !same.contains(name));
    after.retain(|name, _| !same.contains(name));
    if !new_headers.is_empty() {
        after.insert("headers_changed".to_owned(), json!(new_headers));
    }
    (before.into(), after.into())
}

/// The conditions of a filter.
pub(super) fn filter_to_json(filter: &CallFilter) -> Value {
    let statuses: Vec<&str> = filter.status.iter().map(|status| status.name()).collect();
    json!({
        "status": statuses,
        "direction": filter.direction.map(Direction::name),
        "has_recording": filter.has_recording,
    })
}

/// Scheme, host and port of a URL.
pub(super) fn origin(url: &str) -> String {
    let end = url.find("://").map(|at| at + 3);
    let rest = end.and_then(|start| url.get(start..)).unwrap_or_default();
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let scheme = end.and_then(|end| url.get(..end)).unwrap_or_default();
    // An endpoint's URL has no user and password, but the trail does not rely on that.
    let host = host.rsplit('@').next().unwrap_or_default();
    format!("{scheme}{host}/…")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_shows_where_it_leads_and_nothing_else() {
        assert_eq!(origin("https://hooks.example.com/catch/s3cret?key=x"), "https://hooks.example.com/…");
        assert_eq!(origin("http://127.0.0.1:8080"), "http://127.0.0.1:8080/…");
        assert_eq!(origin("https://a:b@hooks.example.com/"), "https://hooks.example.com/…");
    }
}
