//! The page of one webhook: its figures, why it fails, what a person can do at once, its limits, and who changed it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use super::{ConsoleSite, Guest, call, text};
use crate::support::receiver::{Reaction, Receiver};
use crate::support::waiting::until;

/// A receiver that refuses until it is told to accept.
async fn switchable() -> (Receiver, Arc<AtomicBool>) {
    let accepts = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&accepts);
    let receiver = Receiver::start(move |_, _| match seen.load(Ordering::Relaxed) {
        true => Reaction::Answer(200, "OK"),
        false => Reaction::Answer(503, "down"),
    });
    (receiver.await, accepts)
}

/// The fields of the form that posts to `action`, as a browser sends them.
fn fields_of(page: &str, action: &str) -> String {
    let (_, form) = page.split_once(&format!("action=\"{action}\"")).expect("the form");
    let form = form.split_once("</form>").unwrap().0;
    let fields = form.split("<input type=\"hidden\" name=\"").skip(1).map(|input| {
        let mut parts = input.split('"');
        let (name, value) = (parts.next().unwrap(), parts.nth(1).unwrap());
        format!("{name}={}", url::form_urlencoded::byte_serialize(value.as_bytes()).collect::<String>())
    });
    fields.filter(|field| !field.starts_with("csrf=")).collect::<Vec<_>>().join("&")
}

async fn shown(guest: &Guest<'_>, path: &str) -> String {
    let answer = guest.get(path).await;
    assert_eq!(answer.status, 200, "{path}");
    text(&answer)
}

#[tokio::test]
async fn a_failing_webhook_is_tried_once_and_what_failed_is_sent_again_once() {
    let console = ConsoleSite::usual().await;
    let (receiver, accepts) = switchable().await;
    let id = console.endpoint("acme", &receiver, "CRM").await;
    console.delivery(&call("acme", "call-1"), "failed").await;
    console.delivery(&call("acme", "call-2"), "failed").await;
    let guest = console.guest("acme", false).await;
    let path = format!("/console/w/acme/webhooks/{id}");
    let page = shown(&guest, &path).await;
    for words in [
        "Every attempt has failed since",
        "Try it now with a test event",
        "Send the 2 that failed",
        "<title>Last 24 hours: 8 attempts, 0 succeeded, 8 failed; the median answer took ",
        "<title>Last 30 days: 8 attempts, 0 succeeded, 8 failed; the median answer took ",
        "none in 31 days",
    ] {
        assert!(page.contains(words), "{words} is missing in {page}");
    }
    assert_eq!(page.matches("<th scope=\"row\">").count(), 24 + 30, "each chart has a table");

    accepts.store(true, Ordering::Relaxed);
    let before = receiver.received().len();
    let attempt = fields_of(&page, &format!("{path}/try"));
    let tried = guest.post(&format!("{path}/try"), &attempt).await;
    assert!(tried.must("location").starts_with("/console/w/acme/deliveries/"), "{tried:?}");
    let again = guest.post_and_follow(&format!("{path}/try"), &attempt).await;
    assert!(text(&again).contains("Nothing was sent: the webhook "), "{}", text(&again));
    receiver.wait_for(before + 1).await;
    assert_eq!(guest.post(&format!("{path}/try"), "epoch=x").await.status, 400);

    // The webhook works again: what failed is offered without the reason.
    let works = async || {
        Some(shown(&guest, &path).await).filter(|page| !page.contains("Every attempt has failed since"))
    };
    let page = until(works, || "the page says that it fails".to_owned()).await;
    assert!(page.contains("2 deliveries failed. They can be sent again, with fresh links."), "{page}");
    let recover = fields_of(&page, "/console/w/acme/recover");
    let counted = guest.post("/console/w/acme/recover", &format!("{recover}&count=1")).await;
    assert!(text(&counted).contains("2 deliveries would be sent again."), "{}", text(&counted));
    let sent = guest.post("/console/w/acme/recover", &recover).await;
    assert!(sent.must("location").contains("&count=2&which=failed"), "{sent:?}");
    let again = guest.post("/console/w/acme/recover", &recover).await;
    assert!(again.must("location").contains("&count=0&which=failed"), "{again:?}");
    for action in ["endpoint.tried", "deliveries.recovered"] {
        let trail = console.api("GET", &format!("/v1/audit?action={action}"), &Value::Null).await;
        assert_eq!(trail["entries"].as_array().unwrap().len(), 1, "{trail}");
    }
    let late = guest.post_and_follow(&format!("{path}/try"), &attempt).await;
    assert!(text(&late).contains("Nothing was sent: the webhook does not fail any more."), "{}", text(&late));
    guest.post_and_follow(&format!("{path}/pause"), "").await;
    let late = guest.post_and_follow(&format!("{path}/try"), &attempt).await;
    assert!(
        text(&late).contains("Nothing was sent: the webhook is paused or disabled now."),
        "{}",
        text(&late)
    );
    guest.post_and_follow(&format!("{path}/resume"), "").await;
    receiver.wait_for(before + 3).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(receiver.received().len(), before + 3, "a test event and two deliveries");
    let page = shown(&guest, &path).await;
    assert!(!page.contains("Send the ") && page.contains("Webhook tried at once"), "{page}");
    assert!(page.contains("Deliveries sent again") && !page.contains("1970-01"), "{page}");
}

