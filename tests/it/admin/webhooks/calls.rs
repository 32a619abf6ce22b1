//! Accepting calls, and erasing them.

use serde_json::{Value, json};

use super::super::{AdminSite, JSON};
use super::{add, call, until, with, without};
use crate::support::receiver::Receiver;
use crate::support::{ABSENT, CALL};

#[tokio::test]
async fn an_accepted_call_arrives_at_every_endpoint_of_its_workspace() {
    let api = AdminSite::sending().await;
    let (first, second, other) =
        (Receiver::willing().await, Receiver::willing().await, Receiver::willing().await);
    add(&api, "acme", &first).await;
    add(&api, "acme", &second).await;
    add(&api, "other", &other).await;
    let answer = api.send("POST", "/v1/calls", &call("acme", "call-1")).await;
    assert_eq!(answer.status, 202);
    let accepted = answer.json();
    assert_eq!(accepted["deliveries"].as_array().unwrap().len(), 2);
    for receiver in [&first, &second] {
        let webhook = receiver.wait_for(1).await.remove(0);
        assert_eq!(webhook.header("webhook-id"), accepted["event"].as_str().unwrap());
        assert_eq!(webhook.json()["call"]["from_number"], "+33100000000");
    }
    assert!(other.received().is_empty());
}

#[tokio::test]
async fn the_same_call_again_is_answered_with_the_same_and_not_sent_again() {
    let api = AdminSite::sending().await;
    let receiver = Receiver::willing().await;
    add(&api, "acme", &receiver).await;
    let first = api.send("POST", "/v1/calls", &call("acme", "call-1")).await;
    let again = api.send("POST", "/v1/calls", &call("acme", "call-1")).await;
    assert_eq!((first.status, again.status), (202, 200));
    assert_eq!(first.json(), again.json());
    // The order of the fields does not matter.
    let written = call("acme", "call-1");
    let turned: serde_json::Map<String, Value> =
        written.as_object().unwrap().clone().into_iter().rev().collect();
    assert_eq!(api.send("POST", "/v1/calls", &turned.into()).await.status, 200);
    for change in
        [json!({"recording": null}), json!({"recording": ABSENT.to_string()}), json!({"list": null})]
    {
        let answer = api.send("POST", "/v1/calls", &with(&call("acme", "call-1"), &change)).await;
        assert_eq!((answer.status, answer.code().as_str()), (409, "call_id_taken"), "{change}");
    }
    // Another workspace has separate ids.
    assert_eq!(api.send("POST", "/v1/calls", &call("other", "call-1")).await.status, 202);
    until(&api, "acme", first.json()["deliveries"][0].as_str().unwrap(), "delivered").await;
    assert_eq!(receiver.received().len(), 1);
}

#[tokio::test]
async fn a_workspace_without_an_endpoint_accepts_calls_and_sends_nothing() {
    let api = AdminSite::sending().await;
    let answer = api.send("POST", "/v1/calls", &call("acme", "call-1")).await;
    assert_eq!((answer.status, &answer.json()["deliveries"]), (202, &json!([])));
}

#[tokio::test]
async fn the_call_of_the_docs_is_accepted() {
    let document = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/webhooks.md")).unwrap();
    let (_, body) = document.split_once("/v1/calls -H 'Content-Type: application/json' -d '").unwrap();
    let body = body.split('\'').next().unwrap();
    let api = AdminSite::sending().await;
    assert_eq!(api.ask("POST", "/v1/calls", &[JSON], body.as_bytes()).await.status, 202, "{body}");
}

