//! The page of a workspace's activity.

use serde_json::json;

use super::{ConsoleSite, Guest, cookie_of, text};
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
