//! Stores without HEAD, Range, a length or a date.

use super::{download, finds_the_store_up, recording_of};
use crate::support::odd_store::{OddStore, Reply, StoreRequest, USUAL, WAYS, Way, served};
use crate::support::{Site, http2, noise, request_head};

const LENGTH: usize = 300_000;

/// A site on a store with one object under every key.
async fn on(
    way: Way,
    answer: impl Fn(&StoreRequest, &[u8]) -> Reply + Send + Sync + 'static,
) -> (OddStore, Site) {
    let object = noise(LENGTH);
    let store = OddStore::answering(way, move |request| answer(request, &object)).await;
    let site = store.site().await;
    (store, site)
}

#[tokio::test]
async fn a_store_that_knows_no_head_is_asked_by_get() {
    for way in WAYS {
        for status in [400, 403, 404, 405, 501] {
            let (_store, site) = on(way, move |request, object| match request.is_head() {
                true => Reply::error(request, status, "MethodNotAllowed"),
                false => served(request, &USUAL, object),
            })
            .await;
            let link = site.recording();
            let get = site.get(&link, &[]).await;
            let mut as_get = get.fields.clone();
            for _ in 0..6 {
                // In a bucket that answers, an object must not be missing only because HEAD says 404.
                if status == 404 {
                    break;
                }
                let head = site.head(&link, &[]).await;
                assert_eq!(head.status, 200, "{way:?} {status}");
                let (mut fields, _) = (head.fields.clone(), as_get.sort());
                fields.sort();
                fields.retain(|(name, _)| name != "date");
                as_get.retain(|(name, _)| name != "date");
                assert_eq!(fields, as_get, "{way:?} {status}");
            }
            assert_eq!(site.get(&link, &[]).await.status, 200, "{way:?} {status}");
            if status != 404 {
                let parts = site.get(&link, &[("Range", "bytes=0-9,20-29")]).await;
                assert_eq!(parts.status, 206, "{way:?} {status}");
            }
            assert!(finds_the_store_up(&site));
        }
    }
}

#[tokio::test]
async fn a_head_without_a_length_is_looked_up_by_get() {
    for way in WAYS {
        let (_store, site) = on(way, |request, object| match request.is_head() {
            true => Reply::head(200, &USUAL).and_close(),
            false => served(request, &USUAL, object),
        })
        .await;
        let head = site.head(&site.recording(), &[]).await;
        assert_eq!((head.status, head.must("content-length")), (200, "300000"), "{way:?}");
    }
}

/// Some stores say 0, because the answer has no body.
#[tokio::test]
async fn a_head_that_says_0_is_looked_up_by_get() {
    for way in WAYS {
        let (_store, site) = on(way, |request, object| match request.is_head() {
            true => Reply::head(200, &[USUAL[0], USUAL[1], ("Content-Length", "0")]),
            false => served(request, &USUAL, object),
        })
        .await;
        assert_eq!(site.head(&site.recording(), &[]).await.must("content-length"), "300000", "{way:?}");
        let parts = site.get(&site.recording(), &[("Range", "bytes=0-9,20-29")]).await;
        assert_eq!(parts.status, 206, "{way:?}");
    }
}

#[tokio::test]
async fn a_length_given_twice_or_not_at_all_beside_a_range_is_understood() {
    for way in WAYS {
        let (_store, site) = on(way, |request, object| match request.range(object.len()) {
            Some(range) => {
                let said = format!("bytes {}-{}/{}", range.start, range.end - 1, object.len());
                Reply::chunked(request, 206, &[USUAL[0], ("Content-Range", &said)], &object[range])
            }
            None => Reply::whole(request, 200, &[USUAL[0], ("Content-Length", "300000")], object),
        })
        .await;
        let answer = site.get(&site.recording(), &[]).await;
        assert!(answer.status == 200 && answer.body == noise(LENGTH), "{way:?}");
        let answer = site.get(&site.recording(), &[("Range", "bytes=7-100006")]).await;
        assert_eq!((answer.status, answer.must("content-range")), (206, "bytes 7-100006/300000"), "{way:?}");
        assert!(answer.body == noise(LENGTH)[7..100_007], "{way:?}");
    }
}

