//! Late assets: who wants it gets `call.updated` when a recording or transcript arrives after its call was sent.

use std::sync::Arc;
use std::time::Duration;

use object_store::ObjectStoreExt;
use object_store::memory::InMemory;
use object_store::path::Path;
use serde_json::json;
use uuid::Uuid;
use webhook_assets::AssetRef;
use webhook_assets::asset::AssetKind;
use webhook_assets::ledger::{
    Arrival, Assets, Delivery, DeliveryFilter, DeliveryState, EndpointChange, EndpointState, NewEndpoint,
};
use webhook_assets::sender::{ArrivalOutcome, Config};
use webhook_assets::webhook::{verify_plain, verify_standard};

use super::{Sending, new_endpoint};
use crate::support::receiver::{Reaction, Received, Receiver};
use crate::support::stores::FaultyStore;
use crate::support::{ABSENT, CALL, DAY, Plan, sample_store, sending};

/// Longer than the pause before the first look.
const A_LOOK: Duration = Duration::from_secs(31);

/// Long enough for several looks that find nothing.
const LOOKS: Duration = Duration::from_millis(2_500);

/// A sender whose endpoint wants reports, and its store, which has nothing of the call [`ABSENT`].
struct Late {
    sending: Sending,
    store: Arc<InMemory>,
}

impl Late {
    async fn to(receiver: Receiver) -> Self {
        let store = sample_store().await;
        // Calls are sent without waiting for their assets.
        let config = Config { asset_wait: Duration::ZERO, ..sending() };
        let plan = Plan { sender: Some(config), ..Plan::on(store.clone()) };
        let late = Self { sending: Sending::of(plan, receiver).await, store };
        late.want(true).await;
        late
    }

    async fn want(&self, late_assets: bool) {
        let change = EndpointChange { late_assets: Some(late_assets), ..EndpointChange::default() };
        let endpoint = &self.sending.endpoint.id;
        self.sending.sender.ledger().change_endpoint("acme", endpoint, change).await.unwrap().unwrap();
        self.sending.sender.wake();
    }

    async fn arrives(&self, kind: AssetKind) {
        let path = Path::from(AssetRef { kind, id: ABSENT }.object_path());
        self.store.put(&path, "late".into()).await.unwrap();
    }

    /// Delivers a call without its assets. Returns the id of its event.
    async fn delivered(&self, id: &str, recording: Option<Uuid>, transcript: Option<Uuid>) -> String {
        let accepted = self.sending.call_with(id, recording, transcript).await;
        for delivery in &accepted.deliveries {
            self.sending.until(delivery, DeliveryState::Delivered).await;
        }
        accepted.event
    }

    async fn say(&self, call: &str, assets: &[(AssetKind, Uuid)]) -> ArrivalOutcome {
        self.sending.sender.assets_arrived("acme", call, assets).await.unwrap()
    }

    /// Says that the recording of a call has arrived. Returns the deliveries that report it.
    async fn say_recording(&self, call: &str) -> Vec<String> {
        match self.say(call, &[(AssetKind::Recording, ABSENT)]).await {
            ArrivalOutcome::Known(Arrival::Reported(reported)) => {
                reported.into_iter().map(|reported| reported.delivery).collect()
            }
            other => panic!("{other:?}"),
        }
    }

    /// Several looks later, no more than this number of webhooks has arrived.
    async fn only(&self, count: usize) {
        self.sending.pass(A_LOOK);
        tokio::time::sleep(LOOKS).await;
        let received = self.sending.receiver.received();
        assert_eq!(received.len(), count, "{:?}", received.last().map(Received::json));
    }

    async fn deliveries(&self) -> Vec<Delivery> {
        let ledger = self.sending.sender.ledger();
        ledger.deliveries("acme", &DeliveryFilter::default(), 100).await.unwrap().unwrap().deliveries
    }
}

