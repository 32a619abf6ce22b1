//! Tasks that panic: each ends alone, its permits come back, and the metrics count it.

use std::time::Duration;

use webhook_assets::ledger::{CallFilter, DeliveryState, NewEndpoint, NewEvent};
use webhook_assets::webhook::{CompletedCall, HeaderChanges};

use crate::support::http2::Http2;
use crate::support::receiver::Receiver;
use crate::support::stores::{Fault, FaultyStore};
use crate::support::waiting::until;
use crate::support::{CALL, Plan, Site, sample_store};

/// A sample of the metrics page.
fn sample(site: &Site, name: &str) -> f64 {
    let page = site.metrics.render();
    let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ').map(str::to_owned));
    line.unwrap_or_else(|| panic!("no {name} in {page}")).parse().unwrap()
}

/// Waits until a sample of the metrics page has this value.
async fn becomes(site: &Site, name: &str, value: f64) {
    let is_so = async || ((sample(site, name) - value).abs() < 0.5).then_some(());
    until(is_so, || format!("{name} is {}, not {value}", sample(site, name))).await;
}

/// `store::catch_panic` turns the panic into an answer: no task ends, and no connection.
#[tokio::test]
async fn a_panicking_store_client_fails_only_its_request() {
    let store = FaultyStore::around(sample_store().await);
    let mut plan = Plan::on(store.clone());
    plan.gateway.requests_in_flight = 4;
    plan.server.connections_per_address = Some(4);
    let site = plan.start().await;
    let died = "webhook_assets_tasks_died_total{task=\"connection\"}";
    let before = sample(&site, died);
    store.set_fault(Fault::Panics);
    for _ in 0..12 {
        let answer = site.get(&site.recording(), &[]).await;
        assert_eq!((answer.status, answer.code().as_str()), (502, "storage_error"));
    }
    assert!((sample(&site, died) - before).abs() < 0.5);
    becomes(&site, "webhook_assets_requests_in_flight", 0.0).await;
    becomes(&site, "webhook_assets_connections", 0.0).await;
    store.set_fault(Fault::None);
    assert_eq!(site.get(&site.recording(), &[]).await.status, 200);
}

#[tokio::test]
async fn a_panicking_stream_does_not_disturb_the_others_of_its_connection() {
    let store = FaultyStore::around(sample_store().await);
    let mut plan = Plan::on(store.clone());
    plan.gateway.requests_in_flight = 4;
    let site = plan.start().await;
    let mut connection = Http2::roomy(site.address).await;
    store.set_fault(Fault::Panics);
    for _ in 0..12 {
        assert_eq!(connection.get(&site.recording(), &[]).await.status(), 502);
    }
    becomes(&site, "webhook_assets_requests_in_flight", 0.0).await;
    store.set_fault(Fault::None);
    assert_eq!(connection.get(&site.recording(), &[]).await.status(), 200);
}

#[tokio::test]
async fn an_attempt_that_panics_returns_its_permit_and_is_made_again() {
    let store = FaultyStore::around(sample_store().await);
    let site = Plan { objects: store.clone(), ..Plan::sending().await }.start().await;
    let sender = site.sender.clone().unwrap();
    let receiver = Receiver::willing().await;
    let endpoint = NewEndpoint {
        workspace: "acme".to_owned(),
        url: receiver.url("/hook"),
        description: String::new(),
        long_tail: false,
        late_assets: false,
        concurrency: Some(1),
        per_second: None,
        filter: CallFilter::default(),
        allow_duplicate: true,
        headers: HeaderChanges::default(),
    };
    sender.ledger().add_endpoint(endpoint, sender.now()).await.unwrap();
    let call = |id: &str, asset| {
        NewEvent::call("acme", id, &CompletedCall::sample(), asset, asset, sender.now()).unwrap()
    };
    store.set_fault(Fault::Panics);
    let mut ids = Vec::new();
    for id in ["call-1", "call-2", "call-3"] {
        ids.extend(sender.accept(call(id, Some(CALL))).await.unwrap().unwrap().deliveries);
    }
    // This request needs nothing of the store, but the endpoint's only permit.
    ids.extend(sender.accept(call("call-4", None)).await.unwrap().unwrap().deliveries);
    receiver.wait_for(1).await;
    store.set_fault(Fault::None);
    site.clock.advance(Duration::from_secs(61));
    sender.wake();
    receiver.wait_for(4).await;
    for id in ids {
        let delivered = async || {
            let (delivery, _) = sender.ledger().delivery("acme", &id).await.unwrap().unwrap();
            (delivery.state == DeliveryState::Delivered).then_some(delivery)
        };
        let delivery = until(delivered, || format!("{id} is not delivered")).await;
        assert_eq!(delivery.attempts, 1, "{id}");
    }
}
