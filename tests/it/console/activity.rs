//! The page of a workspace's activity.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::isolation::ROUTES;
use super::sent_twice::settled;
use super::{ConsoleSite, Guest, call, cookie_of, text};
use crate::support::receiver::Receiver;

#[tokio::test]
async fn the_page_names_the_person_of_the_portal_link_in_both_languages() {
    let console = ConsoleSite::usual().await;
    let receiver = Receiver::willing().await;
    let id = console.endpoint("acme", &receiver, "CRM").await;
    console.endpoint("other", &receiver, "not for acme").await;
    let wish = json!({"name": "Jane <Doe>"});
    let minted = console.api("POST", "/v1/workspaces/acme/portal-links", &wish).await;
    let link = minted["url"].as_str().unwrap().strip_prefix("http://localhost").unwrap();
    let guest = Guest { console: &console, cookie: cookie_of(&console.enter(link).await) };
    guest.post_and_follow(&format!("/console/w/acme/webhooks/{id}/secret"), "").await;
    guest.post_and_follow(&format!("/console/w/acme/webhooks/{id}/pause"), "").await;
    let page = text(&guest.get("/console/w/acme/activity").await);
    for words in
        ["Jane &#60;Doe&#62;", "Signed in", "Secret shown", "CRM", "state: active → paused", "Webhook added"]
    {
        assert!(page.contains(words), "{words} is missing in {page}");
    }
    assert!(!page.contains("not for acme") && !page.contains("whsec_"));
    let fields = [("Cookie", guest.cookie.as_str()), ("Accept-Language", "fr")];
    let page = text(&console.get("/console/w/acme/activity", &fields).await);
    assert!(page.contains("Secret affiché"), "{page}");
}

/// What the trail says of each form below a workspace, in an order in which each works; `None` for one that changes nothing.
const FORMS: [(&str, Option<&str>); 16] = [
    ("check", None),
    ("find", None),
    ("webhooks/new", Some("endpoint.added")),
    ("webhooks/id/secret", Some("secret.shown")),
    ("webhooks/id/rotate", Some("secret.rotated")),
    ("webhooks/id/pause", Some("endpoint.changed")),
    ("webhooks/id/resume", Some("endpoint.changed")),
    ("webhooks/id/change", Some("endpoint.changed")),
    ("webhooks/id/test", Some("endpoint.tested")),
    // The epoch of this form is over: nothing is tried.
    ("webhooks/id/try", None),
    ("webhooks/id/backfill", Some("calls.backfilled")),
    ("deliveries/id/resend", Some("delivery.resent")),
    ("deliveries/resend", Some("deliveries.resent")),
    ("deliveries/id/links", Some("links.shown")),
    ("recover", Some("deliveries.recovered")),
    ("webhooks/id/remove", Some("endpoint.removed")),
];

#[tokio::test]
async fn every_form_that_changes_something_has_an_entry() {
    let console = ConsoleSite::usual().await;
    let receiver = Receiver::willing().await;
    console.endpoint("acme", &receiver, "the first, which gets the call").await;
    let delivery = console.delivery(&call("acme", "call-1"), "delivered").await;
    let endpoint = console.endpoint("acme", &receiver, "CRM").await;
    // Entries of the same millisecond have no order: a secret that is replaced is shown, too.
    let mut seen = BTreeSet::new();
    let mut fresh = async || {
        let page = console.api("GET", "/v1/audit?limit=200", &Value::Null).await;
        let entries = page["entries"].as_array().unwrap().clone().into_iter();
        let mut fresh: Vec<Value> = entries.filter(|entry| seen.insert(entry["id"].to_string())).collect();
        fresh
            .iter_mut()
            .map(|entry| (entry["action"].take(), entry["actor"]["kind"].take()))
            .collect::<Vec<_>>()
    };
    let by_guest = |action: &str| (json!(action), json!("portal"));
    let guest = console.guest("acme", true).await;
    assert!(fresh().await.contains(&by_guest("session.started")));
    let take_back = ("webhooks/id/take-back", Some("endpoint.restored"));
    let mut tried = BTreeSet::new();
    for (route, action) in FORMS.into_iter().chain([take_back]) {
        let id = if route.starts_with("webhooks") { &endpoint } else { &delivery };
        let path = format!("/console/w/acme/{}", route.replace("/id", &format!("/{id}")));
        let url = receiver.url("/other").replace(':', "%3A").replace('/', "%2F");
        let form = format!(
            "id={delivery}&key=once&epoch=999&url={url}&anyway=1&description=x&within=24h&which=all&text=call-1"
        );
        settled(&console).await;
        let answer = guest.post(&path, &form).await;
        assert!([200, 303].contains(&answer.status), "{route}: {answer:?}");
        // A secret and links are shown on the page that the form leads to.
        if let Some(next) = answer.field("location") {
            guest.get(next.split('#').next().unwrap()).await;
        }
        let fresh = fresh().await;
        match action {
            Some(action) => assert!(fresh.contains(&by_guest(action)), "{route}: {fresh:?}"),
            None => assert_eq!(fresh, [], "{route} changes nothing"),
        }
        tried.insert(route);
    }
    let forms = ROUTES.iter().filter(|(_, methods)| methods.contains(&"POST")).map(|(route, _)| *route);
    assert_eq!(tried, forms.collect());
    guest.post("/console/sign-out", "").await;
    assert_eq!(fresh().await, [by_guest("session.ended")]);
}
