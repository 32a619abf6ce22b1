//! One unavailable object never opens the circuit breaker for the others.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{download, finds_the_store_up, recording_of};
use crate::support::odd_store::{OddStore, Reply, StoreRequest, USUAL, WAYS, Way, served};
use crate::support::{Site, noise};

const BAD: u128 = 0xbad;
const GOOD: u128 = 0x900d;

fn is_bad(request: &StoreRequest) -> bool {
    request.path.contains("bad.mp3")
}

/// A store that answers one object like this, and every other as it should.
async fn with_one(
    way: Way,
    bad: impl Fn(&StoreRequest) -> Reply + Send + Sync + 'static,
) -> (OddStore, Site) {
    let store = OddStore::answering(way, move |request| match is_bad(request) {
        true => bad(request),
        false => served(request, &USUAL, b"good"),
    })
    .await;
    let site = store.site_with_short_timeouts().await;
    (store, site)
}

async fn other_objects_are_served(site: &Site, why: &str) {
    for _ in 0..3 {
        let answer = site.get(&site.link(recording_of(GOOD)), &[]).await;
        assert_eq!((answer.status, answer.body.as_slice()), (200, &b"good"[..]), "{why}");
    }
    assert!(finds_the_store_up(site), "{why}");
}

#[tokio::test]
async fn an_object_that_is_answered_oddly_does_not_close_the_store() {
    let codes =
        ["KMS.DisabledException", "BlobArchived", "InvalidObjectState", "ObjectLocked", "What.Ever-1"];
    for way in WAYS {
        for (at, status) in [
            400, 401, 402, 403, 405, 406, 407, 409, 410, 411, 412, 413, 414, 415, 416, 417, 418, 421, 422,
            423, 424, 425, 426, 428, 431, 451, 499, 300, 301, 302, 303, 305, 307, 308, 201, 202, 204, 205,
            207, 226,
        ]
        .into_iter()
        .enumerate()
        {
            let code = codes[at % codes.len()];
            let (_store, site) = with_one(way, move |request| match status {
                204 => Reply::head(204, &[]),
                // A redirect that leads nowhere, as S3 sends for a wrong region.
                _ => Reply::error(request, status, code),
            })
            .await;
            let link = site.link(recording_of(BAD));
            for _ in 0..6 {
                let answer = site.get(&link, &[]).await;
                assert_eq!(
                    (answer.status, answer.code().as_str()),
                    (502, "storage_error"),
                    "{way:?} {status}"
                );
                let text = String::from_utf8(answer.body).unwrap();
                for secret in ["hunter2", "secret.example", "AKIA", "prefix"] {
                    assert!(!text.contains(secret), "{text}");
                }
            }
            assert_eq!(site.get(&link, &[("Range", "bytes=0-1")]).await.status, 502, "{way:?} {status}");
            assert_eq!(site.get(&link, &[("Range", "bytes=-1")]).await.status, 502, "{way:?} {status}");
            assert_eq!(site.get(&link, &[("Range", "bytes=0-0,2-2")]).await.status, 502, "{way:?} {status}");
            assert_eq!(site.head(&link, &[]).await.status, 502, "{way:?} {status}");
            other_objects_are_served(&site, &format!("{way:?} {status}")).await;
        }
    }
}

/// Store failures on one object alone cause a probe, and the probe finds the store working.
#[tokio::test]
async fn an_object_that_always_fails_does_not_close_the_store() {
    for way in WAYS {
        for status in [500, 503, 408, 429] {
            let (_store, site) =
                with_one(way, move |request| Reply::error(request, status, "InternalError")).await;
            let gets = (0..12).map(|_| async { site.get(&site.link(recording_of(BAD)), &[]).await.status });
            let answers = futures_util::future::join_all(gets).await;
            assert_eq!(answers, [503; 12], "{way:?} {status}");
            other_objects_are_served(&site, &format!("{way:?} {status}")).await;
        }
    }
}

#[tokio::test]
async fn an_object_whose_body_always_breaks_does_not_close_the_store() {
    for way in WAYS {
        for cut in [1, 500_000, 1_000_000] {
            let object = noise(1_000_000);
            let (_store, site) = with_one(way, move |request| {
                served(request, &USUAL, &object).cut_by(if request.is_head() { 0 } else { cut.min(100) })
            })
            .await;
            let gets = (0..8).map(|_| async {
                let answer = download(&site, &site.link(recording_of(BAD)), &[]).await;
                assert!(answer.status == 200 || answer.status >= 500, "{}", answer.status);
                assert!(noise(1_000_000).starts_with(&answer.body) || answer.status >= 500);
            });
            futures_util::future::join_all(gets).await;
            other_objects_are_served(&site, &format!("{way:?} {cut}")).await;
        }
        let (_store, site) =
            with_one(way, |_| Reply::head(200, &[("Content-Length", "100")]).and_close()).await;
        let gets = (0..8).map(|_| async { site.get(&site.link(recording_of(BAD)), &[]).await.status });
        assert!(futures_util::future::join_all(gets).await.iter().all(|status| *status >= 500));
        other_objects_are_served(&site, &format!("{way:?} no byte")).await;
    }
}

#[tokio::test]
async fn an_object_that_contradicts_itself_does_not_close_the_store() {
    for way in WAYS {
        for (what, fields) in [
            ("a length that is none", vec![("Content-Length", "many")]),
            ("two lengths", vec![("Content-Length", "4"), ("Content-Length", "5")]),
            ("neither length nor end", vec![("Connection", "close")]),
        ] {
            let (_store, site) = with_one(way, move |_| Reply::head(200, &fields).and_close()).await;
            let gets = (0..8).map(|_| async { site.get(&site.link(recording_of(BAD)), &[]).await.status });
            let answers = futures_util::future::join_all(gets).await;
            assert!(answers.iter().all(|status| matches!(status, 502 | 503)), "{way:?} {what}: {answers:?}");
            other_objects_are_served(&site, &format!("{way:?} {what}")).await;
        }
    }
}

