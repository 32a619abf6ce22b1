//! What a person sends again: a message with its own id, which the sender's own retries are not.

use std::time::Duration;

use serde_json::{Value, json};
use webhook_assets::clock::UnixMillis;
use webhook_assets::ledger::{DeliveryState, RecoverRange, RecoverWhich};
use webhook_assets::webhook::{verify_plain, verify_standard};

use super::Sending;
use crate::support::receiver::{Reaction, Received, Receiver};

/// The ids and the mark of a request: in its header fields, and in its body.
fn marks(webhook: &Received) -> (String, Value) {
    let field = |name| webhook.headers.get(name).map_or("", |value| value.to_str().unwrap());
    let fields = ["webhook-id", "webhook-event-id", "webhook-resend"].map(field);
    let body = webhook.json();
    (fields.join(" "), json!([body["id"], body["call"]["id"], body.get("resend")]))
}

#[tokio::test]
async fn a_resend_and_its_retries_have_an_id_of_their_own_beside_that_of_the_event() {
    // The first attempts at the event and at its resend fail.
    let answer = |before| if before % 2 == 0 { 500 } else { 200 };
    let receiver = Receiver::start(move |before, _| Reaction::Answer(answer(before), "")).await;
    let sending = Sending::to(receiver).await;
    let accepted = sending.call("call-1").await;
    let (event, id) = (&accepted.event, &accepted.deliveries[0]);
    for round in 1..=3 {
        sending.receiver.wait_for(2 * round - 1).await;
        sending.until(id, DeliveryState::Waiting).await;
        sending.pass(Duration::from_secs(1));
        sending.until(id, DeliveryState::Delivered).await;
        if round < 3 {
            sending.sender.resend("acme", id).await.unwrap();
        }
    }
    let received = sending.receiver.wait_for(6).await;
    let expected = [None, Some(1), Some(2)].map(|resend| {
        let fields = match resend {
            None => format!("{event}  "),
            Some(number) => format!("{event}_1_r{number} {event} {number}"),
        };
        (fields, json!([event, "call-1", resend]))
    });
    let now = sending.sender.now().seconds();
    for (at, webhook) in received.iter().enumerate() {
        assert_eq!(marks(webhook), expected[at / 2], "attempt {at}");
        assert!(verify_plain(&sending.secret, &webhook.body, webhook.header("x-webhook-signature")));
        verify_standard(&sending.secret, &webhook.headers, &webhook.body, now, Duration::from_secs(300))
            .unwrap();
    }

    let (delivery, attempts) = sending.sender.ledger().delivery("acme", id).await.unwrap().unwrap();
    assert_eq!((delivery.attempts, delivery.resends), (6, 2));
    let resends: Vec<_> = attempts.iter().map(|attempt| attempt.resend).collect();
    assert_eq!(resends, [0, 0, 1, 1, 2, 2]);
}

#[tokio::test]
async fn a_test_event_that_is_sent_again_has_an_id_of_its_own_too() {
    let sending = Sending::to(Receiver::willing().await).await;
    sending.sender.test(&sending.endpoint).await.unwrap();
    let first = sending.receiver.wait_for(1).await.remove(0).json();
    let event = first["id"].as_str().unwrap();
    let id = format!("{}_1", event.replace("msg_", "dlv_"));
    sending.until(&id, DeliveryState::Delivered).await;
    sending.sender.resend("acme", &id).await.unwrap();
    let resent = sending.receiver.wait_for(2).await.remove(1);
    assert_eq!(marks(&resent).0, format!("{event}_1_r1 {event} 1"));
    assert_eq!((&resent.json()["call"]["id"], &resent.json()["test"]), (&first["call"]["id"], &json!(true)));
}

#[tokio::test]
async fn a_recovered_delivery_is_a_resend() {
    let receiver =
        Receiver::start(|before, _| Reaction::Answer(if before < 4 { 500 } else { 200 }, "")).await;
    let sending = Sending::to(receiver).await;
    let accepted = sending.call("call-1").await;
    for attempts in 1..=4 {
        sending.receiver.wait_for(attempts).await;
        if attempts < 4 {
            sending.until(&accepted.deliveries[0], DeliveryState::Waiting).await;
            sending.pass(Duration::from_secs(4));
        }
    }
    sending.until(&accepted.deliveries[0], DeliveryState::Failed).await;
    let to = UnixMillis(sending.sender.now().0 + 1);
    let range = RecoverRange { which: RecoverWhich::Failed, endpoint: None, from: UnixMillis(0), to };
    assert_eq!(sending.sender.recover("acme", &range).await.unwrap(), 1);
    let event = accepted.event;
    let resent = sending.receiver.wait_for(5).await.remove(4);
    assert_eq!(marks(&resent), (format!("{event}_1_r1 {event} 1"), json!([event, "call-1", 1])));
}
