//! A webhook that gets late assets, and how its history names their event.

use serde_json::{Value, json};

use super::{ConsoleSite, call, text};
use crate::support::CALL;
use crate::support::receiver::Receiver;

#[tokio::test]
async fn a_webhook_is_changed_to_get_late_assets_and_its_history_names_the_event() {
    let console = ConsoleSite::usual().await;
    let receiver = Receiver::willing().await;
    let id = console.endpoint("acme", &receiver, "mine").await;
    let guest = console.guest("acme", true).await;
    let path = format!("/console/w/acme/webhooks/{id}");
    assert!(text(&guest.get(&path).await).contains("name=\"late_assets\" value=\"1\">"));
    let url = url::form_urlencoded::byte_serialize(receiver.url("/hook").as_bytes()).collect::<String>();
    let page = guest.post_and_follow(&format!("{path}/change"), &format!("url={url}&late_assets=1")).await;
    assert!(text(&page).contains("name=\"late_assets\" value=\"1\" checked>"));

    let mut late = call("acme", "call-1");
    late["recording"] = Value::Null;
    let delivery = console.delivery(&late, "delivered").await;
    let assets = json!({"workspace": "acme", "recording": CALL.to_string()});
    console.api("POST", "/v1/calls/call-1/assets", &assets).await;
    receiver.wait_for(2).await;
    let list = text(&guest.get("/console/w/acme/deliveries").await);
    assert_eq!(list.matches(">Update<").count(), 1, "{list}");
    // The payload of the call is shown as it was sent: without the link.
    let sent = text(&guest.get(&format!("/console/w/acme/deliveries/{delivery}")).await);
    assert!(sent.contains("&#34;recording_url&#34;: null"), "{sent}");
    let updated =
        text(&guest.get(&format!("/console/w/acme/deliveries/{}2", delivery.trim_end_matches('1'))).await);
    assert!(
        updated.contains(">Update<") && updated.contains("&#34;event&#34;: &#34;call.updated&#34;"),
        "{updated}"
    );
}
