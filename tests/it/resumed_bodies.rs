//! The store resumes a broken body as long as the object is the same, and its circuit breaker spares a store that is
//! down.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use proptest::test_runner::{Config, TestRunner};
use webhook_assets::AssetRef;

use crate::support::stores::{Fault, FaultyStore};
use crate::support::waiting::{WAIT_LIMIT, until};
use crate::support::{Answer, CALL, Plan, Site, recording, request_head, sample_store};

/// A site with long timeouts on a store that breaks on command.
async fn site_with_long_timeouts(tries: u32) -> (Site, Arc<FaultyStore>) {
    let store = FaultyStore::around(sample_store().await);
    let mut plan = Plan::on(Arc::clone(&store) as Arc<dyn ObjectStore>).soon_out_of_patience();
    plan.store.resume_tries = tries;
    (plan.start().await, store)
}

/// Waits until the store was asked for the object.
async fn has_begun(store: &FaultyStore) {
    let asked = async || (store.gets.load(Ordering::SeqCst) > 0).then_some(());
    until(asked, || "the download does not begin".to_owned()).await;
}

/// The answer to a GET, which may be cut short.
async fn download(site: &Site) -> Answer {
    let request = request_head("GET", &site.recording(), &[], b"");
    Answer::parse_loosely(&site.client().exchange(request.as_bytes()).await, false).0
}

#[tokio::test]
async fn a_body_that_breaks_again_and_again_is_resumed_as_long_as_it_advances() {
    for fault in [Fault::BreaksAfter(20_000), Fault::EndsAfter(50_000), Fault::StallsAfter(120_000)] {
        let (site, store) = site_with_long_timeouts(2).await;
        store.set_fault(fault);
        let answer = download(&site).await;
        assert!(answer.complete && answer.body == recording(), "{fault:?}: {} bytes", answer.body.len());
        assert!(store.gets.load(Ordering::SeqCst) > 2, "{fault:?}");
    }
}

#[tokio::test]
async fn each_resumption_requests_only_the_missing_bytes() {
    let (site, store) = site_with_long_timeouts(2).await;
    store.set_fault(Fault::BreaksAfter(100_000));
    assert!(download(&site).await.complete);
    assert_eq!(store.gets.load(Ordering::SeqCst), 3);
    assert_eq!(store.bytes.load(Ordering::SeqCst), recording().len() as u64);
}

#[tokio::test]
async fn a_body_that_does_not_advance_breaks_after_its_tries() {
    let (site, store) = site_with_long_timeouts(3).await;
    store.set_fault(Fault::BreaksAfter(0));
    let started = Instant::now();
    // Nothing has arrived yet, so the gateway can still answer with an error.
    let answer = download(&site).await;
    assert_eq!(answer.status, 503);
    assert!(started.elapsed() < WAIT_LIMIT, "it has tried until the resume timeout");
}

#[tokio::test]
async fn a_replaced_object_is_not_resumed() {
    let inner = sample_store().await;
    let path = Path::from(AssetRef::recording(CALL).object_path());
    let store = FaultyStore::around(Arc::clone(&inner) as Arc<dyn ObjectStore>);
    let mut plan = Plan::on(Arc::clone(&store) as Arc<dyn ObjectStore>);
    plan.store.resume_tries = 5;
    plan.store.stall_timeout = Duration::from_millis(300);
    let site = plan.start().await;
    store.set_fault(Fault::StallsAfter(100_000));
    let replaced = async {
        has_begun(&store).await;
        inner.put(&path, vec![b'x'; recording().len()].into()).await.unwrap();
    };
    let (answer, ()) = tokio::join!(download(&site), replaced);
    assert!(!answer.complete && recording().starts_with(&answer.body), "{} bytes", answer.body.len());
}

