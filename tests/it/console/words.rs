//! The words of every page: in the language of the page, for people.

mod reader;

use std::collections::BTreeSet;

use serde_json::{Value, json};

use self::reader::odd_in;
use super::isolation::ROUTES;
use super::sent_twice::FORMS;
use super::{ConsoleSite, FORM, Guest, ORIGIN, call, text};
use crate::support::Answer;
use crate::support::receiver::{Reaction, Receiver};

/// The pages outside of workspaces.
const OUTSIDE: [&str; 6] = ["", "enter", "sign-in", "sign-out", "signed-out", "find"];

/// What follows the path of a page in some of its states: a query that a form leads to, or that a person chooses.
const STATES: [(&str, &[&str]); 8] = [
    ("", &["q=x", "removed=ep_1", "done=late"]),
    ("webhooks/new", &["platform=zapier", "platform=n8n", "platform=make", "platform=code"]),
    (
        "webhooks/id",
        &[
            "counted=0&within=24h",
            "counted=1&within=24h",
            "counted=2&within=24h",
            "queued=1",
            "queued=2",
            "platform=zapier",
            "platform=code",
        ],
    ),
    (
        "deliveries",
        &[
            "all=1",
            "status=failed",
            "status=waiting",
            "pick_up=not-fetched",
            "call=%20",
            "within=24h",
            "from=x",
            "resent=none",
            "resent=0&under_way=1&no_webhook=1&unknown=1",
            "resent=1",
            "resent=2&under_way=2&no_webhook=2&unknown=2",
        ],
    ),
    ("deliveries/id", &["platform=zapier", "platform=n8n", "platform=make", "platform=code"]),
    ("activity", &["webhook=ep_1"]),
    (
        "recover",
        &[
            "from=1&to=9999999999999&began=1&count=0",
            "from=1&to=9999999999999&began=1&count=1",
            "from=1&to=9999999999999&began=1&count=2",
        ],
    ),
    ("find", &["text=x"]),
];

/// Every `done` that an action of the page puts into an address.
fn outcomes() -> BTreeSet<String> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/console");
    let mut found = BTreeSet::new();
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        let source = std::fs::read_to_string(&path).unwrap();
        // Those of an address, and the names in what reads it: `"paused" => …` or `get("done") == "late"`.
        for mark in ["done=", "get(\"done\") == \""] {
            let names = source.split(mark).skip(1);
            let is_part = |c: &char| c.is_ascii_lowercase() || *c == '-';
            found.extend(names.map(|rest| rest.chars().take_while(is_part).collect::<String>()));
        }
        let arms = source.split("get(\"done\") {").skip(1).map(|rest| rest.split("_ =>").next().unwrap());
        found.extend(arms.flat_map(|arms| {
            let quoted = arms.lines().filter_map(|line| line.trim().strip_prefix('"')?.split_once("\" =>"));
            quoted.map(|(name, _)| name.to_owned()).collect::<Vec<_>>()
        }));
    }
    found.remove("");
    for name in ["paused", "tried", "late", "resent", "too-many-secrets"] {
        assert!(found.contains(name), "{name}: {found:?}");
    }
    found
}

