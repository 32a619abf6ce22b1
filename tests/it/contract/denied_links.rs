//! Links that open nothing.

use std::time::Duration;

use object_store::ObjectStoreExt;
use object_store::memory::InMemory;
use object_store::path::Path;
use serde_json::Value;
use webhook_assets::clock::UnixSeconds;
use webhook_assets::signed_url::SigningKey;
use webhook_assets::{AssetRef, Keyring, SecretKey};

use super::{PROBLEM, assert_fields};
use crate::support::{ABSENT, Answer, CALL, DAY, NOW, Plan, Site};

/// Checks that an answer has the form of every 403.
fn assert_denied(answer: &Answer, code: &str) {
    assert_eq!((answer.status, answer.code().as_str()), (403, code));
    assert_fields(answer, &PROBLEM);
    let problem = answer.json();
    assert_eq!((&problem["title"], &problem["status"]), (&"Access denied".into(), &403.into()));
    assert!(problem["type"].is_string() && !problem["detail"].as_str().unwrap().is_empty(), "{problem}");
    assert_eq!(problem.get("expired_at").is_some(), code == "expired", "{problem}");
}

#[tokio::test]
async fn an_expired_link_is_403_with_the_code_expired_and_both_times() {
    let site = Site::usual().await;
    let link = site.link_for(AssetRef::recording(CALL), Duration::from_secs(60));
    site.clock.advance(Duration::from_secs(90));
    let answer = site.get(&link, &[]).await;
    assert_denied(&answer, "expired");
    let problem = answer.json();
    assert_eq!(problem["expired_at"], "2096-10-02T07:07:40Z");
    assert_eq!(problem["server_time"], "2096-10-02T07:08:10Z");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("Ask the sender"), "it says what to do: {detail}");
    let names: Vec<&String> = problem.as_object().unwrap().keys().collect();
    assert_eq!(names, ["type", "title", "status", "code", "detail", "server_time", "expired_at"]);
}

#[tokio::test]
async fn a_bad_signature_is_403_with_the_code_invalid_signature() {
    let site = Site::usual().await;
    let link = site.recording();
    let answer = site.get(&link.replace("sig=", "sig=0"), &[]).await;
    assert_denied(&answer, "invalid_signature");
    let names: Vec<String> = answer.json().as_object().unwrap().keys().cloned().collect();
    assert_eq!(names, ["type", "title", "status", "code", "detail", "server_time"]);
    assert_eq!(answer.json()["server_time"], "2096-10-02T07:06:40Z");
}

#[tokio::test]
async fn head_of_a_bad_link_has_the_header_fields_of_get_and_no_body() {
    let site = Site::usual().await;
    for target in ["/api/webhook-assets/recording/x?expires=1&sig=2", "/nowhere"] {
        let (get, head) = (site.get(target, &[]).await, site.head(target, &[]).await);
        assert_eq!((get.status, get.fields.len()), (head.status, head.fields.len()));
        assert_eq!(get.must("content-length"), head.must("content-length"));
        assert_eq!(head.body, b"");
    }
}

#[tokio::test]
async fn a_malformed_link_is_answered_like_a_bad_signature() {
    let site = Site::usual().await;
    let link = site.recording();
    let (path, query) = link.split_once('?').unwrap();
    let (expires, sig) = query.split_once('&').unwrap();
    let bad = site.get(&format!("{path}?{expires}&sig={}", "0".repeat(64)), &[]).await;
    assert_denied(&bad, "invalid_signature");
    for query in [
        String::new(),
        expires.to_owned(),
        sig.to_owned(),
        format!("{expires}&amp;{sig}"),
        format!("{query}&{expires}"),
        format!("{query}&{sig}"),
        format!("{expires}&{}", sig.to_uppercase().replace("SIG", "sig")),
        format!("{expires}&{}", &sig[..sig.len() - 1]),
        format!("{expires}&{sig}0"),
        format!("{expires}&{sig}%20"),
        format!("expires=+4000086400&{sig}"),
        format!("expires=04000086400&{sig}"),
        format!("expires=4000086401&{sig}"),
        format!("expires=99999999999999999999999&{sig}"),
        format!("expires=&{sig}"),
        format!("{expires}&sig="),
        query.replace('&', ";"),
    ] {
        let answer = site.get(&format!("{path}?{query}"), &[]).await;
        assert_denied(&answer, "invalid_signature");
        assert_eq!(answer.body, bad.body, "{query}");
    }
}

#[tokio::test]
async fn an_id_that_is_no_uuid_is_answered_exactly_like_a_bad_signature() {
    let site = Site::usual().await;
    let link = site.recording();
    let (_, query) = link.split_once('?').unwrap();
    let bad = site.get(&link.replace("sig=", "sig=0"), &[]).await;
    for id in [
        "x",
        "",
        "latest",
        "550E8400-E29B-41D4-A716-446655440000",
        "{550e8400-e29b-41d4-a716-446655440000}",
        "550e8400e29b41d4a716446655440000",
        "%3550e8400-e29b-41d4-a716-446655440000",
        "550e8400-e29b-41d4-a716-446655440000.mp3",
        "..%2f..%2fetc%2fpasswd",
        "..",
    ] {
        let answer = site.get(&format!("/api/webhook-assets/recording/{id}?{query}"), &[]).await;
        assert_denied(&answer, "invalid_signature");
        assert_eq!(answer.body, bad.body, "{id}");
    }
}

