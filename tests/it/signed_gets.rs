//! GET and HEAD requests that the gateway signs itself: a store that checks signatures accepts each of them, and gets as
//! many as through object_store.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use webhook_assets::AssetRef;

use crate::support::odd_store::{OddStore, Reply, StoreRequest, USUAL, WAYS, Way, served};
use crate::support::{ABSENT, noise};

const SECRET: &str = "nobody-may-see-this";

fn hmac(key: &[u8], text: &str) -> Vec<u8> {
    Hmac::<Sha256>::new_from_slice(key).unwrap().chain_update(text).finalize().into_bytes().to_vec()
}

/// Whether the request has the signature that AWS Signature Version 4 defines, over all fields that a client may sign.
fn is_signed(request: &StoreRequest) -> bool {
    let Some(authorization) = request.field("authorization") else { return false };
    let part = |name: &str| {
        let behind = authorization.split_once(&format!("{name}=")).unwrap().1;
        behind.split(',').next().unwrap().trim().to_owned()
    };
    let (date, names) = (request.field("x-amz-date").unwrap(), part("SignedHeaders"));
    let (_, scope) =
        part("Credential").split_once('/').map(|(key, scope)| (key.to_owned(), scope.to_owned())).unwrap();
    let fields: String =
        names.split(';').map(|name| format!("{name}:{}\n", request.field(name).unwrap())).collect();
    for name in ["range", "if-none-match", "x-amz-content-sha256", "x-amz-date", "host"] {
        assert_eq!(request.field(name).is_some(), names.split(';').any(|signed| signed == name), "{name}");
    }
    let hash = request.field("x-amz-content-sha256").unwrap();
    let canonical = format!("{}\n{}\n\n{fields}\n{names}\n{hash}", request.method, request.path);
    let digest = hex::encode(Sha256::digest(canonical));
    let key = scope.split('/').fold(format!("AWS4{SECRET}").into_bytes(), |key, part| hmac(&key, part));
    let text = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{digest}");
    hex::encode(hmac(&key, &text)) == part("Signature")
}

#[tokio::test]
async fn every_request_is_signed_and_asked_once() {
    let object = noise(70_000);
    for way in WAYS {
        let (bytes, unsigned) = (object.clone(), Arc::new(AtomicUsize::new(0)));
        let counted = Arc::clone(&unsigned);
        let store = OddStore::answering(way, move |request| {
            if !is_signed(request) {
                counted.fetch_add(1, Ordering::SeqCst);
                return Reply::error(request, 403, "SignatureDoesNotMatch");
            }
            if request.path.contains(&ABSENT.to_string()) {
                return Reply::error(request, 404, "NoSuchKey");
            }
            if request.field("if-none-match") == Some("\"v1\"") {
                return Reply::head(304, &USUAL);
            }
            served(request, &USUAL, &bytes)
        })
        .await;
        let site = store.site().await;
        let (link, absent) = (site.recording(), site.link(AssetRef::recording(ABSENT)));
        for turn in 0..3 {
            let cases = [
                (&link, &[][..], 200, &object[..]),
                (&link, &[("Range", "bytes=5-69000")][..], 206, &object[5..69_001]),
                (&link, &[("Range", "bytes=-7")][..], 206, &object[69_993..]),
                (&link, &[("If-None-Match", "\"v1\"")][..], 304, &[]),
                (&absent, &[][..], 404, &[]),
            ];
            for (link, fields, status, body) in cases {
                let before = store.requests().len();
                let answer = site.get(link, fields).await;
                assert_eq!(answer.status, status, "{way:?} {turn} {fields:?}");
                assert!(body.is_empty() || answer.body == body, "{way:?} {turn} {fields:?}");
                assert_eq!(store.requests().len(), before + 1, "{way:?} {turn} {fields:?}");
            }
            assert_eq!(site.head(&link, &[]).await.status, 200);
        }
        assert_eq!(unsigned.load(Ordering::SeqCst), 0, "{way:?}");
    }
}

#[tokio::test]
async fn a_failing_store_is_asked_again_and_a_refusal_is_not() {
    let failures = Arc::new(AtomicUsize::new(0));
    for way in WAYS {
        let (object, left) = (noise(9_000), Arc::clone(&failures));
        let store = OddStore::answering(way, move |request| {
            let failed = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
            match failed {
                Ok(_) => Reply::error(request, 503, "SlowDown"),
                Err(_) => served(request, &USUAL, &object),
            }
        })
        .await;
        let site = store.site().await;
        let link = site.recording();
        for _ in 0..2 {
            assert_eq!(site.get(&link, &[]).await.status, 200);
        }
        failures.store(1, Ordering::SeqCst);
        assert_eq!(site.get(&link, &[]).await.status, 200, "{way:?}");
        assert_eq!(store.requests().len(), 4, "{way:?}: the failed request once more");
    }
}

#[tokio::test]
async fn tls_sessions_are_resumed() {
    let object = noise(100);
    let store =
        OddStore::answering(Way::Tls, move |request| served(request, &USUAL, &object).and_close()).await;
    let site = store.site().await;
    let link = site.recording();
    for _ in 0..4 {
        assert_eq!(site.get(&link, &[]).await.status, 200);
    }
    let (full, resumed) = store.handshakes();
    assert!(full >= 1 && resumed >= 2, "{full} full, {resumed} resumed");
}
