//! Custom header fields of endpoints: a value goes in, and none comes out.

use serde_json::{Value, json};

use super::super::AdminSite;
use super::call;
use crate::support::receiver::Receiver;

const ENDPOINTS: &str = "/v1/workspaces/acme/endpoints";

#[tokio::test]
async fn headers_are_set_with_values_and_shown_without_them() {
    let api = AdminSite::sending().await;
    let receiver = Receiver::willing().await;
    let wish = json!({
        "url": receiver.url("/hook"), "headers": {"X-API-Key": "v4lue-one"},
        "basic_auth": {"username": "acme", "password": "v4lue-two"},
    });
    let added = api.send("POST", ENDPOINTS, &wish).await;
    assert_eq!(added.status, 201, "{added:?}");
    let path = format!("{ENDPOINTS}/{}", added.json()["id"].as_str().unwrap());
    let set = json!({"Authorization": true, "X-API-Key": true});
    assert_eq!(added.json()["headers"], set);
    api.send("POST", "/v1/calls", &call("acme", "call-1")).await;
    let webhook = receiver.wait_for(1).await.remove(0);
    assert_eq!(webhook.header("x-api-key"), "v4lue-one");
    assert_eq!(webhook.header("authorization"), "Basic YWNtZTp2NGx1ZS10d28=");

    // What a response says can be sent back: it changes nothing.
    let shown = api.get(&path).await.json()["headers"].clone();
    let kept = api.send("PATCH", &path, &json!({"headers": shown, "description": "CRM"})).await;
    assert_eq!((kept.status, &kept.json()["headers"]), (200, &set));
    let changed =
        api.send("PATCH", &path, &json!({"headers": {"x-api-key": null, "X-Other": "v4lue-3"}})).await;
    assert_eq!(changed.json()["headers"], json!({"Authorization": true, "X-Other": true}));
    let other = api.send("PATCH", &path, &json!({"url": receiver.url("/other")})).await;
    assert_eq!(other.json()["headers"], json!({}));

    let mut shown = format!("{added:?}{kept:?}{changed:?}{other:?}");
    for path in [ENDPOINTS, &path, "/v1/workspaces/acme/deliveries", "/v1/workspaces/acme/notices"] {
        shown += &api.get(path).await.json().to_string();
    }
    assert!(!shown.contains("v4lue") && !shown.contains("YWNtZT"), "{shown}");
}

#[tokio::test]
async fn a_header_is_refused_by_its_name_in_words_and_without_its_value() {
    let api = AdminSite::sending().await;
    let receiver = Receiver::willing().await;
    let added = api.send("POST", ENDPOINTS, &json!({"url": receiver.url("/hook")})).await.json();
    let path = format!("{ENDPOINTS}/{}", added["id"].as_str().unwrap());
    let many: Value = (0..17).map(|number| (format!("X-{number}"), json!("v4lue"))).collect();
    let rows = [
        (
            json!({"headers": {"Content-Type": "v4lue"}}),
            "the header Content-Type is set by the sender itself",
        ),
        (json!({"headers": {"X-Webhook-Signature": "v4lue"}}), "the header X-Webhook-Signature is set"),
        (json!({"headers": {"Authorization: v4lue": "x"}}), "its value has a field apart"),
        (json!({"headers": {"X-Key": "v4lue\r\nHost: x"}}), "the value of the header X-Key takes ASCII"),
        (json!({"headers": {"X-Key": "a", "x-key": "b"}}), "stands twice"),
        (
            json!({"headers": {"Authorization": "v4lue"}, "basic_auth": {"username": "a", "password": "b"}}),
            "twice",
        ),
        (json!({"basic_auth": {"username": "a:b", "password": "v4lue"}}), "without colons"),
        (json!({"headers": {"X-Key": true}}), "has no value to keep"),
        (json!({"headers": many}), "at most 16 headers"),
    ];
    for (change, words) in rows {
        let answer = api.send("PATCH", &path, &change).await;
        assert_eq!((answer.status, answer.code().as_str()), (422, "header_refused"), "{change}");
        let problem = answer.json();
        assert_eq!(problem["pointer"], "/headers");
        assert!(problem["detail"].as_str().unwrap().contains(words), "{problem}");
        assert!(!problem.to_string().contains("v4lue"), "{problem}");
    }
    assert_eq!(api.get(&path).await.json(), {
        let mut added = added.clone();
        added.as_object_mut().unwrap().remove("secret");
        added
    });
}
