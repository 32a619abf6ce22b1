//! What the history says about a delivery, and for how long.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use webhook_assets::clock::UnixMillis;
use webhook_assets::ledger::{
    DeliveryFilter, DeliveryState, EndpointChange, EndpointState, HistoryOrder, PickUp, RecoverRange,
    RecoverWhich,
};
use webhook_assets::webhook::HeaderChanges;

use super::Sending;
use crate::support::receiver::{Reaction, Receiver};
use crate::support::waiting::until;

#[tokio::test]
async fn the_history_knows_whether_links_were_followed() {
    let sending = Sending::to(Receiver::willing().await).await;
    let id = sending.call("call-1").await.deliveries[0].clone();
    let body = sending.receiver.wait_for(1).await[0].json();
    let delivered = sending.until(&id, DeliveryState::Delivered).await;
    let now = sending.sender.now().seconds();
    assert_eq!(delivered.link_status(now).unwrap(), "never fetched, expires in 1 day");
    let link = body["call"]["recording_url"].as_str().unwrap();
    sending.site.get(link.strip_prefix(sending.site.base.origin()).unwrap(), &[]).await;
    let fetched = async || {
        let said = sending.delivery(&id).await.link_status(now).unwrap();
        (said == "recording fetched, transcript not").then_some(())
    };
    until(fetched, || "the download is not recorded".to_owned()).await;
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
    let mut filter = DeliveryFilter::default();
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
    let of_call = DeliveryFilter { call: Some("call-3".to_owned()), ..DeliveryFilter::default() };
    assert_eq!(ledger.deliveries("acme", &of_call, 10).await.unwrap().unwrap().deliveries.len(), 1);
    assert!(
        ledger
            .deliveries("other", &DeliveryFilter::default(), 10)
            .await
            .unwrap()
            .unwrap()
            .deliveries
            .is_empty()
    );
    let nonsense = DeliveryFilter { cursor: Some("nonsense".to_owned()), ..DeliveryFilter::default() };
    assert!(ledger.deliveries("acme", &nonsense, 10).await.unwrap().is_none());
}

#[tokio::test]
async fn an_erased_call_is_gone_with_its_history() {
    let sending = Sending::to(Receiver::willing().await).await;
    let id = sending.call("call-1").await.deliveries[0].clone();
    sending.until(&id, DeliveryState::Delivered).await;
    let ledger = sending.sender.ledger();
    assert!(!ledger.erase_call("other", "call-1").await.unwrap());
    assert!(ledger.erase_call("acme", "call-1").await.unwrap());
    assert!(ledger.delivery("acme", &id).await.unwrap().is_none());
    let id = sending.call("call-2").await.deliveries[0].clone();
    sending.until(&id, DeliveryState::Delivered).await;
    assert_eq!(ledger.purge_before(sending.sender.now()).await.unwrap(), 0);
    sending.site.clock.advance(Duration::from_secs(1));
    assert_eq!(ledger.purge_before(sending.sender.now()).await.unwrap(), 1);
    let id = sending.call("call-3").await.deliveries[0].clone();
    sending.until(&id, DeliveryState::Delivered).await;
    assert_eq!(ledger.erase_workspace("acme").await.unwrap(), 1);
    assert!(ledger.endpoints("acme").await.unwrap().is_empty());
}

#[tokio::test]
async fn an_attempt_keeps_its_header_fields_and_phases_but_no_secret() {
    let answer = |_, _: &_| Reaction::Field(500, "x-echo", "you sent k3y-k3y-k3y");
    let sending = Sending::to(Receiver::start(answer).await).await;
    let mut headers = HeaderChanges::default();
    headers.set("X-Tenant", "k3y-k3y-k3y").unwrap();
    let change = EndpointChange { headers, ..EndpointChange::default() };
    sending.sender.ledger().change_endpoint("acme", &sending.endpoint.id, change).await.unwrap();
    let id = sending.call("call-1").await.deliveries[0].clone();
    sending.until(&id, DeliveryState::Waiting).await;
    let (delivery, attempts) = sending.sender.ledger().delivery("acme", &id).await.unwrap().unwrap();
    let [attempt] = &attempts[..] else { panic!("{attempts:?}") };
    let sent: HashMap<_, _> = attempt.sent.iter().collect();
    assert_eq!(sent["webhook-id"], delivery.event);
    for masked in ["x-tenant", "webhook-signature", "x-webhook-signature"] {
        assert_eq!(sent[masked], "••••", "{masked}");
    }
    let answered: HashMap<_, _> = attempt.answered.iter().collect();
    assert_eq!(answered["x-echo"], "you sent ••••••••");
    assert!(attempt.phases.connect.is_some() && attempt.phases.first_byte.is_some(), "{attempt:?}");
    sending.pass(Duration::from_secs(1));
    sending.receiver.wait_for(2).await;
    sending.settle().await;
    let (_, attempts) = sending.sender.ledger().delivery("acme", &id).await.unwrap().unwrap();
    assert!(attempts[1].phases.first_byte.is_some(), "{attempts:?}");
}

