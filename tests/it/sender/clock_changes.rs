//! Wall clocks that are set: by an hour or ten years, forwards and back. Pending deliveries wait as long as they
//! should.

use std::time::Duration;

use webhook_assets::clock::{Clock, UnixMillis, UnixSeconds};
use webhook_assets::ledger::{DeliveryState, EndpointChange, EndpointState};

use super::Sending;
use super::circuit_breaker::Outage;
use crate::support::receiver::{Reaction, Receiver};
use crate::support::waiting::until;
use crate::support::{ABSENT, CALL};

const HOUR: i64 = 3_600;
const TEN_YEARS: i64 = 10 * 365 * 86_400;

/// Sets the wall clock; no time passes. Returns when the sender has noticed.
async fn set_clock(sending: &Sending, by: i64) {
    let now = sending.site.clock.now();
    sending.site.clock.set(UnixSeconds(now.0.checked_add_signed(by).unwrap()));
    sending.sender.wake();
    let follows = async || (sending.sender.now() == sending.site.clock.now_millis()).then_some(());
    until(follows, || "the sender does not follow the clock".to_owned()).await;
    sending.settle().await;
}

async fn failing_one_at_a_time() -> Sending {
    let sending = Sending::to(Receiver::start(|_, _| Reaction::Answer(500, "no")).await).await;
    let one = EndpointChange { concurrency: Some(Some(1)), ..EndpointChange::default() };
    sending.sender.ledger().change_endpoint("acme", &sending.endpoint.id, one).await.unwrap().unwrap();
    sending
}

#[tokio::test]
async fn a_retry_comes_on_time_whatever_is_done_to_the_clock() {
    for jumps in
        [&[-HOUR][..], &[HOUR], &[-TEN_YEARS], &[TEN_YEARS], &[TEN_YEARS, -TEN_YEARS], &[-HOUR, HOUR]]
    {
        let sending = failing_one_at_a_time().await;
        let id = sending.call("call-1").await.deliveries[0].clone();
        sending.receiver.wait_for(1).await;
        sending.until(&id, DeliveryState::Waiting).await;
        sending.pass(Duration::from_secs(1));
        sending.receiver.wait_for(2).await;
        sending.until(&id, DeliveryState::Waiting).await;
        for jump in jumps {
            set_clock(&sending, *jump).await;
        }
        assert_eq!(sending.receiver.received().len(), 2, "{jumps:?}: no pause is over");
        sending.pass(Duration::from_millis(1_900));
        sending.settle().await;
        assert_eq!(sending.receiver.received().len(), 2, "{jumps:?}: two seconds are not over");
        sending.pass(Duration::from_millis(200));
        sending.receiver.wait_for(3).await;
    }
}

#[tokio::test]
async fn attempts_scheduled_by_a_wrong_clock_come_when_it_is_right_again() {
    let sending = failing_one_at_a_time().await;
    set_clock(&sending, TEN_YEARS).await;
    let id = sending.call("call-1").await.deliveries[0].clone();
    sending.receiver.wait_for(1).await;
    sending.until(&id, DeliveryState::Waiting).await;
    set_clock(&sending, -TEN_YEARS).await;
    for (attempts, pause) in [(2, 1), (3, 2), (4, 4)] {
        sending.pass(Duration::from_secs(pause));
        sending.receiver.wait_for(attempts).await;
        sending.settle().await;
    }
    sending.until(&id, DeliveryState::Failed).await;
}

#[tokio::test]
async fn a_hold_lasts_no_longer_for_a_clock_that_was_set() {
    for jump in [-HOUR, HOUR, -TEN_YEARS, TEN_YEARS] {
        let (outage, [.., waiting]) = Outage::held().await;
        let sending = &outage.sending;
        set_clock(sending, jump).await;
        // A second failure by a clock that is ten years ahead disables no endpoint.
        for _ in 0..15 {
            sending.pass(Duration::from_secs(1));
            sending.settle().await;
        }
        let delivery = sending.delivery(&waiting).await;
        assert!(delivery.attempts >= 1, "{jump}: not tried within 15 s: {:?}", outage.health().await);
        let health = outage.health().await;
        let failing_for = sending.sender.now().since(health.failing_since.unwrap());
        assert!(failing_for < Duration::from_secs(120), "{jump}: {failing_for:?}");
    }
}

