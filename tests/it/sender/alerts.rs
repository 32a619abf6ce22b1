//! Alerts to the operator: one for each trouble, signed, with its number, apart from the deliveries of customers.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jsonschema::Validator;
use serde_json::{Value, json};
use webhook_assets::admin::OPENAPI;
use webhook_assets::ledger::{AlertState, DeliveryState, EndpointChange, EndpointState};
use webhook_assets::sender;
use webhook_assets::webhook::{AlertFormat, AlertKind, WebhookSecret, verify_plain, verify_standard};

use super::Sending;
use crate::support::receiver::{Reaction, Received, Receiver};
use crate::support::waiting::until;
use crate::support::webhooks::alerts_to;
use crate::support::{Plan, sending};

const INTERVAL: Duration = Duration::from_secs(15 * 60);

/// The sentence of the endpoint's receiver while it fails: it contains what must not be repeated.
const REFUSAL: &str = r#"{"message": "no contact john.doe@example.com"}"#;

/// A site with an endpoint that fails until it recovers, and an operator who gets alerts.
struct Alerting {
    sending: Sending,
    well: Arc<AtomicBool>,
    alerts: Receiver,
    secret: WebhookSecret,
}

impl Alerting {
    async fn start() -> Self {
        Self::with(Receiver::willing().await, AlertFormat::Json).await
    }

    async fn with(alerts: Receiver, format: AlertFormat) -> Self {
        let secret = WebhookSecret::generate().unwrap();
        let alerted = Some(alerts_to(&alerts.url("/services/T0/B0/secret"), format, Some(secret.clone())));
        let plan =
            Plan { sender: Some(sender::Config { alerts: alerted, ..sending() }), ..Plan::sending().await };
        let well = Arc::new(AtomicBool::new(false));
        let is_well = Arc::clone(&well);
        let receiver = Receiver::start(move |_, _| match is_well.load(Ordering::Relaxed) {
            true => Reaction::Answer(200, ""),
            false => Reaction::Answer(422, REFUSAL),
        })
        .await;
        let alerting = Self { sending: Sending::of(plan, receiver).await, well, alerts, secret };
        let (ledger, id) = (alerting.sending.sender.ledger(), &alerting.sending.endpoint.id);
        let change = EndpointChange {
            url: Some(alerting.sending.receiver.url("/hook?token=s3cret")),
            description: Some("CRM".to_owned()),
            allow_duplicate: true,
            ..EndpointChange::default()
        };
        ledger.change_endpoint("acme", id, change).await.unwrap().unwrap();
        alerting
    }

    fn is_well(&self, well: bool) {
        self.well.store(well, Ordering::Relaxed);
    }

    /// Hands in calls until they have failed for good.
    async fn exhaust(&self, calls: &[&str]) {
        let mut deliveries = Vec::new();
        for call in calls {
            deliveries.push(self.sending.call(call).await.deliveries[0].clone());
        }
        for pause in [1, 2, 4] {
            self.sending.settle().await;
            self.sending.pass(Duration::from_secs(pause));
        }
        for delivery in &deliveries {
            self.sending.until(delivery, DeliveryState::Failed).await;
        }
    }

    /// Puts the endpoint on hold.
    async fn hold(&self, call: &str) {
        self.exhaust(&[call]).await;
        self.sending.pass(Duration::from_secs(60));
        let retrying = self.sending.call(&format!("{call}-later")).await.deliveries[0].clone();
        self.sending.until(&retrying, DeliveryState::Waiting).await;
    }

    async fn deliver(&self, call: &str) {
        self.is_well(true);
        let id = self.sending.call(call).await.deliveries[0].clone();
        self.sending.until(&id, DeliveryState::Delivered).await;
    }

    /// The alerts so far, when this number has arrived and no other follows.
    async fn alerts(&self, count: usize) -> Vec<Received> {
        self.alerts.wait_for(count).await;
        tokio::time::sleep(Duration::from_millis(1_200)).await;
        let arrived = self.alerts.received();
        let kinds: Vec<_> = arrived.iter().map(|alert| alert.json()["type"].clone()).collect();
        assert_eq!(arrived.len(), count, "{kinds:?}");
        arrived
    }

    /// The only alert of a kind among these.
    fn one(alerts: &[Received], kind: &str) -> Value {
        let mut found = alerts.iter().map(Received::json).filter(|alert| alert["type"] == kind);
        let alert = found.next().unwrap_or_else(|| panic!("no {kind}"));
        assert!(found.next().is_none(), "two alerts of {kind}");
        alert
    }
}

