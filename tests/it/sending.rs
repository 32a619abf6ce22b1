//! The sender: what is accepted arrives, on its schedule, signed, with links that open.

use std::time::Duration;

use uuid::Uuid;
use webhook_assets::clock::UnixMillis;
use webhook_assets::ledger::{
    Accepted, Change, Delivery, DeliveryState, Endpoint, EndpointState, Filter, NewEndpoint, NewEvent,
    RecoverRange,
};
use webhook_assets::sender::Sender;
use webhook_assets::webhook::{CompletedCall, WebhookSecret, verify_plain, verify_standard};

use crate::support::receiver::{Reaction, Receiver};
use crate::support::{ABSENT, CALL, Plan, Site};

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

    async fn delivery(&self, id: &str) -> Delivery {
        self.sender.ledger().delivery("acme", id).await.unwrap().unwrap().0
    }

    /// Waits until a delivery is in this state.
    async fn until(&self, id: &str, state: DeliveryState) -> Delivery {
        for _ in 0..400 {
            let delivery = self.delivery(id).await;
            if delivery.state == state {
                return delivery;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("{id} is {:?}, not {state:?}", self.delivery(id).await);
    }
}

fn new_endpoint(url: &str) -> NewEndpoint {
    NewEndpoint {
        workspace: "acme".to_owned(),
        url: url.to_owned(),
        description: String::new(),
        long_tail: false,
        concurrency: 16,
        per_second: None,
    }
}

#[tokio::test]
async fn a_call_arrives_signed_and_its_links_open() {
    let sending = Sending::to(Receiver::willing().await).await;
    let accepted = sending.call("call-1").await;
    assert!(accepted.fresh);
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
    assert_eq!((again.event, again.deliveries, again.fresh), (first.event, first.deliveries, false));
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
        Some("recording_url is null: the recording was not in the store after 1m")
    );
}

#[tokio::test]
async fn a_test_event_says_so_and_its_sample_really_downloads() {
    let sending = Sending::to(Receiver::willing().await).await;
    sending.sender.test(&sending.endpoint).await.unwrap();
    let body = sending.receiver.wait_for(1).await[0].json();
    assert_eq!(body["test"], true);
    for field in ["recording_url", "transcript_url"] {
        let link = body["call"][field].as_str().unwrap();
        let answer = sending.site.get(link.strip_prefix(sending.site.base.origin()).unwrap(), &[]).await;
        assert_eq!(answer.status, 200);
        assert!(answer.body.len() > 10_000);
    }
}