/// What a webhook is about: its event and ids, and which links it carries.
fn about(webhook: &Received) -> serde_json::Value {
    let body = webhook.json();
    let call = &body["call"];
    let links = [call["recording_url"].is_string(), call["transcript_url"].is_string()];
    assert_eq!(body["id"], webhook.header("webhook-id"));
    json!([body["event"], body["id"], call["id"], links])
}

#[tokio::test]
async fn a_recording_that_arrives_after_its_call_is_reported_once_with_a_link_that_opens() {
    let late = Late::to(Receiver::willing().await).await;
    let event = late.delivered("call-1", Some(ABSENT), Some(CALL)).await;
    let first = late.sending.receiver.wait_for(1).await.remove(0);
    assert_eq!(about(&first), json!(["call.completed", event, "call-1", [false, true]]));
    late.only(1).await;

    late.arrives(AssetKind::Recording).await;
    late.sending.pass(A_LOOK);
    let updated = late.sending.receiver.wait_for(2).await.remove(1);
    let id = format!("{event}_recording");
    assert_eq!(about(&updated), json!(["call.updated", id, "call-1", [true, true]]));
    assert!(verify_plain(&late.sending.secret, &updated.body, updated.header("x-webhook-signature")));
    let now = late.sending.sender.now().seconds();
    verify_standard(&late.sending.secret, &updated.headers, &updated.body, now, Duration::ZERO).unwrap();
    let body = updated.json();
    let link = body["call"]["recording_url"].as_str().unwrap();
    let target = link.strip_prefix(late.sending.site.base.origin()).unwrap();
    assert_eq!(late.sending.site.get(target, &[]).await.body, b"late");

    // Nothing but the event, its id and the links differs.
    let mut expected = first.json();
    for (pointer, of) in [("/event", "/event"), ("/id", "/id")] {
        *expected.pointer_mut(pointer).unwrap() = body.pointer(of).unwrap().clone();
    }
    for link in ["recording_url", "transcript_url"] {
        expected["call"][link] = body["call"][link].clone();
    }
    assert_eq!(body, expected);
    late.only(2).await;
    late.sending.pass(DAY);
    late.only(2).await;
}

#[tokio::test]
async fn an_endpoint_that_does_not_ask_for_it_sees_nothing_new() {
    let late = Late::to(Receiver::willing().await).await;
    late.want(false).await;
    late.delivered("call-1", Some(ABSENT), None).await;
    late.arrives(AssetKind::Recording).await;
    late.only(1).await;
    assert_eq!(late.say_recording("call-1").await, [""; 0]);

    // One that has given it up while the call awaits its recording, too.
    late.want(true).await;
    late.delivered("call-2", Some(Uuid::nil()), None).await;
    late.want(false).await;
    let path = Path::from(AssetRef::recording(Uuid::nil()).object_path());
    late.store.put(&path, "late".into()).await.unwrap();
    late.only(2).await;
}

#[tokio::test]
async fn each_endpoint_that_asks_for_it_gets_it_with_links_of_its_own() {
    let late = Late::to(Receiver::willing().await).await;
    let (ledger, now) = (late.sending.sender.ledger(), late.sending.sender.now());
    for (path, late_assets) in [("/second", true), ("/third", false)] {
        let new = NewEndpoint { late_assets, ..new_endpoint(&late.sending.receiver.url(path)) };
        ledger.add_endpoint(new, now).await.unwrap();
    }
    late.delivered("call-1", Some(ABSENT), None).await;
    late.arrives(AssetKind::Recording).await;
    late.sending.pass(A_LOOK);
    let received = late.sending.receiver.wait_for(5).await.split_off(3);
    let mut paths: Vec<_> = received.iter().map(|webhook| webhook.path.clone()).collect();
    paths.sort_unstable();
    assert_eq!(paths, ["/hook", "/second"]);
    assert_eq!(about(&received[0]), about(&received[1]), "one event");
    let link = |at: usize| received[at].json()["call"]["recording_url"].clone();
    assert_ne!(link(0), link(1), "a download tells the endpoint");
    late.only(5).await;
}