/// A body that the listener refuses, and where its answer points.
fn bad_calls() -> Vec<(Value, &'static str)> {
    let good = call("acme", "call-1");
    let set = |pointer: &str, value: Value| {
        let mut call = good.clone();
        *call.pointer_mut(pointer).unwrap() = value;
        call
    };
    vec![
        (json!(null), ""),
        (json!([]), ""),
        (json!({}), "/workspace"),
        (with(&good, &json!({"extra": 1})), "/extra"),
        (with(&good, &json!({"a/b~": 1})), "/a~1b~0"),
        (without(&good, "/workspace"), "/workspace"),
        (set("/workspace", json!("")), "/workspace"),
        (set("/workspace", json!("a b")), "/workspace"),
        (set("/workspace", json!("a".repeat(129))), "/workspace"),
        (set("/workspace", json!(7)), "/workspace"),
        (without(&good, "/call_id"), "/call_id"),
        (set("/call_id", json!("a\nb")), "/call_id"),
        (set("/call_id", json!("\u{0}")), "/call_id"),
        (set("/call_id", json!("a\u{202e}b")), "/call_id"),
        (set("/call_id", json!(null)), "/call_id"),
        (without(&good, "/recording"), "/recording"),
        (set("/recording", json!("")), "/recording"),
        (set("/recording", json!("550e8400e29b41d4a716446655440000")), "/recording"),
        (set("/transcript", json!("x")), "/transcript"),
        (without(&good, "/transcript"), "/transcript"),
        (without(&good, "/call"), "/call"),
        (set("/call", json!(null)), "/call"),
        (set("/call/status", json!("answered")), "/call/status"),
        (set("/call/ended_at", json!("yesterday")), "/call/ended_at"),
        (set("/call/duration_seconds", json!(-1)), "/call/duration_seconds"),
        (set("/call/duration_seconds", json!("180")), "/call/duration_seconds"),
        (set("/call/from_number", json!(33)), "/call/from_number"),
        (with(&good, &json!({"user": {"name": "a", "email": "b", "id": 1}})), "/user/id"),
        (set("/user", json!(null)), "/user"),
        (without(&good, "/user/email"), "/user/email"),
        (set("/prospect", json!({"name": "x"})), "/prospect/name"),
        (set("/prospect/email", json!(7)), "/prospect/email"),
        (set("/list", json!({})), "/list/list_name"),
    ]
}

#[tokio::test]
async fn an_invalid_call_is_422_and_the_answer_points_to_the_field() {
    let api = AdminSite::sending().await;
    for (call, pointer) in bad_calls() {
        let answer = api.send("POST", "/v1/calls", &call).await;
        assert_eq!((answer.status, answer.code().as_str()), (422, "invalid_request"), "{call}");
        assert_eq!(answer.json()["pointer"], pointer, "{call}");
    }
}

#[tokio::test]
async fn a_call_is_accepted_exactly_if_it_is_as_described() {
    let api = AdminSite::sending().await;
    let good = call("acme", "call-1");
    let mut calls: Vec<Value> = bad_calls().into_iter().map(|(call, _)| call).collect();
    calls.extend([
        good.clone(),
        without(&good, "/prospect"),
        without(&good, "/list"),
        without(&good, "/call/summary"),
        with(&good, &json!({"prospect": null, "list": null, "recording": null, "transcript": null})),
        with(&good, &json!({"prospect": {}})),
        with(&good, &json!({"prospect": {"email": null}})),
        with(&good, &json!({"workspace": "Ärzte/42", "call_id": "a".repeat(128)})),
    ]);
    for (number, call) in calls.iter().enumerate() {
        // Each good body is another call.
        let mut call = call.clone();
        if call["call_id"] == "call-1" {
            call["call_id"] = format!("call-{number}").into();
        }
        let answer = api.send("POST", "/v1/calls", &call).await;
        let described = api.description.accepts("POST", "/v1/calls", &call);
        assert_eq!(answer.status == 202, described, "{} for {call}", answer.status);
    }
}

#[tokio::test]
async fn a_call_may_have_a_mebibyte_and_no_more() {
    let api = AdminSite::sending().await;
    let mut call = call("acme", "call-1");
    let room = (1 << 20) - call.to_string().len();
    let summary = call["call"]["summary"].as_str().unwrap().to_owned() + &"x".repeat(room);
    call["call"]["summary"] = summary.into();
    assert_eq!(api.send("POST", "/v1/calls", &call).await.status, 202);
    let text = call.to_string() + " ";
    assert_eq!(api.ask("POST", "/v1/calls", &[JSON], text.as_bytes()).await.status, 413);
}

