//! Quotes a receiver's message within a sentence.

use serde_json::Value;

use crate::webhook::post::ReceiverResponse;

/// The longest quotation, in characters.
const LONGEST: usize = 160;

/// The text on one line, shortened, without quotation marks.
pub(super) fn line(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut cut: String = line.chars().filter(|c| !c.is_control() && !matches!(c, '“' | '”')).collect();
    if let Some((at, _)) = cut.char_indices().nth(LONGEST) {
        cut.truncate(at);
        cut.push('…');
    }
    cut
}

/// The message of a response: from a JSON object, the title of a page, or the plain text.
pub(super) fn message(response: &ReceiverResponse) -> Option<String> {
    let text = match serde_json::from_str::<Value>(&response.excerpt) {
        Ok(json) => message_in(&json)?.to_owned(),
        Err(_) if is_html(response) => title_of(&response.excerpt)?.to_owned(),
        Err(_) => response.excerpt.clone(),
    };
    (!text.trim().is_empty()).then(|| line(&text))
}

pub(super) fn is_html(response: &ReceiverResponse) -> bool {
    let begin = response.excerpt.trim_start().get(..14).unwrap_or_default().to_ascii_lowercase();
    begin.starts_with("<!doctype html")
        || begin.starts_with("<html")
        || response.content_type.as_ref().is_some_and(|media_type| media_type.starts_with("text/html"))
}

fn message_in(json: &Value) -> Option<&str> {
    if let Some(text) = json.as_str() {
        return Some(text);
    }
    ["message", "detail", "title", "error_description", "error"].iter().find_map(|name| {
        match json.get(name)? {
            Value::String(text) => Some(text.as_str()),
            Value::Object(inner) => inner.get("message")?.as_str(),
            _ => None,
        }
    })
}

fn title_of(html: &str) -> Option<&str> {
    let (_, rest) = html.split_once("<title>")?;
    rest.split('<').next()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message_of(excerpt: &str) -> Option<String> {
        message(&ReceiverResponse { excerpt: excerpt.to_owned(), ..ReceiverResponse::default() })
    }

    #[test]
    fn a_response_is_quoted_by_its_message() {
        assert_eq!(message_of(r#"{"code":404,"message":"no such hook"}"#).unwrap(), "no such hook");
        assert_eq!(message_of(r#"{"error":{"message":"nested"}}"#).unwrap(), "nested");
        assert_eq!(message_of("<html><title>502 Bad\nGateway</title>").unwrap(), "502 Bad Gateway");
        assert_eq!(message_of("plain\n text").unwrap(), "plain text");
        assert_eq!(message_of(r#"{"status":"no"}"#), None);
        assert_eq!(message_of(" \n"), None);
    }

    #[test]
    fn a_quotation_is_short_and_cannot_end_itself() {
        let text = line(&format!("a” b {}", "é".repeat(300)));
        assert_eq!(text.chars().count(), LONGEST + 1);
        assert!(text.starts_with("a b é") && text.ends_with("é…"), "{text}");
    }
}