#[tokio::test]
async fn assets_that_arrive_apart_are_reported_apart_and_those_that_arrive_together_together() {
    let late = Late::to(Receiver::willing().await).await;
    let event = late.delivered("call-1", Some(ABSENT), Some(ABSENT)).await;
    late.arrives(AssetKind::Transcript).await;
    late.sending.pass(A_LOOK);
    let first = late.sending.receiver.wait_for(2).await.remove(1);
    let id = format!("{event}_transcript");
    assert_eq!(about(&first), json!(["call.updated", id, "call-1", [false, true]]));
    late.arrives(AssetKind::Recording).await;
    late.sending.pass(A_LOOK);
    let second = late.sending.receiver.wait_for(3).await.remove(2);
    let id = format!("{event}_recording");
    assert_eq!(about(&second), json!(["call.updated", id, "call-1", [true, true]]));

    let event = late.delivered("call-2", None, None).await;
    late.say("call-2", &[(AssetKind::Recording, ABSENT), (AssetKind::Transcript, ABSENT)]).await;
    let both = late.sending.receiver.wait_for(5).await.remove(4);
    let id = format!("{event}_assets");
    assert_eq!(about(&both), json!(["call.updated", id, "call-2", [true, true]]));
    late.only(5).await;
}

#[tokio::test]
async fn a_call_that_had_no_recording_gets_one_by_the_callers_word_at_once() {
    let late = Late::to(Receiver::willing().await).await;
    let event = late.delivered("call-1", None, None).await;
    let recording = [(AssetKind::Recording, ABSENT)];
    assert!(matches!(late.say("call-1", &recording).await, ArrivalOutcome::NotInStore(AssetKind::Recording)));
    late.arrives(AssetKind::Recording).await;
    let unknown = late.say("call-2", &recording).await;
    assert!(matches!(unknown, ArrivalOutcome::Known(Arrival::NoCall)), "{unknown:?}");
    assert_eq!(late.say_recording("call-1").await.len(), 1);
    let updated = late.sending.receiver.wait_for(2).await.remove(1);
    let id = format!("{event}_recording");
    assert_eq!(about(&updated), json!(["call.updated", id, "call-1", [true, false]]));

    // To say it again changes nothing, and another recording is refused.
    assert_eq!(late.say_recording("call-1").await, [""; 0]);
    let other = late.say("call-1", &[(AssetKind::Recording, CALL)]).await;
    assert!(matches!(other, ArrivalOutcome::Known(Arrival::Other(AssetKind::Recording))), "{other:?}");
    // The call itself can still be posted again.
    let again = late.sending.call_with("call-1", None, None).await;
    assert_eq!((again.is_new, again.event), (false, event));
    late.only(2).await;
    let note = "recording_url is null: the call had none when it was sent";
    let notes: Vec<_> = late.deliveries().await.into_iter().map(|delivery| delivery.note).collect();
    assert_eq!(notes, [None, Some(note.to_owned())]);
}

#[tokio::test]
async fn a_callers_word_while_the_call_is_being_sent_is_not_lost() {
    let slow = Receiver::start(|_, _| Reaction::Late(Duration::from_millis(800))).await;
    let late = Late::to(slow).await;
    late.arrives(AssetKind::Recording).await;
    let accepted = late.sending.call_with("call-1", None, None).await;
    late.sending.receiver.wait_for(1).await;
    assert_eq!(late.say_recording("call-1").await, [""; 0]);
    late.sending.until(&accepted.deliveries[0], DeliveryState::Delivered).await;
    late.sending.pass(A_LOOK);
    let updated = late.sending.receiver.wait_for(2).await.remove(1);
    assert_eq!(updated.json()["event"], "call.updated");
    late.only(2).await;
}

