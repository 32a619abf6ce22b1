//! The sender: every accepted call arrives, on schedule, signed, with links that open.

mod accept;
mod alerts;
mod backfill;
mod call_filters;
mod circuit_breaker;
mod clock_changes;
mod custom_headers;
mod described;
mod endpoints;
mod fair_shares;
mod figures;
mod find;
mod history;
mod last_release;
mod late_assets;
mod pick_up;
mod proxy;
mod resends;

use std::time::Duration;

use uuid::Uuid;
use webhook_assets::clock::UnixMillis;
use webhook_assets::ledger::{
    Accepted, CallFilter, Delivery, DeliveryState, Endpoint, EndpointChange, NewEndpoint, NewEvent,
};
use webhook_assets::sender::{self, Sender};
use webhook_assets::webhook::{CompletedCall, HeaderChanges, WebhookSecret, verify_plain, verify_standard};

use crate::support::receiver::{Reaction, Receiver};
use crate::support::waiting::{WAIT_LIMIT, until};
use crate::support::webhooks::settle;
use crate::support::{ABSENT, CALL, Plan, Site, sending};

/// A site that sends, with one endpoint.
struct Sending {
    site: Site,
    sender: Sender,
    endpoint: Endpoint,
    secret: WebhookSecret,
    receiver: Receiver,
}

impl Sending {
    async fn to(receiver: Receiver) -> Self {
        Self::of(Plan::sending().await, receiver).await
    }

    async fn of(plan: Plan, receiver: Receiver) -> Self {
        let site = plan.start().await;
        let sender = site.sender.clone().unwrap();
        let (endpoint, secret) =
            sender.ledger().add_endpoint(new_endpoint(&receiver.url("/hook")), sender.now()).await.unwrap();
        Self { site, sender, endpoint, secret, receiver }
    }

    async fn call(&self, id: &str) -> Accepted {
        self.call_with(id, Some(CALL), Some(CALL)).await
    }

    async fn call_with(&self, id: &str, recording: Option<Uuid>, transcript: Option<Uuid>) -> Accepted {
        let now = self.sender.now();
        let event = NewEvent::call("acme", id, &CompletedCall::sample(), recording, transcript, now).unwrap();
        self.sender.accept(event).await.unwrap().unwrap()
    }

    /// Moves the clock.
    fn pass(&self, time: Duration) {
        self.site.clock.advance(time);
        self.sender.wake();
    }

    /// Waits until the sender has nothing to do before the clock moves.
    async fn settle(&self) {
        settle(&self.sender).await;
    }

    async fn delivery(&self, id: &str) -> Delivery {
        self.sender.ledger().delivery("acme", id).await.unwrap().unwrap().0
    }

    /// Waits until a delivery is in this state.
    async fn until(&self, id: &str, state: DeliveryState) -> Delivery {
        let is_so = async || Some(self.delivery(id).await).filter(|delivery| delivery.state == state);
        until(is_so, || format!("{id} is not {state:?}")).await
    }
}

fn new_endpoint(url: &str) -> NewEndpoint {
    NewEndpoint {
        workspace: "acme".to_owned(),
        url: url.to_owned(),
        description: String::new(),
        long_tail: false,
        late_assets: false,
        concurrency: None,
        per_second: None,
        filter: CallFilter::default(),
        allow_duplicate: true,
        headers: HeaderChanges::default(),
    }
}

#[tokio::test]
async fn a_call_arrives_signed_and_its_links_open() {
    let sending = Sending::to(Receiver::willing().await).await;
    let accepted = sending.call("call-1").await;
    assert!(accepted.is_new);
    let [webhook] = &sending.receiver.wait_for(1).await[..] else { panic!("one webhook") };
    assert_eq!(webhook.method, "POST");
    assert_eq!(webhook.path, "/hook");
    assert_eq!(webhook.header("content-type"), "application/json");
    assert!(verify_plain(&sending.secret, &webhook.body, webhook.header("x-webhook-signature")));
    assert_eq!(webhook.header("webhook-id"), accepted.event);
    let now = sending.sender.now().seconds();
    verify_standard(&sending.secret, &webhook.headers, &webhook.body, now, Duration::from_secs(300)).unwrap();

    let body = webhook.json();
    assert!(body.get("test").is_none());
    assert_eq!((&body["id"], &body["call"]["id"]), (&accepted.event.as_str().into(), &"call-1".into()));
    for (field, length) in
        [("recording_url", 300_000), ("transcript_url", crate::support::transcript().len())]
    {
        let link = body["call"][field].as_str().unwrap();
        let target = link.strip_prefix(sending.site.base.origin()).unwrap();
        let answer = sending.site.get(target, &[]).await;
        assert_eq!((answer.status, answer.body.len()), (200, length), "{field}");
    }
    let delivery = sending.until(&accepted.deliveries[0], DeliveryState::Delivered).await;
    assert_eq!((delivery.attempts, delivery.last_status), (1, Some(200)));
}

