//! A double click and a reload: every form is sent three times, of which it does what it asks for once.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;

use super::isolation::ROUTES;
use super::{ConsoleSite, FORM, Guest, ORIGIN, TOKEN, call, cookie_of, text};
use crate::support::Answer;
use crate::support::receiver::Receiver;
use crate::support::waiting::until;

/// Every form of a workspace in an order in which each can be sent: its path, its values, the entries of the audit trail that it
/// makes, and how many webhooks, deliveries and requests to the receiver there are more afterwards.
pub(super) const FORMS: [Case; 17] = [
    Case::of("check", "url=x", &[], [0, 0, 0]),
    Case::of("find", "text=nothing", &[], [0, 0, 0]),
    Case::of("webhooks/new", "url=http%3A%2F%2F127.0.0.1%3A1%2F&anyway=1", &["endpoint.added"], [1, 0, 0]),
    Case::of("webhooks/id/secret", "", &[], [0, 0, 0]),
    Case::of("webhooks/id/rotate", "", &["secret.rotated"], [0, 0, 0]),
    Case::of("webhooks/id/pause", "", &["endpoint.changed"], [0, 0, 0]),
    Case::of("webhooks/id/resume", "", &["endpoint.changed"], [0, 0, 0]),
    Case::of("webhooks/id/test", "", &["endpoint.tested"], [0, 1, 1]),
    // It does not fail: the test of its page tries one that does.
    Case::of("webhooks/id/try", "epoch=0", &[], [0, 0, 0]),
    Case::of("webhooks/id/change", "url=URL&description=new&anyway=1", &["endpoint.changed"], [0, 0, 0]),
    Case::of("webhooks/id/backfill", "within=all", &["calls.backfilled"], [0, 1, 1]),
    Case::of("deliveries/id/resend", "", &["delivery.resent"], [0, 0, 1]),
    Case::of("deliveries/resend", "id=DELIVERY", &["deliveries.resent"], [0, 0, 1]),
    Case::of("deliveries/id/links", "", &["links.shown"], [0, 0, 0]),
    Case::of("recover", "within=24h&which=all&webhook=ID", &["deliveries.recovered"], [0, 0, 2]),
    Case::of("webhooks/id/remove", "", &["endpoint.removed"], [-1, 0, 0]),
    Case::of("webhooks/id/take-back", "", &["endpoint.restored"], [1, 0, 0]),
];

pub(super) struct Case {
    pub(super) path: &'static str,
    pub(super) values: &'static str,
    recorded: &'static [&'static str],
    more: [i64; 3],
}

impl Case {
    const fn of(
        path: &'static str,
        values: &'static str,
        recorded: &'static [&'static str],
        more: [i64; 3],
    ) -> Self {
        Self { path, values, recorded, more }
    }
}

#[test]
fn every_form_is_sent_twice() {
    let forms: BTreeSet<&str> =
        ROUTES.iter().filter(|(_, methods)| methods.contains(&"POST")).map(|(path, _)| *path).collect();
    assert_eq!(FORMS.iter().map(|case| case.path).collect::<BTreeSet<_>>(), forms, "a form without a case");
    // The forms outside of workspaces have tests below; the search is that of a workspace.
    let source = include_str!("../../../src/console/route.rs");
    let (_, posts) = source.split_once("fn takes_post").unwrap();
    assert!(posts.contains("Self::Enter | Self::SignIn | Self::SignOut | Self::Find => true,"));
}

/// What there is: the actions of the audit trail, and the numbers of webhooks, deliveries and requests.
async fn state(console: &ConsoleSite, receiver: &Receiver) -> (Vec<String>, [i64; 3]) {
    let api = async |path: &str| console.api("GET", path, &Value::Null).await;
    let deliveries = settled(console).await;
    let trail = api("/v1/audit?limit=200").await;
    let actions = trail["entries"].as_array().unwrap().iter();
    let mut actions: Vec<_> = actions.map(|entry| entry["action"].as_str().unwrap().to_owned()).collect();
    actions.sort();
    let webhooks = api("/v1/workspaces/acme/endpoints").await["endpoints"].as_array().unwrap().len();
    let numbers =
        [webhooks, deliveries, receiver.received().len()].map(|number| i64::try_from(number).unwrap());
    (actions, numbers)
}

/// The number of deliveries, after the last of them has ended.
pub(super) async fn settled(console: &ConsoleSite) -> usize {
    let ended = async || {
        let found = console.api("GET", "/v1/workspaces/acme/deliveries?limit=100", &Value::Null).await;
        let found = found["deliveries"].as_array().unwrap();
        found.iter().all(|delivery| delivery["status"] == "delivered").then_some(found.len())
    };
    until(ended, || "a delivery does not end".to_owned()).await
}

