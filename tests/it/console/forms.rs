//! What forms must carry, and what they accept.

use super::{ConsoleSite, FORM, ORIGIN, call, text};
use crate::support::receiver::Receiver;

/// Every form, with the values that a person would send.
async fn forms(console: &ConsoleSite) -> Vec<String> {
    let receiver = Receiver::willing().await;
    let endpoint = console.endpoint("acme", &receiver, "mine").await;
    let delivery = console.delivery(&call("acme", "call-1"), "delivered").await;
    let of_endpoint = ["secret", "rotate", "pause", "resume", "test", "change", "remove", "take-back"];
    let of_endpoint = of_endpoint.map(|act| format!("/console/w/acme/webhooks/{endpoint}/{act}"));
    let others = [
        "/console/sign-out".to_owned(),
        "/console/w/acme/webhooks/new".to_owned(),
        "/console/w/acme/check".to_owned(),
        format!("/console/w/acme/deliveries/{delivery}/resend"),
        format!("/console/w/acme/deliveries/{delivery}/links"),
        "/console/w/acme/recover".to_owned(),
    ];
    of_endpoint.into_iter().chain(others).collect()
}

#[tokio::test]
async fn a_form_that_no_page_of_this_session_gave_out_changes_nothing() {
    let console = ConsoleSite::usual().await;
    let forms = forms(&console).await;
    let guest = console.guest("acme", true).await;
    let other = console.guest("acme", true).await;
    let (csrf, foreign) = (guest.csrf().await, other.csrf().await);
    let list = async || without_token(&text(&guest.get("/console/w/acme/deliveries").await));
    let before = list().await;
    let (good, bad) = (format!("csrf={csrf}&url=x&within=24h"), format!("csrf={foreign}&url=x&within=24h"));
    let twice = format!("csrf={csrf}&csrf={csrf}&url=x");
    for form in &forms {
        for body in ["url=x", "csrf=", "csrf=x.1.y", bad.as_str(), twice.as_str()] {
            let answer = guest.post_as(form, &[ORIGIN, FORM], body).await;
            assert_eq!(answer.status, 403, "{form} {body}");
        }
        let evil = ("Origin", "https://evil.example");
        for fields in [
            &[FORM][..],
            &[evil, FORM],
            &[("Origin", "null"), FORM],
            &[("Origin", "http://localhost.evil.example"), FORM],
            &[ORIGIN, FORM, ("Sec-Fetch-Site", "cross-site")],
            &[ORIGIN, FORM, ("Sec-Fetch-Site", "same-site")],
            &[ORIGIN, FORM, ("Sec-Fetch-Site", "none")],
        ] {
            let answer = guest.post_as(form, fields, &good).await;
            assert_eq!(answer.status, 403, "{form} {fields:?}");
            assert!(text(&answer).contains("Nothing was changed."), "{form}");
        }
        let json = guest.post_as(form, &[ORIGIN, ("Content-Type", "application/json")], "{}").await;
        assert_eq!(json.status, 400, "{form}");
    }
    assert_eq!(list().await, before);
    // The same forms work when they are sent as they should be.
    let paused = guest.post(&forms[2], "").await;
    assert_eq!(paused.status, 303, "{paused:?}");
}

/// A page without the token of its forms, which each answer has another one of.
fn without_token(page: &str) -> String {
    let token = page.split_once("name=\"csrf\" value=\"").unwrap().1.split('"').next().unwrap();
    page.replace(token, "")
}

#[tokio::test]
async fn a_form_is_small() {
    let console = ConsoleSite::usual().await;
    let guest = console.guest("acme", false).await;
    let large = format!("url={}", "x".repeat(20_000));
    assert_eq!(guest.post("/console/w/acme/webhooks/new", &large).await.status, 400);
    let pass = format!("pass={}", "x".repeat(20_000));
    let answer =
        console.site.admin().request("POST", "/console/enter", &[ORIGIN, FORM], pass.as_bytes()).await;
    assert_eq!(answer.status, 400);
}

