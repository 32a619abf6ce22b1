//! The first attempt begins with the event, without a claim of its own.

use std::time::Duration;

use webhook_assets::clock::UnixSeconds;
use webhook_assets::ledger::{
    Claimed, DeliveryState, EndpointChange, EndpointState, Health, Lane, Lease, NewEvent, Share,
};
use webhook_assets::webhook::CompletedCall;

use super::{Sending, new_endpoint};
use crate::support::Plan;
use crate::support::receiver::Receiver;

/// A ledger whose deliveries this test claims itself: the sender sends nothing any more.
async fn idle() -> Sending {
    let sending = Sending::of(Plan::sending().await, Receiver::willing().await).await;
    sending.site.stop_sender().await;
    sending
}

impl Sending {
    fn lease(&self) -> Lease {
        let now = self.sender.now();
        Lease {
            holder: "test".to_owned(),
            until: now.plus(Duration::from_secs(30)),
            links_expire: UnixSeconds(now.seconds().0 + 86_400),
        }
    }

    async fn accept_and_claim(&self, id: &str, endpoints: &[&str]) -> (String, Vec<Claimed>) {
        let (call, now) = (CompletedCall::sample(), self.sender.now());
        let event =
            NewEvent::call("acme", id, &call, None, None, now).unwrap().claim(endpoints, self.lease());
        let (accepted, claimed) = self.sender.ledger().accept_and_claim(event).await.unwrap().unwrap();
        assert!(accepted.is_new);
        (accepted.deliveries[0].clone(), claimed)
    }
}

#[tokio::test]
async fn an_accepted_delivery_is_claimed_as_it_would_be_from_its_queue() {
    let sending = idle().await;
    let id = sending.endpoint.id.as_str();
    let (_, claimed) = sending.accept_and_claim("call-1", &[id]).await;
    let [at_once] = &claimed[..] else { panic!("one delivery") };
    let (queued, none) = sending.accept_and_claim("call-2", &[]).await;
    assert!(none.is_empty());
    let share = Share { endpoint: id.to_owned(), lane: Lane::First, count: 10 };
    let ledger = sending.sender.ledger();
    let claimed = ledger.claim(&[share], &sending.lease(), sending.sender.now()).await.unwrap();
    let [later] = &claimed[..] else { panic!("only the queued delivery: {}", claimed.len()) };
    assert_eq!(later.delivery, queued);
    let secret = |claimed: &Claimed| claimed.secrets.as_ref().unwrap().current.clone();
    assert_eq!(secret(at_once), secret(later));
    let shown = |claimed: &Claimed, event: &str| {
        let own = [&claimed.delivery, &claimed.event].map(|id| id.replace(event, "…"));
        let Claimed { endpoint, workspace, target, call, lane, links_expire, tries, attempts, .. } = claimed;
        format!(
            "{own:?} {endpoint} {workspace} {target:?} {call:?} {lane:?} {links_expire:?} {tries} {attempts}"
        )
    };
    let event = |claimed: &Claimed| claimed.event.strip_prefix("msg_").unwrap().to_owned();
    assert_eq!(shown(at_once, &event(at_once)), shown(later, &event(later)));
}

#[tokio::test]
async fn a_lease_that_has_ended_is_renewed_unless_there_was_another_claim() {
    let sending = idle().await;
    let (ledger, longest) = (sending.sender.ledger(), Duration::from_secs(30));
    let id = sending.endpoint.id.as_str();
    let (_, claimed) = sending.accept_and_claim("call-1", &[id]).await;
    let [claimed] = &claimed[..] else { panic!("one delivery") };
    let requeue = async || ledger.requeue_expired(sending.sender.now(), longest).await.unwrap();
    for _ in 0..3 {
        sending.pass(longest + Duration::from_secs(1));
        assert!(ledger.renew_lease(claimed, &sending.lease()).await.unwrap());
        assert_eq!(requeue().await, 0, "the lease has begun anew");
    }
    sending.pass(longest + Duration::from_secs(1));
    assert_eq!(requeue().await, 1);
    assert!(!ledger.renew_lease(claimed, &sending.lease()).await.unwrap(), "it is in its queue");
    let share = Share { endpoint: id.to_owned(), lane: Lane::First, count: 1 };
    let again = ledger.claim(&[share], &sending.lease(), sending.sender.now()).await.unwrap();
    let [again] = &again[..] else { panic!("the same delivery") };
    assert_eq!((&again.delivery, again.lease_until), (&claimed.delivery, sending.lease().until));
    let renewed = (
        ledger.renew_lease(claimed, &sending.lease()).await.unwrap(),
        ledger.renew_lease(again, &sending.lease()).await.unwrap(),
    );
    assert_eq!(renewed, (false, true), "the earlier claim of the same sender has lost it");
}

#[tokio::test]
async fn an_endpoint_that_takes_no_first_attempts_gets_its_delivery_through_its_queue() {
    let sending = idle().await;
    let (ledger, now) = (sending.sender.ledger(), sending.sender.now());
    let id = sending.endpoint.id.as_str();
    let health = Health { failures: 9, failing_since: Some(now), held_since: Some(now), ..Health::default() };
    let held = Health { held_until: Some(now.plus(Duration::from_secs(5))), ..health };
    ledger.note_health(id, held, None).await.unwrap();
    let (delivery, claimed) = sending.accept_and_claim("call-1", &[id]).await;
    assert!(claimed.is_empty());
    assert_eq!(sending.delivery(&delivery).await.state, DeliveryState::Queued);
    let paused = EndpointChange { state: Some(EndpointState::Paused), ..EndpointChange::default() };
    ledger.change_endpoint("acme", id, paused).await.unwrap();
    let (delivery, claimed) = sending.accept_and_claim("call-2", &[id]).await;
    assert!(claimed.is_empty());
    assert_eq!(sending.delivery(&delivery).await.state, DeliveryState::Queued);
}

#[tokio::test]
async fn of_two_endpoints_the_one_without_a_slot_gets_its_delivery_through_its_queue() {
    let sending = idle().await;
    let (ledger, now) = (sending.sender.ledger(), sending.sender.now());
    let (other, _) = ledger.add_endpoint(new_endpoint("http://127.0.0.1:9/"), now).await.unwrap();
    let (_, claimed) = sending.accept_and_claim("call-1", &[&other.id]).await;
    assert_eq!(claimed.iter().map(|claimed| claimed.endpoint.as_str()).collect::<Vec<_>>(), [other.id]);
    let queues = ledger.queues(now).await.unwrap();
    assert_eq!(
        queues.iter().map(|(queue, _)| queue.endpoint.as_str()).collect::<Vec<_>>(),
        [sending.endpoint.id.as_str()]
    );
}
