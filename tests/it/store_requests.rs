//! How many requests the store gets: no HEAD before a GET, a range is one ranged GET, an unchanged object costs no
//! body.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use object_store::ObjectStoreExt;
use object_store::memory::InMemory;
use object_store::path::Path;
use webhook_assets::AssetRef;

use crate::failing_store::WAYS;
use crate::support::{ABSENT, CALL, Plan, Site};

#[tokio::test]
async fn each_kind_of_request_costs_the_store_as_little_as_it_can() {
    let (site, store) = Site::on_faulty_store().await;
    let (link, text) = (site.recording(), site.transcript());
    let etag = site.get(&link, &[]).await.must("etag").to_owned();
    assert_eq!(store.take_requests(), (0, 1), "the whole object");

    for (range, parts) in [("bytes=0-9", 1), ("bytes=10-", 1), ("bytes=-10", 1)] {
        assert_eq!(site.get(&link, &[("Range", range)]).await.status, 206);
        assert_eq!(store.take_requests(), (0, parts), "{range}");
    }
    for (range, parts) in [("bytes=0-9,20-29", 2), ("bytes=0-9,20-29,40-49,-10", 4), ("bytes=0-9,5-20", 1)] {
        assert_eq!(site.get(&link, &[("Range", range)]).await.status, 206);
        assert_eq!(store.take_requests(), (1, parts), "{range}");
    }
    assert_eq!(site.head(&link, &[]).await.status, 200);
    assert_eq!(store.take_requests(), (1, 0), "HEAD");
    assert_eq!(site.head(&link, &[("If-None-Match", &etag)]).await.status, 304);
    assert_eq!(store.take_requests(), (1, 0), "HEAD with a condition");
    assert_eq!(site.get(&text, &[("Accept-Encoding", "br")]).await.status, 200);
    assert_eq!(store.take_requests(), (0, 1), "compressed");
    assert_eq!(site.get(&link, &[("If-Range", &etag), ("Range", "bytes=0-9")]).await.status, 206);
    assert_eq!(store.take_requests(), (0, 1), "a range resumed");
    for range in ["bytes=300000-", "bytes=300000-300001"] {
        assert_eq!(site.get(&link, &[("Range", range)]).await.status, 416);
        let (heads, gets) = store.take_requests();
        assert!(heads + gets <= 2, "{range}: {heads} and {gets}");
    }
    assert_eq!(site.get(&link, &[("Range", "bytes=300000-,400000-")]).await.status, 416);
    let (heads, gets) = store.take_requests();
    assert!(heads + gets <= 2);
    assert_eq!(site.get(&(link + "0"), &[]).await.status, 403);
    assert_eq!(store.take_requests(), (0, 0), "a bad link");
}

#[tokio::test]
async fn an_unsatisfiable_suffix_is_416_and_costs_at_most_two_requests() {
    let (site, store) = Site::on_faulty_store().await;
    let answer = site.get(&site.recording(), &[("Range", "bytes=-0")]).await;
    assert_eq!((answer.status, answer.field("content-range")), (416, Some("bytes */300000")));
    let (heads, gets) = store.take_requests();
    assert!(heads + gets <= 2);
}

#[tokio::test]
async fn every_range_of_an_empty_object_is_416() {
    let objects = InMemory::new();
    let path = Path::from(AssetRef::recording(CALL).object_path());
    objects.put(&path, Vec::new().into()).await.unwrap();
    let site = Plan::on(Arc::new(objects)).start().await;
    for range in ["bytes=0-0", "bytes=0-", "bytes=-1"] {
        let answer = site.get(&site.recording(), &[("Range", range)]).await;
        assert_eq!((answer.status, answer.field("content-range")), (416, Some("bytes */0")), "{range}");
    }
    let answer = site.get(&site.recording(), &[]).await;
    assert_eq!((answer.status, answer.must("content-length")), (200, "0"));
}

#[tokio::test]
async fn an_absent_object_costs_one_request() {
    let (site, store) = Site::on_faulty_store().await;
    let link = site.link(AssetRef::recording(ABSENT));
    for fields in WAYS {
        assert_eq!(site.get(&link, fields).await.code(), "not_found");
        let (heads, gets) = store.take_requests();
        assert_eq!(heads + gets, 1, "{fields:?}");
    }
}

#[tokio::test]
async fn an_unchanged_object_costs_one_request_and_no_bytes() {
    let (site, store) = Site::on_faulty_store().await;
    for (link, fields) in [
        (site.recording(), [("Accept-Encoding", "identity")]),
        (site.transcript(), [("Accept-Encoding", "identity")]),
        (site.transcript(), [("Accept-Encoding", "zstd")]),
        (site.transcript(), [("Accept-Encoding", "gzip")]),
    ] {
        let etag = site.get(&link, &fields).await.must("etag").to_owned();
        for condition in [etag.clone(), format!("W/{etag}")] {
            store.take_requests();
            store.bytes.store(0, Ordering::SeqCst);
            let answer = site.get(&link, &[fields[0], ("If-None-Match", &condition)]).await;
            assert_eq!((answer.status, answer.must("etag")), (304, etag.as_str()));
            assert_eq!(store.take_requests(), (0, 1));
            assert_eq!(store.bytes.load(Ordering::SeqCst), 0);
        }
    }
}