/// Sends a form twice at the same moment, and then once more.
async fn send_thrice(guest: &Guest<'_>, path: &str, body: &str) -> [Answer; 3] {
    let send = || guest.post_as(path, &[ORIGIN, FORM], body);
    let (first, second) = tokio::join!(send(), send());
    [first, second, send().await]
}

/// The actions that are in the later list alone.
fn added(before: &[String], after: &[String]) -> Vec<String> {
    let mut after = after.to_vec();
    for action in before {
        after.remove(after.iter().position(|it| it == action).expect("the trail only grows"));
    }
    after
}

#[tokio::test]
async fn a_form_that_is_sent_twice_does_once_what_it_asks_for() {
    let console = ConsoleSite::usual().await;
    let receiver = Receiver::willing().await;
    let other = Receiver::willing().await;
    console.endpoint("acme", &other, "the first, which gets the call").await;
    console.delivery(&call("acme", "call-1"), "delivered").await;
    let id = console.endpoint("acme", &receiver, "mine").await;
    let delivery = console.delivery(&call("acme", "call-2"), "delivered").await;
    let listed = format!("/v1/workspaces/acme/deliveries?endpoint={id}");
    let mine = console.api("GET", &listed, &Value::Null).await["deliveries"][0]["id"].clone();
    let mine = mine.as_str().unwrap_or(&delivery);
    let guest = console.guest("acme", true).await;
    for case in FORMS {
        let named = if case.path.starts_with("webhooks") { id.as_str() } else { mine };
        let path = format!("/console/w/acme/{}", case.path.replace("/id", &format!("/{named}")));
        let url: String = url::form_urlencoded::byte_serialize(receiver.url("/hook").as_bytes()).collect();
        let values = case.values.replace("URL", &url).replace("ID", &id).replace("DELIVERY", mine);
        let body = format!("csrf={}&{values}", guest.csrf().await);
        let before = state(&console, &receiver).await;
        let answers = send_thrice(&guest, &path, &body).await;
        let status = if ["check", "find"].contains(&case.path) { 200 } else { 303 };
        for answer in &answers {
            assert_eq!(
                (answer.status, answer.field("location")),
                (status, answers[0].field("location")),
                "{path}"
            );
        }
        let after = state(&console, &receiver).await;
        assert_eq!(added(&before.0, &after.0), case.recorded, "{path}");
        let more: Vec<i64> = after.1.iter().zip(before.1).map(|(after, before)| after - before).collect();
        assert_eq!(more, case.more, "{path}: webhooks, deliveries, requests");
    }
}

#[tokio::test]
async fn what_did_nothing_is_not_in_the_audit_trail() {
    let console = ConsoleSite::usual().await;
    let receiver = Receiver::willing().await;
    let id = console.endpoint("acme", &receiver, "mine").await;
    console.delivery(&call("acme", "call-1"), "delivered").await;
    let guest = console.guest("acme", false).await;
    let url: String = url::form_urlencoded::byte_serialize(receiver.url("/hook").as_bytes()).collect();
    let same = format!("url={url}&description=mine&late_assets=1&anyway=1");
    let webhook = format!("webhooks/{id}");
    for (path, form, recorded) in [
        (format!("{webhook}/pause"), "", 1),
        (format!("{webhook}/pause"), "", 0),
        (format!("{webhook}/resume"), "", 1),
        (format!("{webhook}/resume"), "", 0),
        (format!("{webhook}/change"), &format!("{same}&long_tail=1"), 1),
        (format!("{webhook}/change"), &format!("{same}&long_tail=1"), 0),
        (format!("{webhook}/backfill"), "within=all", 0),
        (format!("{webhook}/try"), "epoch=0", 0),
        ("recover".to_owned(), "within=24h&which=failed", 0),
        ("deliveries/resend".to_owned(), "status=failed&all=1", 0),
        ("deliveries/resend".to_owned(), "id=dlv_unknown", 0),
    ] {
        let before = state(&console, &receiver).await.0;
        assert_eq!(guest.post(&format!("/console/w/acme/{path}"), form).await.status, 303, "{path}");
        let added = added(&before, &state(&console, &receiver).await.0);
        assert_eq!(added.len(), recorded, "{path} {form}: {added:?}");
    }
}

#[tokio::test]
async fn the_same_form_of_another_page_or_with_other_values_is_another_one() {
    let console = ConsoleSite::usual().await;
    let receiver = Receiver::willing().await;
    let id = console.endpoint("acme", &receiver, "mine").await;
    let guest = console.guest("acme", true).await;
    let path = |action: &str| format!("/console/w/acme/webhooks/{id}/{action}");
    let (first, second) = (guest.post(&path("test"), "").await, guest.post(&path("test"), "").await);
    assert_ne!(first.must("location"), second.must("location"));
    receiver.wait_for(2).await;
    let csrf = guest.csrf().await;
    for name in ["one", "two"] {
        let url: String = url::form_urlencoded::byte_serialize(receiver.url("/hook").as_bytes()).collect();
        let body = format!("csrf={csrf}&url={url}&anyway=1&description={name}");
        assert_eq!(guest.post_as(&path("change"), &[ORIGIN, FORM], &body).await.status, 303);
        assert!(
            text(&guest.get(path("").trim_end_matches('/')).await).contains(&format!("<h1>{name} <")),
            "{name}"
        );
    }
}

