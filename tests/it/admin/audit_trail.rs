//! The audit trail: who did what, and nothing secret.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use webhook_assets::clock::UnixMillis;

use super::scopes::TokenSite;
use super::{TOKEN, webhooks};
use crate::support::receiver::Receiver;
use crate::support::{Answer, CALL, Plan};

const ENDPOINTS: &str = "/v1/workspaces/acme/endpoints";

/// The whole trail, newest first.
async fn trail(site: &TokenSite, query: &str) -> Vec<Value> {
    let answer = site.send(TOKEN, "GET", &format!("/v1/audit{query}"), &Value::Null).await;
    answer.json()["entries"].as_array().unwrap().clone()
}

fn actions(entries: &[Value]) -> Vec<&str> {
    entries.iter().rev().map(|entry| entry["action"].as_str().unwrap()).collect()
}

/// Sends a request of its own millisecond: entries of one have no order.
async fn act(site: &TokenSite, method: &str, path: &str, body: &Value) -> Answer {
    site.api.site.clock.advance(Duration::from_millis(10));
    site.send(TOKEN, method, path, body).await
}

async fn endpoint(site: &TokenSite, receiver: &Receiver, workspace: &str) -> String {
    let path = format!("/v1/workspaces/{workspace}/endpoints");
    let wish = json!({"url": receiver.url("/s3cret-path"), "headers": {"X-Api-Key": "s3cret-value"}});
    let added = act(site, "POST", &path, &wish).await;
    assert_eq!(added.status, 201, "{added:?}");
    added.json()["id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_change_names_its_token_and_what_was_there_before() {
    let site = TokenSite::start().await;
    let receiver = Receiver::willing().await;
    let id = endpoint(&site, &receiver, "acme").await;
    let wish = json!({"name": "crm", "scopes": ["endpoints"], "workspaces": ["acme"]});
    let made = site.send(TOKEN, "POST", "/v1/tokens", &wish).await.json();
    let token = made["token"].as_str().unwrap();
    let change = json!({
        "description": "moved",
        "state": "paused",
        "filter": {"has_recording": true},
        "headers": {"X-Api-Key": "an0ther-value"},
    });
    let path = format!("{ENDPOINTS}/{id}");
    assert_eq!(site.send(token, "PATCH", &path, &change).await.status, 200);
    let entries = trail(&site, "?action=endpoint.changed").await;
    let entry = &entries[0];
    assert_eq!(entry["actor"], json!({"kind": "token", "name": "crm"}));
    assert_eq!((&entry["workspace"], &entry["subject"]), (&json!("acme"), &json!(id)));
    assert_eq!(entry["before"]["state"], "active");
    assert_eq!(entry["after"]["state"], "paused");
    assert_eq!(
        (&entry["before"]["description"], &entry["after"]["description"]),
        (&json!(""), &json!("moved"))
    );
    assert_eq!(entry["after"]["filter"]["has_recording"], true);
    assert_eq!(entry["after"]["headers_changed"], json!(["X-Api-Key"]));
    assert!(entry["before"]["long_tail"].is_null(), "what stays the same is left out");
    let text = Value::from(trail(&site, "").await).to_string();
    for secret in ["s3cret", "an0ther", token, "whsec_"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
    assert_eq!(trail(&site, "?actor=crm").await.len(), 1);
}

/// Operations that are in no audit trail, with the reason.
const NOT_RECORDED: [(&str, &str, &str); 4] = [
    ("POST", "/v1/links", "changes nothing; each download by the link is in audit.file"),
    ("POST", "/v1/calls", "is the product's own; the history keeps it"),
    ("POST", "/v1/calls/{call_id}/assets", "is the product's own; the history keeps it"),
    ("POST", "/v1/find", "changes nothing; it is a POST to keep phone numbers out of logs"),
];

#[tokio::test]
async fn every_action_is_recorded_with_what_it_was_done_to() {
    let receiver = Receiver::willing().await;
    let plan = Plan { sender: Some(webhooks::alerting(&receiver)), ..Plan::sending().await };
    let site = TokenSite::of(plan).await;
    // A backfill has something to send: a call from before the endpoint.
    let earlier = webhooks::call("acme", "call-0");
    assert_eq!(site.send(TOKEN, "POST", "/v1/calls", &earlier).await.status, 202);
    let id = endpoint(&site, &receiver, "acme").await;
    let range = json!({"from": "2000-01-01T00:00:00Z", "to": "2200-01-01T00:00:00Z", "which": "all"});
    let since = json!({"from": "2096-10-02T00:00:00Z"});
    let reader = json!({"name": "reader", "scopes": ["read"]});
    let portal = json!({"name": "Jane Doe", "listen": true});
    let delivered = async |call: &str| {
        let accepted = site.send(TOKEN, "POST", "/v1/calls", &webhooks::call("acme", call)).await;
        assert_eq!(accepted.status, 202, "{accepted:?}");
        let path =
            format!("/v1/workspaces/acme/deliveries/{}", accepted.json()["deliveries"][0].as_str().unwrap());
        while site.send(TOKEN, "GET", &path, &Value::Null).await.json()["status"] != "delivered" {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        path
    };
    let delivery = delivered("call-1").await;
    // A recovery has something to send, whatever becomes of the resend of call-1.
    delivered("call-2").await;
    let second = json!({"url": receiver.url("/second")});
    let change = json!({"description": "changed"});
    let requests: [(&str, String, Value, &str); 16] = [
        ("POST", ENDPOINTS.to_owned(), second, "endpoint.added"),
        ("PATCH", format!("{ENDPOINTS}/{id}"), change, "endpoint.changed"),
        ("POST", format!("{delivery}/resend"), Value::Null, "delivery.resent"),
        ("POST", "/v1/alerts/test".to_owned(), Value::Null, "alerts.tested"),
        ("GET", format!("{ENDPOINTS}/{id}/secret"), Value::Null, "secret.shown"),
        ("POST", format!("{ENDPOINTS}/{id}/secret/rotate"), json!({}), "secret.rotated"),
        ("POST", format!("{ENDPOINTS}/{id}/test"), Value::Null, "endpoint.tested"),
        ("POST", format!("{ENDPOINTS}/{id}/backfill"), since, "calls.backfilled"),
        ("POST", "/v1/workspaces/acme/recover".to_owned(), range, "deliveries.recovered"),
        ("POST", "/v1/workspaces/acme/portal-links".to_owned(), portal, "portal_link.made"),
        ("POST", "/v1/tokens".to_owned(), reader, "token.made"),
        ("DELETE", "/v1/tokens/reader".to_owned(), Value::Null, "token.revoked"),
        ("DELETE", "/v1/workspaces/acme/calls/call-1".to_owned(), Value::Null, "call.erased"),
        ("DELETE", format!("/v1/assets/{CALL}"), Value::Null, "asset.erased"),
        ("DELETE", format!("{ENDPOINTS}/{id}"), Value::Null, "endpoint.removed"),
        ("DELETE", "/v1/workspaces/other".to_owned(), Value::Null, "workspace.erased"),
    ];
    let description = &site.api.description;
    let mut tried: BTreeSet<_> = requests
        .iter()
        .filter(|(method, ..)| *method != "GET")
        .map(|(method, path, ..)| (description.template(path), method.to_lowercase()))
        .collect();
    tried.extend(NOT_RECORDED.map(|(method, path, _)| (path.to_owned(), method.to_lowercase())));
    let changing = description.operations().into_iter().filter(|(_, method)| method != "get");
    assert_eq!(tried, changing.collect(), "each operation that changes something is tried here");
    let mut expected = vec!["endpoint.added"];
    for (method, path, body, action) in &requests {
        let answer = act(&site, method, path, body).await;
        assert!((200..300).contains(&answer.status), "{method} {path}: {answer:?}");
        expected.push(action);
    }
    let entries = trail(&site, "").await;
    assert_eq!(actions(&entries), expected);
    for entry in &entries {
        assert_eq!(entry["actor"], json!({"kind": "operator", "name": null}), "{entry}");
    }
    let link = entries.iter().find(|entry| entry["action"] == "portal_link.made").unwrap();
    assert_eq!(link["after"], json!({"name": "Jane Doe", "listen": true}));
    // What fails and what only reads is not recorded.
    for (method, path) in [("GET", ENDPOINTS.to_owned()), ("DELETE", format!("{ENDPOINTS}/{id}"))] {
        site.send(TOKEN, method, &path, &Value::Null).await;
    }
    assert_eq!(trail(&site, "").await.len(), expected.len());
}

#[tokio::test]
async fn a_workspace_sees_its_own_entries_page_by_page() {
    let site = TokenSite::start().await;
    let receiver = Receiver::willing().await;
    for workspace in ["acme", "other", "acme", "acme"] {
        site.api.site.clock.advance(Duration::from_secs(1));
        let path = format!("/v1/workspaces/{workspace}/portal-links");
        assert_eq!(site.send(TOKEN, "POST", &path, &json!({})).await.status, 201);
    }
    endpoint(&site, &receiver, "other").await;
    let path = "/v1/workspaces/acme/audit?limit=2";
    let first = site.send(TOKEN, "GET", path, &Value::Null).await.json();
    let next = format!("{path}&cursor={}", first["next"].as_str().unwrap());
    let second = site.send(TOKEN, "GET", &next, &Value::Null).await.json();
    let lengths = [&first, &second].map(|page| page["entries"].as_array().unwrap().len());
    assert_eq!((lengths, &second["next"]), ([2, 1], &Value::Null));
    assert!(!format!("{first}{second}").contains("other"));
    for wrong in
        ["cursor=1", "limit=201", "from=x", "which=1", "from=2096-10-02T00:00:00Z&to=2096-10-01T00:00:00Z"]
    {
        let answer = site.send(TOKEN, "GET", &format!("/v1/audit?{wrong}"), &Value::Null).await;
        assert_eq!(answer.status, 422, "{wrong}");
    }
}

#[tokio::test]
async fn an_erased_workspace_keeps_no_names_and_old_entries_end() {
    let site = TokenSite::start().await;
    let receiver = Receiver::willing().await;
    endpoint(&site, &receiver, "acme").await;
    let portal = json!({"name": "Jane Doe"});
    act(&site, "POST", "/v1/workspaces/acme/portal-links", &portal).await;
    act(&site, "DELETE", "/v1/workspaces/acme", &Value::Null).await;
    let entries = trail(&site, "").await;
    assert_eq!(actions(&entries), ["endpoint.added", "portal_link.made", "workspace.erased"]);
    assert!(!Value::from(entries.clone()).to_string().contains("Jane"));
    assert!(entries[1]["after"].is_null() && entries[2]["subject"].is_null());
    let ledger = site.api.site.sender.as_ref().unwrap().ledger();
    assert_eq!(ledger.purge_audit_trail(UnixMillis(u64::MAX >> 1)).await.unwrap(), 3);
    assert!(trail(&site, "").await.is_empty());
}