/// The status is known, and enough.
#[tokio::test]
async fn an_error_whose_text_never_ends_is_an_error_all_the_same() {
    for way in WAYS {
        let (_store, site) = with_one(way, |_| {
            Reply::head(403, &[("Content-Length", "1000")])
                .and(b"<Error><Code>InvalidObjectState</Code>")
                .and_hang()
        })
        .await;
        let answer = site.get(&site.link(recording_of(BAD)), &[]).await;
        assert_eq!((answer.status, answer.code().as_str()), (502, "storage_error"), "{way:?}");
        assert!(String::from_utf8(answer.body).unwrap().contains("403 InvalidObjectState"));
        other_objects_are_served(&site, &format!("{way:?}")).await;
    }
}

#[tokio::test]
async fn a_store_that_hangs_for_one_object_serves_the_others() {
    for way in WAYS {
        let store = OddStore::answering(way, |request| match is_bad(request) {
            true => Reply::none(),
            false => served(request, &USUAL, b"good"),
        })
        .await;
        let site = store.site_with_short_timeouts().await;
        let gets = (0..12).map(|_| async { site.get(&site.link(recording_of(BAD)), &[]).await.status });
        assert_eq!(futures_util::future::join_all(gets).await, [503; 12]);
        other_objects_are_served(&site, &format!("{way:?}")).await;
    }
}

#[tokio::test]
async fn a_store_that_fails_for_every_object_opens_the_circuit_breaker() {
    for way in WAYS {
        let ill = Arc::new(AtomicBool::new(true));
        let is_ill = Arc::clone(&ill);
        let store = OddStore::answering(way, move |request| match is_ill.load(Ordering::SeqCst) {
            true => Reply::error(request, 500, "InternalError"),
            false => served(request, &USUAL, b"good"),
        })
        .await;
        let site = store.site_with_short_timeouts().await;
        let link = site.link(recording_of(GOOD));
        let gets = (0..8).map(|_| async { site.get(&link, &[]).await.status });
        assert_eq!(futures_util::future::join_all(gets).await, [503; 8]);
        site.counts("webhook_assets_store_up 0").await;
        let before = store.requests().len();
        assert_eq!(site.get(&link, &[]).await.status, 503);
        assert_eq!(store.requests().len(), before, "{way:?}: it is left alone");
        ill.store(false, Ordering::SeqCst);
        site.counts("webhook_assets_store_up 1").await;
        assert_eq!(site.get(&link, &[]).await.status, 200, "{way:?}");
    }
}

/// A store that accepts heads up to 8 KB, as nginx does.
#[tokio::test]
async fn a_clients_conditions_never_make_a_request_that_the_store_refuses() {
    for way in WAYS {
        let store = OddStore::answering(way, |request| match request.length() > 8_000 {
            true => Reply::head(400, &[("Content-Length", "0")]),
            false if request.field("if-none-match") == Some("\"v1\"") => Reply::head(304, &USUAL),
            false => served(request, &USUAL, b"good"),
        })
        .await;
        let site = store.site().await;
        let long = format!("\"{}\"", "a".repeat(12_000));
        for _ in 0..12 {
            let answer = site.get(&site.link(recording_of(BAD)), &[("If-None-Match", &long)]).await;
            assert_eq!((answer.status, answer.body.as_slice()), (200, &b"good"[..]), "{way:?}");
        }
        other_objects_are_served(&site, "a long tag").await;
        let requests = store.requests();
        assert!(requests.iter().all(|request| request.length() < 2_000), "{way:?}");
        for strange in ["\"\u{e9}\"", "\"a b\"", "W/\"x", "\"\"", "x"] {
            let link = site.link(recording_of(GOOD));
            let request = format!(
                "GET {link} HTTP/1.1\r\nHost: x\r\nIf-None-Match: {strange}\r\nConnection: close\r\n\r\n"
            );
            let answer = site.client().exchange(request.as_bytes()).await;
            assert!(answer.starts_with(b"HTTP/1.1 200"), "{way:?} {strange}");
        }
        // A condition that may be the store's still costs no body.
        let known = site.get(&site.link(recording_of(GOOD)), &[("If-None-Match", "\"v1\"")]).await;
        assert_eq!(known.status, 304, "{way:?}");
        assert_eq!(store.requests().last().unwrap().field("if-none-match"), Some("\"v1\""));
    }
}

#[tokio::test]
async fn a_store_that_dislikes_conditions_is_asked_without_them() {
    for way in WAYS {
        for status in [400, 412, 405] {
            let store = OddStore::answering(way, move |request| match request.field("if-none-match") {
                Some(_) => Reply::error(request, status, "NotImplemented"),
                None => served(request, &USUAL, b"good"),
            })
            .await;
            let site = store.site().await;
            let link = site.link(recording_of(GOOD));
            assert_eq!(site.get(&link, &[("If-None-Match", "\"v0\"")]).await.status, 200, "{way:?} {status}");
            assert_eq!(site.get(&link, &[("If-None-Match", "\"v1\"")]).await.status, 304, "{way:?} {status}");
        }
        let store = OddStore::answering(way, |_| Reply::head(304, &USUAL)).await;
        let site = store.site().await;
        assert_eq!(
            site.get(&site.link(recording_of(GOOD)), &[]).await.status,
            502,
            "{way:?}: the gateway sent no condition"
        );
    }
}