#[tokio::test]
async fn an_endpoint_is_not_disabled_by_a_clock_that_jumps_ten_years() {
    let sending = Sending::to(Receiver::start(|_, _| Reaction::Answer(500, "no")).await).await;
    for call in 0..8 {
        sending.call(&format!("call-{call}")).await;
    }
    for pause in [1, 2, 4] {
        sending.settle().await;
        sending.pass(Duration::from_secs(pause));
    }
    sending.settle().await;
    set_clock(&sending, TEN_YEARS).await;
    let id = sending.call("call-late").await.deliveries[0].clone();
    sending.until(&id, DeliveryState::Waiting).await;
    let endpoint = sending.sender.ledger().endpoint("acme", &sending.endpoint.id).await.unwrap().unwrap();
    assert_eq!(endpoint.state, EndpointState::Active);
}

#[tokio::test]
async fn an_attempt_in_progress_is_not_repeated_after_a_clock_jump() {
    for jump in [HOUR, TEN_YEARS, -HOUR] {
        let receiver = Receiver::start(|_, _| Reaction::Late(Duration::from_millis(1_700))).await;
        let sending = Sending::to(receiver).await;
        let id = sending.call("call-1").await.deliveries[0].clone();
        sending.receiver.wait_for(1).await;
        let now = sending.site.clock.now();
        sending.site.clock.set(UnixSeconds(now.0.checked_add_signed(jump).unwrap()));
        sending.sender.wake();
        let delivered = sending.until(&id, DeliveryState::Delivered).await;
        assert_eq!((delivered.attempts, sending.receiver.received().len()), (1, 1), "{jump}");
    }
}

#[tokio::test]
async fn an_event_waits_for_its_recording_as_long_as_it_should_whatever_is_done_to_the_clock() {
    for jump in [HOUR, -HOUR, TEN_YEARS] {
        let sending = Sending::to(Receiver::willing().await).await;
        let id = sending.call_with("call-1", Some(ABSENT), Some(CALL)).await.deliveries[0].clone();
        sending.until(&id, DeliveryState::Waiting).await;
        set_clock(&sending, jump).await;
        let mut waited = Duration::ZERO;
        while sending.receiver.received().is_empty() {
            assert!(waited < Duration::from_secs(90), "{jump}: {:?}", sending.delivery(&id).await);
            sending.pass(Duration::from_secs(3));
            waited += Duration::from_secs(3);
            sending.settle().await;
        }
        assert!(waited >= Duration::from_secs(58), "{jump}: sent after {waited:?} without its recording");
    }
}

#[tokio::test]
async fn an_endpoint_with_a_pace_keeps_it_when_the_clock_is_set() {
    for jump in [-HOUR, -TEN_YEARS] {
        let sending = Sending::to(Receiver::willing().await).await;
        let slow = EndpointChange { per_second: Some(Some(1)), ..EndpointChange::default() };
        sending.sender.ledger().change_endpoint("acme", &sending.endpoint.id, slow).await.unwrap().unwrap();
        for call in 0..3 {
            sending.call(&format!("call-{call}")).await;
        }
        sending.receiver.wait_for(1).await;
        set_clock(&sending, jump).await;
        for second in 2..=3 {
            sending.pass(Duration::from_secs(1));
            sending.receiver.wait_for(second).await;
        }
    }
}

#[tokio::test]
async fn attempts_scheduled_before_the_clock_was_set_back_are_due() {
    let folder = tempfile::tempdir().unwrap();
    let config = crate::support::database::database(folder.path()).await;
    let ledger = webhook_assets::ledger::Ledger::open(&config).await.unwrap();
    let now = UnixMillis(1_000_000_000_000);
    let ahead = now.plus(Duration::from_secs(3_600));
    let endpoint = super::new_endpoint("http://127.0.0.1:9/");
    ledger.add_endpoint(endpoint, ahead).await.unwrap();
    let call = webhook_assets::webhook::CompletedCall::sample();
    let event = webhook_assets::ledger::NewEvent::call("acme", "1", &call, None, None, ahead).unwrap();
    ledger.accept(event).await.unwrap();
    assert_eq!(ledger.correct_future_times(now).await.unwrap(), 1);
    assert_eq!(ledger.backlog(now).await.unwrap().oldest_due, Some(now));
    assert_eq!(ledger.correct_future_times(now).await.unwrap(), 0);
}