#[tokio::test]
async fn a_store_that_ignores_range_is_read_from_the_beginning() {
    for way in WAYS {
        let (_store, site) = on(way, |request, object| Reply::whole(request, 200, &USUAL, object)).await;
        let (link, object) = (site.recording(), noise(LENGTH));
        for (range, first, last) in [
            ("bytes=0-0", 0, 0),
            ("bytes=0-299999", 0, 299_999),
            ("bytes=100000-199999", 100_000, 199_999),
            ("bytes=299999-", 299_999, 299_999),
            ("bytes=1-", 1, 299_999),
            ("bytes=-10", 299_990, 299_999),
            ("bytes=5-9999999", 5, 299_999),
        ] {
            let answer = site.get(&link, &[("Range", range)]).await;
            assert_eq!(answer.status, 206, "{way:?} {range}");
            assert_eq!(answer.must("content-range"), format!("bytes {first}-{last}/300000"), "{way:?}");
            assert!(answer.body == object[first..=last], "{way:?} {range}");
        }
        let parts = site.get(&link, &[("Range", "bytes=0-9,200000-200009")]).await;
        assert_eq!(parts.status, 206, "{way:?}");
        for part in [&object[..10], &object[200_000..200_010]] {
            assert!(parts.body.windows(10).any(|ten| ten == part), "{way:?}");
        }
        for beyond in ["bytes=300000-", "bytes=400000-400001", "bytes=-0"] {
            let answer = site.get(&link, &[("Range", beyond)]).await;
            assert_eq!(
                (answer.status, answer.must("content-range")),
                (416, "bytes */300000"),
                "{way:?} {beyond}"
            );
        }
        assert!(finds_the_store_up(&site));
    }
}

#[tokio::test]
async fn bodies_of_a_store_that_ignores_range_are_resumed_and_prefetched() {
    use std::sync::atomic::{AtomicUsize, Ordering};

    for way in WAYS {
        let object = noise(9_000_000);
        let answers = AtomicUsize::new(0);
        let store = OddStore::answering(way, move |request| {
            let reply = Reply::whole(request, 200, &USUAL, &object);
            // The first body breaks halfway.
            if answers.fetch_add(1, Ordering::SeqCst) == 0 { reply.cut_by(5_000_000) } else { reply }
        })
        .await;
        for read_ahead in [1, 4] {
            let mut plan = store.plan().await;
            plan.store.read_ahead = read_ahead;
            let site = plan.start().await;
            let answer = download(&site, &site.recording(), &[]).await;
            assert!(
                answer.complete && answer.body == noise(9_000_000),
                "{way:?} {read_ahead}: {} bytes",
                answer.body.len()
            );
        }
    }
}

#[tokio::test]
async fn a_wrong_206_is_502_and_its_bytes_go_nowhere() {
    for way in WAYS {
        for content_range in [
            None,
            Some("bytes 0-9/*"),
            Some("bytes 0-4/300000"),
            Some("bytes 50-59/300000"),
            Some("nonsense"),
            Some("bytes 9-0/300000"),
        ] {
            let (_store, site) = on(way, move |request, object| {
                if request.is_head() {
                    return served(request, &USUAL, object);
                }
                let said = content_range.map(|said| ("Content-Range", said));
                let fields: Vec<_> = USUAL.into_iter().chain(said).collect();
                Reply::whole(request, 206, &fields, &object[..10])
            })
            .await;
            for range in [Some("bytes=0-9"), Some("bytes=7-9"), None] {
                let fields: Vec<_> = range.map(|range| ("Range", range)).into_iter().collect();
                let answer = site.get(&site.recording(), &fields).await;
                assert_eq!(
                    (answer.status, answer.code().as_str()),
                    (502, "storage_error"),
                    "{way:?} {content_range:?} {range:?}"
                );
            }
            assert!(finds_the_store_up(&site));
        }
    }
}