#[tokio::test]
async fn a_failed_delivery_is_tried_after_one_two_and_four_seconds_and_then_has_failed() {
    let sending = Sending::to(Receiver::start(|_, _| Reaction::Answer(500, "no")).await).await;
    let id = sending.call("call-1").await.deliveries[0].clone();
    for (attempts, pause) in [(1, 1_000), (2, 2_000), (3, 4_000)] {
        sending.receiver.wait_for(attempts).await;
        let waiting = sending.until(&id, DeliveryState::Waiting).await;
        let due = waiting.due_at.unwrap().since(sending.sender.now());
        assert_eq!((waiting.attempts as usize, due), (attempts, Duration::from_millis(pause)));
        sending.pass(due - Duration::from_millis(1));
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(sending.receiver.received().len(), attempts, "a millisecond too early");
        sending.pass(Duration::from_millis(1));
    }
    sending.receiver.wait_for(4).await;
    let failed = sending.until(&id, DeliveryState::Failed).await;
    assert_eq!((failed.attempts, failed.last_status), (4, Some(500)));
    sending.pass(Duration::from_secs(100_000));
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(sending.receiver.received().len(), 4);
    let ids: Vec<_> =
        sending.receiver.received().iter().map(|webhook| webhook.header("webhook-id").to_owned()).collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    for webhook in sending.receiver.received() {
        assert_eq!(
            (&webhook.json()["id"], &webhook.json()["call"]["id"]),
            (&ids[0].as_str().into(), &"call-1".into())
        );
    }
}

#[tokio::test]
async fn every_attempt_has_links_with_a_whole_day_before_them() {
    let receiver =
        Receiver::start(|before, _| Reaction::Answer(if before < 3 { 503 } else { 200 }, "")).await;
    let sending = Sending::to(receiver).await;
    let id = sending.call("call-1").await.deliveries[0].clone();
    for attempts in 1..=3 {
        sending.receiver.wait_for(attempts).await;
        sending.until(&id, DeliveryState::Waiting).await;
        sending.pass(Duration::from_secs(4));
    }
    let received = sending.receiver.wait_for(4).await;
    let expires: Vec<u64> = received
        .iter()
        .map(|webhook| {
            let body = webhook.json();
            let (_, query) = body["call"]["recording_url"].as_str().unwrap().split_once("expires=").unwrap();
            query.split('&').next().unwrap().parse().unwrap()
        })
        .collect();
    for (attempt, expires) in expires.iter().enumerate() {
        let sent_at = crate::support::NOW.0 + 4 * attempt as u64;
        assert!((86_400..86_410).contains(&(expires - sent_at)), "{attempt}: {}", expires - sent_at);
    }
    sending.until(&id, DeliveryState::Delivered).await;
}

#[tokio::test]
async fn the_same_call_is_accepted_once_and_another_under_its_id_is_refused() {
    let sending = Sending::to(Receiver::willing().await).await;
    let first = sending.call("call-1").await;
    let again = sending.call("call-1").await;
    assert_eq!((again.event, again.deliveries, again.is_new), (first.event, first.deliveries, false));
    let now = sending.sender.now();
    let other = NewEvent::call("acme", "call-1", &CompletedCall::sample(), None, None, now).unwrap();
    assert_eq!(sending.sender.accept(other).await.unwrap(), None);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(sending.receiver.received().len(), 1);
}

#[tokio::test]
async fn an_asset_that_does_not_exist_is_null() {
    let sending = Sending::to(Receiver::willing().await).await;
    sending.call_with("call-1", None, Some(CALL)).await;
    let body = sending.receiver.wait_for(1).await[0].json();
    assert!(body["call"]["recording_url"].is_null());
    assert!(body["call"]["transcript_url"].is_string());
}

