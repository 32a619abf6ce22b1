//! The words of every page: in the language of the page, for people.

use serde_json::Value;

use super::{ConsoleSite, Guest, call, text};
use crate::support::receiver::{Reaction, Receiver};

/// English words that no French page shows. Words that French has too (`minute`, `on`, `total`) are not here.
const ENGLISH: [&str; 61] = [
    "the",
    "and",
    "of",
    "is",
    "was",
    "were",
    "are",
    "not",
    "with",
    "when",
    "after",
    "before",
    "since",
    "until",
    "this",
    "that",
    "your",
    "you",
    "it",
    "its",
    "ago",
    "day",
    "days",
    "hour",
    "hours",
    "seconds",
    "yesterday",
    "fetched",
    "delivered",
    "failed",
    "waiting",
    "sending",
    "retrying",
    "incoming",
    "outgoing",
    "connected",
    "busy",
    "missed",
    "canceled",
    "no-answer",
    "voicemail",
    "true",
    "false",
    "null",
    "january",
    "february",
    "march",
    "april",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
    "aug",
    "dec",
    "feb",
    "just",
    "now",
    "yes",
];

/// The words that a person reads: without code, names and texts that are marked as English.
fn words(page: &str) -> String {
    let body = page.split_once("<body").unwrap().1.split_once('>').unwrap().1;
    let mut text = String::new();
    let mut hidden: Option<(String, usize)> = None;
    for part in body.split('<').skip(1) {
        let (tag, rest) = part.split_once('>').unwrap_or((part, ""));
        let name = tag.trim_start_matches('/').split([' ', '\n']).next().unwrap_or_default().to_owned();
        if let Some((of, depth)) = hidden.take() {
            let depth = match (of == name, tag.starts_with('/')) {
                (true, true) => depth - 1,
                (true, false) => depth + 1,
                (false, _) => depth,
            };
            if depth > 0 {
                hidden = Some((of, depth));
                continue;
            }
        } else if is_hidden(&name, tag) {
            hidden = Some((name, 1));
            continue;
        }
        for attribute in ["title=\"", "aria-label=\"", "placeholder=\"", "data-label=\""] {
            if let Some((_, value)) = tag.split_once(attribute) {
                text.extend([" ", value.split('"').next().unwrap_or_default(), " "]);
            }
        }
        text.push(' ');
        text.push_str(rest);
    }
    text
}

/// Whether an element holds code, a name, or a text in another language.
fn is_hidden(name: &str, tag: &str) -> bool {
    let marked =
        ["lang=\"en\"", " class=\"mono", " class=\"quiet mono"].iter().any(|mark| tag.contains(mark));
    !tag.starts_with('/') && (marked || matches!(name, "pre" | "code" | "script"))
}

fn english_in(page: &str) -> Vec<String> {
    let text = words(page).replace("&#39;", "'").to_lowercase();
    let words = text.split(|c: char| !c.is_alphanumeric() && c != '-' && c != '_' && c != '’');
    // What a person copies: fields of the payload, ids, secrets, and the operator's setting.
    let is_copied = |word: &str| {
        word.ends_with("_url")
            || word == "token_file"
            || ["ep_", "whsec_"].iter().any(|start| word.starts_with(start))
    };
    words
        .filter(|word| ENGLISH.contains(word) || word.contains('_') && !is_copied(word))
        .map(str::to_owned)
        .collect()
}

/// A workspace in which everything has happened: what arrived and what failed, a test, and a late recording.
struct World {
    console: ConsoleSite,
    endpoint: String,
    deliveries: Vec<String>,
}

impl World {
    async fn build() -> Self {
        let console = ConsoleSite::usual().await;
        let willing = Receiver::willing().await;
        let endpoint = console.endpoint("acme", &willing, "CRM").await;
        let mut deliveries = vec![console.delivery(&call("acme", "appel-1"), "delivered").await];
        let mut silent = call("acme", "appel-2");
        silent["recording"] = "00000000-0000-4000-8000-000000000000".into();
        deliveries.push(console.delivery(&silent, "delivered").await);
        let failing = Receiver::start(|_, _| Reaction::Answer(503, "")).await;
        console.endpoint("failing", &failing, "ERP").await;
        deliveries.push(console.delivery(&call("failing", "appel-3"), "failed").await);
        Self { console, endpoint, deliveries }
    }

