//! The webhook sender's API: calls, endpoints, secrets, the delivery history.

mod calls;
mod endpoints;
mod headers;
mod history;

use std::time::Duration;

use serde_json::{Value, json};
use sqlx::Connection;
use webhook_assets::ledger::DatabaseUrl;
use webhook_assets::sender;
use webhook_assets::webhook::{AlertFormat, CompletedCall, WebhookSecret};

use super::AdminSite;
use crate::support::receiver::{Reaction, Receiver};
use crate::support::webhooks::alerts_to;
use crate::support::{CALL, Site, sending, waiting};

/// The body that hands in the sample call.
pub fn call(workspace: &str, id: &str) -> Value {
    let mut call = serde_json::to_value(CompletedCall::sample()).unwrap();
    call["workspace"] = workspace.into();
    call["call_id"] = id.into();
    call["recording"] = CALL.to_string().into();
    call["transcript"] = CALL.to_string().into();
    call
}

/// A body with some of its fields replaced.
pub fn with(body: &Value, fields: &Value) -> Value {
    let mut body = body.clone();
    for (name, value) in fields.as_object().unwrap() {
        body[name] = value.clone();
    }
    body
}

/// A body without one of its fields.
fn without(body: &Value, pointer: &str) -> Value {
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let mut body = body.clone();
    body.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(name).unwrap();
    body
}

/// Waits until a delivery is in this state.
pub async fn until(api: &AdminSite, workspace: &str, delivery: &str, status: &str) -> Value {
    let path = format!("/v1/workspaces/{workspace}/deliveries/{delivery}");
    let is_so = async || Some(api.get(&path).await.json()).filter(|shown| shown["status"] == status);
    waiting::until(is_so, || format!("{delivery} is not {status}")).await
}

/// The id of a delivery that is pending its next attempt.
pub async fn waiting_delivery(api: &AdminSite) -> String {
    let receiver = Receiver::start(|_, _| Reaction::Answer(500, "no")).await;
    // Deliveries are listed in the order in which their endpoints were added.
    api.site.clock.advance(Duration::from_secs(1));
    add(api, "acme", &receiver).await;
    let accepted = api.send("POST", "/v1/calls", &call("acme", "waits")).await.json();
    let ids: Vec<&str> =
        accepted["deliveries"].as_array().unwrap().iter().map(|id| id.as_str().unwrap()).collect();
    let id = ids.last().unwrap().to_string();
    until(api, "acme", &id, "waiting").await;
    id
}

/// The id of an endpoint that has failed for too long.
pub async fn disabled_endpoint(api: &AdminSite) -> String {
    let added = add(api, "acme", &Receiver::willing().await).await;
    let (sender, id) = (api.site.sender.as_ref().unwrap(), added["id"].as_str().unwrap());
    assert!(sender.ledger().disable_endpoint(id, 0, "it failed", sender.now()).await.unwrap());
    id.to_owned()
}

/// Settings of a sender whose operator gets alerts there.
pub fn alerting(receiver: &Receiver) -> sender::Config {
    let secret = Some(WebhookSecret::generate().unwrap());
    let alerts = alerts_to(&receiver.url("/alerts"), AlertFormat::Json, secret);
    sender::Config { alerts: Some(alerts), ..sending() }
}

/// Adds an endpoint for a receiver.
async fn add(api: &AdminSite, workspace: &str, receiver: &Receiver) -> Value {
    let path = format!("/v1/workspaces/{workspace}/endpoints");
    let wish = json!({"url": receiver.url("/hook"), "allow_duplicate": true});
    let answer = api.send("POST", &path, &wish).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.json()
}

/// Makes the site's database refuse everything from now on.
pub async fn drop_tables(site: &Site) {
    match site.database.as_ref().unwrap() {
        DatabaseUrl::Sqlite(path) => {
            let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path).foreign_keys(false);
            let mut connection = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
            sqlx::raw_sql(DROP).execute(&mut connection).await.unwrap();
        }
        DatabaseUrl::Postgres(url) => {
            let mut connection = sqlx::PgConnection::connect(url).await.unwrap();
            sqlx::raw_sql(DROP).execute(&mut connection).await.unwrap();
        }
    }
}

const DROP: &str = "DROP TABLE audit_trail; DROP TABLE alerts; DROP TABLE notices; DROP TABLE attempts; DROP TABLE deliveries; DROP TABLE events; DROP TABLE endpoints";

/// A cross-origin request without a body, which a web page can send without a preflight.
#[tokio::test]
async fn a_web_page_cannot_send_requests_without_a_body() {
    let api = AdminSite::sending().await;
    let receiver = Receiver::willing().await;
    let endpoint = add(&api, "acme", &receiver).await;
    let id = endpoint["id"].as_str().unwrap();
    for path in [
        format!("/v1/workspaces/acme/endpoints/{id}/test"),
        format!("/v1/workspaces/acme/endpoints/{id}/secret/rotate"),
        "/v1/workspaces/acme/deliveries/dlv_1/resend".to_owned(),
    ] {
        let answer = api.ask("POST", &path, &[("Origin", "https://evil.example")], b"").await;
        assert_eq!((answer.status, answer.code().as_str()), (403, "origin_not_allowed"), "{path}");
    }
    let plain = [("Content-Type", "text/plain")];
    let rotate = format!("/v1/workspaces/acme/endpoints/{id}/secret/rotate");
    assert_eq!(api.ask("POST", &rotate, &plain, b"{}").await.status, 415);
}

#[tokio::test]
async fn a_process_that_does_not_send_says_so() {
    let api = AdminSite::usual().await;
    let answer = api.send("POST", "/v1/calls", &call("acme", "call-1")).await;
    assert_eq!((answer.status, answer.code().as_str()), (404, "no_sender"));
    assert!(answer.json()["detail"].as_str().unwrap().contains("--only gateway"));
    assert_eq!(api.get("/readyz").await.json().get("webhooks"), None);
}

#[tokio::test]
async fn readiness_reports_the_webhooks_database_and_links_do_not_need_it() {
    let api = AdminSite::sending().await;
    let answer = api.get("/readyz").await;
    assert_eq!((answer.status, &answer.json()["webhooks"]), (200, &json!("ok")));
    let api = AdminSite::sending().await;
    api.site.sender.as_ref().unwrap().ledger().close().await;
    let answer = api.get("/readyz").await;
    assert_eq!((answer.status, &answer.json()["status"]), (200, &json!("ready")));
    assert_eq!(answer.json()["webhooks"], "their database does not answer");
}

#[tokio::test]
async fn calls_are_refused_with_retry_after_while_the_database_does_not_answer() {
    let api = AdminSite::sending().await;
    api.site.sender.as_ref().unwrap().ledger().close().await;
    let answer = api.send("POST", "/v1/calls", &call("acme", "call-1")).await;
    assert_eq!((answer.status, answer.code().as_str()), (503, "database_unavailable"));
    assert!(answer.must("retry-after").parse::<u32>().is_ok());
}