#[tokio::test]
async fn an_invalid_webhook_is_refused_with_the_reason_and_not_saved() {
    let console = ConsoleSite::usual().await;
    let guest = console.guest("acme", false).await;
    let long = "x".repeat(501);
    for (form, words) in [
        ("url=ftp%3A%2F%2Fexample.com", "ftp: is not allowed: use https://"),
        ("url=", "The URL has to begin with https://"),
        ("url=https%3A%2F%2F10.0.0.5%2F", "10.0.0.5 is a private address"),
        (
            "url=https%3A%2F%2Fexample.com%2F%E2%80%8Ba",
            "Character 21 of the URL is invisible (U+200B): delete it",
        ),
        ("url=https%3A%2F%2Fexample.com%2F%C2%A0a", "The URL has a space or a line break in it"),
        ("url=https%3A%2F%2Fexample.com%2F%3Fa%3D1%26amp%3Bb%3D2", "write &#38; instead"),
        ("url=http%3A%2F%2F127.0.0.1%3A1%2F", "The connection was refused"),
        (&format!("url=https%3A%2F%2Fhooks.zapier.com%2Fa&description={long}"), "At most 500 characters"),
    ] {
        let answer = guest.post("/console/w/acme/webhooks/new", form).await;
        assert_eq!(answer.status, 422, "{form}");
        assert!(text(&answer).contains(words), "{form}: {}", text(&answer));
    }
    let invisible = "url=https%3A%2F%2Fexample.com%2F%EF%BB%BFa";
    let french = text(&guest.post("/console/w/acme/webhooks/new?lang=fr", invisible).await);
    assert!(french.contains("(U+FEFF) : supprimez-le, ou tapez l’URL"), "{french}");
    assert!(text(&guest.get("/console/w/acme?lang=en").await).contains("No webhook yet"));
    let added =
        guest.post("/console/w/acme/webhooks/new", "url=http%3A%2F%2F127.0.0.1%3A1%2F&anyway=1").await;
    assert_eq!(added.status, 303, "{added:?}");
}

#[tokio::test]
async fn a_url_that_another_webhook_has_is_saved_only_on_request() {
    let console = ConsoleSite::usual().await;
    let receiver = Receiver::willing().await;
    console.endpoint("acme", &receiver, "Our CRM").await;
    console.endpoint("other", &receiver, "mine").await;
    let guest = console.guest("acme", false).await;
    let new = "/console/w/acme/webhooks/new";
    let of = |path: &str| {
        let url = receiver.url(path);
        format!("url={}", url::form_urlencoded::byte_serialize(url.as_bytes()).collect::<String>())
    };
    let warned = guest.post(new, &of("/hook")).await;
    assert_eq!(warned.status, 422);
    let page = text(&warned);
    for words in ["Your webhook “Our CRM” has this URL already.", "arrives there twice", "name=\"anyway\""]
    {
        assert!(page.contains(words), "{words}: {page}");
    }
    let french = text(&guest.post(&format!("{new}?lang=fr"), &of("/hook")).await);
    assert!(french.contains("Votre webhook « Our CRM » a déjà cette URL."), "{french}");
    let other = guest.post(&format!("{new}?lang=en"), &of("/other")).await.must("location").to_owned();
    let other = other.split('?').next().unwrap();

    // The same for another URL; its own is no duplicate.
    let change = format!("{other}/change");
    assert_eq!(guest.post(&change, &of("/hook")).await.status, 422);
    assert_eq!(guest.post(&change, &of("/other")).await.status, 303);
    assert_eq!(guest.post(&change, &format!("{}&anyway=1", of("/hook"))).await.status, 303);
    assert_eq!(guest.post(new, &format!("{}&anyway=1", of("/hook"))).await.status, 303);
    let endpoints = console.api("GET", "/v1/workspaces/acme/endpoints", &serde_json::Value::Null).await;
    let urls: Vec<_> = endpoints["endpoints"].as_array().unwrap().iter().map(|it| &it["url"]).collect();
    assert_eq!(urls, [&receiver.url("/hook"); 3]);
}

#[tokio::test]
async fn removing_can_be_undone_for_an_hour_and_not_longer() {
    let console = ConsoleSite::usual().await;
    let receiver = Receiver::willing().await;
    let id = console.endpoint("acme", &receiver, "mine").await;
    let guest = console.guest("acme", false).await;
    let act = |act: &str| format!("/console/w/acme/webhooks/{id}/{act}");
    let secret = secret_in(&text(&guest.post_and_follow(&act("secret"), "").await));
    let removed = guest.post(&act("remove"), "").await;
    assert_eq!(removed.must("location"), format!("/console/w/acme?removed={id}"));
    assert!(text(&guest.get(removed.must("location")).await).contains("It can be taken back for an hour"));
    assert_eq!(guest.get(&format!("/console/w/acme/webhooks/{id}")).await.status, 404);
    let accepted = console.api("POST", "/v1/calls", &call("acme", "meanwhile")).await;
    assert_eq!(accepted["deliveries"], serde_json::json!([]));
    assert_eq!(guest.post(&act("take-back"), "").await.status, 303);
    assert_eq!(secret_in(&text(&guest.post_and_follow(&act("secret"), "").await)), secret);
    guest.post(&act("remove"), "").await;
    console.site.clock.advance(webhook_assets::ledger::RESTORE_WINDOW);
    assert_eq!(guest.post(&act("take-back"), "").await.status, 404);
}