#[tokio::test]
async fn an_endpoint_that_fails_without_a_success_for_two_minutes_is_alerted_to_once_and_so_is_its_recovery()
{
    let alerting = Alerting::start().await;
    alerting.exhaust(&["call-1"]).await;
    let exhausted = AlertKind::Exhausted.name();
    Alerting::one(&alerting.alerts(1).await, exhausted);
    alerting.sending.pass(Duration::from_secs(112));
    alerting.alerts(1).await;
    alerting.sending.pass(Duration::from_secs(2));
    let failing = Alerting::one(&alerting.alerts(2).await, "endpoint.failing");
    let data = &failing["data"];
    assert_eq!(data["workspace"], "acme");
    assert_eq!(data["endpoint"], alerting.sending.endpoint.id);
    assert_eq!(
        (&data["description"], &data["count"], &data["code"]),
        (&json!("CRM"), &json!(1), &json!("rejected"))
    );
    assert_eq!(data["host"], alerting.sending.receiver.address.to_string());
    assert!(data["message"].as_str().unwrap().starts_with("Every attempt has failed since 20"), "{data}");
    let id = &alerting.sending.endpoint.id;
    assert_eq!(data["page"], format!("https://hooks.example.com/console/w/acme/webhooks/{id}"));

    alerting.deliver("call-2").await;
    let recovered = Alerting::one(&alerting.alerts(3).await, "endpoint.recovered");
    assert_eq!(recovered["data"]["endpoint"], alerting.sending.endpoint.id);
    alerting.deliver("call-3").await;
    alerting.alerts(3).await;
}

#[tokio::test]
async fn a_short_trouble_is_no_alert() {
    let alerting = Alerting::start().await;
    let id = alerting.sending.call("call-1").await.deliveries[0].clone();
    alerting.sending.until(&id, DeliveryState::Waiting).await;
    alerting.is_well(true);
    alerting.sending.pass(Duration::from_secs(1));
    alerting.sending.until(&id, DeliveryState::Delivered).await;
    alerting.sending.pass(Duration::from_secs(600));
    alerting.alerts(0).await;
}

#[tokio::test]
async fn an_endpoint_on_hold_is_one_alert_and_not_also_one_that_it_fails() {
    let alerting = Alerting::start().await;
    alerting.hold("call-1").await;
    Alerting::one(&alerting.alerts(2).await, "endpoint.held");
    for _ in 0..20 {
        alerting.sending.pass(Duration::from_secs(10));
        alerting.sending.settle().await;
    }
    let kinds: BTreeSet<String> =
        alerting.alerts.received().iter().map(|it| it.json()["type"].to_string()).collect();
    assert_eq!(kinds.into_iter().collect::<Vec<_>>(), ["\"delivery.exhausted\"", "\"endpoint.held\""]);
}

#[tokio::test]
async fn an_endpoint_that_is_disabled_is_alerted_to_and_recovers_when_a_person_has_mended_it() {
    let alerting = Alerting::start().await;
    let ledger = alerting.sending.sender.ledger();
    let endpoint = async || ledger.endpoint("acme", &alerting.sending.endpoint.id).await.unwrap().unwrap();
    let mut calls = 0;
    while endpoint().await.state != EndpointState::Disabled {
        assert!(calls < 300, "never disabled: {:?}", endpoint().await);
        alerting.sending.call(&format!("call-{calls}")).await;
        alerting.sending.settle().await;
        alerting.sending.pass(Duration::from_secs(3_600));
        calls += 1;
    }
    alerting.sending.settle().await;
    let count =
        |kind: &str| alerting.alerts.received().iter().filter(|alert| alert.json()["type"] == kind).count();
    let arrives = async |kind: &str| {
        until(async || (count(kind) > 0).then_some(()), || format!("no {kind}")).await;
        assert_eq!(count(kind), 1, "{kind}");
    };
    arrives("endpoint.disabled").await;
    let change = EndpointChange { state: Some(EndpointState::Active), ..EndpointChange::default() };
    ledger.change_endpoint("acme", &alerting.sending.endpoint.id, change).await.unwrap().unwrap();
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    assert_eq!(count("endpoint.recovered"), 0, "a person's action alone is no recovery");
    alerting.deliver("call-well").await;
    arrives("endpoint.recovered").await;
}