#[tokio::test]
async fn a_delivery_is_active_when_it_is_accepted_attempted_sent_again_and_given_up() {
    let answer = |before, _: &_| Reaction::Answer(if before == 0 { 500 } else { 200 }, "");
    let sending = Sending::to(Receiver::start(answer).await).await;
    let id = sending.call("call-1").await.deliveries[0].clone();
    let waiting = sending.until(&id, DeliveryState::Waiting).await;
    assert_eq!(waiting.active_at, waiting.created_at);
    sending.pass(Duration::from_secs(1));
    let delivered = sending.until(&id, DeliveryState::Delivered).await;
    assert_eq!(Some(delivered.active_at), delivered.ended_at);
    sending.pass(Duration::from_secs(60));
    let ledger = sending.sender.ledger();
    let now = sending.sender.now();
    ledger
        .change_endpoint(
            "acme",
            &sending.endpoint.id,
            EndpointChange { state: Some(EndpointState::Paused), ..EndpointChange::default() },
        )
        .await
        .unwrap();
    // To the retry lane of a paused endpoint: it stays there.
    let range = RecoverRange { which: RecoverWhich::All, endpoint: None, from: UnixMillis(0), to: now };
    assert_eq!(ledger.recover("acme", &range, now).await.unwrap(), 1);
    assert_eq!(sending.delivery(&id).await.active_at, now);
    let later = now.plus(Duration::from_secs(5));
    assert!(ledger.remove_endpoint("acme", &sending.endpoint.id, later).await.unwrap());
    let failed = sending.delivery(&id).await;
    assert_eq!((failed.state, failed.active_at), (DeliveryState::Failed, later));
}

#[tokio::test]
async fn every_search_finds_the_same_in_both_orders() {
    let answer = |before, _: &_| Reaction::Answer(if before % 2 == 0 { 200 } else { 400 }, "");
    let sending = Sending::to(Receiver::start(answer).await).await;
    let ledger = sending.sender.ledger();
    for call in ["call-1", "call-2", "call-3"] {
        sending.call(call).await;
        sending.settle().await;
        sending.pass(Duration::from_secs(1));
        sending.settle().await;
    }
    let endpoint = Some(sending.endpoint.id.clone());
    let any = DeliveryFilter::default;
    let mut filters = vec![any(), DeliveryFilter { endpoint, ..any() }];
    filters.extend(DeliveryState::ALL.map(|state| DeliveryFilter { state: Some(state), ..any() }));
    filters.extend(PickUp::ALL.map(|pick_up| DeliveryFilter { pick_up: Some(pick_up), ..any() }));
    filters.push(DeliveryFilter { call: Some("call-2".to_owned()), ..any() });
    for filter in filters {
        let found = async |order| {
            let filter = DeliveryFilter { order, ..filter.clone() };
            let page = ledger.deliveries("acme", &filter, 10).await.unwrap().unwrap();
            let newest_first = page.deliveries.is_sorted_by_key(|delivery| match order {
                HistoryOrder::Accepted => Reverse(delivery.created_at),
                HistoryOrder::Activity => Reverse(delivery.active_at),
            });
            assert!(newest_first, "{filter:?}: {page:?}");
            page.deliveries.into_iter().map(|delivery| delivery.id).collect::<BTreeSet<_>>()
        };
        assert_eq!(found(HistoryOrder::Accepted).await, found(HistoryOrder::Activity).await, "{filter:?}");
    }
}
