//! Storage that is slow, fails, or denies access.

use webhook_assets::AssetRef;

use super::{PROBLEM, assert_fields};
use crate::support::stores::{Fault, FaultyStore};
use crate::support::{Answer, CALL, Plan, Site, request_head, sample_store};

async fn site_with(fault: Fault) -> Site {
    let store = FaultyStore::around(sample_store().await);
    store.set_fault(fault);
    Plan::on(store).soon_out_of_patience().start().await
}

/// The answers to GET and to a range when the first byte never comes.
async fn first_answers(site: &Site) -> [Answer; 3] {
    let ranges = [("Range", "bytes=0-9,20-29")];
    [
        site.get(&site.recording(), &[]).await,
        site.get(&site.recording(), &ranges[..]).await,
        site.get(&site.transcript(), &[("Accept-Encoding", "br")]).await,
    ]
}

#[tokio::test]
async fn a_store_that_fails_or_hangs_is_503_with_retry_after() {
    for fault in [Fault::Fails, Fault::Hangs] {
        let site = site_with(fault).await;
        for answer in first_answers(&site).await {
            assert_eq!((answer.status, answer.code().as_str()), (503, "storage_unavailable"), "{fault:?}");
            assert_fields(&answer, &[PROBLEM[0], PROBLEM[1], ("retry-after", "5")]);
            assert!(!String::from_utf8(answer.body).unwrap().contains("store.example.com"));
        }
        assert_eq!(site.head(&site.recording(), &[]).await.status, 503);
    }
}

#[tokio::test]
async fn a_store_that_denies_access_is_502() {
    let site = site_with(Fault::Refuses).await;
    for answer in first_answers(&site).await {
        assert_eq!((answer.status, answer.code().as_str()), (502, "storage_error"));
        assert_fields(&answer, &PROBLEM);
        assert!(
            !String::from_utf8(answer.body).unwrap().contains("AKIA"),
            "nothing the store says is passed on"
        );
    }
}

#[tokio::test]
async fn a_transfer_that_cannot_be_completed_breaks_the_connection() {
    for fault in [Fault::BreaksAfter(100_000), Fault::StallsAfter(100_000), Fault::EndsAfter(100_000)] {
        let site = site_with(fault).await;
        let head = request_head("GET", &site.recording(), &[], b"");
        let bytes = site.client().exchange(head.as_bytes()).await;
        let (answer, rest) = Answer::parse_loosely(&bytes, false);
        assert_eq!((answer.status, answer.must("content-length"), rest), (200, "300000", &b""[..]));
        assert!(!answer.complete, "{fault:?}: the part was passed off as the whole");
        assert!(answer.body[..] == crate::support::recording()[..answer.body.len()]);
    }
}

#[tokio::test]
async fn a_store_that_ends_before_its_first_byte_is_never_a_short_200() {
    for fault in [Fault::BreaksAfter(0), Fault::StallsAfter(0), Fault::EndsAfter(0)] {
        let site = site_with(fault).await;
        let answer = site.get(&site.link(AssetRef::recording(CALL)), &[]).await;
        assert!(matches!(answer.status, 502 | 503), "{fault:?}: {}", answer.status);
    }
}

#[tokio::test]
async fn a_compressed_transcript_is_never_short() {
    for fault in [Fault::BreaksAfter(100), Fault::StallsAfter(100), Fault::EndsAfter(100)] {
        let site = site_with(fault).await;
        let answer = site.get(&site.transcript(), &[("Accept-Encoding", "gzip")]).await;
        assert!(matches!(answer.status, 502 | 503), "{fault:?}: {}", answer.status);
    }
}