#[tokio::test]
async fn a_storm_of_failed_deliveries_is_two_alerts_whose_numbers_add_up() {
    let alerting = Alerting::start().await;
    alerting.exhaust(&["call-0"]).await;
    let first = Alerting::one(&alerting.alerts(1).await, "delivery.exhausted");
    assert_eq!(first["data"]["count"], 1);
    let calls: Vec<String> = (1..60).map(|call| format!("call-{call}")).collect();
    let mut deliveries = Vec::new();
    for call in &calls {
        deliveries.push(alerting.sending.call(call).await.deliveries[0].clone());
    }
    let all_failed = async || {
        for delivery in &deliveries {
            if alerting.sending.delivery(delivery).await.state != DeliveryState::Failed {
                return false;
            }
        }
        true
    };
    while !all_failed().await {
        alerting.sending.settle().await;
        alerting.sending.pass(Duration::from_secs(15));
    }
    let waiting = alerting.sending.sender.ledger().alerts(10).await.unwrap();
    let exhausted = waiting.iter().filter(|stored| stored.alert.kind == AlertKind::Exhausted);
    assert_eq!(exhausted.map(|stored| stored.alert.count).sum::<u64>(), 60);
    alerting.sending.pass(INTERVAL);
    let all_are_counted = async || {
        let alerts = alerting.alerts.received();
        let exhausted =
            alerts.iter().map(Received::json).filter(|alert| alert["type"] == "delivery.exhausted");
        let counts: Vec<u64> = exhausted.map(|alert| alert["data"]["count"].as_u64().unwrap()).collect();
        assert!(counts.len() <= 4, "{counts:?}");
        (counts.iter().sum::<u64>() == 60).then_some(())
    };
    until(all_are_counted, || "the numbers do not add up to 60".to_owned()).await;
}

#[tokio::test]
async fn links_that_expire_unfetched_are_alerted_to_with_their_number() {
    let alerting = Alerting::start().await;
    alerting.sending.pass(Duration::from_secs(3_700));
    for call in ["call-1", "call-2", "call-3"] {
        alerting.deliver(call).await;
        alerting.sending.pass(Duration::from_secs(10));
    }
    // A call without links has none that could be fetched, and a test is of no customer.
    alerting.sending.call_with("call-4", None, None).await;
    alerting.sending.sender.test(&alerting.sending.endpoint).await.unwrap();
    let received = alerting.sending.receiver.wait_for(5).await;
    let second = received.iter().find(|webhook| webhook.json()["call"]["id"] == "call-2").unwrap();
    let link = second.json()["call"]["recording_url"].as_str().unwrap().to_owned();
    let target = link.strip_prefix(alerting.sending.site.base.origin()).unwrap().to_owned();
    assert_eq!(alerting.sending.site.get(&target, &[]).await.status, 200);
    alerting.sending.settle().await;
    alerting.alerts(0).await;
    // Links live for a day; a download that has begun may end a little later.
    alerting.sending.pass(Duration::from_secs(24 * 3_600 + 400));
    let unfetched = Alerting::one(&alerting.alerts(1).await, "links.unfetched");
    assert_eq!(unfetched["data"]["count"], 2);
    assert!(unfetched["data"]["advice"].as_str().unwrap().contains("recover what was not fetched"));
}

