//! Reads what a person looks for: an id or a part of it, a phone number, an e-mail address, a host.

use uuid::Uuid;

use super::find_index::{digits_reversed, email};
use super::name::is_name;

/// The fewest digits of a number that are searched for.
const MIN_DIGITS: usize = 5;

/// The length of the id of an event: `msg_` and a UUID without hyphens.
const EVENT_ID: usize = 36;

/// One reading of what a person looks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FindTerm {
    /// The id of a call, its beginning or its end.
    Call(String),
    /// The id of an event.
    Event(String),
    /// The id of a delivery.
    Delivery(String),
    /// The id of an endpoint.
    Endpoint(String),
    /// The id of a recording or a transcript.
    Asset(Uuid),
    /// The last digits of a phone number, the last one first.
    Number(String),
    /// An e-mail address.
    Email(String),
    /// The beginning of the host of an endpoint, or of a domain that it is in.
    Host(String),
}

impl FindTerm {
    /// Every reading of a text. A text such as 4711 may be a call's id or a phone number.
    #[must_use]
    pub fn read(text: &str) -> Vec<Self> {
        let text = text.trim();
        let event = text.strip_prefix("test_").map(|id| format!("msg_{id}"));
        let event = event.as_deref().or_else(|| text.starts_with("msg_").then_some(text));
        let id = |begin| text.starts_with(begin).then(|| text.to_owned());
        let readings = [
            // The `webhook-id` of a resend begins with the id of its event.
            event.and_then(|id| id.get(..EVENT_ID)).map(|id| Self::Event(id.to_owned())),
            id("dlv_").map(Self::Delivery),
            id("ep_").map(Self::Endpoint),
            Uuid::try_parse(text).ok().map(Self::Asset),
            number(text).map(Self::Number),
            text.contains('@').then(|| email(text)).flatten().map(Self::Email),
            host(text).map(Self::Host),
            is_name(text).then(|| Self::Call(text.to_owned())),
        ];
        readings.into_iter().flatten().collect()
    }
}

fn number(text: &str) -> Option<String> {
    let is_number = text.chars().all(|c| c.is_ascii_digit() || "+-./() \u{a0}".contains(c));
    let digits = digits_reversed(text);
    (is_number && digits.len() >= MIN_DIGITS).then_some(digits)
}

/// The host in a URL, or a text that may be one.
fn host(text: &str) -> Option<String> {
    let after_scheme = text.split_once("://").map_or(text, |(_, rest)| rest);
    let host = after_scheme.split(['/', '?', '#']).next().unwrap_or_default().to_ascii_lowercase();
    let is_host = !host.is_empty() && host.chars().all(|c| c.is_ascii_alphanumeric() || "-.:[]_".contains(c));
    (is_host && host.contains(['.', ':'])).then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_read_in_every_way_that_it_may_be_meant() {
        let event = format!("msg_{}", "0".repeat(32));
        let call = |text: &str| FindTerm::Call(text.to_owned());
        assert_eq!(FindTerm::read(" call-4711 "), [call("call-4711")]);
        assert_eq!(FindTerm::read("4711"), [call("4711")]);
        assert_eq!(FindTerm::read("47110"), [FindTerm::Number("01174".into()), call("47110")]);
        assert_eq!(FindTerm::read("+33 (0)6 12-34"), [FindTerm::Number("43216033".into())]);
        assert_eq!(FindTerm::read("06 12 34"), [FindTerm::Number("43216".into())]);
        let resent = format!("{event}_1_r2");
        assert_eq!(FindTerm::read(&resent), [FindTerm::Event(event.clone()), call(&resent)]);
        let test = format!("test_{}", "0".repeat(32));
        assert_eq!(FindTerm::read(&test), [FindTerm::Event(event), call(&test)]);
        assert_eq!(FindTerm::read("Jane@Acme.Example")[0], FindTerm::Email("jane@acme.example".into()));
        for text in ["https://hooks.zapier.com/hooks/catch/1/", "Hooks.Zapier.com"] {
            assert_eq!(FindTerm::read(text)[0], FindTerm::Host("hooks.zapier.com".into()), "{text}");
        }
        assert_eq!(FindTerm::read("two words"), []);
        assert_eq!(FindTerm::read(""), []);
    }
}
