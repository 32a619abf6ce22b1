//! Erasure: both assets are gone, for every replica, and the program logs it.

use std::sync::Arc;

use object_store::ObjectStore;

use crate::support::stores::{Fault, FaultyStore};
use crate::support::{ABSENT, CALL, Plan, sample_store};

#[tokio::test]
async fn after_an_erasure_a_good_link_is_404_at_every_replica() {
    let objects = sample_store().await;
    let here = Plan::on(Arc::clone(&objects) as Arc<dyn ObjectStore>).start().await;
    let there = Plan::on(objects).start().await;
    let (recording, transcript) = (here.recording(), here.transcript());
    let copied = there.get(&recording, &[]).await;
    assert_eq!(copied.status, 200);
    // A cache with a copy, which it has to revalidate after a minute.
    let revalidate = [("If-None-Match", copied.must("etag"))];
    assert_eq!(there.get(&recording, &revalidate).await.status, 304);
    let answer = here.admin().request("DELETE", &format!("/v1/assets/{CALL}"), &[], b"").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.json()["recording"], "erased");
    assert_eq!(answer.json()["transcript"], "erased");
    for site in [&here, &there] {
        for link in [&recording, &transcript] {
            assert_eq!(site.get(link, &[]).await.code(), "not_found");
            assert_eq!(site.get(link, &revalidate).await.code(), "not_found");
        }
    }
    let again = here.admin().request("DELETE", &format!("/v1/assets/{CALL}"), &[], b"").await;
    assert_eq!((again.status, again.json()["recording"].as_str()), (200, Some("was not there")));
}

#[tokio::test]
async fn a_failed_erasure_says_so_and_asks_to_repeat_it() {
    let store = FaultyStore::around(sample_store().await);
    let site = Plan::on(Arc::clone(&store) as Arc<dyn ObjectStore>).start().await;
    for (fault, status) in [(Fault::Fails, 503), (Fault::Refuses, 502)] {
        store.set_fault(fault);
        let answer = site.admin().request("DELETE", &format!("/v1/assets/{CALL}"), &[], b"").await;
        assert_eq!((answer.status, answer.code().as_str()), (status, "not_erased"));
        assert!(answer.json()["detail"].as_str().unwrap().contains("erase again"));
    }
}

#[tokio::test]
async fn an_erasure_needs_a_whole_id_and_the_token() {
    let mut plan = Plan::usual().await;
    plan.admin_token = Some("a-token-of-the-tests");
    let site = plan.start().await;
    let bearer = [("Authorization", "Bearer a-token-of-the-tests")];
    let path = format!("/v1/assets/{CALL}");
    assert_eq!(site.admin().request("DELETE", &path, &[], b"").await.status, 401);
    assert_eq!(site.admin().request("GET", &path, &bearer, b"").await.must("allow"), "DELETE");
    for bad in ["", "x", "550e8400e29b41d4a716446655440000", "..%2F..%2Fx"] {
        let answer = site.admin().request("DELETE", &format!("/v1/assets/{bad}"), &bearer, b"").await;
        assert_eq!(answer.status, 422, "{bad}");
    }
    assert_eq!(site.get(&site.recording(), &[]).await.status, 200);
    let absent = site.admin().request("DELETE", &format!("/v1/assets/{ABSENT}"), &bearer, b"").await;
    assert_eq!(absent.json()["transcript"], "was not there");
}