#[tokio::test]
async fn a_form_that_was_refused_can_be_sent_again() {
    let console = ConsoleSite::usual().await;
    let guest = console.guest("acme", false).await;
    let body = format!("csrf={}&url=http%3A%2F%2F127.0.0.1%3A1%2F", guest.csrf().await);
    for _ in 0..3 {
        let answer = guest.post_as("/console/w/acme/webhooks/new", &[ORIGIN, FORM], &body).await;
        assert_eq!(answer.status, 422);
        assert!(text(&answer).contains("The connection was refused"));
    }
}

/// A browser closes the connection of the first click of two.
#[tokio::test]
async fn a_form_whose_browser_does_not_wait_is_done_once_and_the_second_click_is_answered() {
    let console = ConsoleSite::usual().await;
    let receiver = Receiver::willing().await;
    let id = console.endpoint("acme", &receiver, "mine").await;
    let guest = console.guest("acme", false).await;
    let path = format!("/console/w/acme/webhooks/{id}/test");
    for wait in 1..=8 {
        let body = format!("csrf={}", guest.csrf().await);
        let send = || guest.post_as(&path, &[ORIGIN, FORM], &body);
        let _ = tokio::time::timeout(Duration::from_millis(wait), send()).await;
        let answer = send().await;
        assert_eq!(answer.status, 303, "{answer:?}");
        assert_eq!(settled(&console).await, usize::try_from(wait).unwrap());
    }
    receiver.wait_for(8).await;
}

fn value_of(page: &str, name: &str) -> String {
    let (_, rest) = page.split_once(&format!("name=\"{name}\" value=\"")).expect(name);
    rest.split('"').next().unwrap().to_owned()
}

/// How often a session was started or ended.
async fn count_of(console: &ConsoleSite, action: &str) -> usize {
    let trail = console.api("GET", "/v1/audit?limit=200", &Value::Null).await;
    trail["entries"].as_array().unwrap().iter().filter(|entry| entry["action"] == action).count()
}

#[tokio::test]
async fn a_portal_link_opens_one_session_for_two_clicks_on_its_page() {
    let console = ConsoleSite::usual().await;
    let link = console.link("acme", true).await;
    let page = text(&console.get(&link, &[]).await);
    let elsewhere = text(&console.get(&link, &[]).await);
    let body = |page: &str| format!("pass={}&once={}", value_of(page, "pass"), value_of(page, "once"));
    let browser = Guest { console: &console, cookie: "none=1".to_owned() };
    let answers = send_thrice(&browser, "/console/enter", &body(&page)).await;
    for answer in &answers {
        assert_eq!((answer.status, cookie_of(answer)), (303, cookie_of(&answers[0])));
    }
    assert_eq!(count_of(&console, "session.started").await, 1);
    // Its page in another browser opens nothing any more.
    let other = browser.post_as("/console/enter", &[ORIGIN, FORM], &body(&elsewhere)).await;
    assert_eq!((other.status, other.field("set-cookie")), (403, None));
    // Nor does the first page after signing out.
    let guest = Guest { console: &console, cookie: cookie_of(&answers[0]) };
    let form = format!("csrf={}", guest.csrf().await);
    for answer in send_thrice(&guest, "/console/sign-out", &form).await {
        assert_eq!((answer.status, answer.must("location")), (303, "/console/signed-out"));
    }
    assert_eq!(count_of(&console, "session.ended").await, 1);
    let again = browser.post_as("/console/enter", &[ORIGIN, FORM], &body(&page)).await;
    let again = Guest { console: &console, cookie: cookie_of(&again) };
    assert_eq!(again.get("/console/w/acme").await.status, 401);
}

#[tokio::test]
async fn the_operator_signs_in_once_with_two_clicks() {
    let console = ConsoleSite::usual().await;
    let page = text(&console.get("/console/sign-in", &[]).await);
    let browser = Guest { console: &console, cookie: "none=1".to_owned() };
    let body = format!("token={TOKEN}&once={}", value_of(&page, "once"));
    let answers = send_thrice(&browser, "/console/sign-in", &body).await;
    for answer in &answers {
        assert_eq!((answer.status, cookie_of(answer)), (303, cookie_of(&answers[0])));
    }
    assert_eq!(count_of(&console, "session.started").await, 1);
}
