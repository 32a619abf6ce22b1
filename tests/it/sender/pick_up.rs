//! Delivered is not picked up: receivers that are switched off may answer 200 too.

use std::collections::BTreeSet;
use std::time::Duration;

use uuid::Uuid;
use webhook_assets::clock::UnixMillis;
use webhook_assets::ledger::{
    DeliveryFilter, DeliveryState, EndpointChange, EndpointState, PickUp, RecoverRange, RecoverWhich,
};

use super::{Sending, new_endpoint};
use crate::support::CALL;
use crate::support::receiver::{Received, Receiver};
use crate::support::waiting::until;

impl Sending {
    /// Follows a link of a webhook, as a receiver does that processes it.
    async fn follow(&self, webhook: &Received, field: &str) {
        let body = webhook.json();
        let link = body["call"][field].as_str().unwrap();
        assert_eq!(self.site.get(link.strip_prefix(self.site.base.origin()).unwrap(), &[]).await.status, 200);
    }

    /// The calls of the deliveries that fit.
    async fn calls(&self, pick_up: PickUp) -> BTreeSet<String> {
        let filter = DeliveryFilter { pick_up: Some(pick_up), ..DeliveryFilter::default() };
        let page = self.sender.ledger().deliveries("acme", &filter, 100).await.unwrap().unwrap();
        page.deliveries
            .into_iter()
            .map(|delivery| delivery.call.unwrap_or_else(|| "test".to_owned()))
            .collect()
    }

    /// Waits until these calls have that pick-up.
    async fn until_calls(&self, pick_up: PickUp, calls: &[&str]) {
        let wanted: BTreeSet<_> = calls.iter().map(|call| (*call).to_owned()).collect();
        let are = async || (self.calls(pick_up).await == wanted).then_some(());
        until(are, || format!("{pick_up:?}: others than {calls:?}")).await;
    }

    fn range(&self, which: RecoverWhich) -> RecoverRange {
        let to = UnixMillis(self.sender.now().0 + 1);
        RecoverRange { which, endpoint: None, from: UnixMillis(0), to }
    }

    /// Delivers a call. All have one recording, so the seconds in which their links expire tell them apart.
    async fn delivered(&self, call: &str, recording: Option<Uuid>, transcript: Option<Uuid>) {
        self.pass(Duration::from_secs(10));
        let id = self.call_with(call, recording, transcript).await.deliveries[0].clone();
        self.until(&id, DeliveryState::Delivered).await;
    }

    /// Recovers a range; says how many a dry run had announced.
    async fn recover(&self, range: &RecoverRange) -> u64 {
        self.pass(Duration::from_secs(10));
        let announced = self.sender.ledger().count_recoverable("acme", range).await.unwrap();
        assert_eq!(self.sender.recover("acme", range).await.unwrap(), announced);
        announced
    }
}

fn calls_of(received: &[Received]) -> Vec<String> {
    let mut calls: Vec<_> =
        received.iter().map(|webhook| webhook.json()["call"]["id"].as_str().unwrap().to_owned()).collect();
    calls.sort_unstable();
    calls
}

#[tokio::test]
async fn a_receiver_that_lies_with_200_gets_everything_back() {
    let sending = Sending::to(Receiver::willing().await).await;
    for call in ["call-1", "call-2", "call-3"] {
        sending.delivered(call, Some(CALL), Some(CALL)).await;
    }
    // A call without links: no one can tell whether it was picked up.
    sending.delivered("call-4", None, None).await;
    let received = sending.receiver.wait_for(4).await;
    let second = received.iter().find(|webhook| webhook.json()["call"]["id"] == "call-2").unwrap();
    sending.follow(second, "transcript_url").await;
    sending.until_calls(PickUp::Fetched, &["call-2"]).await;
    sending.until_calls(PickUp::NotFetched, &["call-1", "call-3"]).await;

    assert_eq!(sending.recover(&sending.range(RecoverWhich::Failed)).await, 0);
    assert_eq!(sending.recover(&sending.range(RecoverWhich::NotFetched)).await, 2);
    let resent = sending.receiver.wait_for(6).await.split_off(4);
    assert_eq!(calls_of(&resent), ["call-1", "call-3"]);
    for webhook in &resent {
        assert_eq!(webhook.json()["resend"], 1);
        sending.follow(webhook, "recording_url").await;
    }
    sending.until_calls(PickUp::NotFetched, &[]).await;
    sending.until_calls(PickUp::Fetched, &["call-1", "call-2", "call-3"]).await;

    assert_eq!(sending.recover(&sending.range(RecoverWhich::All)).await, 4);
    let resent = sending.receiver.wait_for(10).await.split_off(6);
    assert_eq!(calls_of(&resent), ["call-1", "call-2", "call-3", "call-4"]);
    sending.until_calls(PickUp::NotFetched, &["call-1", "call-2", "call-3"]).await;

    // A link that was sent before does not count. Downloads are written down in their order.
    sending.follow(second, "recording_url").await;
    sending.delivered("call-5", Some(CALL), None).await;
    let last = sending.receiver.wait_for(11).await.remove(10);
    sending.follow(&last, "recording_url").await;
    sending.until_calls(PickUp::Fetched, &["call-5"]).await;
    sending.until_calls(PickUp::NotFetched, &["call-1", "call-2", "call-3"]).await;
}

