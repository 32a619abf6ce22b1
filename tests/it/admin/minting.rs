//! Minting.

use std::time::Duration;

use serde_json::{Value, json};
use webhook_assets::Keyring;
use webhook_assets::clock::UnixSeconds;
use webhook_assets::signed_url::SigningKey;

use super::{AdminSite, JSON, wish};
use crate::support::stores::Fault;
use crate::support::{ABSENT, CALL, DAY, NOW, Plan, key, recording, transcript};

/// Path and query of a minted link at the gateway.
fn target(api: &AdminSite, link: &Value) -> String {
    link["url"].as_str().unwrap().strip_prefix(api.site.base.origin()).unwrap().to_owned()
}

#[tokio::test]
async fn a_minted_link_opens_its_asset_until_it_expires() {
    let api = AdminSite::usual().await;
    let answer = api.mint(&json!({"kind": "recording", "id": CALL.to_string(), "expires_in": 60})).await;
    assert_eq!(answer.status, 200);
    let link = answer.json();
    assert_eq!(link["expires"], NOW.0 + 60);
    assert_eq!(link["expires_at"], UnixSeconds(NOW.0 + 60).to_string());
    assert_eq!(
        (&link["kind"], &link["id"], &link["key_id"]),
        (&json!("recording"), &json!(CALL.to_string()), &json!("k1"))
    );
    assert_eq!(link.get("object"), None);
    let target = target(&api, &link);
    assert!(target.starts_with("/api/webhook-assets/recording/"));
    let opened = api.site.get(&target, &[]).await;
    assert!(opened.status == 200 && opened.body == recording());
    api.site.clock.advance(Duration::from_secs(60));
    assert_eq!(api.site.get(&target, &[]).await.code(), "expired");
}

#[tokio::test]
async fn without_a_lifetime_a_link_lives_as_long_as_links_may() {
    let api = AdminSite::usual().await;
    let link = api.mint(&wish("transcript")).await.json();
    assert_eq!(link["expires"], NOW.plus(DAY).0);
    let opened = api.site.get(&target(&api, &link), &[]).await;
    assert!(opened.status == 200 && opened.body == transcript());
}

#[tokio::test]
async fn a_link_to_a_transcript_may_have_a_format() {
    let api = AdminSite::usual().await;
    for format in ["txt", "vtt", "srt", "md"] {
        let wish = json!({"kind": "transcript", "id": CALL.to_string(), "format": format, "check": true});
        let link = api.mint(&wish).await.json();
        assert_eq!((&link["format"], &link["object"]["size"]), (&json!(format), &json!(transcript().len())));
        let opened = api.site.get(&target(&api, &link), &[]).await;
        let name = format!("inline; filename=\"transcript-{CALL}.{format}\"");
        assert_eq!((opened.status, opened.must("content-disposition")), (200, &*name));
    }
    let plain = api.mint(&json!({"kind": "transcript", "id": CALL.to_string(), "format": null})).await.json();
    assert_eq!((plain.get("format"), plain["url"].as_str().unwrap().contains("format")), (None, false));
    for wish in [
        json!({"kind": "transcript", "id": CALL.to_string(), "format": "pdf"}),
        json!({"kind": "recording", "id": CALL.to_string(), "format": "vtt"}),
    ] {
        let refused = api.mint(&wish).await;
        assert_eq!((refused.status, &refused.json()["pointer"]), (422, &json!("/format")), "{wish}");
    }
}

#[tokio::test]
async fn a_batch_is_answered_in_its_order() {
    let api = AdminSite::usual().await;
    let wishes: Vec<Value> = (1..=100_u64)
        .map(|number| {
            let kind = if number % 3 == 0 { "transcript" } else { "recording" };
            let id = uuid::Uuid::from_u128(number.into()).to_string();
            json!({"kind": kind, "id": id, "expires_in": number, "check": number % 2 == 0})
        })
        .collect();
    let answer = api.mint(&json!({"links": wishes})).await;
    assert_eq!(answer.status, 200);
    let links = answer.json()["links"].as_array().unwrap().clone();
    assert_eq!(links.len(), wishes.len());
    for (link, wish) in links.iter().zip(&wishes) {
        assert_eq!((&link["kind"], &link["id"]), (&wish["kind"], &wish["id"]));
        assert_eq!(link["url"].is_null(), wish["check"] == true);
    }
}

