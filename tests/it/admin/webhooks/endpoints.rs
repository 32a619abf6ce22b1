//! Endpoints and their secrets.

use std::time::Duration;

use serde_json::{Value, json};
use webhook_assets::clock::UnixMillis;
use webhook_assets::ledger::{MAX_TESTS_PER_ENDPOINT, MAX_TESTS_PER_WORKSPACE};
use webhook_assets::webhook::{WebhookSecret, verify_plain};

use super::super::AdminSite;
use super::{add, call, until};
use crate::support::receiver::{Reaction, Receiver};
use crate::support::{DAY, NOW};

const ENDPOINTS: &str = "/v1/workspaces/acme/endpoints";

fn path_of(endpoint: &Value) -> String {
    format!("{ENDPOINTS}/{}", endpoint["id"].as_str().unwrap())
}

#[tokio::test]
async fn an_endpoint_is_added_with_a_secret_that_signs() {
    let api = AdminSite::sending().await;
    let receiver = Receiver::willing().await;
    let wish = json!({
        "url": receiver.url("/hook"), "description": "Zapier", "long_tail": true, "concurrency": 5, "per_second": 10,
    });
    let added = api.send("POST", ENDPOINTS, &wish).await;
    assert_eq!(added.status, 201);
    let mut added = added.json();
    let secret = added.as_object_mut().unwrap().remove("secret").unwrap();
    for (name, value) in wish.as_object().unwrap() {
        assert_eq!(&added[name], value, "{name}");
    }
    assert_eq!((&added["state"], &added["reason"]), (&json!("active"), &Value::Null));
    assert_eq!(api.get(&path_of(&added)).await.json(), added);
    assert_eq!(api.get(ENDPOINTS).await.json(), json!({"endpoints": [added]}));

    api.send("POST", "/v1/calls", &call("acme", "call-1")).await;
    let webhook = receiver.wait_for(1).await.remove(0);
    let secret = WebhookSecret::parse(secret.as_str().unwrap()).unwrap();
    assert!(verify_plain(&secret, &webhook.body, webhook.header("x-webhook-signature")));
}

#[tokio::test]
async fn a_url_that_another_endpoint_has_is_taken_only_on_request() {
    let api = AdminSite::sending().await;
    let receiver = Receiver::willing().await;
    let first = add(&api, "acme", &receiver).await;
    add(&api, "other", &receiver).await;
    let wish = json!({"url": first["url"], "description": "again"});
    for _ in 0..2 {
        let refused = api.send("POST", ENDPOINTS, &wish).await;
        assert_eq!((refused.status, refused.code().as_str()), (409, "duplicate_url"));
        let problem = refused.json();
        assert_eq!((&problem["endpoint"], &problem["pointer"]), (&first["id"], &json!("/url")));
        assert!(problem["detail"].as_str().unwrap().contains("\"allow_duplicate\": true"), "{problem}");
    }
    let second = api.send("POST", ENDPOINTS, &json!({"url": receiver.url("/other")})).await.json();
    let moved = api.send("PATCH", &path_of(&second), &json!({"url": first["url"]})).await;
    assert_eq!((moved.status, moved.json()["endpoint"].clone()), (409, first["id"].clone()));

    // Its own URL is no duplicate, and neither is that of a removed endpoint.
    let same = api.send("PATCH", &path_of(&second), &json!({"url": second["url"]})).await;
    assert_eq!(same.status, 200);
    let allowed = json!({"url": first["url"], "allow_duplicate": true});
    assert_eq!(api.send("PATCH", &path_of(&second), &allowed).await.status, 200);
    let third = api.send("POST", ENDPOINTS, &allowed).await;
    assert_eq!(third.status, 201);
    for endpoint in [&first, &second, &third.json()] {
        api.ask("DELETE", &path_of(endpoint), &[], b"").await;
    }
    assert_eq!(api.send("POST", ENDPOINTS, &wish).await.status, 201);
}