#[tokio::test]
async fn a_retry_that_carries_the_link_needs_no_report() {
    let receiver =
        Receiver::start(|before, _| Reaction::Answer(if before == 0 { 500 } else { 200 }, "")).await;
    let late = Late::to(receiver).await;
    let accepted = late.sending.call_with("call-1", None, Some(ABSENT)).await;
    late.sending.receiver.wait_for(1).await;
    late.sending.until(&accepted.deliveries[0], DeliveryState::Waiting).await;
    late.arrives(AssetKind::Recording).await;
    late.arrives(AssetKind::Transcript).await;
    assert_eq!(late.say_recording("call-1").await, [""; 0]);
    late.sending.pass(Duration::from_secs(1));
    let retried = late.sending.receiver.wait_for(2).await.remove(1);
    assert_eq!(about(&retried)[3], json!([true, true]));
    late.sending.until(&accepted.deliveries[0], DeliveryState::Delivered).await;
    late.only(2).await;
}

#[tokio::test]
async fn a_resend_that_carries_the_link_ends_the_waiting() {
    let late = Late::to(Receiver::willing().await).await;
    late.delivered("call-1", Some(ABSENT), None).await;
    let id = late.deliveries().await[0].id.clone();
    late.arrives(AssetKind::Recording).await;
    late.sending.sender.resend("acme", &id).await.unwrap();
    let resent = late.sending.receiver.wait_for(2).await.remove(1);
    assert_eq!((&resent.json()["event"], &resent.json()["resend"]), (&json!("call.completed"), &json!(1)));
    late.sending.until(&id, DeliveryState::Delivered).await;
    late.only(2).await;
}

#[tokio::test]
async fn a_report_is_retried_and_sent_again_as_any_event() {
    let answer = |before| if before == 1 { 503 } else { 200 };
    let late = Late::to(Receiver::start(move |before, _| Reaction::Answer(answer(before), "")).await).await;
    let event = late.delivered("call-1", Some(ABSENT), None).await;
    late.arrives(AssetKind::Recording).await;
    let [id] = &late.say_recording("call-1").await[..] else { panic!("one report") };
    late.sending.receiver.wait_for(2).await;
    late.sending.until(id, DeliveryState::Waiting).await;
    late.sending.pass(Duration::from_secs(1));
    late.sending.until(id, DeliveryState::Delivered).await;
    late.sending.sender.resend("acme", id).await.unwrap();
    let received = late.sending.receiver.wait_for(4).await;
    let report = format!("{event}_recording");
    for (webhook, message) in [
        (&received[1], report.clone()),
        (&received[2], report.clone()),
        (&received[3], format!("{event}_2_r1")),
    ] {
        assert_eq!((&webhook.json()["id"], webhook.header("webhook-id")), (&json!(report), message.as_str()));
    }
    assert_eq!(received[3].header("webhook-event-id"), report);
}

/// A look that is cut off is repeated, and the transaction that reports an arrival ends the waiting.
#[tokio::test]
async fn an_arrival_is_reported_once_whoever_finds_it_and_however_often() {
    let late = Late::to(Receiver::willing().await).await;
    let event = late.delivered("call-1", Some(ABSENT), None).await;
    late.sending.site.stop_sender().await;
    let ledger = late.sending.sender.ledger();
    for _ in 0..2 {
        late.sending.site.clock.advance(A_LOOK);
        let now = late.sending.sender.now();
        assert_eq!(ledger.workspaces_with_looks("", 10).await.unwrap().len(), 1);
        let looks = ledger.claim_looks("acme", 10, DAY, now).await.unwrap();
        assert_eq!(looks.iter().map(|look| look.event.as_str()).collect::<Vec<_>>(), [event.as_str()]);
        assert_eq!(ledger.claim_looks("acme", 10, DAY, now).await.unwrap(), [], "not due yet");
    }
    let found = Assets::default().with(AssetKind::Recording);
    let now = late.sending.sender.now();
    let (one, other) =
        tokio::join!(ledger.assets_found(&event, found, now), ledger.assets_found(&event, found, now));
    assert_eq!(one.unwrap().len() + other.unwrap().len(), 1);
    assert_eq!(ledger.workspaces_with_looks("", 10).await.unwrap(), []);
    late.arrives(AssetKind::Recording).await;
    assert_eq!(late.say_recording("call-1").await, [""; 0]);
}