/// Azurite's answer to a position beyond what a JavaScript number can hold.
#[tokio::test]
async fn a_wrong_206_to_a_range_behind_the_end_is_416() {
    for way in WAYS {
        let (_store, site) = on(way, |request, object| match request.field("range") {
            Some(range) if range.contains("18446744073709551615") => {
                let said = "bytes 18446744073709552000-299999/300000";
                Reply::whole(request, 206, &[USUAL[0], ("Content-Range", said)], b"")
            }
            _ => served(request, &USUAL, object),
        })
        .await;
        let answer = site.get(&site.recording(), &[("Range", "bytes=18446744073709551615-")]).await;
        assert_eq!((answer.status, answer.field("content-range")), (416, Some("bytes */300000")), "{way:?}");
    }
}

#[tokio::test]
async fn a_206_longer_than_the_requested_range_is_cut() {
    for way in WAYS {
        let (_store, site) = on(way, |request, object| {
            if request.is_head() {
                return served(request, &USUAL, object);
            }
            let fields = [USUAL[0], USUAL[1], ("Content-Range", "bytes 0-999/300000")];
            Reply::whole(request, 206, &fields, &object[..1_000])
        })
        .await;
        let answer = site.get(&site.recording(), &[("Range", "bytes=100-199")]).await;
        assert_eq!((answer.status, answer.must("content-range")), (206, "bytes 100-199/300000"), "{way:?}");
        assert!(answer.body == noise(LENGTH)[100..200]);
    }
}

#[tokio::test]
async fn a_whole_206_to_a_request_without_range_is_the_object() {
    for way in WAYS {
        let (_store, site) = on(way, |request, object| {
            let fields = [USUAL[0], USUAL[1], ("Content-Range", "bytes 0-299999/300000")];
            Reply::whole(request, 206, &fields, object)
        })
        .await;
        let answer = site.get(&site.recording(), &[]).await;
        assert!(answer.status == 200 && answer.body == noise(LENGTH), "{way:?}");
    }
}

/// Short enough to be read before the answer begins: then its length is known.
#[tokio::test]
async fn a_short_object_in_chunks_is_served_with_its_length() {
    for way in WAYS {
        let (_store, site) = on(way, |request, object| Reply::chunked(request, 200, &USUAL, object)).await;
        let link = site.recording();
        let answer = site.get(&link, &[]).await;
        assert_eq!(
            (answer.status, answer.must("content-length"), answer.must("etag")),
            (200, "300000", "\"v1\""),
            "{way:?}"
        );
        assert!(answer.body == noise(LENGTH), "{way:?}");
        let head = site.head(&link, &[]).await;
        assert_eq!((head.status, head.must("content-length")), (200, "300000"), "{way:?}");
        let part = site.get(&link, &[("Range", "bytes=-10")]).await;
        assert_eq!((part.status, part.must("content-range")), (206, "bytes 299990-299999/300000"), "{way:?}");
        assert_eq!(part.body, noise(LENGTH)[299_990..], "{way:?}");
        assert_eq!(site.get(&link, &[("Range", "bytes=300000-")]).await.status, 416, "{way:?}");
        assert_eq!(site.get(&link, &[("If-None-Match", "\"v1\"")]).await.status, 304, "{way:?}");
    }
}