/// The answer says what is wrong with an endpoint's URL.
#[tokio::test]
async fn a_url_that_the_sender_would_not_use_is_refused_with_the_reason() {
    let api = AdminSite::sending().await;
    let receiver = Receiver::willing().await;
    let endpoint = add(&api, "acme", &receiver).await;
    for (url, words) in [
        ("hooks.example.com/x", "https://"),
        ("https://10.0.0.1/", "10.0.0.1"),
        ("ftp://hooks.example.com/", "https://"),
        ("https://user:secret@hooks.example.com/", "password"),
        ("", "https://"),
        ("https://hooks.example.com/a/\u{200b}", "character 29 of the URL is invisible (U+200B): delete it"),
        ("https://hooks.example.com/\u{2066}a", "U+2066"),
        ("https://hooks.example.com/\u{a0}a", "a space or a line break"),
        ("https://hooks.example.com/a?b=1&amp;c=2", "&amp;"),
    ] {
        for (method, path) in [("POST", ENDPOINTS.to_owned()), ("PATCH", path_of(&endpoint))] {
            let answer = api.send(method, &path, &json!({"url": url})).await;
            assert_eq!((answer.status, answer.code().as_str()), (422, "url_refused"), "{url}");
            assert_eq!(answer.json()["pointer"], "/url");
            let detail = answer.json()["detail"].as_str().unwrap().to_owned();
            assert!(detail.contains(words), "{url}: {detail}");
        }
    }
    assert_eq!(api.get(ENDPOINTS).await.json()["endpoints"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn an_endpoint_is_accepted_exactly_if_it_is_as_described() {
    let api = AdminSite::sending().await;
    let receiver = Receiver::willing().await;
    let path = path_of(&add(&api, "acme", &receiver).await);
    let fields = [
        (
            "description",
            vec![
                json!(""),
                json!("é".repeat(500)),
                json!("x".repeat(501)),
                json!("a\nb"),
                json!(null),
                json!(1),
            ],
        ),
        ("long_tail", vec![json!(true), json!(false), json!(null), json!(1), json!("true")]),
        (
            "concurrency",
            vec![
                json!(1),
                json!(1_000),
                json!(0),
                json!(1_001),
                json!(1.5),
                json!(16.0),
                json!(null),
                json!("1"),
            ],
        ),
        (
            "per_second",
            vec![
                json!(1),
                json!(1_000),
                json!(0),
                json!(1_001),
                json!(null),
                json!(5.0),
                json!(-1),
                json!("1"),
            ],
        ),
        ("filter", filters()),
        ("allow_duplicate", vec![json!(true), json!(null), json!(1)]),
        ("headers", headers()),
        ("state", vec![json!("active"), json!("paused"), json!("disabled"), json!("Active"), json!(null)]),
        ("url", vec![json!(null), json!(7)]),
        ("secret", vec![json!("whsec_x")]),
        ("id", vec![json!("ep_1")]),
    ];
    for (name, values) in fields {
        for value in values {
            let mut change = json!({});
            change[name] = value.clone();
            let answer = api.send("PATCH", &path, &change).await;
            let described = api.description.accepts("PATCH", &path, &change);
            assert_eq!(answer.status == 200, described, "PATCH {change}: {}", answer.status);
            if answer.status == 422 {
                assert_eq!(answer.json()["pointer"], format!("/{name}"));
            }
            let mut wish = json!({"url": receiver.url("/hook"), "allow_duplicate": true});
            wish[name] = value;
            let answer = api.send("POST", ENDPOINTS, &wish).await;
            let described = api.description.accepts("POST", ENDPOINTS, &wish);
            assert_eq!(answer.status == 201, described, "POST {wish}: {}", answer.status);
        }
    }
    assert_eq!(api.send("POST", ENDPOINTS, &json!({})).await.json()["pointer"], "/url");
}

fn filters() -> Vec<Value> {
    vec![
        json!(null),
        json!({}),
        json!({"status": ["missed"], "direction": "incoming", "has_recording": true}),
        json!({"status": null, "direction": null, "has_recording": null}),
        json!([]),
        json!("missed"),
    ]
}

fn headers() -> Vec<Value> {
    let set = |name: &str, value: Value| json!({(name): value});
    vec![
        json!({}),
        json!({"Authorization": "Bearer abc", "X-API-Key": null}),
        set("X-API-Key", json!("")),
        set("X-API-Key", json!("a\nb")),
        set("X-API-Key", json!("é")),
        set("X-API-Key", json!("x".repeat(4_097))),
        set("X-API-Key", json!(1)),
        set("X-API-Key", json!(false)),
        set("X API", json!("k")),
        set("", json!("k")),
        json!(null),
        json!(["X-API-Key"]),
        json!("X-API-Key: k"),
    ]
}

#[tokio::test]
async fn a_change_leaves_the_other_fields_as_they_were() {
    let api = AdminSite::sending().await;
    let added = add(&api, "acme", &Receiver::willing().await).await;
    let path = path_of(&added);
    let changed = api.send("PATCH", &path, &json!({"per_second": 7, "state": "paused"})).await.json();
    assert_eq!((&changed["per_second"], &changed["state"]), (&json!(7), &json!("paused")));
    assert_eq!((&changed["url"], &changed["concurrency"]), (&added["url"], &Value::Null));
    assert_eq!(changed["reason"], "paused by hand");
    assert_eq!(api.send("PATCH", &path, &json!({})).await.json(), changed);
    let changed = api.send("PATCH", &path, &json!({"per_second": null})).await.json();
    assert_eq!(changed["per_second"], Value::Null);
    assert_eq!(api.get(&path).await.json(), changed);
    let limited = api.send("PATCH", &path, &json!({"concurrency": 3})).await.json();
    assert_eq!(limited["concurrency"], 3);
    assert_eq!(api.send("PATCH", &path, &json!({"concurrency": null})).await.json(), changed);
}

#[tokio::test]
async fn an_endpoint_gets_the_calls_of_its_filter() {
    let api = AdminSite::sending().await;
    let receiver = Receiver::willing().await;
    let path = path_of(&add(&api, "acme", &receiver).await);
    let all = json!({"status": null, "direction": null, "has_recording": null});
    assert_eq!(api.get(&path).await.json()["filter"], all);
    let filter = json!({"status": ["busy", "connected"], "direction": "outgoing", "has_recording": null});
    let changed = api.send("PATCH", &path, &json!({"filter": filter})).await.json();
    let shown = json!({"status": ["connected", "busy"], "direction": "outgoing", "has_recording": null});
    assert_eq!(changed["filter"], shown);
    assert_eq!(api.get(&path).await.json()["filter"], shown);
    assert_eq!(api.send("PATCH", &path, &json!({"per_second": 7})).await.json()["filter"], shown);

    let deliveries = async |id: &str, status: &str| {
        let mut call = call("acme", id);
        call["call"]["status"] = status.into();
        let accepted = api.send("POST", "/v1/calls", &call).await;
        assert_eq!(accepted.status, 202, "{status}");
        accepted.json()["deliveries"].as_array().unwrap().len()
    };
    assert_eq!(deliveries("call-1", "missed").await, 0);
    assert_eq!(deliveries("call-2", "connected").await, 1);
    api.send("PATCH", &path, &json!({"filter": null})).await;
    assert_eq!(deliveries("call-3", "missed").await, 1);

    for (filter, pointer) in [
        (json!({"status": []}), "/filter/status"),
        (json!({"status": "missed"}), "/filter/status"),
        (json!({"status": ["lost"]}), "/filter/status"),
        (json!({"direction": "up"}), "/filter/direction"),
        (json!({"has_recording": "true"}), "/filter/has_recording"),
        (json!({"recording": true}), "/filter/recording"),
        (json!(true), "/filter"),
    ] {
        let change = json!({"filter": filter});
        let answer = api.send("PATCH", &path, &change).await;
        assert_eq!((answer.status, &answer.json()["pointer"]), (422, &json!(pointer)), "{change}");
        assert!(!api.description.accepts("PATCH", &path, &change), "{change}");
    }
}

#[tokio::test]
async fn pending_deliveries_of_a_paused_endpoint_arrive_when_it_is_resumed() {
    let api = AdminSite::sending().await;
    let receiver = Receiver::willing().await;
    let path = path_of(&add(&api, "acme", &receiver).await);
    api.send("PATCH", &path, &json!({"state": "paused"})).await;
    let accepted = api.send("POST", "/v1/calls", &call("acme", "call-1")).await.json();
    let delivery = accepted["deliveries"][0].as_str().unwrap();
    until(&api, "acme", delivery, "queued").await;
    assert!(receiver.received().is_empty());
    api.send("PATCH", &path, &json!({"state": "active"})).await;
    until(&api, "acme", delivery, "delivered").await;
}

#[tokio::test]
async fn a_removed_endpoint_is_gone() {
    let api = AdminSite::sending().await;
    let path = path_of(&add(&api, "acme", &Receiver::willing().await).await);
    assert_eq!(api.ask("DELETE", &path, &[], b"").await.status, 204);
    for (method, path) in [
        ("DELETE", path.clone()),
        ("GET", path.clone()),
        ("GET", format!("{path}/secret")),
        ("POST", format!("{path}/test")),
        ("POST", format!("{path}/secret/rotate")),
    ] {
        assert_eq!(api.ask(method, &path, &[], b"").await.status, 404, "{method} {path}");
    }
    assert_eq!(api.send("PATCH", &path, &json!({"state": "active"})).await.status, 404);
    assert_eq!(api.get(ENDPOINTS).await.json(), json!({"endpoints": []}));
}

#[tokio::test]
async fn an_endpoint_of_another_workspace_is_404() {
    let api = AdminSite::sending().await;
    let endpoint = add(&api, "acme", &Receiver::willing().await).await;
    let path = path_of(&endpoint).replace("acme", "other");
    for (method, path) in [
        ("GET", path.clone()),
        ("DELETE", path.clone()),
        ("GET", format!("{path}/secret")),
        ("POST", format!("{path}/test")),
        ("POST", format!("{path}/secret/rotate")),
    ] {
        let answer = api.ask(method, &path, &[], b"").await;
        assert_eq!((answer.status, answer.code().as_str()), (404, "not_found"), "{method} {path}");
        assert!(!String::from_utf8(answer.body).unwrap().contains("whsec_"));
    }
    assert_eq!(api.send("PATCH", &path, &json!({"state": "paused"})).await.status, 404);
    assert_eq!(api.get(&path_of(&endpoint)).await.json()["state"], "active");
}

#[tokio::test]
async fn a_secret_is_rotated_with_an_overlap() {
    let api = AdminSite::sending().await;
    let added = add(&api, "acme", &Receiver::willing().await).await;
    let secret = format!("{}/secret", path_of(&added));
    let rotate = format!("{secret}/rotate");
    assert_eq!(api.get(&secret).await.json(), json!({"secret": added["secret"]}));
    let until = |overlap: u64| UnixMillis::from(NOW.plus(Duration::from_secs(overlap))).to_string();

    let rotated = api.send("POST", &rotate, &json!({"overlap": 60})).await.json();
    assert_ne!(rotated["secret"], added["secret"]);
    assert_eq!(rotated["previous_until"], until(60));
    let previous = json!({"secret": added["secret"], "until": until(60)});
    assert_eq!(api.get(&secret).await.json(), json!({"secret": rotated["secret"], "previous": previous}));
    api.site.clock.advance(Duration::from_secs(60));
    assert_eq!(api.get(&secret).await.json(), json!({"secret": rotated["secret"]}));

    // Without a body the overlap is a day.
    let rotated = api.ask("POST", &rotate, &[], b"").await.json();
    assert_eq!(rotated["previous_until"], until(60 + DAY.as_secs()));
    for overlap in [json!(0), json!(604_800), json!(604_801), json!(-1), json!(1.5), json!("60"), json!(null)]
    {
        let wish = json!({"overlap": overlap});
        let answer = api.send("POST", &rotate, &wish).await;
        assert_eq!(answer.status == 200, api.description.accepts("POST", &rotate, &wish), "{wish}");
    }
    assert_eq!(api.send("POST", &rotate, &json!({"until": 1})).await.json()["pointer"], "/until");
}

#[tokio::test]
async fn a_test_event_goes_to_the_one_endpoint() {
    let api = AdminSite::sending().await;
    let (receiver, other) = (Receiver::willing().await, Receiver::willing().await);
    let endpoint = add(&api, "acme", &receiver).await;
    add(&api, "acme", &other).await;
    let answer = api.ask("POST", &format!("{}/test", path_of(&endpoint)), &[], b"").await;
    assert_eq!(answer.status, 202);
    let webhook = receiver.wait_for(1).await.remove(0);
    assert_eq!(webhook.json()["test"], true);
    assert_eq!(webhook.header("webhook-id"), answer.json()["event"].as_str().unwrap());
    until(&api, "acme", answer.json()["deliveries"][0].as_str().unwrap(), "delivered").await;
    assert!(other.received().is_empty());
}

#[tokio::test]
async fn a_notice_says_that_an_endpoint_was_disabled_and_why() {
    let api = AdminSite::sending().await;
    let receiver = Receiver::start(|_, _| Reaction::Answer(500, "no")).await;
    let endpoint = add(&api, "acme", &receiver).await;
    let id = endpoint["id"].as_str().unwrap();
    let ledger = api.site.sender.as_ref().unwrap().ledger().clone();
    let now = api.site.sender.as_ref().unwrap().now();
    assert!(ledger.disable_endpoint(id, 0, "every attempt failed for 5 days", now).await.unwrap());
    let notices = api.get("/v1/workspaces/acme/notices").await.json();
    let notice = &notices["notices"][0];
    assert_eq!((&notice["endpoint"], &notice["what"]), (&endpoint["id"], &json!("endpoint.disabled")));
    assert_eq!(notice["reason"], "every attempt failed for 5 days");
    assert_eq!(notice["at"], now.to_string());
    assert_eq!(api.get("/v1/workspaces/other/notices").await.json(), json!({"notices": []}));
}

#[tokio::test]
async fn test_events_have_a_limit_and_the_answer_says_when_the_next_is_accepted() {
    let api = AdminSite::sending().await;
    let receiver = Receiver::willing().await;
    let path = format!("{}/test", path_of(&add(&api, "acme", &receiver).await));
    for _ in 0..MAX_TESTS_PER_ENDPOINT {
        assert_eq!(api.ask("POST", &path, &[], b"").await.status, 202);
    }
    let refused = api.ask("POST", &path, &[], b"").await;
    assert_eq!((refused.status, refused.code().as_str()), (429, "too_many_tests"));
    assert_eq!(refused.must("retry-after"), "60");
    let detail = refused.json()["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("10 test events a minute") && detail.contains("60 s"), "{detail}");
    // Another endpoint has another limit, until the workspace reaches its limit; another workspace is not affected.
    for _ in 1..MAX_TESTS_PER_WORKSPACE / MAX_TESTS_PER_ENDPOINT {
        let other = format!("{}/test", path_of(&add(&api, "acme", &receiver).await));
        for _ in 0..MAX_TESTS_PER_ENDPOINT {
            assert_eq!(api.ask("POST", &other, &[], b"").await.status, 202);
        }
    }
    let other = format!("{}/test", path_of(&add(&api, "acme", &receiver).await));
    assert_eq!(api.ask("POST", &other, &[], b"").await.status, 429);
    let elsewhere = add(&api, "other", &receiver).await;
    let elsewhere = format!("/v1/workspaces/other/endpoints/{}/test", elsewhere["id"].as_str().unwrap());
    assert_eq!(api.ask("POST", &elsewhere, &[], b"").await.status, 202);
    api.site.clock.advance(Duration::from_secs(60));
    assert_eq!(api.ask("POST", &path, &[], b"").await.status, 202);
}
