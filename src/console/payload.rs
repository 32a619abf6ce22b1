//! What was sent, as it was sent: made again from the stored call, with the links of the last attempt. A link opens a
//! recording, so it stands in no page unless somebody who may listen asks for it.

use std::fmt::Write;
use std::time::Duration;

use http::HeaderMap;
use serde_json::Value;
use uuid::Uuid;

use super::{PageError, RequestContext};
use crate::asset::{AssetKind, AssetRef};
use crate::clock::UnixSeconds;
use crate::ledger::{Delivery, Endpoint};
use crate::signed_url::Minter;
use crate::text::{self, Escape};
use crate::webhook::{CompletedCall, Links, Signing};

/// What stands in a link's place of what opens it.
const HIDDEN: &str = "…";

/// The body of a delivery.
pub(super) struct Payload {
    pub(super) pretty: String,
    pub(super) raw: String,
    pub(super) curl: Option<String>,
    /// The call in a few words.
    pub(super) who: Option<String>,
    /// Whether links stand in it with what opens them left out.
    pub(super) links_redacted: bool,
    /// Whether it is too long for a page.
    pub(super) cut: bool,
}

/// How much of each form of a body a page shows, in bytes of markup, so that the page stays below 100 KB.
const LONGEST: usize = 14 * 1024;
const LONGEST_CALLER: usize = 1024;

/// The beginning of a text that takes so many bytes as markup, and whether that is not all of it.
pub(super) fn begin_of(text: &str, longest: usize) -> (String, bool) {
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

/// How many bytes a character takes in a page: `<` becomes `&#60;`, and what cannot be seen its escape.
pub(super) fn markup_length(c: char) -> usize {
    match c {
        '<' | '>' | '&' | '"' | '\'' => 5,
        '\n' | '\r' | '\t' => 1,
        c => text::escaped_length(c).unwrap_or(c.len_utf8()),
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
        let body = call.body(links, delivery.test);
        // What can be copied is what was signed: with escapes for what cannot be seen, and the same value.
        let raw =
            text::escape_invisible(&String::from_utf8_lossy(&body), Escape::Json, |_| false).into_owned();
        let value: Value = serde_json::from_str(&raw).unwrap_or_default();
        let headers = match endpoint.filter(|_| with_links) {
            Some(endpoint) => self.headers(delivery, endpoint, raw.as_bytes()).await?,
            None => HeaderMap::new(),
        };
        let curl = endpoint.map(|endpoint| as_curl(&endpoint.url, &headers, &raw));
        let (pretty, cut) = begin_of(&format!("{value:#}"), LONGEST);
        Ok(Payload {
            pretty,
            // What is cut short is nothing that could be sent.
            curl: curl.filter(|curl| begin_of(curl, LONGEST).0 == *curl),
            who: who(&value).map(|who| begin_of(&who, LONGEST_CALLER).0),
            links_redacted: !with_links && links.recording.or(links.transcript).is_some(),
            raw: begin_of(&raw, LONGEST).0,
            cut,
        })
    }

    /// The link that the last attempt carried. Signing the same asset and moment with the same key gives the same link.
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
        let deps = &self.console.deps;
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

    /// The header fields that make the body genuine, signed now.
    async fn headers(
        &self,
        delivery: &Delivery,
        endpoint: &Endpoint,
        body: &[u8],
    ) -> Result<HeaderMap, PageError> {
        let now = self.sender.now();
        let secrets = self.ledger().secrets(self.workspace, &endpoint.id, now).await?;
        Ok(secrets.map_or_else(HeaderMap::new, |secrets| {
            Signing::with(secrets.current).headers(&delivery.event, now.seconds(), body)
        }))
    }
}

/// How long a link lives that is minted to play something.
pub(super) const PLAY_FOR: Duration = Duration::from_secs(60 * 60);

/// A command that sends the same; what is in single quotes means nothing to a shell.
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

/// The prospect and how the call went: `John Doe · Acme Inc · outgoing · connected`.
fn who(body: &Value) -> Option<String> {
    let text = |pointer: &str| body.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty());
    let name: Vec<&str> =
        ["/prospect/first_name", "/prospect/last_name"].into_iter().filter_map(text).collect();
    let name = (!name.is_empty()).then(|| name.join(" "));
    let parts = [name.as_deref(), text("/prospect/company"), text("/call/direction"), text("/call/status")];
    let parts: Vec<&str> = parts.into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join(" · "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_sees_one_word_whatever_is_in_the_body() {
        let command =
            as_curl("https://example.com/a?b=c&d", &HeaderMap::new(), "{\"a\":\"it's; rm -rf $HOME `x`\"}");
        assert!(command.ends_with("--data-raw '{\"a\":\"it'\\''s; rm -rf $HOME `x`\"}'"), "{command}");
        assert!(command.starts_with("curl 'https://example.com/a?b=c&d' \\\n"), "{command}");
    }
}
