//! The payload of a delivery, rebuilt from the stored call with the links of the last attempt. A signed link grants
//! access to a recording, so a page shows it only to a person who may listen, and only on request.

use std::fmt::Write;
use std::time::Duration;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;
use uuid::Uuid;

use super::context::RequestContext;
use super::error::PageError;
use super::i18n::{Lang, direction_label, status_label};
use crate::asset::{AssetKind, AssetRef};
use crate::clock::UnixSeconds;
use crate::ledger::{Delivery, Endpoint};
use crate::signed_url::Minter;
use crate::text::{self, Escape};
use crate::webhook::{CallStatus, CompletedCall, Direction, Links, Signing};

/// Replaces the signature of a link that the page must not reveal.
const HIDDEN: &str = "…";

/// Stands for the value of a custom header field.
const MASK: HeaderValue = HeaderValue::from_static("********");

/// The payload in several forms.
pub(super) struct Payload {
    pub(super) pretty: String,
    pub(super) raw: String,
    pub(super) curl: Option<String>,
    /// A short description of the call.
    pub(super) caption: Option<String>,
    /// Whether the payload contains links without their signature.
    pub(super) links_redacted: bool,
    /// Whether the payload was shortened to fit the page.
    pub(super) cut: bool,
}

/// The most bytes of markup for each form of the payload, so that a page stays below 100 KB.
const MAX_MARKUP: usize = 14 * 1024;
const MAX_CAPTION: usize = 1024;

/// Cuts a text to `longest` bytes of markup; returns whether it was cut.
pub(super) fn cut_markup(text: &str, longest: usize) -> (String, bool) {
    let mut room = longest;
    for (at, c) in text.char_indices() {
        let length = markup_length(c);
        if length > room {
            return (format!("{}…", text.get(..at).unwrap_or_default()), true);
        }
        room -= length;
    }
    (text.to_owned(), false)
}

/// The bytes of markup for a character: `<` becomes `&#60;`, and an invisible character becomes its escape.
pub(super) fn markup_length(c: char) -> usize {
    match c {
        '<' | '>' | '&' | '"' | '\'' => 5,
        '\n' | '\r' | '\t' => 1,
        // `\u202e`, or two such escapes for a surrogate pair.
        c if text::is_invisible(c) => 6 * c.len_utf16(),
        c => c.len_utf8(),
    }
}