#[tokio::test]
async fn an_event_waits_for_its_recording_up_to_its_time_and_then_says_why_the_link_is_null() {
    let sending = Sending::to(Receiver::willing().await).await;
    let id = sending.call_with("call-1", Some(ABSENT), Some(CALL)).await.deliveries[0].clone();
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(150)).await;
        let waiting = sending.until(&id, DeliveryState::Waiting).await;
        assert!(waiting.note.unwrap().contains("waits for the recording"));
        sending.pass(Duration::from_secs(15));
    }
    assert!(sending.receiver.received().is_empty());
    sending.pass(Duration::from_secs(15));
    let body = sending.receiver.wait_for(1).await[0].json();
    assert!(body["call"]["recording_url"].is_null());
    assert!(body["call"]["transcript_url"].is_string());
    let delivered = sending.until(&id, DeliveryState::Delivered).await;
    assert_eq!(
        delivered.note.as_deref(),
        Some("recording_url is null: the recording was not in the store after 1 minute")
    );
}

#[tokio::test]
async fn a_test_event_says_so_and_its_sample_really_downloads() {
    let sending = Sending::to(Receiver::willing().await).await;
    sending.sender.test(&sending.endpoint).await.unwrap();
    let body = sending.receiver.wait_for(1).await[0].json();
    assert_eq!(body["test"], true);
    let event = body["id"].as_str().unwrap();
    assert_eq!(body["call"]["id"], event.replace("msg_", "test_"));
    for field in ["recording_url", "transcript_url"] {
        let link = body["call"][field].as_str().unwrap();
        let answer = sending.site.get(link.strip_prefix(sending.site.base.origin()).unwrap(), &[]).await;
        assert_eq!(answer.status, 200);
        assert!(answer.body.len() > 10_000);
    }
}

#[tokio::test]
async fn a_failed_delivery_is_sent_again_by_hand_with_fresh_links_and_all_its_attempts() {
    let receiver =
        Receiver::start(|before, _| Reaction::Answer(if before < 5 { 500 } else { 200 }, "")).await;
    let sending = Sending::to(receiver).await;
    let id = sending.call("call-1").await.deliveries[0].clone();
    for attempts in 1..=4 {
        sending.receiver.wait_for(attempts).await;
        if attempts < 4 {
            sending.until(&id, DeliveryState::Waiting).await;
            sending.pass(Duration::from_secs(4));
        }
    }
    sending.until(&id, DeliveryState::Failed).await;
    sending.site.clock.advance(Duration::from_secs(7 * 86_400));
    sending.sender.resend("acme", &id).await.unwrap();
    sending.receiver.wait_for(5).await;
    sending.until(&id, DeliveryState::Waiting).await;
    sending.pass(Duration::from_secs(1));
    let received = sending.receiver.wait_for(6).await;
    let delivered = sending.until(&id, DeliveryState::Delivered).await;
    assert_eq!(delivered.attempts, 6);
    let link = received[5].json()["call"]["recording_url"].as_str().unwrap().to_owned();
    let answer = sending.site.get(link.strip_prefix(sending.site.base.origin()).unwrap(), &[]).await;
    assert_eq!(answer.status, 200);
    let (_, attempts) = sending.sender.ledger().delivery("acme", &id).await.unwrap().unwrap();
    assert_eq!(attempts.iter().map(|attempt| attempt.number).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6]);
}