#[tokio::test]
async fn a_check_says_what_there_is() {
    let (api, store) = AdminSite::on_faulty_store().await;
    let wishes = json!({"links": [
        {"kind": "recording", "id": CALL.to_string(), "check": true},
        {"kind": "transcript", "id": CALL.to_string(), "check": true},
        {"kind": "recording", "id": ABSENT.to_string(), "check": true},
        {"kind": "recording", "id": ABSENT.to_string()},
    ]});
    let links = api.mint(&wishes).await.json()["links"].clone();
    assert_eq!(links[0]["object"], json!({"size": 300_000, "media_type": "audio/mpeg"}));
    assert_eq!(links[1]["object"], json!({"size": transcript().len(), "media_type": "application/json"}));
    let absent = json!({
        "kind": "recording", "id": ABSENT.to_string(), "url": null, "expires_at": null, "object": null,
        "reason": "not_found",
    });
    assert_eq!(links[2], absent);
    assert!(links[3]["url"].is_string());
    assert_eq!(store.take_requests(), (3, 0));
    let single = api.mint(&json!({"kind": "recording", "id": ABSENT.to_string(), "check": true})).await;
    assert_eq!((single.status, single.json()), (200, absent));
}

#[tokio::test]
async fn a_check_that_cannot_be_made_is_503_with_retry_after() {
    let (api, store) = AdminSite::on_faulty_store().await;
    for fault in [Fault::Fails, Fault::Refuses, Fault::Hangs] {
        store.set_fault(fault);
        let answer = api.mint(&json!({"kind": "recording", "id": CALL.to_string(), "check": true})).await;
        assert_eq!((answer.status, answer.code().as_str()), (503, "storage_unavailable"), "{fault:?}");
        assert!(answer.must("retry-after").parse::<u32>().is_ok());
        let text = String::from_utf8(answer.body).unwrap();
        assert!(!text.contains("secret") && !text.contains("store.example.com"));
        // Without the check minting does not need the store.
        assert_eq!(api.mint(&wish("recording")).await.status, 200);
    }
}

#[tokio::test]
async fn without_a_key_that_may_sign_it_is_503() {
    let starts = NOW.plus(Duration::from_secs(60));
    let keyring = Keyring::new(vec![SigningKey::new("k1", key(), starts, None)]).unwrap();
    let api = AdminSite::of(Plan { keyring, ..Plan::usual().await }).await;
    let answer = api.mint(&wish("recording")).await;
    assert_eq!((answer.status, answer.code().as_str()), (503, "no_key"));
}

/// A request that the listener refuses, and where its answer points.
pub fn bad_wishes() -> Vec<(Value, &'static str)> {
    let id = CALL.to_string();
    vec![
        (json!({"kind": "recording", "id": id, "expires_in": 0}), "/expires_in"),
        (json!({"kind": "video", "id": id}), "/kind"),
        (json!({"kind": "Recording", "id": id}), "/kind"),
        (json!({"kind": "", "id": id}), "/kind"),
        (json!({"kind": "recording", "id": ""}), "/id"),
        (json!({"kind": "recording", "id": "42"}), "/id"),
        (json!({"kind": "recording", "id": format!("{id}0")}), "/id"),
        (json!({"kind": "recording", "id": "../../etc/passwd"}), "/id"),
        (json!({"kind": "recording", "id": id, "expires_in": -1}), "/expires_in"),
        (json!({"kind": "recording", "id": id, "expires_in": 1.5}), "/expires_in"),
        (json!({"kind": "recording", "id": id, "expires_in": "60"}), ""),
        (json!({"kind": "recording", "id": id, "expires": 60}), ""),
        (json!({"kind": "recording", "id": id, "check": "yes"}), ""),
        (json!({"kind": "recording", "id": id, "check": null}), ""),
        (json!({"kind": "recording", "id": 42}), ""),
        (json!({"kind": null, "id": id}), ""),
        (json!({"kind": "recording"}), ""),
        (json!({"id": id}), ""),
        (json!({}), ""),
        (json!(null), ""),
        (json!("recording"), ""),
        (json!(42), ""),
        (json!([]), ""),
        (json!([wish("recording")]), ""),
    ]
}