/// Workspaces in which everything has happened: what arrived and what failed, a test, and a recording that is missing.
struct World {
    console: ConsoleSite,
    /// A webhook and deliveries of each workspace.
    workspaces: [(&'static str, String, Vec<String>); 2],
    receiver: Receiver,
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
        let test = format!("/v1/workspaces/acme/endpoints/{endpoint}/test");
        let test = console.api("POST", &test, &json!({})).await;
        deliveries.push(test["deliveries"][0].as_str().unwrap().to_owned());
        let refusing = Receiver::start(|_, _| Reaction::Answer(503, "")).await;
        let failing = console.endpoint("failing", &refusing, "ERP").await;
        let failed = vec![console.delivery(&call("failing", "appel-3"), "failed").await];
        let workspaces = [("acme", endpoint, deliveries), ("failing", failing, failed)];
        Self { console, workspaces, receiver: willing }
    }

    /// The addresses of every page of a workspace in each of its states.
    fn pages(&self, (workspace, endpoint, deliveries): &(&'static str, String, Vec<String>)) -> Vec<String> {
        let outcomes: Vec<String> = outcomes().iter().map(|name| format!("done={name}")).collect();
        let mut pages = vec![format!("/console/w/{workspace}/nowhere")];
        let routes = ROUTES.iter().filter(|(_, methods)| methods.contains(&"GET")).map(|(route, _)| *route);
        for route in routes.chain([""]) {
            let states = STATES.iter().find(|(of, _)| *of == route).map_or(&[][..], |(_, states)| *states);
            let done = outcomes.iter().filter(|_| ["", "webhooks/id", "deliveries/id"].contains(&route));
            let queries: Vec<&str> =
                states.iter().copied().chain(done.map(String::as_str)).chain([""]).collect();
            let ids: Vec<&str> = match route.split('/').next().unwrap() {
                _ if !route.contains("/id") => vec![""],
                "webhooks" => vec![endpoint],
                "deliveries" => deliveries.iter().map(String::as_str).collect(),
                "calls" => vec!["appel-1", "appel-3"],
                _ => panic!("{route} has no id here"),
            };
            for id in ids {
                let path = route.replace("/id", &format!("/{id}"));
                pages.extend(queries.iter().map(|query| format!("/console/w/{workspace}/{path}?{query}")));
            }
        }
        pages
    }
}

/// Notes what a page says that it should not. Files for programs and redirects say nothing to people.
fn examine(answer: &Answer, lang: &str, what: &str, found: &mut Vec<String>) {
    let page = match answer.field("content-type").unwrap_or_default().split(';').next().unwrap() {
        "text/html" => text(answer),
        // What the script says of a URL.
        "application/json" => {
            format!("<html lang=\"{lang}\"><body>{}", answer.json()["text"].as_str().unwrap())
        }
        _ => return,
    };
    assert!(page.contains(&format!("<html lang=\"{lang}\">")), "{what}");
    let odd = odd_in(&page, lang);
    if !odd.is_empty() {
        found.push(format!("{lang} {what}: {}", odd.join(" · ")));
    }
}

fn in_lang(path: &str, lang: &str) -> String {
    let path = path.split('#').next().unwrap();
    format!("{path}{}lang={lang}", if path.contains('?') { '&' } else { '?' })
}

#[test]
fn every_page_outside_of_workspaces_is_walked() {
    let source = include_str!("../../../src/console/route.rs");
    let table = source.split_once("match segments[..] {").unwrap().1.split_once("_ =>").unwrap().0;
    let lines = table.lines().filter_map(|line| line.trim().strip_prefix("[\""));
    let segments: Vec<&str> =
        lines.map(|line| line.split('"').next().unwrap()).filter(|it| *it != "w").collect();
    assert_eq!(segments, OUTSIDE);
    let known: BTreeSet<&str> = ROUTES.iter().map(|(route, _)| *route).chain([""]).collect();
    assert!(STATES.iter().all(|(route, _)| known.contains(route)));
}

#[tokio::test]
async fn every_page_speaks_its_language_to_people() {
    let world = World::build().await;
    let mut found = Vec::new();
    let operator = world.console.operator().await;
    for lang in ["en", "fr"] {
        for workspace in &world.workspaces {
            let guest = world.console.guest(workspace.0, true).await;
            for path in world.pages(workspace) {
                let answer = guest.get(&in_lang(&path, lang)).await;
                assert!(answer.status != 500, "{path}");
                examine(&answer, lang, &path, &mut found);
            }
        }
        let none = Guest { console: &world.console, cookie: "none=1".to_owned() };
        let past = Guest { console: &world.console, cookie: world.console.guest("acme", false).await.cookie };
        past.post("/console/sign-out", "").await;
        for path in OUTSIDE {
            let path = in_lang(&format!("/console/{path}"), lang);
            for guest in [&operator, &none, &past] {
                examine(&guest.get(&path).await, lang, &path, &mut found);
                let sent = guest.post_as(&path, &[ORIGIN, FORM], "token=wrong&pass=wrong&text=x").await;
                examine(&sent, lang, &format!("POST {path}"), &mut found);
            }
        }
        let entered = in_lang(&world.console.link("acme", true).await, lang);
        examine(&none.get(&entered).await, lang, "a portal link", &mut found);
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[tokio::test]
async fn every_answer_to_a_form_speaks_its_language_to_people() {
    let world = World::build().await;
    let guest = world.console.guest("acme", true).await;
    let mut found = Vec::new();
    let (_, endpoint, deliveries) = &world.workspaces[0];
    let url: String = url::form_urlencoded::byte_serialize(world.receiver.url("/hook").as_bytes()).collect();
    for lang in ["en", "fr"] {
        for case in FORMS {
            let named = if case.path.starts_with("webhooks") { endpoint } else { &deliveries[0] };
            let path = format!("/console/w/acme/{}", case.path.replace("/id", &format!("/{named}")));
            let values =
                case.values.replace("URL", &url).replace("ID", endpoint).replace("DELIVERY", &deliveries[0]);
            // As it should be, with nothing in it, with values that are refused, and as from another page.
            let refused = "url=http%3A%2F%2Fx&description=%00&concurrency=0&header_name=%20&within=&from=2&to=1&epoch=x&id=x";
            for body in [values.as_str(), &format!("{values}&count=1"), "", refused] {
                let answer = guest.post(&in_lang(&path, lang), body).await;
                let what = format!("POST {path} {body}");
                examine(&answer, lang, &what, &mut found);
                if let Some(next) = answer.field("location") {
                    examine(
                        &guest.get(&in_lang(next, lang)).await,
                        lang,
                        &format!("{what} → {next}"),
                        &mut found,
                    );
                }
            }
            let foreign = guest.post_as(&in_lang(&path, lang), &[ORIGIN, FORM], "csrf=x").await;
            examine(&foreign, lang, &format!("POST {path} with another token"), &mut found);
            examine(&guest.get(&in_lang(&path, lang)).await, lang, &format!("GET {path}"), &mut found);
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
}

async fn read(guest: &Guest<'_>, path: &str, lang: &str) -> String {
    text(&guest.get(&in_lang(path, lang)).await)
}

#[tokio::test]
async fn what_is_said_of_a_recording_and_a_transcript_agrees_with_its_gender() {
    let world = World::build().await;
    let guest = world.console.guest("acme", true).await;
    let page = read(&guest, &format!("/console/w/acme/deliveries/{}", world.workspaces[0].2[0]), "fr").await;
    assert!(page.contains("<dt>Enregistrement</dt><dd>pas encore téléchargé</dd>"), "{page}");
    assert!(page.contains("<dt>Transcription</dt><dd>pas encore téléchargée</dd>"), "{page}");
    assert!(page.contains("Sortant · Abouti"), "{page}");
    let english =
        read(&guest, &format!("/console/w/acme/deliveries/{}", world.workspaces[0].2[0]), "en").await;
    assert!(english.contains("Outgoing · Connected") && !english.contains("after 0 s"), "{english}");
    let without =
        read(&guest, &format!("/console/w/acme/deliveries/{}", world.workspaces[0].2[1]), "fr").await;
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
