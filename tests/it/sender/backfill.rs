//! Earlier calls for an endpoint that has not got them.

use std::collections::BTreeSet;
use std::time::Duration;

use uuid::Uuid;
use webhook_assets::clock::UnixMillis;
use webhook_assets::ledger::{
    Accepted, BackfillOutcome, CallFilter, DeliveryFilter, DeliveryState, Endpoint, EndpointChange,
    EndpointState, NewEndpoint, NewEvent,
};
use webhook_assets::webhook::{CallStatus, CompletedCall};

use super::{Sending, new_endpoint};
use crate::support::receiver::{Received, Receiver};
use crate::support::{ABSENT, CALL};

const LATER: &str = "later";

impl Sending {
    /// Posts a call to the workspace that gets its endpoint later.
    async fn before(&self, id: &str, recording: Option<Uuid>) -> Accepted {
        let sample = CompletedCall::sample();
        let event = NewEvent::call(LATER, id, &sample, recording, None, self.sender.now()).unwrap();
        self.sender.accept(event).await.unwrap().unwrap()
    }

    async fn endpoint_of(&self, workspace: &str, filter: CallFilter) -> Endpoint {
        let url = self.receiver.url(&format!("/{workspace}"));
        let new = NewEndpoint { workspace: workspace.to_owned(), filter, ..new_endpoint(&url) };
        self.sender.ledger().add_endpoint(new, self.sender.now()).await.unwrap().0
    }

    /// Counts the calls since a time, sends them, and sees that they are as many.
    async fn backfill(&self, endpoint: &Endpoint, from: UnixMillis) -> u64 {
        let ask = async |dry_run| match self
            .sender
            .backfill(&endpoint.workspace, &endpoint.id, from, dry_run)
            .await
            .unwrap()
        {
            BackfillOutcome::Calls(count) => count,
            other => panic!("{other:?}"),
        };
        let would = ask(true).await;
        assert_eq!(ask(true).await, would, "a dry run sends nothing");
        assert_eq!(ask(false).await, would);
        would
    }
}

fn calls_of(received: &[Received]) -> BTreeSet<String> {
    received.iter().map(|webhook| webhook.json()["call"]["id"].as_str().unwrap().to_owned()).collect()
}

fn named(calls: &[&str]) -> BTreeSet<String> {
    calls.iter().map(|call| (*call).to_owned()).collect()
}

#[tokio::test]
async fn an_endpoint_gets_the_calls_of_before_it_was_added_once() {
    let sending = Sending::to(Receiver::willing().await).await;
    let mut events = BTreeSet::new();
    for call in ["call-1", "call-2", "call-3"] {
        let accepted = sending.before(call, Some(CALL)).await;
        assert_eq!(accepted.deliveries, [""; 0], "there is no endpoint");
        events.insert(accepted.event);
        sending.site.clock.advance(Duration::from_secs(3_600));
    }
    let endpoint = sending.endpoint_of(LATER, CallFilter::default()).await;
    let now = sending.sender.now();
    assert_eq!(sending.backfill(&endpoint, now.minus(Duration::from_secs(7_201))).await, 2);
    assert_eq!(calls_of(&sending.receiver.wait_for(2).await), named(&["call-2", "call-3"]));
    assert_eq!(sending.backfill(&endpoint, UnixMillis(0)).await, 1);
    let received = sending.receiver.wait_for(3).await;
    assert_eq!(calls_of(&received), named(&["call-1", "call-2", "call-3"]));
    assert_eq!(sending.backfill(&endpoint, UnixMillis(0)).await, 0);

    for webhook in &received {
        assert!(events.remove(webhook.header("webhook-id")), "the event's id");
        let body = webhook.json();
        assert_eq!((&body["event"], body.get("resend")), (&"call.completed".into(), None));
        let link = body["call"]["recording_url"].as_str().unwrap();
        let target = link.strip_prefix(sending.site.base.origin()).unwrap();
        assert_eq!(sending.site.get(target, &[]).await.status, 200);
    }
    let filter = DeliveryFilter { endpoint: Some(endpoint.id), ..DeliveryFilter::default() };
    let page = sending.sender.ledger().deliveries(LATER, &filter, 10).await.unwrap().unwrap();
    let calls: Vec<_> = page.deliveries.into_iter().filter_map(|delivery| delivery.call).collect();
    assert_eq!(calls, ["call-3", "call-2", "call-1"], "the history shows when they were accepted");
    sending.settle().await;
    assert_eq!(sending.receiver.received().len(), 3);
}

#[tokio::test]
async fn calls_that_it_has_got_or_does_not_want_and_those_of_others_are_left_out() {
    let sending = Sending::to(Receiver::willing().await).await;
    let first = sending.call("call-1").await;
    sending.until(&first.deliveries[0], DeliveryState::Delivered).await;
    sending.sender.test(&sending.endpoint).await.unwrap();
    sending.receiver.wait_for(2).await;
    sending.before("call-2", None).await;
    let mut missed = serde_json::to_value(CompletedCall::sample()).unwrap();
    missed["call"]["status"] = "missed".into();
    let missed = CompletedCall::from_value(missed).unwrap();
    let event = NewEvent::call("acme", "missed", &missed, None, None, sending.sender.now()).unwrap();
    sending.sender.accept(event).await.unwrap();
    sending.receiver.wait_for(3).await;
    assert_eq!(sending.backfill(&sending.endpoint, UnixMillis(0)).await, 0);

    let wants = CallFilter { status: vec![CallStatus::Missed], ..CallFilter::default() };
    let picky = sending.endpoint_of("acme", wants).await;
    assert_eq!(sending.backfill(&picky, UnixMillis(0)).await, 1);
    let sent = sending.receiver.wait_for(4).await.remove(3);
    assert_eq!((sent.path.as_str(), &sent.json()["call"]["id"]), ("/acme", &"missed".into()));
    let with_recording = CallFilter { has_recording: Some(true), ..CallFilter::default() };
    let other = sending.endpoint_of("acme", with_recording).await;
    assert_eq!(sending.backfill(&other, UnixMillis(0)).await, 1);
    let sent = sending.receiver.wait_for(5).await.remove(4);
    assert_eq!(sent.json()["call"]["id"], "call-1");
}

