//! The headers of a webhook, in its form: names are shown, values never.

use serde_json::{Value, json};

use super::{ConsoleSite, call, text};
use crate::support::receiver::Receiver;

fn encoded(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

#[tokio::test]
async fn a_webhook_gets_headers_whose_values_no_page_shows() {
    let console = ConsoleSite::usual().await;
    let receiver = Receiver::willing().await;
    let guest = console.guest("acme", true).await;
    let url = format!("anyway=1&url={}", encoded(&receiver.url("/hook")));
    let form =
        format!("{url}&header_name=X-API-Key&header_value=v4lue-1&basic_user=acme&basic_password=v4lue-2");
    let added = guest.post("/console/w/acme/webhooks/new", &form).await;
    assert_eq!(added.status, 303, "{added:?}");
    let path = added.must("location").split('?').next().unwrap().to_owned();
    let headers = async || {
        let endpoints = console.api("GET", "/v1/workspaces/acme/endpoints", &Value::Null).await;
        endpoints["endpoints"][0]["headers"].clone()
    };
    assert_eq!(headers().await, json!({"Authorization": true, "X-API-Key": true}));
    let page = text(&guest.get(&path).await);
    for words in ["<details class=\"filter headers\" open>", "Authorization: ••••••••", "remove-X-API-Key"]
    {
        assert!(page.contains(words), "{words}: {page}");
    }

    let delivery = console.delivery(&call("acme", "call-1"), "delivered").await;
    let sent = receiver.wait_for(1).await.remove(0);
    assert_eq!(sent.header("x-api-key"), "v4lue-1");
    let shown = guest.post_and_follow(&format!("/console/w/acme/deliveries/{delivery}/links"), "").await;
    let shown = text(&shown);
    assert!(shown.contains("x-api-key: ********"), "{shown}");

    // A form that is refused does not repeat the values, and changes nothing.
    let refused = format!("{url}&header_name=Host&header_value=v4lue-3&remove-X-API-Key=1");
    let refused = guest.post(&format!("{path}/change"), &refused).await;
    assert_eq!(refused.status, 422);
    let words = text(&refused);
    assert!(words.contains("The header Host is set by the sender itself"), "{words}");
    assert!(words.contains("name=\"remove-X-API-Key\" value=\"1\" checked"), "{words}");
    let empty = guest.post(&format!("{path}/change"), &format!("{url}&header_name=X-Other")).await;
    assert!(text(&empty).contains("The header X-Other has no value"));

    let gone = guest.post_and_follow(&format!("{path}/change"), &format!("{url}&remove-X-API-Key=1")).await;
    assert_eq!(headers().await, json!({"Authorization": true}));
    let moved = format!("anyway=1&url={}", encoded(&receiver.url("/other")));
    let moved = guest.post_and_follow(&format!("{path}/change"), &moved).await;
    assert!(text(&moved).contains("were removed with it"));
    assert_eq!(headers().await, json!({}));
    for page in [page, shown, words, text(&gone), text(&moved)] {
        assert!(!page.contains("v4lue") && !page.contains("YWNtZT"), "{page}");
    }
}

#[tokio::test]
async fn a_refused_header_is_explained_in_french() {
    let console = ConsoleSite::usual().await;
    let guest = console.guest("acme", false).await;
    let form = "url=http://127.0.0.1:9/&anyway=1&header_name=webhook-id&header_value=x&lang=fr";
    let body = format!("csrf={}&{form}", guest.csrf().await);
    let french = ("Accept-Language", "fr");
    let answer =
        guest.post_as("/console/w/acme/webhooks/new", &[super::ORIGIN, super::FORM, french], &body).await;
    assert_eq!(answer.status, 422);
    assert!(text(&answer).contains("L’en-tête webhook-id est écrit par l’expéditeur"), "{}", text(&answer));
}