#[tokio::test]
async fn an_alert_is_signed_like_any_webhook_and_names_no_secret_and_nothing_of_a_call() {
    let alerting = Alerting::start().await;
    alerting.hold("call-1").await;
    let now = alerting.sending.sender.now().seconds();
    for alert in alerting.alerts(2).await {
        assert!(verify_plain(&alerting.secret, &alert.body, alert.header("x-webhook-signature")));
        verify_standard(&alerting.secret, &alert.headers, &alert.body, now, Duration::from_secs(300))
            .unwrap();
        assert_eq!(alert.json()["id"], alert.header("webhook-id"));
        let text = String::from_utf8(alert.body.to_vec()).unwrap();
        for secret in
            ["s3cret", "token", "hook?", "john.doe", "+33", "call-1", "Jane", alerting.secret.reveal()]
        {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }
}

#[tokio::test]
async fn while_the_receiver_of_alerts_is_down_customers_get_their_calls_and_the_alert_comes_later_the_same() {
    let down = Arc::new(AtomicBool::new(true));
    let is_down = Arc::clone(&down);
    let alerts = Receiver::start(move |_, _| match is_down.load(Ordering::Relaxed) {
        true => Reaction::Answer(503, ""),
        false => Reaction::Answer(200, "ok"),
    })
    .await;
    let alerting = Alerting::with(alerts, AlertFormat::Json).await;
    alerting.exhaust(&["call-1"]).await;
    let stored = async || alerting.sending.sender.ledger().alerts(10).await.unwrap();
    let tried = async |tries| {
        let is_noted = async || (stored().await[0].tries == tries).then_some(());
        until(is_noted, || format!("try {tries} is not noted")).await;
    };
    for attempts in 1..=3 {
        tried(attempts).await;
        alerting.deliver(&format!("well-{attempts}")).await;
        alerting.sending.pass(Duration::from_secs(4));
    }
    tried(4).await;
    down.store(false, Ordering::Relaxed);
    // Alerts have the long tail of the schedule.
    alerting.sending.pass(Duration::from_secs(6 * 60));
    let attempts = alerting.alerts.wait_for(5).await;
    for attempt in &attempts {
        assert_eq!(attempt.header("webhook-id"), attempts[0].header("webhook-id"));
        assert_eq!(attempt.body, attempts[0].body);
    }
    tried(5).await;
    let stored = stored().await;
    assert_eq!((stored.len(), stored[0].state), (1, AlertState::Delivered));
    let metrics = alerting.sending.site.admin().request("GET", "/metrics", &[], b"").await;
    let metrics = String::from_utf8(metrics.body.to_vec()).unwrap();
    assert!(metrics.contains("webhook_assets_webhook_alerts_total{result=\"delivered\"} 1"), "{metrics}");
}

#[tokio::test]
async fn slack_gets_a_text() {
    let alerting = Alerting::with(Receiver::willing().await, AlertFormat::Slack).await;
    alerting.hold("call-1").await;
    let alerts = alerting.alerts.wait_for(2).await;
    let texts: Vec<String> =
        alerts.iter().map(|alert| alert.json()["text"].as_str().unwrap().to_owned()).collect();
    let held = texts.iter().find(|text| text.starts_with("*On hold*: 127.0.0.1:")).unwrap();
    assert!(held.contains("(CRM), workspace acme\nEvery attempt has failed since "), "{held}");
    assert!(held.ends_with(&format!("/console/w/acme/webhooks/{}", alerting.sending.endpoint.id)), "{held}");
    assert_eq!(alerts[0].json().as_object().unwrap().len(), 1);
    assert_eq!(alerts[0].header("content-type"), "application/json");
}

#[tokio::test]
async fn without_a_url_nothing_is_stored() {
    let sending = Sending::to(Receiver::start(|_, _| Reaction::Answer(500, "no")).await).await;
    let id = sending.call("call-1").await.deliveries[0].clone();
    for pause in [1, 2, 4] {
        sending.settle().await;
        sending.pass(Duration::from_secs(pause));
    }
    sending.until(&id, DeliveryState::Failed).await;
    sending.pass(Duration::from_secs(300));
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert!(sending.sender.ledger().alerts(10).await.unwrap().is_empty());
    assert!(sending.sender.test_alerts().await.is_none());
}

/// The schema, which here allows no field that it does not name.
fn closed(mut schema: Value) -> Value {
    if let Value::Object(keywords) = &mut schema {
        if keywords.contains_key("properties") {
            keywords.insert("unevaluatedProperties".into(), false.into());
        }
        for value in keywords.values_mut() {
            *value = closed(value.take());
        }
    }
    schema
}

fn validator(description: &Value, kind: &str) -> Validator {
    let alert = description["components"]["schemas"]["Alert"].clone();
    let body = &description["webhooks"][kind]["post"]["requestBody"]["content"]["application/json"]["schema"];
    assert_eq!(body["allOf"][0]["$ref"], "#/components/schemas/Alert");
    let schema = json!({"allOf": [alert, body["allOf"][1]], "unevaluatedProperties": false});
    jsonschema::options().should_validate_formats(true).build(&schema).unwrap()
}

#[tokio::test]
async fn every_kind_of_alert_is_described_as_it_is_sent() {
    let description: Value = serde_json::from_str(OPENAPI).unwrap();
    let alerting = Alerting::start().await;
    alerting.hold("call-1").await;
    alerting.alerts.wait_for(2).await;
    assert!(alerting.sending.sender.test_alerts().await.unwrap().0.is_success());
    let mut seen = BTreeSet::new();
    for alert in alerting.alerts(3).await {
        let (body, kind) = (alert.json(), alert.json()["type"].as_str().unwrap().to_owned());
        let errors: Vec<_> =
            validator(&description, &kind).iter_errors(&body).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{errors:?} in {body}");
        let strict = closed(description["components"]["schemas"]["Alert"].clone());
        assert!(jsonschema::validator_for(&strict).unwrap().is_valid(&body), "{body}");
        for field in description["webhooks"][&kind]["post"]["parameters"].as_array().unwrap() {
            let field = match field["$ref"].as_str() {
                Some(reference) => description.pointer(reference.trim_start_matches('#')).unwrap(),
                None => field,
            };
            let value = alert.headers.get(field["name"].as_str().unwrap().to_ascii_lowercase());
            let value = json!(value.unwrap_or_else(|| panic!("no {field}")).to_str().unwrap());
            assert!(
                jsonschema::validator_for(&field["schema"]).unwrap().is_valid(&value),
                "{field}: {value}"
            );
        }
        seen.insert(kind);
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), ["alert.test", "delivery.exhausted", "endpoint.held"]);
    for kind in AlertKind::ALL {
        let example = &description["webhooks"][kind.name()]["post"]["requestBody"]["content"]["application/json"]
            ["example"];
        assert!(validator(&description, kind.name()).is_valid(example), "{kind:?}");
        assert_eq!(example["type"], kind.name());
    }
}