impl RequestContext<'_> {
    pub(super) async fn payload(
        &self,
        delivery: &Delivery,
        call: &CompletedCall,
        endpoint: Option<&Endpoint>,
        with_links: bool,
    ) -> Result<Payload, PageError> {
        let link = |kind, id: &Option<String>| self.link_as_sent(delivery, kind, id.as_deref(), with_links);
        let recording = link(AssetKind::Recording, &delivery.recording);
        let transcript = link(AssetKind::Transcript, &delivery.transcript);
        let links = Links { recording: recording.as_deref(), transcript: transcript.as_deref() };
        let body = call.body(&delivery.message(), links);
        // The text to copy has exactly the bytes that are signed below: JSON with escapes for invisible characters.
        let raw =
            text::escape_invisible(&String::from_utf8_lossy(&body), Escape::Json, |_| false).into_owned();
        let value: Value = serde_json::from_str(&raw).unwrap_or_default();
        let headers = match endpoint.filter(|_| with_links) {
            Some(endpoint) => self.headers(delivery, endpoint, raw.as_bytes()).await?,
            None => HeaderMap::new(),
        };
        let curl = endpoint.map(|endpoint| as_curl(&endpoint.url, &headers, &raw));
        let (pretty, cut) = cut_markup(&format!("{value:#}"), MAX_MARKUP);
        Ok(Payload {
            pretty,
            // A shortened command would not run.
            curl: curl.filter(|curl| cut_markup(curl, MAX_MARKUP).0 == *curl),
            caption: caption(&value, self.lang).map(|caption| cut_markup(&caption, MAX_CAPTION).0),
            links_redacted: !with_links && links.recording.or(links.transcript).is_some(),
            raw: cut_markup(&raw, MAX_MARKUP).0,
            cut,
        })
    }

    /// The link that the last attempt carried. Signing the same asset and expiry with the same key yields the same
    /// link.
    fn link_as_sent(
        &self,
        delivery: &Delivery,
        kind: AssetKind,
        id: Option<&str>,
        with_links: bool,
    ) -> Option<String> {
        let id = Uuid::try_parse(id?).ok()?;
        let missing = format!("{}_url is null", kind.name());
        if delivery.note.as_ref().is_some_and(|note| note.contains(&missing)) {
            return None;
        }
        let deps = &self.state.deps;
        let base = format!("{}/{}/{}/{id}", deps.base, crate::asset::ROUTE_ROOT, kind.name());
        let Some(expires) = delivery.links_expire else {
            return Some(format!("{base}?expires={HIDDEN}&sig={HIDDEN}"));
        };
        let lifetime = self.sender.config().link_lifetime;
        let from = UnixSeconds(expires.0.saturating_sub(lifetime.as_secs()));
        let minter = Minter::for_base(deps.base.clone(), deps.keyring.load()).with_longest_lifetime(lifetime);
        let minted = minter.mint_at(AssetRef { kind, id }, lifetime, from).ok().filter(|_| with_links);
        let links_redacted = || format!("{base}?expires={}&sig={HIDDEN}", expires.0);
        Some(minted.map_or_else(links_redacted, |link| link.as_str().to_owned()))
    }

    /// The signature header fields of the payload, signed now, and the endpoint's own without their values.
    async fn headers(
        &self,
        delivery: &Delivery,
        endpoint: &Endpoint,
        body: &[u8],
    ) -> Result<HeaderMap, PageError> {
        let now = self.sender.now();
        let secrets = self.ledger().secrets(self.workspace, &endpoint.id, now).await?;
        let mut headers = secrets.map_or_else(HeaderMap::new, |secrets| {
            delivery.message().headers(&Signing::with(secrets.current), now.seconds(), body)
        });
        let custom = endpoint.headers.iter().filter_map(|name| HeaderName::from_bytes(name.as_bytes()).ok());
        headers.extend(custom.map(|name| (name, MASK)));
        Ok(headers)
    }
}

/// The lifetime of the player's links.
pub(super) const PLAY_LIFETIME: Duration = Duration::from_secs(60 * 60);

/// A curl command that sends the same request. A shell interprets nothing within single quotes.
fn as_curl(url: &str, headers: &HeaderMap, body: &str) -> String {
    let quoted = |text: &str| format!("'{}'", text.replace('\'', "'\\''"));
    let mut command = format!("curl {} \\\n  -H 'Content-Type: application/json'", quoted(url));
    for (name, value) in headers {
        let _ = write!(
            command,
            " \\\n  -H {}",
            quoted(&format!("{name}: {}", value.to_str().unwrap_or_default()))
        );
    }
    let _ = write!(command, " \\\n  --data-raw {}", quoted(body));
    command
}

/// The prospect and the outcome of the call: `John Doe · Acme Inc · Outgoing · Connected`.
fn caption(body: &Value, lang: Lang) -> Option<String> {
    let text = |pointer: &str| body.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty());
    let name: Vec<&str> =
        ["/prospect/first_name", "/prospect/last_name"].into_iter().filter_map(text).collect();
    let name = (!name.is_empty()).then(|| name.join(" "));
    let direction = text("/call/direction").and_then(Direction::of).map(|it| direction_label(lang, it));
    let status = text("/call/status").and_then(CallStatus::of).map(|it| status_label(lang, it));
    let parts = [name.as_deref(), text("/prospect/company"), direction, status];
    let parts: Vec<&str> = parts.into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join(" · "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_sees_one_word_whatever_the_body_contains() {
        let command =
            as_curl("https://example.com/a?b=c&d", &HeaderMap::new(), "{\"a\":\"it's; rm -rf $HOME `x`\"}");
        assert!(command.ends_with("--data-raw '{\"a\":\"it'\\''s; rm -rf $HOME `x`\"}'"), "{command}");
        assert!(command.starts_with("curl 'https://example.com/a?b=c&d' \\\n"), "{command}");
    }
}
