//! Permits are shared: whatever one workspace or one endpoint does, the sender delivers the others' calls.

use std::sync::Arc;
use std::time::Duration;

use webhook_assets::clock::UnixMillis;
use webhook_assets::ledger::{EndpointChange, NewEndpoint, NewEvent};
use webhook_assets::sender::{self, Sender};
use webhook_assets::webhook::CompletedCall;

use super::{Sending, new_endpoint};
use crate::support::receiver::{Reaction, Receiver};
use crate::support::waiting::WAIT_LIMIT;
use crate::support::{Plan, sending};

/// How long an attempt at a receiver that hangs takes. A neighbour's call that waited for one would not arrive while
/// the test waits.
const ATTEMPT: Duration = WAIT_LIMIT.saturating_mul(2);

async fn add_endpoint(sender: &Sender, workspace: &str, receiver: &Receiver) -> String {
    let new = NewEndpoint { workspace: workspace.to_owned(), ..new_endpoint(&receiver.url("/hook")) };
    sender.ledger().add_endpoint(new, sender.now()).await.unwrap().0.id
}

fn event(workspace: &str, id: &str, now: UnixMillis) -> NewEvent {
    NewEvent::call(workspace, id, &CompletedCall::sample(), None, None, now).unwrap()
}

/// Posts `count` calls at once.
async fn hand_in(sender: &Sender, workspace: &str, count: usize) {
    let calls = (0..count).map(|call| sender.accept(event(workspace, &format!("call-{call}"), sender.now())));
    for accepted in futures_util::future::join_all(calls).await {
        accepted.unwrap();
    }
}

/// A receiver that hangs, and attempts that wait for it.
async fn attack() -> Sending {
    let hanging = Receiver::start(|_, _| Reaction::Late(2 * ATTEMPT)).await;
    let config = sender::Config { attempt_timeout: ATTEMPT, ..sending() };
    Sending::of(Plan { sender: Some(config), ..Plan::sending().await }, hanging).await
}

/// Posts 12 calls, one after the other, each of which must arrive.
async fn a_neighbour_is_served(sender: &Sender, receiver: &Receiver) {
    for call in 0..12 {
        sender.accept(event("neighbour", &format!("call-{call}"), sender.now())).await.unwrap();
        receiver.wait_for(call + 1).await;
    }
}

#[tokio::test]
async fn endless_test_events_to_a_slow_receiver_delay_no_other_endpoint() {
    let attacked = attack().await;
    let (sender, willing) = (attacked.sender.clone(), Receiver::willing().await);
    add_endpoint(&sender, "neighbour", &willing).await;
    for _ in 0..9 {
        add_endpoint(&sender, "acme", &attacked.receiver).await;
    }
    let (attacker, endpoints) = (sender.clone(), sender.ledger().endpoints("acme").await.unwrap());
    let tests = tokio::spawn(async move {
        for endpoint in endpoints.iter().cycle() {
            attacker.test(endpoint).await.unwrap();
        }
    });
    attacked.receiver.wait_for(1).await;
    a_neighbour_is_served(&sender, &willing).await;
    tests.abort();
}

#[tokio::test]
async fn a_workspace_whose_receivers_hang_leaves_permits_to_the_others() {
    let attacked = attack().await;
    let (sender, willing) = (attacked.sender.clone(), Receiver::willing().await);
    for _ in 0..60 {
        add_endpoint(&sender, "acme", &attacked.receiver).await;
    }
    add_endpoint(&sender, "neighbour", &willing).await;
    // Four each for 61 endpoints are more than the hundred permits.
    hand_in(&sender, "acme", 4).await;
    attacked.receiver.wait_for(60).await;
    a_neighbour_is_served(&sender, &willing).await;
    let held = attacked.receiver.received().len();
    assert!(held < 80, "one workspace alone gets three quarters of the permits: {held}");
}

#[tokio::test]
async fn a_backlog_of_one_workspace_does_not_hide_a_call_of_another() {
    let attacked = attack().await;
    let (sender, willing) = (attacked.sender.clone(), Receiver::willing().await);
    add_endpoint(&sender, "neighbour", &willing).await;
    hand_in(&sender, "acme", 5_000).await;
    attacked.receiver.wait_for(4).await;
    a_neighbour_is_served(&sender, &willing).await;
}

