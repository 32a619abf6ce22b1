//! What the history says about a delivery, and for how long.

use std::time::Duration;

use webhook_assets::ledger::{DeliveryFilter, DeliveryState};

use super::Sending;
use crate::support::receiver::Receiver;

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
    for _ in 0..100 {
        let said = sending.delivery(&id).await.link_status(now).unwrap();
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
