//! A database that the last release wrote: `fixtures/databases`.

use std::time::Duration;

use webhook_assets::ledger::{DeliveryFilter, DeliveryState, Endpoint, EndpointChange, EndpointState};
use webhook_assets::webhook::verify_standard;

use super::Sending;
use crate::support::Plan;
use crate::support::receiver::Receiver;

async fn restored() -> Sending {
    let plan = Plan { last_release: true, ..Plan::sending().await };
    Sending::of(plan, Receiver::willing().await).await
}

impl Sending {
    /// An endpoint of the last release, which sends to the receiver from now on.
    async fn restored_endpoint(&self, description: &str) -> Endpoint {
        let endpoints = self.sender.ledger().endpoints("acme").await.unwrap();
        let found = endpoints.into_iter().find(|endpoint| endpoint.description == description).unwrap();
        let change = EndpointChange {
            url: Some(self.receiver.url("/hook")),
            state: Some(EndpointState::Active),
            allow_duplicate: true,
            ..EndpointChange::default()
        };
        let changed = self.sender.ledger().change_endpoint("acme", &found.id, change).await.unwrap().unwrap();
        self.sender.wake();
        changed
    }
}

#[tokio::test]
async fn an_event_that_the_last_release_stored_is_sent_with_its_ids() {
    let sending = restored().await;
    let paused = sending.restored_endpoint("is paused").await;
    let received = sending.receiver.wait_for(2).await;
    let now = sending.sender.now();
    let secrets = sending.sender.ledger().secrets("acme", &paused.id, now).await.unwrap().unwrap();
    let mut calls = Vec::new();
    for webhook in received {
        let body = webhook.json();
        let tolerance = Duration::from_secs(300);
        verify_standard(&secrets.current, &webhook.headers, &webhook.body, now.seconds(), tolerance).unwrap();
        assert_eq!(body["id"], webhook.header("webhook-id"));
        assert!(body["call"]["recording_url"].is_string());
        calls.push(body["call"]["id"].as_str().unwrap().to_owned());
    }
    calls.sort_unstable();
    assert_eq!(calls, ["call-1", "call-2"]);
}

#[tokio::test]
async fn a_delivery_that_failed_under_the_last_release_is_sent_again_as_a_resend() {
    let sending = restored().await;
    let refusing = sending.restored_endpoint("refuses everything").await;
    let failed = DeliveryFilter {
        endpoint: Some(refusing.id),
        state: Some(DeliveryState::Failed),
        ..DeliveryFilter::default()
    };
    let page = sending.sender.ledger().deliveries("acme", &failed, 10).await.unwrap().unwrap();
    assert_eq!(page.deliveries.len(), 2);
    let delivery = &page.deliveries[0];
    sending.sender.resend("acme", &delivery.id).await.unwrap();
    let body = sending.receiver.wait_for(1).await[0].json();
    assert_eq!((&body["id"], &body["resend"]), (&delivery.event.as_str().into(), &1.into()));
    assert_eq!(body["call"]["id"].as_str(), delivery.call.as_deref());
    let delivered = sending.until(&delivery.id, DeliveryState::Delivered).await;
    assert_eq!((delivered.attempts, delivered.resends), (5, 1));
    let (_, attempts) = sending.sender.ledger().delivery("acme", &delivery.id).await.unwrap().unwrap();
    let resends: Vec<_> = attempts.iter().map(|attempt| attempt.resend).collect();
    assert_eq!(resends, [0, 0, 0, 0, 1]);
}
