//! Ranges and conditions: one answer of each kind with all its header fields. Their properties are in `ranges`.

use super::{PROBLEM, assert_fields, borrowed, recording_fields, transcript_fields};
use crate::support::{Site, recording};

/// The header fields of a 206 or 200 of the recording that depend on the stored version.
async fn version_fields(site: &Site) -> Vec<(&'static str, String)> {
    let whole = site.head(&site.recording(), &[]).await;
    vec![
        ("etag", whole.must("etag").to_owned()),
        ("last-modified", whole.must("last-modified").to_owned()),
        ("cache-control", "private, max-age=60, must-revalidate".into()),
    ]
}

#[tokio::test]
async fn a_range_is_answered_206_with_the_promised_header_fields() {
    let site = Site::usual().await;
    let mut expected = [recording_fields(), version_fields(&site).await].concat();
    expected.push(("content-length", "100".into()));
    expected.push(("content-range", "bytes 100-199/300000".into()));
    let answer = site.get(&site.recording(), &[("Range", "bytes=100-199")]).await;
    assert_eq!((answer.status, &answer.body[..]), (206, &recording()[100..200]));
    assert_fields(&answer, &borrowed(&expected));
}

#[tokio::test]
async fn several_ranges_are_answered_206_as_multipart_byteranges() {
    let site = Site::usual().await;
    let answer = site.get(&site.recording(), &[("Range", "bytes=0-9,100-199")]).await;
    assert_eq!(answer.status, 206);
    let media_type = answer.must("content-type").to_owned();
    assert!(media_type.starts_with("multipart/byteranges; boundary="), "{media_type}");
    let mut expected = [recording_fields(), version_fields(&site).await].concat();
    expected[0].1 = media_type;
    expected.push(("content-length", answer.body.len().to_string()));
    assert_fields(&answer, &borrowed(&expected));
}

#[tokio::test]
async fn a_range_outside_the_object_is_416_with_the_objects_length() {
    let site = Site::usual().await;
    for range in ["bytes=300000-", "bytes=-0", "bytes=300000-400000,999999-"] {
        let answer = site.get(&site.recording(), &[("Range", range)]).await;
        assert_eq!((answer.status, answer.code().as_str()), (416, "range_not_satisfiable"), "{range}");
        assert_fields(
            &answer,
            &[PROBLEM[0], PROBLEM[1], ("content-range", "bytes */300000"), ("accept-ranges", "bytes")],
        );
    }
}

#[tokio::test]
async fn a_download_resumes_only_on_the_version_that_it_began_with() {
    let site = Site::usual().await;
    let link = site.recording();
    let whole = site.head(&link, &[]).await;
    let range = ("Range", "bytes=299990-");
    for (if_range, status) in [
        (whole.must("etag"), 206),
        (whole.must("last-modified"), 206),
        (&format!("W/{}", whole.must("etag")), 200),
        ("\"other\"", 200),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 200),
    ] {
        let answer = site.get(&link, &[range, ("If-Range", if_range)]).await;
        assert_eq!(answer.status, status, "{if_range}");
        let expected = if status == 206 { recording()[299_990..].to_vec() } else { recording() };
        assert!(answer.body == expected);
    }
}

#[tokio::test]
async fn an_unchanged_object_is_304_with_the_fields_that_a_cache_refreshes() {
    let site = Site::usual().await;
    for (link, mut expected) in
        [(site.recording(), recording_fields()), (site.transcript(), transcript_fields())]
    {
        expected.retain(|(name, _)| *name == "vary");
        let whole = site.head(&link, &[]).await;
        expected.push(("etag", whole.must("etag").to_owned()));
        expected.push(("cache-control", "private, max-age=60, must-revalidate".into()));
        let by_tag = site.get(&link, &[("If-None-Match", whole.must("etag"))]).await;
        assert_eq!(by_tag.status, 304);
        assert_fields(&by_tag, &borrowed(&expected));
        expected.push(("last-modified", whole.must("last-modified").to_owned()));
        let by_date = site.get(&link, &[("If-Modified-Since", whole.must("last-modified"))]).await;
        assert_eq!(by_date.status, 304);
        assert_fields(&by_date, &borrowed(&expected));
    }
}

#[tokio::test]
async fn a_failed_precondition_is_412() {
    let site = Site::usual().await;
    for field in [("If-Match", "\"other\""), ("If-Unmodified-Since", "Thu, 01 Jan 1970 00:00:00 GMT")] {
        let answer = site.get(&site.recording(), &[field]).await;
        assert_eq!((answer.status, answer.code().as_str()), (412, "precondition_failed"));
        assert_fields(&answer, &PROBLEM);
        assert_eq!(site.head(&site.recording(), &[field]).await.status, 412);
    }
}

#[tokio::test]
async fn a_reload_in_a_tab_is_304_although_it_asks_for_a_range() {
    let site = Site::usual().await;
    let whole = site.head(&site.recording(), &[]).await;
    let reload = [
        ("Range", "bytes=0-"),
        ("Accept-Encoding", "identity;q=1, *;q=0"),
        ("If-None-Match", whole.must("etag")),
        ("If-Modified-Since", whole.must("last-modified")),
    ];
    assert_eq!(site.get(&site.recording(), &reload).await.status, 304);
}

#[tokio::test]
async fn safaris_probe_is_answered_with_two_bytes() {
    let site = Site::usual().await;
    let probe = [("Range", "bytes=0-1"), ("Accept-Encoding", "identity")];
    let answer = site.get(&site.recording(), &probe).await;
    assert_eq!((answer.status, answer.must("content-range")), (206, "bytes 0-1/300000"));
    assert_eq!(answer.body, recording()[..2]);
}