fn secret_in(page: &str) -> String {
    let (_, rest) = page.split_once("<code id=\"secret\">").expect("a secret");
    rest.split('<').next().unwrap().to_owned()
}

#[tokio::test]
async fn pending_deliveries_of_a_removed_webhook_are_sent_when_it_is_restored() {
    let console = ConsoleSite::usual().await;
    let receiver = Receiver::willing().await;
    let id = console.endpoint("acme", &receiver, "mine").await;
    let guest = console.guest("acme", false).await;
    let act = |act: &str| format!("/console/w/acme/webhooks/{id}/{act}");
    guest.post(&act("pause"), "").await;
    console.delivery(&call("acme", "call-1"), "queued").await;
    guest.post(&act("remove"), "").await;
    assert!(text(&guest.get("/console/w/acme/deliveries").await).contains("Failed</span>"));
    guest.post(&act("take-back"), "").await;
    guest.post(&act("resume"), "").await;
    receiver.wait_for(1).await;
}

#[tokio::test]
async fn too_many_test_events_are_refused_with_the_time_to_wait() {
    let console = ConsoleSite::usual().await;
    let id = console.endpoint("acme", &Receiver::willing().await, "mine").await;
    let guest = console.guest("acme", false).await;
    let test = format!("/console/w/acme/webhooks/{id}/test");
    for _ in 0..webhook_assets::ledger::MAX_TESTS_PER_ENDPOINT {
        assert_eq!(guest.post(&test, "").await.status, 303);
    }
    let refused = guest.post(&test, "").await;
    assert_eq!((refused.status, refused.must("retry-after")), (429, "61"));
    assert!(text(&refused).contains("Too many test events: a webhook gets 10 a minute"));
    let french = guest.post(&format!("{test}?lang=fr"), "").await;
    assert!(text(&french).contains("Trop d’événements de test"));
}

#[tokio::test]
async fn every_form_answers_by_a_redirect_so_that_a_reload_repeats_nothing() {
    let console = ConsoleSite::usual().await;
    let guest = console.guest("acme", true).await;
    let mut forms = forms(&console).await;
    // Signing out comes last. The script sends the check and reads its answer.
    forms.retain(|form| !form.ends_with("/check") && !form.ends_with("/sign-out"));
    forms.push("/console/sign-out".to_owned());
    for form in forms {
        let fields = "url=http%3A%2F%2F127.0.0.1%3A1%2F&anyway=1&description=x&within=24h";
        let answer = guest.post(&form, fields).await;
        assert_eq!((answer.status, answer.body.len()), (303, 0), "{form}: {answer:?}");
        assert!(answer.must("location").starts_with("/console"), "{form}");
    }
}

#[tokio::test]
async fn a_second_new_secret_keeps_the_earlier_ones_and_a_reload_makes_none() {
    let console = ConsoleSite::usual().await;
    let receiver = Receiver::willing().await;
    let id = console.endpoint("acme", &receiver, "mine").await;
    let guest = console.guest("acme", false).await;
    let act = |act: &str| format!("/console/w/acme/webhooks/{id}/{act}");
    let first = secret_in(&text(&guest.post_and_follow(&act("secret"), "").await));
    guest.post(&act("rotate"), "").await;
    let rotated = guest.post(&act("rotate"), "").await;
    let page = text(&guest.get(rotated.must("location")).await);
    let newest = secret_in(&page);
    assert!(page.contains("This is the new secret") && newest != first);
    assert_eq!(page.matches("<code>whsec_").count(), 2, "both that were before it");
    assert!(page.contains(&format!("<code>{first}</code>")));
    // A reload.
    for _ in 0..3 {
        assert_eq!(secret_in(&text(&guest.get(rotated.must("location")).await)), newest);
    }
    let path = format!("/v1/workspaces/acme/endpoints/{id}/secret");
    let stored = console.api("GET", &path, &serde_json::json!(null)).await;
    assert_eq!(stored["secret"], newest.as_str());
    assert_eq!(stored["earlier"][0]["secret"], first.as_str());
    // The address shows the secret to this session only, for five minutes.
    let other = console.guest("acme", false).await;
    let elsewhere = text(&other.get(rotated.must("location")).await);
    assert!(!elsewhere.contains(&newest) && elsewhere.contains("whsec_•"));
    console.site.clock.advance(std::time::Duration::from_secs(300));
    assert!(!text(&guest.get(rotated.must("location")).await).contains(&newest));
    // The page refuses more than eight and says why.
    for _ in 0..6 {
        assert!(guest.post(&act("rotate"), "").await.must("location").contains("done=rotated"));
    }
    let refused = text(&guest.post_and_follow(&act("rotate"), "").await);
    assert!(refused.contains("Eight earlier secrets are still valid"), "{refused}");
}