#[tokio::test]
async fn a_call_is_erased_with_its_history_and_a_workspace_with_everything() {
    let api = AdminSite::sending().await;
    let receiver = Receiver::willing().await;
    add(&api, "acme", &receiver).await;
    let id = "call 1/2".replace(' ', "-");
    let accepted = api.send("POST", "/v1/calls", &call("acme", &id)).await.json();
    let delivery = accepted["deliveries"][0].as_str().unwrap().to_owned();
    until(&api, "acme", &delivery, "delivered").await;
    let path = "/v1/workspaces/acme/calls/call-1%2F2";
    assert_eq!(api.ask("DELETE", &path.replace("acme", "other"), &[], b"").await.status, 404);
    assert_eq!(api.ask("DELETE", path, &[], b"").await.status, 204);
    assert_eq!(api.ask("DELETE", path, &[], b"").await.status, 404);
    assert_eq!(api.get(&format!("/v1/workspaces/acme/deliveries/{delivery}")).await.status, 404);
    for number in 0..3 {
        api.send("POST", "/v1/calls", &call("acme", &number.to_string())).await;
    }
    let answer = api.ask("DELETE", "/v1/workspaces/acme", &[], b"").await;
    assert_eq!((answer.status, answer.json()), (200, json!({"events": 3})));
    assert_eq!(api.get("/v1/workspaces/acme/endpoints").await.json(), json!({"endpoints": []}));
}

#[tokio::test]
async fn an_invalid_name_in_the_path_is_404() {
    let api = AdminSite::sending().await;
    for name in ["%", "%zz", "%ff", "%00", "%20", "a%0Ab", &"a".repeat(129)] {
        for path in
            [format!("/v1/workspaces/{name}/endpoints"), format!("/v1/workspaces/acme/endpoints/{name}")]
        {
            let answer = api.get(&path).await;
            assert_eq!((answer.status, answer.code().as_str()), (404, "not_found"), "{path}");
        }
    }
}

#[tokio::test]
async fn an_asset_that_has_arrived_later_is_reported_to_endpoints_that_want_it() {
    let api = AdminSite::sending().await;
    let receiver = Receiver::willing().await;
    let endpoints = "/v1/workspaces/acme/endpoints";
    let endpoint = json!({"url": receiver.url("/hook"), "late_assets": true});
    let added = api.send("POST", endpoints, &endpoint).await;
    assert_eq!((added.status, &added.json()["late_assets"]), (201, &json!(true)));
    let late = with(&call("acme", "call/1"), &json!({"recording": null}));
    let accepted = api.send("POST", "/v1/calls", &late).await.json();
    until(&api, "acme", accepted["deliveries"][0].as_str().unwrap(), "delivered").await;

    let path = "/v1/calls/call%2F1/assets";
    let say = async |recording: Value| {
        let body = json!({"workspace": "acme", "recording": recording, "transcript": null});
        api.send("POST", path, &body).await
    };
    let refused = say(json!(ABSENT.to_string())).await;
    assert_eq!((refused.status, refused.code().as_str()), (409, "not_in_store"));
    assert_eq!(refused.json()["pointer"], "/recording");
    let reported = say(json!(CALL.to_string())).await;
    assert_eq!(reported.status, 202);
    let delivery = reported.json()["deliveries"][0].as_str().unwrap().to_owned();
    let shown = until(&api, "acme", &delivery, "delivered").await;
    assert_eq!((&shown["event_type"], &shown["call_id"]), (&json!("call.updated"), &json!("call/1")));
    let body = receiver.wait_for(2).await[1].json();
    assert_eq!((&body["event"], &body["id"]), (&json!("call.updated"), &shown["event"]));
    assert!(body["call"]["recording_url"].is_string());

    let again = say(json!(CALL.to_string())).await;
    assert_eq!((again.status, again.json()), (200, json!({"deliveries": []})));
    let other = json!({"workspace": "acme", "transcript": CALL.to_string(), "recording": CALL.to_string()});
    assert_eq!(api.send("POST", path, &other).await.status, 200);
    for (body, pointer) in [
        (json!({"workspace": "acme"}), ""),
        (json!({"workspace": "acme", "recording": null}), ""),
        (json!({"workspace": "acme", "recording": "x"}), "/recording"),
        (json!({"recording": CALL.to_string()}), "/workspace"),
    ] {
        let answer = api.send("POST", path, &body).await;
        assert_eq!((answer.status, &answer.json()["pointer"]), (422, &json!(pointer)), "{body}");
    }
    let unknown = json!({"workspace": "other", "recording": CALL.to_string()});
    let answer = api.send("POST", path, &unknown).await;
    assert_eq!((answer.status, answer.code().as_str()), (404, "not_found"));

    let id = added.json()["id"].as_str().unwrap().to_owned();
    let changed = api.send("PATCH", &format!("{endpoints}/{id}"), &json!({"late_assets": false})).await;
    assert_eq!(changed.json()["late_assets"], false);
}