#[tokio::test]
async fn during_a_rotation_either_secret_verifies_within_the_schedule() {
    // The receiver knows one secret and refuses signatures by another.
    let known: std::sync::Arc<std::sync::Mutex<Option<WebhookSecret>>> = std::sync::Arc::default();
    let knows = std::sync::Arc::clone(&known);
    let receiver = Receiver::start(move |_, webhook| {
        let known = knows.lock().unwrap().clone().unwrap();
        let good = verify_plain(&known, &webhook.body, webhook.header("x-webhook-signature"));
        Reaction::Answer(if good { 200 } else { 401 }, "")
    })
    .await;
    let sending = Sending::to(receiver).await;
    *known.lock().unwrap() = Some(sending.secret.clone());
    let (ledger, endpoint) = (sending.sender.ledger(), &sending.endpoint.id);
    let overlap = Duration::from_secs(86_400);
    let rotated =
        ledger.rotate_secret("acme", endpoint, overlap, sending.sender.now()).await.unwrap().unwrap();

    // The old secret still works, at the first attempt.
    let id = sending.call("call-1").await.deliveries[0].clone();
    assert_eq!(sending.until(&id, DeliveryState::Delivered).await.attempts, 1);
    let both = sending.receiver.received()[0].header("webhook-signature").split(' ').count();
    assert_eq!(both, 2, "a Standard Webhooks signature by each secret");

    // The receiver switches to the new secret: one attempt finds that out, and the sender remembers it.
    *known.lock().unwrap() = Some(rotated.secret);
    let id = sending.call("call-2").await.deliveries[0].clone();
    sending.receiver.wait_for(2).await;
    sending.until(&id, DeliveryState::Waiting).await;
    sending.pass(Duration::from_secs(1));
    assert_eq!(sending.until(&id, DeliveryState::Delivered).await.attempts, 2);
    let id = sending.call("call-3").await.deliveries[0].clone();
    assert_eq!(sending.until(&id, DeliveryState::Delivered).await.attempts, 1);

    // After the overlap only the new secret signs.
    sending.site.clock.advance(overlap);
    sending.call("call-4").await;
    let last = sending.receiver.wait_for(5).await.pop().unwrap();
    assert_eq!(last.header("webhook-signature").split(' ').count(), 1);
}

#[tokio::test]
async fn a_secret_that_was_rotated_away_twice_fits_until_its_day_ends() {
    let known = std::sync::Arc::new(std::sync::Mutex::new(None::<webhook_assets::webhook::WebhookSecret>));
    let knows = std::sync::Arc::clone(&known);
    let receiver = Receiver::start(move |_, webhook| {
        let known = knows.lock().unwrap().clone().unwrap();
        let good = verify_plain(&known, &webhook.body, webhook.header("x-webhook-signature"));
        Reaction::Answer(if good { 200 } else { 401 }, "")
    })
    .await;
    let sending = Sending::to(receiver).await;
    *known.lock().unwrap() = Some(sending.secret.clone());
    let (ledger, endpoint) = (sending.sender.ledger(), sending.endpoint.id.clone());
    let day = Duration::from_secs(86_400);
    let rotate =
        async || ledger.rotate_secret("acme", &endpoint, day, sending.sender.now()).await.unwrap().unwrap();
    rotate().await;
    sending.site.clock.advance(day / 2);
    let newest = rotate().await.secret;

    // The first secret still works, at the first attempt, and a receiver of Standard Webhooks can verify with any of
    // the three.
    let id = sending.call("call-1").await.deliveries[0].clone();
    assert_eq!(sending.until(&id, DeliveryState::Delivered).await.attempts, 1);
    let last = sending.receiver.received().pop().unwrap();
    assert_eq!(last.header("webhook-signature").split(' ').count(), 3);

    // The sender finds out within two attempts that a receiver switched to the newest.
    *known.lock().unwrap() = Some(newest.clone());
    let id = sending.call("call-2").await.deliveries[0].clone();
    sending.receiver.wait_for(2).await;
    sending.until(&id, DeliveryState::Waiting).await;
    sending.pass(Duration::from_secs(1));
    assert_eq!(sending.until(&id, DeliveryState::Delivered).await.attempts, 2);

    // The first one's day ends, and nothing else.
    sending.site.clock.advance(day / 2);
    let id = sending.call("call-3").await.deliveries[0].clone();
    assert_eq!(sending.until(&id, DeliveryState::Delivered).await.attempts, 1);
    let last = sending.receiver.received().pop().unwrap();
    assert_eq!(last.header("webhook-signature").split(' ').count(), 2);

    // A rotation without an overlap ends them all.
    let none =
        ledger.rotate_secret("acme", &endpoint, Duration::ZERO, sending.sender.now()).await.unwrap().unwrap();
    let secrets = ledger.secrets("acme", &endpoint, sending.sender.now()).await.unwrap().unwrap();
    assert!(secrets.current == none.secret && secrets.previous.is_empty());
}