#[tokio::test]
async fn a_held_webhook_is_tried_at_once_with_what_waits() {
    let console = ConsoleSite::usual().await;
    let (receiver, accepts) = switchable().await;
    let id = console.endpoint("acme", &receiver, "CRM").await;
    console.delivery(&call("acme", "call-1"), "failed").await;
    console.site.clock.advance(Duration::from_secs(90));
    console.delivery(&call("acme", "call-2"), "failed").await;
    // If the hold has ended meanwhile, the attempt of this call begins the next one.
    console.api("POST", "/v1/calls", &call("acme", "call-of-hold")).await;
    let guest = console.guest("acme", false).await;
    let path = format!("/console/w/acme/webhooks/{id}");
    let held = async || {
        Some(shown(&guest, &path).await)
            .filter(|page| page.contains("New deliveries have been waiting since"))
    };
    until(held, || "the page does not say that it is held".to_owned()).await;
    let waiting = console.api("POST", "/v1/calls", &call("acme", "call-3")).await;
    let page = shown(&guest, &path).await;
    assert!(page.contains(">Try it now<") && page.contains("Send the 2 that failed"), "{page}");
    accepts.store(true, Ordering::Relaxed);
    let stale = guest.post_and_follow(&format!("{path}/try"), "epoch=999").await;
    assert!(
        text(&stale).contains("Nothing was sent: the webhook was tried or changed since"),
        "{}",
        text(&stale)
    );
    // The clock stands still: without this, the next attempt would be at the end of the hold.
    let tried = guest.post(&format!("{path}/try"), &fields_of(&page, &format!("{path}/try"))).await;
    assert!(tried.must("location").ends_with("?done=tried"), "{tried:?}");
    let delivery = waiting["deliveries"][0].as_str().unwrap();
    let path = format!("/v1/workspaces/acme/deliveries/{delivery}");
    let delivered =
        async || (console.api("GET", &path, &Value::Null).await["status"] == "delivered").then_some(());
    until(delivered, || "what waits is not delivered".to_owned()).await;
}

#[tokio::test]
async fn limits_are_edited_and_the_page_says_who_changed_them() {
    let console = ConsoleSite::usual().await;
    let receiver = Receiver::willing().await;
    let id = console.endpoint("acme", &receiver, "CRM").await;
    console.endpoint("acme", &receiver, "another").await;
    let wish = json!({"name": "Jane Doe"});
    let minted = console.api("POST", "/v1/workspaces/acme/portal-links", &wish).await;
    let link = minted["url"].as_str().unwrap().strip_prefix("http://localhost").unwrap();
    let guest = Guest { console: &console, cookie: super::cookie_of(&console.enter(link).await) };
    let path = format!("/console/w/acme/webhooks/{id}");
    let url = format!("url={}&description=CRM", receiver.url("/hook"));
    let limits = async || {
        let endpoint = console.api("GET", &format!("/v1/workspaces/acme/endpoints/{id}"), &Value::Null).await;
        (endpoint["concurrency"].clone(), endpoint["per_second"].clone())
    };
    for wrong in ["concurrency=0", "per_second=1001", "concurrency=four", "per_second=-1"] {
        let refused = guest.post(&format!("{path}/change"), &format!("{url}&{wrong}")).await;
        assert_eq!(refused.status, 422, "{wrong}");
        let page = text(&refused);
        assert!(page.contains("A limit is a number from 1 to 1,000, or empty."), "{wrong}: {page}");
        assert!(page.contains(&format!("value=\"{}\"", wrong.split_once('=').unwrap().1)), "{wrong}");
    }
    let form = format!("{url}&concurrency=4&per_second=20");
    let page = text(&guest.post_and_follow(&format!("{path}/change"), &form).await);
    assert_eq!(limits().await, (json!(4), json!(20)));
    for words in
        ["name=\"concurrency\"", "value=\"4\"", "Webhook changed", "Jane Doe", "requests at once: none → 4"]
    {
        assert!(page.contains(words), "{words} is missing in {page}");
    }
    // A form without these fields leaves the limits.
    guest.post_and_follow(&format!("{path}/change"), &url).await;
    assert_eq!(limits().await, (json!(4), json!(20)));
    let none = format!("{url}&concurrency=&per_second=");
    guest.post_and_follow(&format!("{path}/change"), &none).await;
    assert_eq!(limits().await, (Value::Null, Value::Null));

    let fields = [("Cookie", guest.cookie.as_str()), ("Accept-Language", "fr")];
    let french = text(&console.get(&path, &fields).await);
    assert!(french.contains("requêtes simultanées : 4 → aucune"), "{french}");
    let activity = shown(&guest, &format!("/console/w/acme/activity?webhook={id}")).await;
    assert!(activity.contains("CRM") && !activity.contains("another"), "{activity}");
    assert!(!activity.contains("Signed in"), "{activity}");
}

#[tokio::test]
async fn a_webhook_is_added_with_limits() {
    let console = ConsoleSite::usual().await;
    let receiver = Receiver::willing().await;
    let guest = console.guest("acme", false).await;
    let form = format!("anyway=1&url={}&concurrency=2", receiver.url("/hook"));
    assert_eq!(guest.post("/console/w/acme/webhooks/new", &format!("{form}&per_second=x")).await.status, 422);
    assert_eq!(guest.post("/console/w/acme/webhooks/new", &form).await.status, 303);
    let endpoints = console.api("GET", "/v1/workspaces/acme/endpoints", &Value::Null).await;
    let endpoint = &endpoints["endpoints"][0];
    assert_eq!((&endpoint["concurrency"], &endpoint["per_second"]), (&json!(2), &Value::Null));
}
