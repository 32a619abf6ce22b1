//! An alert to the operator outlives a kill between its cause and its arrival.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::program::{Caller, Database, Home, Process, call};
use crate::receivers::Receivers;

/// Nothing listens there.
const CLOSED: &str = "http://127.0.0.1:9/";

#[tokio::test]
async fn an_alert_arrives_although_the_program_is_killed_before_it_could_be_sent() {
    for database in Database::all() {
        let home = Home::new(database).await;
        let folder = tempfile::tempdir().unwrap();
        let secret = folder.path().join("alerts.secret");
        std::fs::write(&secret, format!("whsec_{}\n", "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="))
            .unwrap();
        let secret = secret.display().to_string();
        let start = |url: &str| {
            let variables =
                [("WEBHOOK_ASSETS_ALERTS_URL", url), ("WEBHOOK_ASSETS_ALERTS_SECRET_FILE", &secret)];
            home.start_with("127.0.0.1:0", &variables)
        };
        let mut program = start(CLOSED);
        Caller::new().add_endpoint(&program.admin, "acme", CLOSED).await;
        let url = format!("{}/v1/calls", program.admin);
        Caller::new().ask("POST", &url, &call("acme", "call-1")).await;
        until(&program, "/v1/workspaces/acme/deliveries", |answer| {
            answer["deliveries"][0]["status"] == "failed"
        })
        .await;
        program.child.kill().unwrap();
        program.child.wait().unwrap();

        let alerts = Receivers::start().await;
        let program = start(&alerts.url("/alerts"));
        until(&program, "/v1/alerts", |answer| answer["alerts"][0]["status"] == "delivered").await;
        let listed = Caller::new().ask("GET", &format!("{}/v1/alerts", program.admin), &Value::Null).await;
        let listed = listed["alerts"].as_array().unwrap();
        assert_eq!(listed.len(), 1, "{listed:?}");
        assert_eq!(
            (&listed[0]["type"], &listed[0]["data"]["count"]),
            (&"delivery.exhausted".into(), &1.into())
        );
        let arrived: Vec<String> = alerts.events().into_keys().collect();
        assert_eq!(arrived, [listed[0]["id"].as_str().unwrap()]);
    }
}

async fn until(program: &Process, path: &str, is_so: impl Fn(&Value) -> bool) {
    let (began, url) = (Instant::now(), format!("{}{path}", program.admin));
    loop {
        let answer = Caller::new().ask("GET", &url, &Value::Null).await;
        if is_so(&answer) {
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(90), "{answer}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