#[tokio::test]
async fn events_for_a_paused_endpoint_wait_until_it_goes_on() {
    let sending = Sending::to(Receiver::willing().await).await;
    let (ledger, id) = (sending.sender.ledger(), &sending.endpoint.id);
    let state = |state| Change { state: Some(state), ..Change::default() };
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
async fn a_removed_endpoint_gets_nothing_more_and_what_waited_has_failed() {
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
    // The receiver knows one secret and refuses what another has signed.
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

    // The receiver changes over: one attempt finds that out, and it is remembered.
    *known.lock().unwrap() = Some(rotated.secret);
    let id = sending.call("call-2").await.deliveries[0].clone();
    sending.receiver.wait_for(2).await;
    sending.until(&id, DeliveryState::Waiting).await;
    sending.pass(Duration::from_secs(1));
    assert_eq!(sending.until(&id, DeliveryState::Delivered).await.attempts, 2);
    let id = sending.call("call-3").await.deliveries[0].clone();
    assert_eq!(sending.until(&id, DeliveryState::Delivered).await.attempts, 1);

    // After the overlap the new secret alone signs.
    sending.site.clock.advance(overlap);
    sending.call("call-4").await;
    let last = sending.receiver.wait_for(5).await.pop().unwrap();
    assert_eq!(last.header("webhook-signature").split(' ').count(), 1);
}

#[tokio::test]
async fn the_history_knows_whether_links_were_followed() {
    let sending = Sending::to(Receiver::willing().await).await;
    let id = sending.call("call-1").await.deliveries[0].clone();
    let body = sending.receiver.wait_for(1).await[0].json();
    let delivered = sending.until(&id, DeliveryState::Delivered).await;
    let now = sending.sender.now().seconds();
    assert_eq!(delivered.pick_up(now).unwrap(), "never fetched, expires in 1day");
    let link = body["call"]["recording_url"].as_str().unwrap();
    sending.site.get(link.strip_prefix(sending.site.base.origin()).unwrap(), &[]).await;
    for _ in 0..100 {
        let said = sending.delivery(&id).await.pick_up(now).unwrap();
        if said == "recording fetched, transcript not" {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("{:?}", sending.delivery(&id).await);
}

#[tokio::test]
async fn the_history_is_listed_newest_first_a_page_at_a_time() {
    let sending = Sending::to(Receiver::willing().await).await;
    for call in 0..5 {
        sending.call(&format!("call-{call}")).await;
        sending.site.clock.advance(Duration::from_secs(1));
    }
    sending.receiver.wait_for(5).await;
    let ledger = sending.sender.ledger();
    let mut filter = Filter::default();
    let mut calls = Vec::new();
    loop {
        let page = ledger.deliveries("acme", &filter, 2).await.unwrap().unwrap();
        assert!(page.deliveries.len() <= 2);
        calls.extend(page.deliveries.into_iter().map(|delivery| delivery.call.unwrap()));
        match page.next {
            Some(next) => filter.cursor = Some(next),
            None => break,
        }
    }
    assert_eq!(calls, ["call-4", "call-3", "call-2", "call-1", "call-0"]);
    let of_call = Filter { call: Some("call-3".to_owned()), ..Filter::default() };
    assert_eq!(ledger.deliveries("acme", &of_call, 10).await.unwrap().unwrap().deliveries.len(), 1);
    assert!(ledger.deliveries("other", &Filter::default(), 10).await.unwrap().unwrap().deliveries.is_empty());
    let nonsense = Filter { cursor: Some("nonsense".to_owned()), ..Filter::default() };
    assert!(ledger.deliveries("acme", &nonsense, 10).await.unwrap().is_none());
}

#[tokio::test]
async fn what_is_forgotten_is_gone_with_its_history() {
    let sending = Sending::to(Receiver::willing().await).await;
    let id = sending.call("call-1").await.deliveries[0].clone();
    sending.until(&id, DeliveryState::Delivered).await;
    let ledger = sending.sender.ledger();
    assert!(!ledger.forget_call("other", "call-1").await.unwrap());
    assert!(ledger.forget_call("acme", "call-1").await.unwrap());
    assert!(ledger.delivery("acme", &id).await.unwrap().is_none());
    let id = sending.call("call-2").await.deliveries[0].clone();
    sending.until(&id, DeliveryState::Delivered).await;
    assert_eq!(ledger.forget_before(sending.sender.now()).await.unwrap(), 0);
    sending.site.clock.advance(Duration::from_secs(1));
    assert_eq!(ledger.forget_before(sending.sender.now()).await.unwrap(), 1);
    let id = sending.call("call-3").await.deliveries[0].clone();
    sending.until(&id, DeliveryState::Delivered).await;
    assert_eq!(ledger.forget_workspace("acme").await.unwrap(), 1);
    assert!(ledger.endpoints("acme").await.unwrap().is_empty());
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
    while health().await.held_until.is_none() {
        assert!(calls < 100, "never held: {:?}", health().await);
        sending.call(&format!("call-{calls}")).await;
        calls += 1;
        sending.pass(Duration::from_secs(5));
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    // While it is held, what comes in waits and is not attempted.
    tokio::time::sleep(Duration::from_millis(100)).await;
    let before = sending.receiver.received().len();
    let waiting = sending.call("call-held").await.deliveries[0].clone();
    sending.until(&waiting, DeliveryState::Queued).await;
    assert_eq!(sending.receiver.received().len(), before);

    well.store(true, std::sync::atomic::Ordering::Relaxed);
    sending.pass(Duration::from_secs(3_600));
    sending.until(&waiting, DeliveryState::Delivered).await;
    for _ in 0..100 {
        if health().await.failing_since.is_none() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("its failures are not forgotten: {:?}", health().await);
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
    assert!(disabled.reason.unwrap().contains("every attempt failed for 5days"));
    let notices = ledger.notices("acme").await.unwrap();
    assert_eq!((notices.len(), notices[0].what.as_str()), (1, "endpoint.disabled"));

    // What comes in now is recorded, to be recovered when somebody has mended it.
    let late = sending.call("call-late").await.deliveries[0].clone();
    let failed = sending.delivery(&late).await;
    assert_eq!(
        (failed.state, failed.note.as_deref()),
        (DeliveryState::Failed, Some("the endpoint is disabled"))
    );
    let active = Change { state: Some(EndpointState::Active), ..Change::default() };
    ledger.change_endpoint("acme", &sending.endpoint.id, active).await.unwrap().unwrap();
    let now = sending.sender.now();
    let range =
        RecoverRange { endpoint: None, from: failed.created_at, to: now.plus(Duration::from_secs(1)) };
    let before = sending.receiver.received().len();
    assert_eq!(sending.sender.recover("acme", &range).await.unwrap(), 1);
    sending.receiver.wait_for(before + 1).await;
}

#[tokio::test]
async fn an_endpoint_may_ask_for_a_long_tail_and_be_left_alone_for_as_long_as_it_says() {
    let receiver = Receiver::start(|before, _| match before {
        0..4 => Reaction::Answer(500, ""),
        4 => Reaction::Field(429, "retry-after", "1200"),
        _ => Reaction::Answer(200, ""),
    })
    .await;
    let sending = Sending::to(receiver).await;
    let long = Change { long_tail: Some(true), ..Change::default() };
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

#[tokio::test]
async fn an_endpoint_gets_no_more_a_second_than_it_asked_for() {
    let sending = Sending::to(Receiver::willing().await).await;
    let slow = Change { per_second: Some(Some(1)), ..Change::default() };
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
async fn a_receiver_that_hangs_delays_nobody_else() {
    let hanging = Receiver::start(|_, _| Reaction::Late(Duration::from_secs(60))).await;
    let sending = Sending::to(hanging).await;
    let willing = Receiver::willing().await;
    let other = NewEndpoint { workspace: "other".to_owned(), ..new_endpoint(&willing.url("/")) };
    let (sender, now) = (&sending.sender, sending.sender.now());
    sender.ledger().add_endpoint(other, now).await.unwrap();
    for call in 0..50 {
        sending.call(&format!("call-{call}")).await;
    }
    sending.receiver.wait_for(1).await;
    let began = std::time::Instant::now();
    let event = NewEvent::call("other", "call-1", &CompletedCall::sample(), None, None, now).unwrap();
    sender.accept(event).await.unwrap();
    willing.wait_for(1).await;
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    assert!(sending.receiver.received().len() <= 4, "a receiver that is not known yet gets few at once");
}

#[tokio::test]
async fn a_url_that_leads_inside_is_not_sent_to_and_the_history_says_so() {
    let plan = Plan::sending().await;
    let sending = Sending::of(plan, Receiver::willing().await).await;
    let inside = Change { url: Some("http://10.0.0.5/".to_owned()), ..Change::default() };
    sending.sender.ledger().change_endpoint("acme", &sending.endpoint.id, inside).await.unwrap().unwrap();
    let id = sending.call("call-1").await.deliveries[0].clone();
    for _ in 0..4 {
        tokio::time::sleep(Duration::from_millis(200)).await;
        sending.pass(Duration::from_secs(4));
    }
    let failed = sending.until(&id, DeliveryState::Failed).await;
    let summary = failed.last_summary.unwrap();
    assert!(summary.contains("10.0.0.5") && summary.contains("private"), "{summary}");
}

#[tokio::test]
async fn what_is_under_way_ends_before_the_sender_does() {
    let sending = Sending::to(Receiver::start(|_, _| Reaction::Late(Duration::from_millis(700))).await).await;
    let id = sending.call("call-1").await.deliveries[0].clone();
    sending.receiver.wait_for(1).await;
    sending.sender.stop();
    sending.until(&id, DeliveryState::Delivered).await;
    let late = sending.call("call-2").await.deliveries[0].clone();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(sending.delivery(&late).await.state, DeliveryState::Waiting);
}

#[tokio::test]
async fn a_database_copied_without_its_key_shows_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let config = crate::support::database(folder.path()).await;
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
    let config = crate::support::database(folder.path()).await;
    if config.database.path().is_none() {
        println!("skipped on PostgreSQL: any number may send");
        return;
    }
    let ledger = webhook_assets::ledger::Ledger::open(&config).await.unwrap();
    ledger.become_sender(UnixMillis(1)).await.unwrap();
    let second = webhook_assets::ledger::Ledger::open(&config).await.unwrap();
    let error = second.become_sender(UnixMillis(1)).await.unwrap_err().to_string();
    assert!(error.contains("another process") && error.contains("PostgreSQL"), "{error}");
}