#[tokio::test]
async fn a_link_for_one_asset_does_not_open_another() {
    let site = Site::usual().await;
    let link = site.recording();
    for other in
        [link.replace("recording", "transcript"), link.replace(&CALL.to_string(), &ABSENT.to_string())]
    {
        assert_denied(&site.get(&other, &[]).await, "invalid_signature");
    }
}

#[tokio::test]
async fn no_client_without_a_good_signature_learns_whether_an_asset_exists() {
    let site = Site::usual().await;
    let with = |id: uuid::Uuid| {
        format!("/api/webhook-assets/recording/{id}?expires=4000000001&sig={}", "0".repeat(64))
    };
    let (there, absent) = (site.get(&with(CALL), &[]).await, site.get(&with(ABSENT), &[]).await);
    assert_eq!((there.status, there.body), (403, absent.body));
}

#[tokio::test]
async fn a_link_of_an_unknown_key_is_answered_like_a_bad_signature() {
    let mut plan = Plan::usual().await;
    plan.keyring = Keyring::of_one("other", SecretKey::from_bytes(&[8; 32]).unwrap());
    let (site, stranger) = (Site::usual().await, plan.start().await);
    let answer = site.get(&stranger.recording(), &[]).await;
    assert_denied(&answer, "invalid_signature");
    assert_eq!(answer.body, site.get(&site.recording().replace("sig=", "sig=0"), &[]).await.body);
}

#[tokio::test]
async fn only_a_client_with_a_good_signature_learns_that_the_link_expired() {
    let site = Site::usual().await;
    let link = site.link_for(AssetRef::recording(CALL), Duration::from_secs(60));
    site.clock.advance(DAY);
    assert_denied(&site.get(&link.replace("sig=", "sig=0"), &[]).await, "invalid_signature");
    assert_denied(&site.get(&link, &[]).await, "expired");
    // The link of an absent asset has expired, too: the gateway never asks the store.
    let link = site.link_for(AssetRef::recording(ABSENT), Duration::from_secs(60));
    site.clock.advance(DAY);
    assert_denied(&site.get(&link, &[]).await, "expired");
}

#[tokio::test]
async fn a_link_that_reaches_too_far_ahead_is_refused_although_it_is_signed() {
    let site = Site::usual().await;
    let asset = AssetRef::recording(CALL);
    let skew = 5 * 60;
    let furthest = site.link_made_at(asset, UnixSeconds(NOW.0 + skew));
    assert_eq!(site.get(&furthest, &[]).await.status, 200);
    let too_far = site.link_made_at(asset, UnixSeconds(NOW.0 + skew + 1));
    assert_denied(&site.get(&too_far, &[]).await, "invalid_signature");
    site.clock.advance(Duration::from_secs(1));
    assert_eq!(site.get(&too_far, &[]).await.status, 200, "a second later it is near enough");
}

#[tokio::test]
async fn the_public_test_vectors_get_the_promised_answers_over_the_wire() {
    let file = format!("{}/fixtures/vectors/signed_url.json", env!("CARGO_MANIFEST_DIR"));
    let vectors: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let mut plan = Plan::on(std::sync::Arc::new(InMemory::new()));
    plan.objects.put(&Path::from(AssetRef::recording(CALL).object_path()), "sound".into()).await.unwrap();
    let key = |id: &Value| {
        let secret = SecretKey::from_hex(vectors["keys"][id.as_str().unwrap()].as_str().unwrap()).unwrap();
        SigningKey::new(id.as_str().unwrap(), secret, UnixSeconds(0), None)
    };
    plan.keyring = Keyring::new(vectors["keyring"].as_array().unwrap().iter().map(key).collect()).unwrap();
    plan.gateway.longest_lifetime =
        Duration::from_secs(vectors["longest_lifetime_seconds"].as_u64().unwrap());
    let site = plan.start().await;
    for vector in vectors["verify"].as_array().unwrap() {
        let url = vector["url"].as_str().unwrap();
        let target = &url[url.match_indices('/').nth(2).unwrap().0..];
        site.clock.set(UnixSeconds(vector["now"].as_u64().unwrap()));
        let answer = site.get(target, &[]).await;
        match vector["outcome"].as_str().unwrap() {
            "good" => {
                let there = vector["kind"] == "recording" && vector["id"] == CALL.to_string();
                assert_eq!(answer.status, if there { 200 } else { 404 }, "{vector}");
            }
            code => {
                assert_eq!(answer.code(), code, "{vector}");
                assert_denied(&answer, code);
            }
        }
        if let Some(at) = vector["expired_at"].as_u64() {
            assert_eq!(answer.json()["expired_at"], UnixSeconds(at).to_string(), "{vector}");
        }
    }
}