    fn pages(&self) -> Vec<(&'static str, String)> {
        let in_acme = |path: &str| ("acme", format!("/console/w/acme{path}"));
        let webhook = format!("/webhooks/{}", self.endpoint);
        let mut pages: Vec<_> =
            ["", "/webhooks/new", &webhook, "/deliveries", "/recover", "/activity", "/find"]
                .map(in_acme)
                .into();
        pages.extend(
            [
                "?done=paused",
                "?done=resumed",
                "?done=changed",
                "?done=added",
                "?done=without-headers",
                "?done=too-many-secrets",
            ]
            .map(|done| in_acme(&format!("{webhook}{done}"))),
        );
        for delivery in &self.deliveries[..2] {
            pages.extend(["", "/listen"].map(|page| in_acme(&format!("/deliveries/{delivery}{page}"))));
        }
        pages.push(("failing", "/console/w/failing".to_owned()));
        pages.push(("failing", "/console/w/failing/deliveries".to_owned()));
        pages.push(("failing", format!("/console/w/failing/deliveries/{}", self.deliveries[2])));
        pages.push(in_acme("/nowhere"));
        pages
    }
}

async fn read(guest: &Guest<'_>, path: &str, lang: &str) -> String {
    let joint = if path.contains('?') { '&' } else { '?' };
    text(&guest.get(&format!("{path}{joint}lang={lang}")).await)
}

#[tokio::test]
async fn every_page_speaks_french_and_says_no_code() {
    let world = World::build().await;
    let acme = world.console.guest("acme", true).await;
    let failing = world.console.guest("failing", true).await;
    let mut found = Vec::new();
    for (workspace, path) in world.pages() {
        let guest = if workspace == "acme" { &acme } else { &failing };
        let page = read(guest, &path, "fr").await;
        assert!(page.contains("<html lang=\"fr\">"), "{path}");
        let english = english_in(&page);
        if !english.is_empty() {
            found.push(format!("{path}: {}", english.join(" ")));
        }
    }
    let operator = world.console.operator().await;
    for path in
        ["/console", "/console/find", "/console/sign-in", "/console/signed-out", "/console/w/acme/calls/x"]
    {
        let english = english_in(&read(&operator, path, "fr").await);
        if !english.is_empty() {
            found.push(format!("{path}: {}", english.join(" ")));
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
    // The search sees English where it is: the same pages in English are full of it.
    assert!(english_in(&read(&acme, "/console/w/acme/recover", "en").await).len() > 10);
}

#[tokio::test]
async fn what_is_said_of_a_recording_and_a_transcript_agrees_with_its_gender() {
    let world = World::build().await;
    let guest = world.console.guest("acme", true).await;
    let page = read(&guest, &format!("/console/w/acme/deliveries/{}", world.deliveries[0]), "fr").await;
    assert!(page.contains("<dt>Enregistrement</dt><dd>pas encore téléchargé</dd>"), "{page}");
    assert!(page.contains("<dt>Transcription</dt><dd>pas encore téléchargée</dd>"), "{page}");
    assert!(page.contains("Sortant · Abouti"), "{page}");
    let english = read(&guest, &format!("/console/w/acme/deliveries/{}", world.deliveries[0]), "en").await;
    assert!(english.contains("Outgoing · Connected") && !english.contains("after 0 s"), "{english}");
    let without = read(&guest, &format!("/console/w/acme/deliveries/{}", world.deliveries[1]), "fr").await;
    assert!(
        without.contains("recording_url est vide : l’enregistrement n’était pas dans le stockage"),
        "{without}"
    );
}

#[tokio::test]
async fn times_are_distances_with_the_exact_time_as_their_title() {
    let console = ConsoleSite::usual().await;
    let endpoint = console.endpoint("acme", &Receiver::willing().await, "CRM").await;
    let guest = console.guest("acme", false).await;
    console.site.clock.advance(std::time::Duration::from_secs(3 * 60));
    for (lang, distance) in [("en", "3 minutes ago"), ("fr", "il y a 3 minutes")] {
        let page = read(&guest, &format!("/console/w/acme/webhooks/{endpoint}"), lang).await;
        let (before, _) = page.split_once(&format!(">{distance}</time>")).unwrap();
        let tag = before.rsplit_once("<time ").unwrap().1;
        assert!(
            tag.starts_with("datetime=\"2") && tag.contains(" title=\"") && tag.ends_with("UTC\""),
            "{tag}"
        );
    }
}

#[tokio::test]
async fn a_receiver_that_was_not_asked_is_not_said_to_be_fine() {
    let console = ConsoleSite::usual().await;
    let guest = console.guest("acme", false).await;
    let gone = Receiver::start(|_, _| Reaction::Answer(502, "")).await;
    for (url, level, says) in [
        ("https://hooks.zapier.com/hooks/catch/1/abc/".to_owned(), "wait", "not known yet"),
        ("https://no-such-host.invalid/hook".to_owned(), "warn", "name"),
        (gone.url("/hook"), "warn", "502"),
    ] {
        let form: String = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs([("url", url.as_str()), ("look", "1")])
            .finish();
        let answer: Value = guest.post("/console/w/acme/check", &form).await.json();
        assert_eq!(answer["level"], level, "{url}: {answer}");
        assert!(answer["text"].as_str().unwrap().contains(says), "{url}: {answer}");
    }
}
