//! Health and readiness.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde_json::json;
use webhook_assets::signed_url::SigningKey;
use webhook_assets::{AssetRef, Keyring};

use super::{AdminSite, webhooks};
use crate::support::receiver::{Reaction, Receiver};
use crate::support::stores::Fault;
use crate::support::waiting::{WAIT_LIMIT, until};
use crate::support::{CALL, NOW, Plan, key};

#[tokio::test]
async fn a_process_that_answers_is_healthy() {
    let (api, store) = AdminSite::on_faulty_store().await;
    store.set_fault(Fault::Fails);
    let answer = api.get("/healthz").await;
    assert_eq!((answer.status, answer.json()), (200, json!({"status": "ok"})));
    assert_eq!(store.requests.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn keys_and_store_make_it_ready() {
    let (api, store) = AdminSite::on_faulty_store().await;
    let answer = api.get("/readyz").await;
    let ok = json!({"state": "ok", "since": NOW.to_string()});
    let parts = json!({"keys": ok, "store": ok});
    assert_eq!(
        (answer.status, answer.json()),
        (200, json!({"status": "ready", "keys": "ok", "store": "ok", "parts": parts}))
    );
    // The store's state is cached for two seconds, so frequent probes cost nothing.
    let began = Instant::now();
    for _ in 0..20 {
        api.get("/readyz").await;
    }
    let looks = 1 + began.elapsed().as_secs() / 2;
    assert!(store.requests.load(Ordering::SeqCst) as u64 <= 1 + looks, "in {:?}", began.elapsed());
}

#[tokio::test]
async fn a_failing_store_makes_it_unready_with_a_message_without_its_url() {
    for fault in [Fault::Fails, Fault::Refuses, Fault::Hangs] {
        let (api, store) = AdminSite::on_faulty_store().await;
        store.set_fault(fault);
        let started = Instant::now();
        let answer = api.get("/readyz").await;
        // A store that hangs does so for an hour.
        assert!(started.elapsed() < WAIT_LIMIT, "{fault:?}");
        assert_eq!((answer.status, &answer.json()["status"]), (503, &json!("not ready")), "{fault:?}");
        let text = String::from_utf8(answer.body.clone()).unwrap();
        for secret in ["store.example.com", "secret", "AKIAEXAMPLE", "https:", "Amz"] {
            assert!(!text.contains(secret), "{text}");
        }
        let words = answer.json()["store"].as_str().unwrap().to_owned();
        assert!(words.split(' ').count() > 3, "{words:?}");
        assert_eq!(answer.json()["keys"], "ok");
        assert_eq!(api.get("/healthz").await.status, 200);
    }
}

#[tokio::test]
async fn each_part_says_how_it_is_and_since_when() {
    let (api, store) = AdminSite::on_faulty_store().await;
    let parts = async || api.get("/readyz").await.json()["parts"].clone();
    let later = NOW.plus(Duration::from_secs(10));
    assert_eq!(parts().await["store"], json!({"state": "ok", "since": NOW.to_string()}));
    api.site.clock.set(later);
    store.set_fault(Fault::Fails);
    let down = async || Some(parts().await).filter(|parts| parts["store"]["state"] == "down");
    let found = until(down, || "the store is not said to be down".to_owned()).await;
    assert_eq!(found["store"]["since"], later.to_string());
    assert!(found["store"]["reason"].as_str().unwrap().contains("fails"), "{found}");
    assert_eq!(found["keys"], json!({"state": "ok", "since": NOW.to_string()}));
    // It is still down since then, and the clock goes on.
    api.site.clock.set(later.plus(Duration::from_secs(10)));
    assert_eq!(parts().await["store"]["since"], json!(later.to_string()));
}

#[tokio::test]
async fn a_store_that_downloads_have_found_down_is_so_since_then() {
    let (api, store) = AdminSite::on_faulty_store().await;
    store.set_fault(Fault::Fails);
    let link = api.site.link(AssetRef::recording(CALL));
    for _ in 0..20 {
        assert_eq!(api.site.get(&link, &[]).await.status, 503);
    }
    // The clock stands still; running time does not.
    tokio::time::sleep(Duration::from_millis(2_100)).await;
    let found = api.get("/readyz").await.json()["parts"]["store"].clone();
    let asked_first = NOW.to_string();
    assert_eq!(found["state"], "down", "{found}");
    assert!(found["since"].as_str().unwrap() < asked_first.as_str(), "{found}");
}

#[tokio::test]
async fn alerts_that_are_not_taken_degrade_their_part_and_leave_the_program_ready() {
    let deaf = Receiver::start(|_, _| Reaction::Answer(500, "no")).await;
    let plan = Plan { sender: Some(webhooks::alerting(&deaf)), ..Plan::sending().await };
    let api = AdminSite::of(plan).await;
    assert_eq!(api.get("/readyz").await.json()["parts"]["alerts"]["state"], "ok");
    webhooks::disabled_endpoint(&api).await;
    let degraded = async || {
        api.site.clock.advance(Duration::from_secs(5));
        Some(api.get("/readyz").await)
            .filter(|answer| answer.json()["parts"]["alerts"]["state"] == "degraded")
    };
    let answer = until(degraded, || "no alert was sent".to_owned()).await;
    let alerts = &answer.json()["parts"]["alerts"];
    assert!(alerts["reason"].as_str().unwrap().contains("alerts test"), "{alerts}");
    assert_eq!((answer.status, &answer.json()["status"]), (200, &json!("ready")));
}

#[tokio::test]
async fn keys_that_sign_no_link_of_full_length_are_degraded_and_the_program_is_ready() {
    let ends = Some(NOW.plus(Duration::from_secs(3_600)));
    let keyring = Keyring::new(vec![SigningKey::new("k1", key(), NOW, ends)]).unwrap();
    let api = AdminSite::of(Plan { keyring, ..Plan::usual().await }).await;
    let answer = api.get("/readyz").await;
    assert_eq!((answer.status, &answer.json()["keys"]), (200, &json!("ok")));
    let keys = answer.json()["parts"]["keys"].clone();
    assert_eq!(keys["state"], "degraded");
    assert!(keys["reason"].as_str().unwrap().contains("keys rotate"), "{keys}");
}

#[tokio::test]
async fn it_is_ready_again_once_the_store_works() {
    let (api, store) = AdminSite::on_faulty_store().await;
    store.set_fault(Fault::Fails);
    assert_eq!(api.get("/readyz").await.status, 503);
    store.set_fault(Fault::None);
    let ready = async || (api.get("/readyz").await.status == 200).then_some(());
    until(ready, || "it is not ready".to_owned()).await;
}

#[tokio::test]
async fn it_is_not_ready_while_no_key_may_sign() {
    let starts = NOW.plus(Duration::from_secs(60));
    let keyring = Keyring::new(vec![SigningKey::new("k1", key(), starts, None)]).unwrap();
    let api = AdminSite::of(Plan { keyring, ..Plan::usual().await }).await;
    let answer = api.get("/readyz").await;
    assert_eq!((answer.status, &answer.json()["store"]), (503, &json!("ok")));
    assert_ne!(answer.json()["keys"], "ok");
    api.site.clock.set(starts);
    assert_eq!(api.get("/readyz").await.status, 200);
}

#[tokio::test]
async fn while_it_stops_it_is_not_ready() {
    let api = AdminSite::usual().await;
    api.site.drain.begin();
    let answer = api.get("/readyz").await;
    assert_eq!((answer.status, &answer.json()["status"]), (503, &json!("stopping")));
    assert_eq!(api.get("/healthz").await.status, 200);
}
