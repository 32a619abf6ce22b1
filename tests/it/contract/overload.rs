//! Too many requests in flight.

use std::time::Instant;

use tokio::io::AsyncReadExt;
use webhook_assets::AssetRef;

use super::{PROBLEM, assert_fields};
use crate::support::waiting::{WAIT_LIMIT, until};
use crate::support::{CALL, Plan, Site, noise, store_of_one};

/// More than the buffers between server and client hold.
const LARGE: usize = 8 << 20;

async fn site_with_one_permit() -> Site {
    let mut plan = Plan::on(store_of_one(AssetRef::recording(CALL), noise(LARGE)).await);
    plan.gateway.requests_in_flight = 1;
    plan.start().await
}

/// The status once the permit is free again: the server notices a closed connection a moment later.
async fn status_once_free(site: &Site) -> u16 {
    let served =
        async || Some(site.head(&site.recording(), &[]).await.status).filter(|status| *status != 503);
    until(served, || "the permit is not given back".to_owned()).await
}

#[tokio::test]
async fn too_many_requests_in_flight_are_answered_503_with_retry_after_at_once() {
    let site = site_with_one_permit().await;
    let mut slow = site.client().ask_slowly(&site.recording()).await;
    slow.read_u8().await.unwrap();
    let asked = Instant::now();
    for fields in [&[][..], &[("Range", "bytes=0-1")]] {
        let answer = site.get(&site.recording(), fields).await;
        assert_eq!((answer.status, answer.code().as_str()), (503, "too_many_requests_in_flight"));
        assert_fields(&answer, &[PROBLEM[0], PROBLEM[1], ("retry-after", "5")]);
    }
    assert_eq!(site.head(&site.recording(), &[]).await.status, 503);
    // The slow client keeps its permit for twice as long.
    assert!(asked.elapsed() < WAIT_LIMIT, "the refusal waits for the permit");
    drop(slow);
}

#[tokio::test]
async fn requests_that_need_no_store_are_answered_at_the_limit() {
    let site = site_with_one_permit().await;
    let mut slow = site.client().ask_slowly(&site.recording()).await;
    slow.read_u8().await.unwrap();
    assert_eq!(site.get("/webhook-assets/recording/x", &[]).await.status, 403);
    assert_eq!(site.get("/nowhere", &[]).await.status, 404);
    assert_eq!(site.client().request("OPTIONS", &site.recording(), &[], b"").await.status, 204);
    drop(slow);
}

#[tokio::test]
async fn a_permit_is_free_again_when_the_download_ends() {
    let site = site_with_one_permit().await;
    let mut slow = site.client().ask_slowly(&site.recording()).await;
    let mut all = vec![slow.read_u8().await.unwrap()];
    assert_eq!(site.head(&site.recording(), &[]).await.status, 503);
    slow.read_to_end(&mut all).await.unwrap();
    assert!(all.len() > LARGE, "it was whole");
    assert_eq!(status_once_free(&site).await, 200);
}

#[tokio::test]
async fn a_permit_is_free_again_when_the_client_disconnects() {
    let site = site_with_one_permit().await;
    for _ in 0..3 {
        let mut slow = site.client().ask_slowly(&site.recording()).await;
        slow.read_u8().await.unwrap();
        drop(slow);
        assert_eq!(status_once_free(&site).await, 200);
    }
}