#[tokio::test]
async fn a_wish_that_cannot_be_fulfilled_is_422_and_the_answer_points_to_it() {
    let api = AdminSite::usual().await;
    for (wish, pointer) in bad_wishes() {
        let answer = api.mint(&wish).await;
        assert_eq!((answer.status, answer.code().as_str()), (422, "invalid_request"), "{wish}");
        assert_eq!(answer.json()["pointer"], pointer, "{wish}");
        let batch = json!({"links": [{"kind": "recording", "id": CALL.to_string()}, wish]});
        let answer = api.mint(&batch).await;
        assert_eq!((answer.status, &answer.json()["pointer"]), (422, &json!(format!("/links/1{pointer}"))));
    }
}

#[tokio::test]
async fn a_lifetime_beyond_the_longest_is_422() {
    let api = AdminSite::usual().await;
    for expires_in in [86_401, u64::from(u32::MAX), u64::MAX] {
        let wish = json!({"kind": "recording", "id": CALL.to_string(), "expires_in": expires_in});
        let answer = api.mint(&wish).await;
        assert_eq!((answer.status, &answer.json()["pointer"]), (422, &json!("/expires_in")));
    }
    let longest = json!({"kind": "recording", "id": CALL.to_string(), "expires_in": 86_400});
    assert_eq!(api.mint(&longest).await.status, 200);
}

#[tokio::test]
async fn a_batch_of_another_form_is_422() {
    let api = AdminSite::usual().await;
    for batch in [
        json!({"links": {}}),
        json!({"links": null}),
        json!({"links": "x"}),
        json!({"links": [], "check": true}),
        json!({"links": [], "kind": "recording", "id": CALL.to_string()}),
        json!({"links": [[]]}),
        json!({"links": [null]}),
        json!({"links": [{"links": []}]}),
    ] {
        assert_eq!(api.mint(&batch).await.status, 422, "{batch}");
    }
    assert_eq!(api.mint(&json!({"links": []})).await.json(), json!({"links": []}));
}

#[tokio::test]
async fn a_batch_has_at_most_a_thousand_links() {
    let api = AdminSite::usual().await;
    let batch = |count| json!({"links": vec![wish("recording"); count]});
    let answer = api.mint(&batch(1_000)).await;
    assert_eq!((answer.status, answer.json()["links"].as_array().unwrap().len()), (200, 1_000));
    let answer = api.mint(&batch(1_001)).await;
    assert_eq!((answer.status, &answer.json()["pointer"]), (422, &json!("/links")));
}

#[tokio::test]
async fn a_body_that_is_not_json_is_400() {
    let api = AdminSite::usual().await;
    let bodies: [&[u8]; 7] =
        [b"", b"{", b"kind=recording", b"{} {}", b"{\"kind\": 'recording'}", b"\xff\xfe", b"NaN"];
    for body in bodies {
        let answer = api.ask("POST", "/v1/links", &[JSON], body).await;
        assert_eq!((answer.status, answer.code().as_str()), (400, "not_json"), "{body:?}");
    }
    let deep = "[".repeat(100_000);
    assert_eq!(api.ask("POST", "/v1/links", &[JSON], deep.as_bytes()).await.status, 400);
}

#[tokio::test]
async fn another_media_type_is_415() {
    let api = AdminSite::usual().await;
    let body = wish("recording").to_string();
    for media_type in ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", "json", ""] {
        let answer = api.ask("POST", "/v1/links", &[("Content-Type", media_type)], body.as_bytes()).await;
        assert_eq!((answer.status, answer.code().as_str()), (415, "unsupported_media_type"), "{media_type}");
    }
    assert_eq!(api.ask("POST", "/v1/links", &[], body.as_bytes()).await.status, 415);
    for media_type in ["application/json; charset=utf-8", "Application/JSON", "application/json;x=y"] {
        let answer = api.ask("POST", "/v1/links", &[("Content-Type", media_type)], body.as_bytes()).await;
        assert_eq!(answer.status, 200, "{media_type}");
    }
}

#[tokio::test]
async fn a_body_of_more_than_a_mebibyte_is_413() {
    let api = AdminSite::usual().await;
    let mut body = wish("recording").to_string();
    body.push_str(&" ".repeat((1 << 20) - body.len()));
    assert_eq!(api.ask("POST", "/v1/links", &[JSON], body.as_bytes()).await.status, 200);
    body.push(' ');
    let answer = api.ask("POST", "/v1/links", &[JSON], body.as_bytes()).await;
    assert_eq!((answer.status, answer.code().as_str()), (413, "body_too_large"));
}
