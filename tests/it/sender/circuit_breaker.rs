//! The circuit breaker of an endpoint: it stays open no longer than the endpoint fails; time counts, not attempts, and
//! a person's action causes an attempt at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use webhook_assets::ledger::{
    DeliveryState, EndpointChange, EndpointState, Health, RecoverRange, RecoverWhich,
};
use webhook_assets::webhook::HeaderChanges;

use super::Sending;
use crate::support::receiver::{Reaction, Receiver};
use crate::support::waiting::until;

/// A receiver that answers 503 until it recovers.
pub(super) struct Outage {
    pub(super) sending: Sending,
    well: Arc<AtomicBool>,
}

impl Outage {
    pub(super) async fn begin() -> Self {
        let well = Arc::new(AtomicBool::new(false));
        let is_well = Arc::clone(&well);
        let receiver = Receiver::start(move |_, _| {
            Reaction::Answer(if is_well.load(Ordering::Relaxed) { 200 } else { 503 }, "")
        })
        .await;
        Self { sending: Sending::to(receiver).await, well }
    }

    /// An endpoint whose circuit breaker is open: one delivery has failed for good, one has failed once, one is
    /// pending.
    pub(super) async fn held() -> (Self, [String; 3]) {
        let outage = Self::begin().await;
        let sending = &outage.sending;
        let failed = sending.call("failed").await.deliveries[0].clone();
        for pause in [1, 2, 4] {
            sending.settle().await;
            sending.pass(Duration::from_secs(pause));
        }
        sending.until(&failed, DeliveryState::Failed).await;
        sending.pass(Duration::from_secs(60));
        let retrying = sending.call("retrying").await.deliveries[0].clone();
        sending.until(&retrying, DeliveryState::Waiting).await;
        let held = async || outage.health().await.held_since;
        until(held, || "the endpoint is not held".to_owned()).await;
        let waiting = sending.call("waiting").await.deliveries[0].clone();
        sending.until(&waiting, DeliveryState::Queued).await;
        (outage, [failed, retrying, waiting])
    }

    fn end(&self) {
        self.well.store(true, Ordering::Relaxed);
    }

    pub(super) async fn health(&self) -> Health {
        let (ledger, id) = (self.sending.sender.ledger(), &self.sending.endpoint.id);
        ledger.endpoint("acme", id).await.unwrap().unwrap().health
    }

    /// Waits until the endpoint's health is good.
    async fn until_good(&self) {
        let good = async || {
            let health = self.health().await;
            ((health.failing_since, health.held_since, health.held_until) == (None, None, None)).then_some(())
        };
        until(good, || "its failures are not forgotten".to_owned()).await;
    }
}

/// One call a second for 70 seconds, all of which fail.
async fn seventy_seconds(outage: &Outage) -> Vec<String> {
    let mut deliveries = Vec::new();
    for second in 0..70 {
        deliveries.push(outage.sending.call(&format!("call-{second}")).await.deliveries[0].clone());
        outage.sending.settle().await;
        outage.sending.pass(Duration::from_secs(1));
    }
    outage.sending.settle().await;
    assert!(outage.health().await.held_since.is_some(), "it is held after a minute");
    deliveries
}

#[tokio::test]
async fn after_an_outage_of_70_seconds_all_pending_deliveries_arrive_within_30() {
    let outage = Outage::begin().await;
    let deliveries = seventy_seconds(&outage).await;
    outage.end();
    let mut waited = 0;
    loop {
        outage.sending.settle().await;
        let mut open = 0;
        for delivery in &deliveries {
            let state = outage.sending.delivery(delivery).await.state;
            open += usize::from(!matches!(state, DeliveryState::Delivered | DeliveryState::Failed));
        }
        if open == 0 {
            break;
        }
        assert!(waited < 30, "{open} have not arrived after {waited} s");
        waited += 1;
        outage.sending.pass(Duration::from_secs(1));
    }
    outage.until_good().await;
    // The outage used up none of the pending deliveries.
    let last = outage.sending.delivery(&deliveries[69]).await;
    assert_eq!((last.state, last.attempts), (DeliveryState::Delivered, 1));
}

#[tokio::test]
async fn send_again_after_an_outage_arrives_at_once_and_so_do_all_pending_deliveries() {
    let outage = Outage::begin().await;
    let deliveries = seventy_seconds(&outage).await;
    outage.sending.until(&deliveries[0], DeliveryState::Failed).await;
    outage.end();
    // The clock stands still from here on.
    outage.sending.sender.ledger().resend("acme", &deliveries[0], outage.sending.sender.now()).await.unwrap();
    outage.sending.until(&deliveries[0], DeliveryState::Delivered).await;
    outage.sending.until(&deliveries[69], DeliveryState::Delivered).await;
    outage.until_good().await;
}

#[tokio::test]
async fn send_again_is_attempted_at_once_and_the_breaker_stays_open_if_it_fails() {
    let (outage, [failed, _, waiting]) = Outage::held().await;
    let held = outage.health().await;
    let before = outage.sending.receiver.received().len();
    outage.sending.sender.resend("acme", &failed).await.unwrap();
    outage.sending.receiver.wait_for(before + 1).await;
    outage.sending.until(&failed, DeliveryState::Waiting).await;
    outage.sending.settle().await;
    assert_eq!(outage.health().await, held);
    assert_eq!(outage.sending.delivery(&waiting).await.state, DeliveryState::Queued);
}