#[tokio::test]
async fn the_circuit_breaker_stays_open_until_a_probe_succeeds() {
    let (site, store) = site_with_long_timeouts(1).await;
    store.set_fault(Fault::Fails);
    for _ in 0..5 {
        assert_eq!(site.get(&site.recording(), &[]).await.status, 503);
    }
    // A failing object only raises suspicion: the gateway probes the store before it opens the circuit breaker.
    site.counts("webhook_assets_store_up 0").await;
    let asked = store.requests.load(Ordering::SeqCst);
    let started = Instant::now();
    for _ in 0..200 {
        let answer = site.get(&site.recording(), &[]).await;
        assert_eq!((answer.status, answer.must("retry-after")), (503, "5"));
    }
    let asked = store.requests.load(Ordering::SeqCst) - asked;
    let probes = 1 + started.elapsed().as_secs() as usize;
    assert!(asked <= probes, "{asked} requests in {:?} although it is down", started.elapsed());
    let page = site.admin().request("GET", "/metrics", &[], b"").await;
    assert!(String::from_utf8_lossy(&page.body).contains("webhook_assets_store_up 0"));

    store.set_fault(Fault::None);
    site.counts("webhook_assets_store_up 1").await;
    assert_eq!(site.get(&site.recording(), &[]).await.status, 200);
}

#[tokio::test]
async fn a_download_in_flight_waits_for_a_store_that_is_down_and_goes_on() {
    let store = FaultyStore::around(sample_store().await);
    let mut plan = Plan::on(Arc::clone(&store) as Arc<dyn ObjectStore>).soon_out_of_patience();
    plan.store.resume_tries = 10;
    let site = plan.start().await;
    store.set_fault(Fault::StallsAfter(150_000));
    let outage = async {
        has_begun(&store).await;
        store.set_fault(Fault::Fails);
        site.counts("webhook_assets_store_up 0").await;
        store.set_fault(Fault::None);
    };
    let (answer, ()) = tokio::join!(download(&site), outage);
    assert!(answer.complete && answer.body == recording(), "{} bytes", answer.body.len());
}

/// Every fault at every position: a body is byte-exact or visibly broken, and never silently short.
#[test]
fn a_thousand_downloads_with_random_faults_are_exact_or_visibly_broken() {
    use proptest::prelude::*;

    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (site, store) = runtime.block_on(async {
        let store = FaultyStore::around(sample_store().await);
        let mut plan = Plan::on(Arc::clone(&store) as Arc<dyn ObjectStore>);
        plan.store.resume_tries = 2;
        plan.store.first_byte_timeout = Duration::from_millis(60);
        plan.store.stall_timeout = Duration::from_millis(30);
        (plan.start().await, store)
    });
    let length = recording().len() as u64;
    let fault = prop_oneof![
        Just(Fault::None),
        Just(Fault::Fails),
        Just(Fault::Refuses),
        Just(Fault::BreaksAfter(0)),
        // Further apart than a few bytes, or the store would resume one download a thousand times.
        (length / 5..=length).prop_map(Fault::BreaksAfter),
        (length / 2..=length).prop_map(Fault::StallsAfter),
        (length / 5..=length).prop_map(Fault::EndsAfter),
        (1..100_usize).prop_map(Fault::RunsOverBy),
    ];
    let (whole, broken, refused) = (Cell::new(0), Cell::new(0), Cell::new(0));
    let one_more = |count: &Cell<u32>| count.set(count.get() + 1);
    let outcome = TestRunner::new(Config::with_cases(1_000)).run(&fault, |fault| {
        store.set_fault(fault);
        let answer = runtime.block_on(download(&site));
        // A good answer between, or the circuit breaker would open.
        store.set_fault(Fault::None);
        runtime.block_on(site.head(&site.recording(), &[]));
        let bytes = recording();
        match (answer.status, answer.complete) {
            (200, true) => {
                one_more(&whole);
                prop_assert!(answer.body == bytes, "{fault:?}: a clean body that is not the object");
            }
            (200, false) => {
                one_more(&broken);
                prop_assert!(bytes.starts_with(&answer.body), "{fault:?}: wrong bytes");
            }
            (502 | 503, true) => one_more(&refused),
            other => prop_assert!(false, "{fault:?}: {other:?}"),
        }
        Ok(())
    });
    outcome.unwrap();
    println!("{} whole, {} visibly broken, {} refused", whole.get(), broken.get(), refused.get());
    assert!(whole.get() > 200 && refused.get() > 50);
}