#[tokio::test]
async fn looks_end_with_the_day_of_the_links_and_the_callers_word_still_counts() {
    let late = Late::to(Receiver::willing().await).await;
    late.delivered("call-1", Some(ABSENT), None).await;
    late.sending.pass(DAY);
    late.only(1).await;
    let ledger = late.sending.sender.ledger();
    assert_eq!(ledger.workspaces_with_looks("", 10).await.unwrap(), []);
    late.arrives(AssetKind::Recording).await;
    late.only(1).await;
    assert_eq!(late.say_recording("call-1").await.len(), 1);
    late.sending.receiver.wait_for(2).await;
}

#[tokio::test]
async fn a_disabled_endpoint_has_the_report_among_what_failed() {
    let late = Late::to(Receiver::willing().await).await;
    late.delivered("call-1", Some(ABSENT), None).await;
    let (ledger, now) = (late.sending.sender.ledger(), late.sending.sender.now());
    assert!(ledger.disable_endpoint(&late.sending.endpoint.id, 0, "it failed", now).await.unwrap());
    late.arrives(AssetKind::Recording).await;
    let [id] = &late.say_recording("call-1").await[..] else { panic!("one report") };
    let failed = late.sending.delivery(id).await;
    assert_eq!(
        (failed.state, failed.note.as_deref()),
        (DeliveryState::Failed, Some("the endpoint is disabled"))
    );
    let change = EndpointChange { state: Some(EndpointState::Active), ..EndpointChange::default() };
    ledger.change_endpoint("acme", &late.sending.endpoint.id, change).await.unwrap();
    late.sending.sender.resend("acme", id).await.unwrap();
    assert_eq!(late.sending.receiver.wait_for(2).await[1].json()["event"], "call.updated");
}

/// However many calls of one workspace have no recording, another gets its looks, and the store few requests.
#[tokio::test]
async fn a_flood_of_calls_without_recordings_takes_no_more_than_its_share_of_looks() {
    let objects = sample_store().await;
    let store = FaultyStore::around(objects.clone());
    let config = Config { asset_wait: Duration::ZERO, ..sending() };
    let plan = Plan { sender: Some(config), ..Plan::on(store.clone()) };
    let sending = Sending::of(plan, Receiver::willing().await).await;
    let (ledger, now) = (sending.sender.ledger(), sending.sender.now());
    let change = EndpointChange { late_assets: Some(true), ..EndpointChange::default() };
    ledger.change_endpoint("acme", &sending.endpoint.id, change).await.unwrap();
    let url = sending.receiver.url("/quiet");
    let quiet = NewEndpoint { workspace: "quiet".to_owned(), late_assets: true, ..new_endpoint(&url) };
    ledger.add_endpoint(quiet, now).await.unwrap();
    let calls = (0..200).map(|call| {
        let id = format!("call-{call}");
        let sending = &sending;
        async move { sending.call_with(&id, Some(Uuid::from_u128(call)), None).await }
    });
    futures_util::future::join_all(calls).await;
    sending.receiver.wait_for(200).await;
    let sample = webhook_assets::webhook::CompletedCall::sample();
    let call = webhook_assets::ledger::NewEvent::call("quiet", "call-1", &sample, Some(ABSENT), None, now);
    sending.sender.accept(call.unwrap()).await.unwrap();
    sending.receiver.wait_for(201).await;
    sending.settle().await;

    let path = Path::from(AssetRef::recording(ABSENT).object_path());
    objects.put(&path, "late".into()).await.unwrap();
    store.take_requests();
    sending.pass(A_LOOK);
    let updated = sending.receiver.wait_for(202).await.remove(201);
    assert_eq!((updated.path.as_str(), &updated.json()["event"]), ("/quiet", &json!("call.updated")));
    let (heads, _) = store.take_requests();
    assert!((2..100).contains(&heads), "{heads} looks before the one that was due last");
}