#[tokio::test]
async fn retries_keep_their_schedule_while_the_breaker_is_open() {
    let (outage, [_, retrying, waiting]) = Outage::held().await;
    for (pause, attempts) in [(1, 2), (2, 3), (4, 4)] {
        assert_eq!(outage.sending.delivery(&retrying).await.attempts, attempts - 1);
        outage.sending.pass(Duration::from_secs(pause));
        let is_made = async || {
            let delivery = outage.sending.delivery(&retrying).await;
            (delivery.attempts == attempts && delivery.state != DeliveryState::Sending).then_some(())
        };
        until(is_made, || format!("no attempt {pause} s after a failure")).await;
    }
    outage.sending.until(&retrying, DeliveryState::Failed).await;
    // A delivery that was not attempted yet waits only for the circuit breaker's pauses.
    assert!(outage.sending.delivery(&waiting).await.attempts <= 2);
}

/// What a person can do about an endpoint whose circuit breaker is open.
#[derive(Debug, Clone, Copy)]
enum Act {
    AnotherUrl,
    Resume,
    Recover,
    NewSecret,
    NewHeaders,
    Test,
}

async fn act(outage: &Outage, act: Act) {
    let Sending { sender, endpoint, receiver, .. } = &outage.sending;
    // Directly in the database, as another process does it.
    let (ledger, now) = (sender.ledger(), sender.now());
    let change = |change| ledger.change_endpoint("acme", &endpoint.id, change);
    match act {
        Act::AnotherUrl => {
            let url = Some(receiver.url("/moved"));
            change(EndpointChange { url, ..EndpointChange::default() }).await.unwrap().unwrap();
        }
        Act::Resume => {
            let state = Some(EndpointState::Active);
            change(EndpointChange { state, ..EndpointChange::default() }).await.unwrap().unwrap();
        }
        Act::Recover => {
            let to = now.plus(Duration::from_secs(1));
            let range = RecoverRange {
                which: RecoverWhich::Failed,
                endpoint: None,
                from: webhook_assets::clock::UnixMillis(0),
                to,
            };
            assert!(ledger.recover("acme", &range, now).await.unwrap() > 0);
        }
        Act::NewSecret => {
            ledger.rotate_secret("acme", &endpoint.id, Duration::from_secs(60), now).await.unwrap().unwrap();
        }
        Act::NewHeaders => {
            let mut headers = HeaderChanges::default();
            headers.set("X-API-Key", "k").unwrap();
            change(EndpointChange { headers, ..EndpointChange::default() }).await.unwrap().unwrap();
        }
        Act::Test => {
            sender.test(endpoint).await.unwrap();
        }
    }
}

#[tokio::test]
async fn each_action_on_a_held_endpoint_causes_an_attempt_at_once() {
    for wish in [Act::AnotherUrl, Act::Resume, Act::Recover, Act::NewSecret, Act::NewHeaders, Act::Test] {
        println!("{wish:?}");
        let (outage, [.., waiting]) = Outage::held().await;
        outage.end();
        outage.sending.settle().await;
        assert_eq!(outage.sending.delivery(&waiting).await.state, DeliveryState::Queued);
        // The clock stands still: no pause of the circuit breaker ends.
        act(&outage, wish).await;
        outage.sending.until(&waiting, DeliveryState::Delivered).await;
        outage.until_good().await;
    }
}

#[tokio::test]
async fn late_answers_of_the_old_url_do_not_count_against_the_new_one() {
    let slow = Receiver::start(|_, _| Reaction::LateAnswer(Duration::from_millis(900), 500)).await;
    let sending = Sending::to(slow).await;
    let late = sending.call("call-1").await.deliveries[0].clone();
    sending.receiver.wait_for(1).await;
    let url = Some(Receiver::willing().await.url("/"));
    let change = EndpointChange { url, ..EndpointChange::default() };
    let ledger = sending.sender.ledger();
    ledger.change_endpoint("acme", &sending.endpoint.id, change).await.unwrap().unwrap();
    let arrived = sending.call("call-2").await.deliveries[0].clone();
    sending.until(&arrived, DeliveryState::Delivered).await;
    sending.until(&late, DeliveryState::Waiting).await;
    sending.settle().await;
    let endpoint = ledger.endpoint("acme", &sending.endpoint.id).await.unwrap().unwrap();
    assert_eq!((endpoint.health.failing_since, endpoint.failure), (None, None));
}

#[tokio::test]
async fn a_held_endpoint_shows_since_when_why_and_its_next_attempt() {
    let (outage, _) = Outage::held().await;
    let (ledger, now) = (outage.sending.sender.ledger(), outage.sending.sender.now());
    let endpoint = ledger.endpoint("acme", &outage.sending.endpoint.id).await.unwrap().unwrap();
    let health = endpoint.health;
    assert_eq!(health.failing_since.map(|since| now.since(since)), Some(Duration::from_secs(67)));
    assert_eq!(health.held_since, Some(now));
    let next = health.held_until.unwrap().since(now);
    assert!((Duration::from_secs(1)..=Duration::from_secs(15)).contains(&next), "{next:?}");
    let failure = endpoint.failure.unwrap();
    assert!(failure.summary.contains("503"), "{failure:?}");
}
