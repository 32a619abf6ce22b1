//! A call is found by what people know of it, and by nothing once it is erased.

use std::time::Duration;

use serde_json::json;
use webhook_assets::ledger::{FindTerm, FoundCalls, MAX_FOUND, NewEvent};
use webhook_assets::webhook::CompletedCall;

use super::Sending;
use crate::support::receiver::Receiver;
use crate::support::waiting::until;
use crate::support::{CALL, Plan};
use std::collections::BTreeSet;

fn completed(from: &str, to: &str, user: &str, prospect: &str) -> CompletedCall {
    CompletedCall::from_value(json!({
        "call": {
            "ended_at": "2025-12-17T14:30:00Z", "status": "connected", "direction": "incoming",
            "duration_seconds": 1, "from_number": from, "to_number": to,
        },
        "user": {"name": "Jane", "email": user},
        "prospect": {"email": prospect},
    }))
    .unwrap()
}

impl Sending {
    async fn hand_in(&self, workspace: &str, id: &str, call: &CompletedCall) -> (String, Vec<String>) {
        let event = NewEvent::call(workspace, id, call, Some(CALL), None, self.sender.now()).unwrap();
        let accepted = self.sender.accept(event).await.unwrap().unwrap();
        (accepted.event, accepted.deliveries)
    }

    async fn find(&self, text: &str, workspace: Option<&str>) -> FoundCalls {
        self.sender.ledger().find(&FindTerm::read(text), workspace).await.unwrap()
    }

    /// The ids of the calls that are found.
    async fn found(&self, text: &str, workspace: Option<&str>) -> Vec<String> {
        let found = self.find(text, workspace).await;
        found.calls.into_iter().map(|call| call.call.unwrap_or_default()).collect()
    }
}

#[tokio::test]
async fn a_call_is_found_by_whatever_is_known_of_it() {
    let sending = Sending::to(Receiver::willing().await).await;
    let call = completed("+33 (6) 12-34-56-78", "0044 20 7946 0000", "Jane@Acme.example", "john@doe.example");
    let (event, deliveries) = sending.hand_in("acme", "2f1c-call-4711", &call).await;
    let other = completed("+33699999999", "+33799999999", "other@acme.example", "");
    sending.hand_in("other", "elsewhere", &other).await;
    let resent = format!("{event}_1_r1");
    for text in [
        "2f1c-call-4711",
        "2f1c",
        "4711",
        &event,
        &resent,
        &deliveries[0],
        &sending.endpoint.id,
        "+33612345678",
        "06 12 34 56 78",
        "0033612345678",
        "345678",
        "+442079460000",
        "jane@acme.EXAMPLE",
        " john@doe.example ",
    ] {
        assert_eq!(sending.found(text, None).await, ["2f1c-call-4711"], "{text}");
        assert_eq!(sending.found(text, Some("acme")).await, ["2f1c-call-4711"], "{text}");
        assert_eq!(sending.found(text, Some("other")).await, [""; 0], "{text}");
    }
    assert_eq!(sending.found(&CALL.to_string(), None).await.len(), 2);
    let host = sending.receiver.url("/hook");
    assert_eq!(sending.found(&host, None).await, ["2f1c-call-4711"]);
    for text in
        ["call-47", "nobody@acme.example", "+33612345679", "hooks.example.com", "two words", "ep_none"]
    {
        assert_eq!(sending.found(text, None).await, [""; 0], "{text}");
    }

    assert!(sending.sender.ledger().erase_call("acme", "2f1c-call-4711").await.unwrap());
    for text in ["4711", "+33612345678", "jane@acme.example", &event, &sending.endpoint.id] {
        assert_eq!(sending.found(text, None).await, [""; 0], "{text}");
    }
}

#[tokio::test]
async fn the_newest_calls_of_a_number_are_found_and_a_whole_id_goes_before_its_parts() {
    let sending = Sending::to(Receiver::willing().await).await;
    let call = completed("+33612345678", "+33712345678", "jane@acme.example", "");
    for number in 0..=MAX_FOUND {
        sending.hand_in("acme", &format!("call-{number}"), &call).await;
        sending.site.clock.advance(Duration::from_secs(1));
    }
    let found = sending.find("12345678", None).await;
    assert_eq!((found.calls.len(), found.more), (MAX_FOUND, true));
    assert_eq!(found.calls[0].call.as_deref(), Some("call-25"));
    assert!(found.calls.is_sorted_by(|a, b| a.accepted_at > b.accepted_at));
    assert_eq!(sending.found("call-1", None).await, ["call-1"]);
    assert_eq!(sending.found("call-2", None).await, ["call-2"]);
    assert_eq!(sending.found("ll-24", None).await, ["call-24"]);
}

#[tokio::test]
async fn a_test_event_is_found_by_its_ids_alone() {
    let sending = Sending::to(Receiver::willing().await).await;
    sending.sender.test(&sending.endpoint).await.unwrap();
    let body = sending.receiver.wait_for(1).await[0].json();
    for id in [&body["id"], &body["call"]["id"]] {
        assert_eq!(sending.find(id.as_str().unwrap(), None).await.calls.len(), 1, "{id}");
    }
    let sample = body["call"]["from_number"].as_str().unwrap();
    assert_eq!(sending.find(sample, None).await.calls, []);
}

#[tokio::test]
async fn the_life_of_a_call_has_every_delivery_and_attempt() {
    let sending = Sending::to(Receiver::willing().await).await;
    let (event, deliveries) = sending.hand_in("acme", "call-1", &CompletedCall::sample()).await;
    sending.until(&deliveries[0], webhook_assets::ledger::DeliveryState::Delivered).await;
    let ledger = sending.sender.ledger();
    let life = ledger.call_life("acme", "call-1").await.unwrap().unwrap();
    assert_eq!((&life.call.event, life.deliveries.len()), (&event, 1));
    let of_endpoint = &life.deliveries[0];
    assert_eq!(of_endpoint.url.as_ref(), Some(&sending.endpoint.url));
    assert_eq!(of_endpoint.attempts[0].links_expire, of_endpoint.delivery.links_expire);
    assert!(of_endpoint.attempts[0].links_expire.is_some());
    assert_eq!(ledger.call_life("acme", &event).await.unwrap().unwrap().call, life.call);
    assert!(ledger.call_life("other", "call-1").await.unwrap().is_none());
    assert!(ledger.call_life("other", &event).await.unwrap().is_none());
}

#[tokio::test]
async fn calls_that_the_last_release_stored_are_indexed() {
    let plan = Plan { last_release: true, ..Plan::sending().await };
    let sending = Sending::of(plan, Receiver::willing().await).await;
    let number = CompletedCall::sample().numbers()[0].to_owned();
    let both = async || {
        let found: BTreeSet<_> = sending.found(&number, None).await.into_iter().collect();
        found.into_iter().eq(["call-1", "call-2"]).then_some(())
    };
    until(both, || "the earlier calls are not found".to_owned()).await;
    assert_eq!(sending.sender.ledger().index_earlier_calls().await.unwrap(), 0);
}
