//! Paused, removed, held or disabled endpoints, and what becomes of their deliveries.

use std::time::Duration;

use webhook_assets::ledger::{DeliveryState, EndpointChange, EndpointState, RecoverRange, RecoverWhich};

use super::Sending;
use crate::support::receiver::{Reaction, Received, Receiver};
use crate::support::waiting::until;

#[tokio::test]
async fn events_for_a_paused_endpoint_wait_until_it_is_resumed() {
    let sending = Sending::to(Receiver::willing().await).await;
    let (ledger, id) = (sending.sender.ledger(), &sending.endpoint.id);
    let state = |state| EndpointChange { state: Some(state), ..EndpointChange::default() };
    ledger.change_endpoint("acme", id, state(EndpointState::Paused)).await.unwrap().unwrap();
    let deliveries: Vec<_> = [sending.call("call-1").await, sending.call("call-2").await]
        .into_iter()
        .flat_map(|accepted| accepted.deliveries)
        .collect();
    for delivery in &deliveries {
        sending.until(delivery, DeliveryState::Queued).await;
    }
    assert!(sending.receiver.received().is_empty());
    ledger.change_endpoint("acme", id, state(EndpointState::Active)).await.unwrap().unwrap();
    sending.sender.wake();
    sending.receiver.wait_for(2).await;
    for delivery in &deliveries {
        sending.until(delivery, DeliveryState::Delivered).await;
    }
}

#[tokio::test]
async fn a_removed_endpoint_gets_nothing_more_and_its_pending_deliveries_fail() {
    let sending = Sending::to(Receiver::start(|_, _| Reaction::Answer(500, "")).await).await;
    let id = sending.call("call-1").await.deliveries[0].clone();
    sending.receiver.wait_for(1).await;
    sending.until(&id, DeliveryState::Waiting).await;
    let ledger = sending.sender.ledger();
    assert!(ledger.remove_endpoint("acme", &sending.endpoint.id, sending.sender.now()).await.unwrap());
    sending.pass(Duration::from_secs(10));
    let failed = sending.until(&id, DeliveryState::Failed).await;
    assert_eq!(failed.note.as_deref(), Some("the endpoint was removed"));
    assert!(sending.call("call-2").await.deliveries.is_empty());
    assert_eq!(sending.receiver.received().len(), 1);
}

#[tokio::test]
async fn an_endpoint_that_fails_for_a_minute_is_held_and_resumes_when_it_is_back() {
    let well = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let is_well = std::sync::Arc::clone(&well);
    let receiver = Receiver::start(move |_, _| {
        let is_well = is_well.load(std::sync::atomic::Ordering::Relaxed);
        Reaction::Answer(if is_well { 200 } else { 503 }, "")
    })
    .await;
    let sending = Sending::to(receiver).await;
    let endpoint = &sending.endpoint.id;
    let health =
        || async { sending.sender.ledger().endpoint("acme", endpoint).await.unwrap().unwrap().health };
    // Calls keep coming, and all their attempts fail.
    let mut calls = 0;
    loop {
        assert!(calls < 100, "never held: {:?}", health().await);
        sending.call(&format!("call-{calls}")).await;
        calls += 1;
        sending.settle().await;
        if health().await.held_until > Some(sending.sender.now()) {
            break;
        }
        sending.pass(Duration::from_secs(5));
    }
    // While the endpoint is held, new deliveries wait without an attempt; retries keep their schedule.
    let accepted = sending.call("call-held").await;
    let waiting = accepted.deliveries[0].clone();
    sending.settle().await;
    sending.until(&waiting, DeliveryState::Queued).await;
    let attempted = |received: &Received| received.header("webhook-id") == accepted.event;
    assert!(!sending.receiver.received().iter().any(attempted));

    well.store(true, std::sync::atomic::Ordering::Relaxed);
    sending.pass(Duration::from_secs(3_600));
    sending.until(&waiting, DeliveryState::Delivered).await;
    let forgotten = async || health().await.failing_since.is_none().then_some(());
    until(forgotten, || "its failures are not forgotten".to_owned()).await;
}

#[tokio::test]
async fn an_endpoint_that_fails_for_days_is_disabled_with_a_reason_and_a_notice() {
    let sending = Sending::to(Receiver::start(|_, _| Reaction::Answer(500, "")).await).await;
    let ledger = sending.sender.ledger();
    let endpoint = || async { ledger.endpoint("acme", &sending.endpoint.id).await.unwrap().unwrap() };
    let mut calls = 0;
    while endpoint().await.state == EndpointState::Active {
        assert!(calls < 300, "never disabled: {:?}", endpoint().await);
        sending.call(&format!("call-{calls}")).await;
        calls += 1;
        sending.pass(Duration::from_secs(if calls < 40 { 5 } else { 3_600 }));
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    let disabled = endpoint().await;
    assert_eq!(disabled.state, EndpointState::Disabled);
    assert!(disabled.reason.unwrap().contains("every attempt failed for 5 days"));
    let notices = ledger.notices("acme").await.unwrap();
    assert_eq!((notices.len(), notices[0].what.as_str()), (1, "endpoint.disabled"));

    // New calls are recorded; an operator can recover them later.
    let late = sending.call("call-late").await.deliveries[0].clone();
    let failed = sending.delivery(&late).await;
    assert_eq!(
        (failed.state, failed.note.as_deref()),
        (DeliveryState::Failed, Some("the endpoint is disabled"))
    );
    let active = EndpointChange { state: Some(EndpointState::Active), ..EndpointChange::default() };
    ledger.change_endpoint("acme", &sending.endpoint.id, active).await.unwrap().unwrap();
    let now = sending.sender.now();
    let range = RecoverRange {
        which: RecoverWhich::Failed,
        endpoint: None,
        from: failed.created_at,
        to: now.plus(Duration::from_secs(1)),
    };
    let before = sending.receiver.received().len();
    assert_eq!(sending.sender.recover("acme", &range).await.unwrap(), 1);
    sending.receiver.wait_for(before + 1).await;
}

#[tokio::test]
async fn an_endpoint_may_set_more_retries_and_a_retry_after() {
    let receiver = Receiver::start(|before, _| match before {
        0..4 => Reaction::Answer(500, ""),
        4 => Reaction::Field(429, "retry-after", "1200"),
        _ => Reaction::Answer(200, ""),
    })
    .await;
    let sending = Sending::to(receiver).await;
    let long = EndpointChange { long_tail: Some(true), ..EndpointChange::default() };
    sending.sender.ledger().change_endpoint("acme", &sending.endpoint.id, long).await.unwrap().unwrap();
    let id = sending.call("call-1").await.deliveries[0].clone();
    let mut pauses = Vec::new();
    for attempts in 1..=5 {
        sending.receiver.wait_for(attempts).await;
        let waiting = sending.until(&id, DeliveryState::Waiting).await;
        let pause = waiting.due_at.unwrap().since(sending.sender.now());
        pauses.push(pause.as_secs());
        sending.pass(pause);
    }
    assert_eq!(pauses[..3], [1, 2, 4]);
    assert!((270..=330).contains(&pauses[3]), "{pauses:?}");
    assert!((1_620..=1_980).contains(&pauses[4]), "half an hour, longer than the wish: {pauses:?}");
    assert_eq!(sending.until(&id, DeliveryState::Delivered).await.attempts, 6);
}