#[tokio::test]
async fn calls_to_an_endpoint_are_sent_in_their_order() {
    let slow = Receiver::start(|_, _| Reaction::Late(Duration::from_millis(10))).await;
    let sending = Sending::to(slow).await;
    let one = EndpointChange { concurrency: Some(Some(1)), ..EndpointChange::default() };
    sending.sender.ledger().change_endpoint("acme", &sending.endpoint.id, one).await.unwrap().unwrap();
    // New calls keep coming while others wait.
    let mut accepted = Vec::new();
    for call in 0..60 {
        sending.site.clock.advance(Duration::from_millis(1));
        accepted.push(sending.call_with(&format!("call-{call}"), None, None).await.event);
    }
    let received = sending.receiver.wait_for(60).await;
    let received: Vec<_> = received.iter().map(|webhook| webhook.header("webhook-id").to_owned()).collect();
    assert_eq!(received, accepted);
}

#[tokio::test]
async fn a_receiver_that_takes_more_at_once_gets_more_at_once() {
    let receiver = Receiver::start(|_, _| Reaction::Late(Duration::from_millis(100))).await;
    let sending = Sending::to(receiver).await;
    hand_in(&sending.sender, "acme", 400).await;
    sending.receiver.wait_for(400).await;
    let most = sending.receiver.most_at_once();
    assert!(most > 24, "{most}");
    assert!(most <= 75, "three quarters of a hundred permits: {most}");
}

#[tokio::test]
async fn endless_first_attempts_do_not_starve_a_retry() {
    // The first call fails once; the calls behind it would fill every permit for ever.
    let receiver = Receiver::start(|before, _| match before {
        0 => Reaction::Answer(500, ""),
        _ => Reaction::Late(Duration::from_millis(20)),
    })
    .await;
    let sending = Sending::to(receiver).await;
    let first = sending.call_with("call-first", None, None).await;
    sending.receiver.wait_for(1).await;
    let flooding = sending.sender.clone();
    let flood = tokio::spawn(async move { hand_in(&flooding, "acme", 2_000).await });
    sending.receiver.wait_for(10).await;
    sending.pass(Duration::from_secs(1));
    sending.until(&first.deliveries[0], webhook_assets::ledger::DeliveryState::Delivered).await;
    let before = sending.receiver.received().len();
    assert!(before < 1_500, "it had its turn after {before} others");
    flood.abort();
}

#[tokio::test]
async fn all_failed_deliveries_are_recovered_in_batches() {
    let well = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let is_well = Arc::clone(&well);
    let receiver = Receiver::start(move |_, _| {
        Reaction::Answer(if is_well.load(std::sync::atomic::Ordering::Relaxed) { 200 } else { 500 }, "")
    })
    .await;
    let sending = Sending::to(receiver).await;
    let gone = add_endpoint(&sending.sender, "acme", &sending.receiver).await;
    hand_in(&sending.sender, "acme", 1_200).await;
    let (ledger, now) = (sending.sender.ledger(), sending.sender.now());
    // All of it has failed.
    ledger.disable_endpoint(&sending.endpoint.id, 0, "for a test", now).await.unwrap();
    ledger.remove_endpoint("acme", &gone, now).await.unwrap();
    let active = webhook_assets::ledger::EndpointState::Active;
    let change = EndpointChange { state: Some(active), ..EndpointChange::default() };
    ledger.change_endpoint("acme", &sending.endpoint.id, change).await.unwrap().unwrap();
    well.store(true, std::sync::atomic::Ordering::Relaxed);
    let range = webhook_assets::ledger::RecoverRange {
        which: webhook_assets::ledger::RecoverWhich::Failed,
        endpoint: None,
        from: UnixMillis(0),
        to: now.plus(Duration::from_secs(1)),
    };
    let recovered = sending.sender.recover("acme", &range).await.unwrap();
    assert!(
        (1_100..=1_200).contains(&recovered),
        "all of one endpoint and none of the removed one: {recovered}"
    );
    sending.receiver.wait_for(usize::try_from(recovered).unwrap()).await;
}
