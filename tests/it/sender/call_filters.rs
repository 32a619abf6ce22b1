//! Which calls an endpoint gets: by status, direction and recording.

use serde_json::json;
use uuid::Uuid;
use webhook_assets::ledger::{Accepted, CallFilter, DeliveryState, EndpointChange, NewEndpoint, NewEvent};
use webhook_assets::webhook::{CallStatus, CompletedCall, Direction};

use super::{Sending, new_endpoint};
use crate::support::CALL;
use crate::support::receiver::Receiver;

impl Sending {
    /// Posts a call, and says to how many endpoints it goes.
    async fn offer(&self, id: &str, call: &CompletedCall, recording: Option<Uuid>) -> Accepted {
        let now = self.sender.now();
        let event = NewEvent::call("acme", id, call, recording, None, now).unwrap();
        self.sender.accept(event).await.unwrap().unwrap()
    }

    async fn filter(&self, filter: CallFilter) {
        let change = EndpointChange { filter: Some(filter), ..EndpointChange::default() };
        let changed = self.sender.ledger().change_endpoint("acme", &self.endpoint.id, change).await.unwrap();
        let kept = self.sender.ledger().endpoint("acme", &self.endpoint.id).await.unwrap();
        assert_eq!(kept, changed);
    }
}

fn call_of(status: CallStatus, direction: Direction) -> CompletedCall {
    let mut call = serde_json::to_value(CompletedCall::sample()).unwrap();
    call["call"]["status"] = json!(status);
    call["call"]["direction"] = json!(direction);
    CompletedCall::from_value(call).unwrap()
}

/// Every call against every filter of one condition, and against one of all three.
#[tokio::test]
async fn an_unwanted_call_makes_no_delivery() {
    let sending = Sending::to(Receiver::willing().await).await;
    let any = CallFilter::default();
    let missed = vec![CallStatus::Missed, CallStatus::Voicemail];
    let filters = [
        any.clone(),
        CallFilter { status: missed.clone(), ..any.clone() },
        CallFilter { direction: Some(Direction::Incoming), ..any.clone() },
        CallFilter { has_recording: Some(true), ..any.clone() },
        CallFilter { has_recording: Some(false), ..any },
        CallFilter { status: missed, direction: Some(Direction::Outgoing), has_recording: Some(true) },
    ];
    let mut wanted = 0;
    for (number, filter) in filters.iter().enumerate() {
        sending.filter(filter.clone()).await;
        for status in CallStatus::ALL.iter().copied() {
            for direction in Direction::ALL.iter().copied() {
                for recording in [None, Some(CALL)] {
                    let has_recording = recording.is_some();
                    let fits = (filter.status.is_empty() || filter.status.contains(&status))
                        && filter.direction.is_none_or(|only| only == direction)
                        && filter.has_recording.is_none_or(|only| only == has_recording);
                    let id = format!("{number}-{}-{}-{has_recording}", status.name(), direction.name());
                    let accepted = sending.offer(&id, &call_of(status, direction), recording).await;
                    assert_eq!(accepted.deliveries.len(), usize::from(fits), "{id} {filter:?}");
                    wanted += usize::from(fits);
                }
            }
        }
    }
    assert_eq!(wanted, 32 + 8 + 16 + 16 + 16 + 2);
    assert_eq!(sending.receiver.wait_for(wanted).await.len(), wanted);
}

#[tokio::test]
async fn each_endpoint_of_a_workspace_has_its_own_filter() {
    let sending = Sending::to(Receiver::willing().await).await;
    let filter = CallFilter { direction: Some(Direction::Incoming), ..CallFilter::default() };
    let other = NewEndpoint { filter: filter.clone(), ..new_endpoint(&sending.receiver.url("/incoming")) };
    let (other, _) = sending.sender.ledger().add_endpoint(other, sending.sender.now()).await.unwrap();
    assert_eq!(other.filter, filter);
    let outgoing = sending.offer("out", &call_of(CallStatus::Connected, Direction::Outgoing), None).await;
    let incoming = sending.offer("in", &call_of(CallStatus::Connected, Direction::Incoming), None).await;
    assert_eq!((outgoing.deliveries.len(), incoming.deliveries.len()), (1, 2));
    for id in outgoing.deliveries.iter().chain(&incoming.deliveries) {
        sending.until(id, DeliveryState::Delivered).await;
    }
    let received = sending.receiver.wait_for(3).await;
    let at_other: Vec<_> = received.iter().filter(|webhook| webhook.path == "/incoming").collect();
    assert_eq!(at_other.len(), 1);
    assert_eq!(at_other[0].json()["call"]["id"], "in");
}

#[tokio::test]
async fn a_test_event_reaches_an_endpoint_that_wants_other_calls() {
    let sending = Sending::to(Receiver::willing().await).await;
    let filter = CallFilter {
        status: vec![CallStatus::Busy],
        direction: Some(Direction::Incoming),
        has_recording: Some(false),
    };
    sending.filter(filter).await;
    sending.sender.test(&sending.endpoint).await.unwrap();
    assert_eq!(sending.receiver.wait_for(1).await[0].json()["test"], true);
}

/// Permits are reserved before the database says who wants the call.
#[tokio::test]
async fn unwanted_calls_keep_no_permit() {
    let sending = Sending::to(Receiver::willing().await).await;
    sending.filter(CallFilter { status: vec![CallStatus::Missed], ..CallFilter::default() }).await;
    let (missed, connected) = (CallStatus::Missed, CallStatus::Connected);
    let first = sending.offer("first", &call_of(missed, Direction::Incoming), None).await;
    sending.until(&first.deliveries[0], DeliveryState::Delivered).await;
    for number in 0..100 {
        sending.offer(&format!("unwanted-{number}"), &call_of(connected, Direction::Incoming), None).await;
    }
    let last = sending.offer("last", &call_of(missed, Direction::Incoming), None).await;
    sending.until(&last.deliveries[0], DeliveryState::Delivered).await;
    assert_eq!(sending.receiver.received().len(), 2);
}