#[tokio::test]
async fn an_endpoint_gets_no_more_per_second_than_its_limit() {
    let sending = Sending::to(Receiver::willing().await).await;
    let slow = EndpointChange { per_second: Some(Some(1)), ..EndpointChange::default() };
    sending.sender.ledger().change_endpoint("acme", &sending.endpoint.id, slow).await.unwrap().unwrap();
    for call in 0..4 {
        sending.call(&format!("call-{call}")).await;
    }
    for second in 1..=4 {
        sending.receiver.wait_for(second).await;
        tokio::time::sleep(Duration::from_millis(150)).await;
        assert_eq!(sending.receiver.received().len(), second, "after {second} s");
        sending.pass(Duration::from_secs(1));
    }
}

#[tokio::test]
async fn a_receiver_that_hangs_delays_no_other() {
    let hanging = Receiver::start(|_, _| Reaction::Late(3 * WAIT_LIMIT)).await;
    let config = sender::Config { attempt_timeout: 2 * WAIT_LIMIT, ..sending() };
    let sending = Sending::of(Plan { sender: Some(config), ..Plan::sending().await }, hanging).await;
    let willing = Receiver::willing().await;
    let other = NewEndpoint { workspace: "other".to_owned(), ..new_endpoint(&willing.url("/")) };
    let (sender, now) = (&sending.sender, sending.sender.now());
    sender.ledger().add_endpoint(other, now).await.unwrap();
    for call in 0..50 {
        sending.call(&format!("call-{call}")).await;
    }
    sending.receiver.wait_for(1).await;
    let event = NewEvent::call("other", "call-1", &CompletedCall::sample(), None, None, now).unwrap();
    sender.accept(event).await.unwrap();
    // The attempts at the other receiver take longer than this waits.
    willing.wait_for(1).await;
    assert!(sending.receiver.received().len() <= 4, "a receiver that is not known yet gets few at once");
}

#[tokio::test]
async fn a_url_of_a_private_address_is_not_sent_to_and_the_history_says_so() {
    let plan = Plan::sending().await;
    let sending = Sending::of(plan, Receiver::willing().await).await;
    let inside = EndpointChange { url: Some("http://10.0.0.5/".to_owned()), ..EndpointChange::default() };
    sending.sender.ledger().change_endpoint("acme", &sending.endpoint.id, inside).await.unwrap().unwrap();
    let id = sending.call("call-1").await.deliveries[0].clone();
    for _ in 0..4 {
        sending.settle().await;
        sending.pass(Duration::from_secs(4));
    }
    let failed = sending.until(&id, DeliveryState::Failed).await;
    let summary = failed.last_summary.unwrap();
    assert!(summary.contains("10.0.0.5") && summary.contains("private"), "{summary}");
}

#[tokio::test]
async fn the_sender_finishes_attempts_in_progress_before_it_ends() {
    let sending = Sending::to(Receiver::start(|_, _| Reaction::Late(Duration::from_millis(700))).await).await;
    let id = sending.call("call-1").await.deliveries[0].clone();
    sending.receiver.wait_for(1).await;
    sending.sender.stop();
    sending.until(&id, DeliveryState::Delivered).await;
    let late = sending.call("call-2").await.deliveries[0].clone();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(sending.delivery(&late).await.state, DeliveryState::Queued);
}

#[tokio::test]
async fn a_database_copied_without_its_key_shows_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let config = crate::support::database::database(folder.path()).await;
    let Some(path) = config.database.path() else {
        println!("skipped on PostgreSQL: its files are elsewhere");
        return;
    };
    let ledger = webhook_assets::ledger::Ledger::open(&config).await.unwrap();
    let (_, secret) = ledger.add_endpoint(new_endpoint("https://example.com/"), UnixMillis(1)).await.unwrap();
    ledger.close().await;
    let stored = std::fs::read(path).unwrap();
    for part in [secret.reveal(), &secret.reveal()[6..]] {
        assert!(!stored.windows(part.len()).any(|window| window == part.as_bytes()));
    }
}

#[tokio::test]
async fn a_second_sender_on_a_sqlite_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let config = crate::support::database::database(folder.path()).await;
    if config.database.path().is_none() {
        println!("skipped on PostgreSQL: any number may send");
        return;
    }
    let ledger = webhook_assets::ledger::Ledger::open(&config).await.unwrap();
    ledger.lock_for_sending().await.unwrap();
    let second = webhook_assets::ledger::Ledger::open(&config).await.unwrap();
    let error = second.lock_for_sending().await.unwrap_err().to_string();
    assert!(error.contains("another process") && error.contains("PostgreSQL"), "{error}");
}