#[tokio::test]
async fn a_recovery_takes_what_its_range_says_and_no_other() {
    let sending = Sending::to(Receiver::willing().await).await;
    let (ledger, now) = (sending.sender.ledger(), sending.sender.now());
    let (other, _) = ledger.add_endpoint(new_endpoint(&sending.receiver.url("/other")), now).await.unwrap();
    let early = sending.call("call-1").await;
    sending.site.clock.advance(Duration::from_secs(60));
    let late = sending.call("call-2").await;
    sending.sender.test(&sending.endpoint).await.unwrap();
    sending.receiver.wait_for(5).await;
    for id in early.deliveries.iter().chain(&late.deliveries) {
        sending.until(id, DeliveryState::Delivered).await;
    }
    let all = sending.range(RecoverWhich::All);
    let count = async |range: &RecoverRange| ledger.count_recoverable("acme", range).await.unwrap();
    assert_eq!(count(&all).await, 4, "test events are left out");
    let not_fetched = sending.range(RecoverWhich::NotFetched);
    let of_other = RecoverRange { endpoint: Some(other.id.clone()), ..not_fetched.clone() };
    assert_eq!((count(&not_fetched).await, count(&of_other).await), (4, 2));
    let before = sending.delivery(&late.deliveries[0]).await.created_at;
    assert_eq!(count(&RecoverRange { to: before, ..all.clone() }).await, 2);
    assert_eq!(count(&RecoverRange { from: before, ..of_other.clone() }).await, 1);
    assert_eq!(ledger.count_recoverable("elsewhere", &all).await.unwrap(), 0);

    let change = EndpointChange { state: Some(EndpointState::Paused), ..EndpointChange::default() };
    ledger.change_endpoint("acme", &other.id, change).await.unwrap();
    assert_eq!(sending.recover(&of_other).await, 2);
    assert_eq!((count(&of_other).await, count(&all).await), (0, 2), "what is pending has not ended");
    ledger.remove_endpoint("acme", &sending.endpoint.id, sending.sender.now()).await.unwrap();
    assert_eq!(count(&all).await, 0, "a removed endpoint gets nothing");
    assert_eq!(sending.receiver.received().len(), 5);
}

#[tokio::test]
async fn the_history_of_an_endpoint_a_call_or_a_state_is_filtered_by_pick_up() {
    let sending = Sending::to(Receiver::willing().await).await;
    for call in ["call-1", "call-2"] {
        sending.delivered(call, Some(CALL), None).await;
    }
    sending.follow(&sending.receiver.wait_for(2).await[0], "recording_url").await;
    sending.until_calls(PickUp::Fetched, &["call-1"]).await;
    let of = |pick_up| DeliveryFilter { pick_up: Some(pick_up), ..DeliveryFilter::default() };
    let (fetched, not_fetched) = (of(PickUp::Fetched), of(PickUp::NotFetched));
    let call = |name: &str| Some(name.to_owned());
    for (filter, found) in [
        (DeliveryFilter { call: call("call-1"), ..fetched.clone() }, 1),
        (DeliveryFilter { call: call("call-2"), ..fetched.clone() }, 0),
        (DeliveryFilter { call: call("call-2"), ..not_fetched.clone() }, 1),
        (DeliveryFilter { endpoint: Some(sending.endpoint.id.clone()), ..not_fetched.clone() }, 1),
        (DeliveryFilter { endpoint: call("ep_other"), ..not_fetched.clone() }, 0),
        (DeliveryFilter { state: Some(DeliveryState::Delivered), ..fetched.clone() }, 1),
        (DeliveryFilter { state: Some(DeliveryState::Failed), ..fetched }, 0),
    ] {
        let page = sending.sender.ledger().deliveries("acme", &filter, 10).await.unwrap().unwrap();
        assert_eq!(page.deliveries.len(), found, "{filter:?}");
    }
}