#[tokio::test]
async fn only_an_endpoint_that_can_be_sent_to_gets_earlier_calls() {
    let sending = Sending::to(Receiver::willing().await).await;
    sending.before("call-1", None).await;
    let endpoint = sending.endpoint_of(LATER, CallFilter::default()).await;
    let ask =
        async |workspace, id| sending.sender.backfill(workspace, id, UnixMillis(0), false).await.unwrap();
    assert_eq!(ask("acme", &endpoint.id).await, BackfillOutcome::NoEndpoint);
    let ledger = sending.sender.ledger();
    ledger.disable_endpoint(&endpoint.id, 0, "it failed", sending.sender.now()).await.unwrap();
    assert_eq!(ask(LATER, &endpoint.id).await, BackfillOutcome::Disabled);
    let change = |state| EndpointChange { state: Some(state), ..EndpointChange::default() };
    ledger.change_endpoint(LATER, &endpoint.id, change(EndpointState::Paused)).await.unwrap();
    assert_eq!(ask(LATER, &endpoint.id).await, BackfillOutcome::Calls(1));
    sending.settle().await;
    assert!(sending.receiver.received().is_empty(), "a paused endpoint's calls wait");
    ledger.change_endpoint(LATER, &endpoint.id, change(EndpointState::Active)).await.unwrap();
    sending.sender.wake();
    sending.receiver.wait_for(1).await;
    ledger.remove_endpoint(LATER, &endpoint.id, sending.sender.now()).await.unwrap();
    assert_eq!(ask(LATER, &endpoint.id).await, BackfillOutcome::NoEndpoint);
}

/// Its assets have had their time.
#[tokio::test]
async fn an_earlier_call_does_not_wait_for_a_recording_that_is_gone() {
    let sending = Sending::to(Receiver::willing().await).await;
    sending.before("call-1", Some(ABSENT)).await;
    sending.site.clock.advance(Duration::from_secs(3_600));
    let endpoint = sending.endpoint_of(LATER, CallFilter::default()).await;
    assert_eq!(sending.backfill(&endpoint, UnixMillis(0)).await, 1);
    let sent = sending.receiver.wait_for(1).await.remove(0);
    assert!(sent.json()["call"]["recording_url"].is_null());
}

/// Deliveries of an event have links that expire seconds apart, so a download tells which was followed.
#[tokio::test]
async fn endpoints_that_get_earlier_calls_at_once_have_links_of_their_own() {
    let sending = Sending::to(Receiver::willing().await).await;
    for call in 0..20 {
        sending.before(&format!("call-{call}"), Some(CALL)).await;
    }
    let mut endpoints = Vec::new();
    for _ in 0..3 {
        endpoints.push(sending.endpoint_of(LATER, CallFilter::default()).await);
    }
    let backfills = endpoints.iter().map(|endpoint| {
        let sender = &sending.sender;
        async move { sender.backfill(LATER, &endpoint.id, UnixMillis(0), false).await.unwrap() }
    });
    let counts = futures_util::future::join_all(backfills).await;
    assert_eq!(counts, [BackfillOutcome::Calls(20); 3]);
    let mut links: Vec<_> = sending.receiver.wait_for(60).await.iter().map(Received::json).collect();
    links.sort_by_key(|body| body["call"]["id"].to_string());
    let of_call = |bodies: &[serde_json::Value]| {
        let links: BTreeSet<_> =
            bodies.iter().map(|body| body["call"]["recording_url"].to_string()).collect();
        links.len()
    };
    assert!(links.chunks(3).all(|bodies| of_call(bodies) == 3), "{links:?}");
}

/// Ten transactions, between which others write.
#[tokio::test]
async fn a_call_is_accepted_while_a_long_backfill_goes_on() {
    let sending = Sending::to(Receiver::willing().await).await;
    for batch in 0..20 {
        let calls = (0..250).map(|call| {
            let sending = &sending;
            async move { sending.before(&format!("call-{batch}-{call}"), None).await }
        });
        futures_util::future::join_all(calls).await;
    }
    let endpoint = sending.endpoint_of(LATER, CallFilter::default()).await;
    let change = EndpointChange { state: Some(EndpointState::Paused), ..EndpointChange::default() };
    sending.sender.ledger().change_endpoint(LATER, &endpoint.id, change).await.unwrap();
    let (sender, id) = (sending.sender.clone(), endpoint.id.clone());
    let backfill =
        tokio::spawn(async move { sender.backfill(LATER, &id, UnixMillis(0), false).await.unwrap() });
    tokio::task::yield_now().await;
    sending.call("call-1").await;
    assert!(!backfill.is_finished(), "the call had to wait for all of the backfill");
    assert_eq!(backfill.await.unwrap(), BackfillOutcome::Calls(5_000));
    let backlog = sending.sender.ledger().backlog(sending.sender.now()).await.unwrap();
    assert_eq!(backlog.queued, 5_000);
    assert_eq!(sending.backfill(&endpoint, UnixMillis(0)).await, 0);
}
