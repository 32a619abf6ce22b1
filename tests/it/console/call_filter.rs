//! Which calls a webhook gets, chosen in its form.

use serde_json::{Value, json};

use super::{ConsoleSite, text};
use crate::support::receiver::Receiver;

#[tokio::test]
async fn a_webhook_is_added_and_changed_with_the_calls_that_it_gets() {
    let console = ConsoleSite::usual().await;
    let receiver = Receiver::willing().await;
    let guest = console.guest("acme", false).await;
    let url = format!(
        "url={}",
        url::form_urlencoded::byte_serialize(receiver.url("/hook").as_bytes()).collect::<String>()
    );
    let form = format!("{url}&anyway=1&status-missed=1&status-busy=1&direction=incoming&has_recording=false");
    let added = guest.post("/console/w/acme/webhooks/new", &form).await;
    let path = added.must("location").split('?').next().unwrap().to_owned();
    let filter = async || {
        let endpoints = console.api("GET", "/v1/workspaces/acme/endpoints", &Value::Null).await;
        endpoints["endpoints"][0]["filter"].clone()
    };
    let chosen = json!({"status": ["busy", "missed"], "direction": "incoming", "has_recording": false});
    assert_eq!(filter().await, chosen);
    let page = text(&guest.get(&path).await);
    for words in [
        "<details class=\"filter\" open>",
        "name=\"status-missed\" value=\"1\" checked",
        "<option value=\"incoming\" selected>Only incoming",
        "<option value=\"false\" selected>Only without a recording",
    ] {
        assert!(page.contains(words), "{words}: {page}");
    }
    assert!(!page.contains("name=\"status-connected\" value=\"1\" checked"));

    // A form that is refused keeps what was chosen, and changes nothing.
    let refused = guest.post(&format!("{path}/change"), "url=x&status-failed=1").await;
    assert_eq!(refused.status, 422);
    assert!(text(&refused).contains("name=\"status-failed\" value=\"1\" checked"));
    assert_eq!(filter().await, chosen);

    assert_eq!(guest.post(&format!("{path}/change"), &url).await.status, 303);
    assert_eq!(filter().await, json!({"status": null, "direction": null, "has_recording": null}));
    assert!(text(&guest.get(&path).await).contains("<details class=\"filter\"><summary>Which calls it gets"));
}