#[tokio::test]
async fn a_long_object_in_chunks_is_served_without_a_length_or_breaks() {
    const LONG: usize = 3_000_000;
    for way in WAYS {
        let object = noise(LONG);
        let store = OddStore::answering(way, move |request| {
            let reply = Reply::chunked(request, 200, &USUAL, &object);
            if request.path.contains("bad.mp3") && !request.is_head() { reply.cut_by(5) } else { reply }
        })
        .await;
        let site = store.site().await;
        let link = site.recording();
        for fields in
            [&[][..], &[("Range", "bytes=5-9")], &[("Range", "bytes=0-1,7-9")], &[("Range", "bytes=-5")]]
        {
            let answer = site.get(&link, fields).await;
            assert_eq!((answer.status, answer.field("content-range")), (200, None), "{way:?} {fields:?}");
            assert_eq!(answer.must("transfer-encoding"), "chunked");
            assert!(answer.body == noise(LONG), "{way:?} {fields:?}");
        }
        let head = site.head(&link, &[]).await;
        assert_eq!(
            (head.status, head.field("content-length"), head.must("etag")),
            (200, None, "\"v1\""),
            "{way:?}"
        );
        assert_eq!(site.get(&link, &[("If-None-Match", "\"v1\"")]).await.status, 304, "{way:?}");
        // Its end is missing: it must not look whole to a client.
        let bad = site.link(recording_of(0xbad));
        let answer = download(&site, &bad, &[]).await;
        assert_eq!((answer.status, answer.complete), (200, false), "{way:?}");
        let (_, reset) =
            http2::read(http2::Http2::connect(site.address).await.get(&bad, &[]).await.into_body()).await;
        assert!(reset.is_some(), "{way:?}");
        // HTTP/1.0 could not tell.
        let old = |link: &str| request_head("GET", link, &[], b"").replace("HTTP/1.1", "HTTP/1.0");
        let bytes = site.client().exchange(old(&link).as_bytes()).await;
        assert!(bytes.starts_with(b"HTTP/1.0 502"), "{way:?} {}", String::from_utf8_lossy(&bytes[..100]));
    }
}

#[tokio::test]
async fn odd_dates_and_fields_do_no_harm() {
    let odd: [&[(&str, &str)]; 9] = [
        &[("ETag", "\"v1\"")],
        &[("ETag", "\"v1\""), ("Last-Modified", "yesterday")],
        &[("ETag", "\"v1\""), ("Last-Modified", "2026-11-23T09:00:00Z")],
        &[("ETag", "\"v1\""), ("Last-Modified", "\u{e9}")],
        &[("ETag", "\"v1\""), ("Last-Modified", "")],
        &[("ETag", "\"v1\""), ("Last-Modified", "Tue, 23 Nov 2026 09:00:00 GMT")],
        &[("ETag", "\"v1\""), ("Last-Modified", "Monday, 23-Nov-26 09:00:00 GMT")],
        &[
            ("ETag", "v1"),
            ("Content-Type", "\u{e9}"),
            ("Cache-Control", "\u{e9}"),
            ("x-amz-meta-name", "J\u{fc}rgen"),
        ],
        &[
            ("ETag", "\"v1\""),
            ("Content-Disposition", "\u{e9}"),
            ("Content-Language", "\u{e9}"),
            ("x-amz-version-id", "\u{e9}"),
        ],
    ];
    for way in WAYS {
        for fields in odd {
            let (_store, site) = on(way, move |request, object| served(request, fields, object)).await;
            let link = site.recording();
            let answer = site.get(&link, &[]).await;
            assert_eq!((answer.status, answer.must("etag")), (200, "\"v1\""), "{way:?} {fields:?}");
            assert!(answer.body == noise(LENGTH));
            if let Some(date) = answer.field("last-modified") {
                assert!(date.contains("23 Nov 2026"), "{way:?} {fields:?}: {date}");
            }
            assert_eq!(site.get(&link, &[("Range", "bytes=0-9")]).await.status, 206, "{way:?} {fields:?}");
            assert_eq!(site.head(&link, &[]).await.status, 200, "{way:?} {fields:?}");
        }
        // An unparsable date satisfies no condition.
        let (_store, site) = on(way, |request, object| served(request, &[("ETag", "\"v1\"")], object)).await;
        let link = site.recording();
        for name in ["If-Modified-Since", "If-Unmodified-Since"] {
            for date in ["Thu, 01 Jan 1970 00:00:00 GMT", "Mon, 23 Nov 2026 09:00:00 GMT"] {
                assert_eq!(site.get(&link, &[(name, date)]).await.status, 200, "{way:?} {name} {date}");
            }
        }
        let since = [("Range", "bytes=0-9"), ("If-Range", "Thu, 01 Jan 1970 00:00:00 GMT")];
        assert_eq!(site.get(&link, &since).await.status, 200, "{way:?}");
    }
}
