//! What pages hold: nothing that acts by itself, no secret, no foreign markup, and not too much.

use serde_json::json;
use webhook_assets::webhook::CompletedCall;

use super::{ConsoleSite, Guest, call, text};
use crate::support::receiver::{Reaction, Receiver};

const NASTY: [&str; 10] = [
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>",
    "'onmouseover='alert(1)",
    "</title></textarea></pre><svg/onload=alert(1)>",
    "{{7*7}}{%if%}${7*7}",
    "javascript:alert(1)",
    "<!--#exec cmd=\"/bin/ls\"-->",
    "]]><![CDATA[<b>",
    "&lt;b&gt;&#60;i&#62;&amp;lt;u",
    "\u{202e}gnp.exe",
];

/// Every page, with a delivery on it; each is fetched by its path.
async fn pages(
    console: &ConsoleSite,
    guest: &Guest<'_>,
    endpoint: &str,
    delivery: &str,
) -> Vec<(String, String)> {
    let mut shown = Vec::new();
    for path in [
        String::new(),
        "/webhooks/new".to_owned(),
        format!("/webhooks/{endpoint}"),
        "/deliveries".to_owned(),
        format!("/deliveries/{delivery}"),
        format!("/deliveries/{delivery}/listen"),
        "/recover".to_owned(),
    ] {
        let path = format!("/console/w/acme{path}");
        let answer = guest.get(&path).await;
        assert_eq!(answer.status, 200, "{path}");
        shown.push((path, text(&answer)));
    }
    for path in [format!("webhooks/{endpoint}/secret"), format!("deliveries/{delivery}/links")] {
        let answer = guest.post_and_follow(&format!("/console/w/acme/{path}"), "").await;
        assert_eq!(answer.status, 200, "{path}");
        shown.push((path, text(&answer)));
    }
    for path in ["/console/nowhere", "/console/sign-in"] {
        shown.push((path.to_owned(), text(&console.get(path, &[]).await)));
    }
    shown
}

/// A call with `nasty` in every text field.
fn nasty_call(id: &str, nasty: &str) -> serde_json::Value {
    let mut call = call("acme", id);
    call["call"]["summary"] = nasty.into();
    call["call"]["from_number"] = nasty.into();
    for field in
        ["first_name", "last_name", "email", "company", "job_title", "crm_contact_id", "crm_company_id"]
    {
        call["prospect"][field] = nasty.into();
    }
    call["user"] = json!({"name": nasty, "email": nasty});
    call["list"] = json!({"list_name": nasty, "list_id": nasty});
    CompletedCall::parse(
        json!({"call": call["call"], "prospect": call["prospect"], "user": call["user"], "list": call["list"]})
            .to_string()
            .as_bytes(),
    )
    .unwrap();
    call
}

#[tokio::test]
async fn foreign_text_is_escaped_on_every_page() {
    let console = ConsoleSite::usual().await;
    let guest = console.guest("acme", true).await;
    for (at, nasty) in NASTY.into_iter().enumerate() {
        let receiver = Receiver::start(move |_, _| Reaction::Answer(400, nasty)).await;
        let endpoint = console.endpoint("acme", &receiver, nasty).await;
        // A call's id has no spaces.
        let id = format!("{at}-{}", nasty.replace(|c: char| c.is_whitespace() || c == '\u{202e}', ""));
        let delivery = console.delivery(&nasty_call(&id, nasty), "failed").await;
        for (path, page) in pages(&console, &guest, &endpoint, &delivery).await {
            // The page without foreign text shows what the templates themselves write.
            for mark in [
                "<script>",
                "<img",
                "onerror=alert(1)>",
                "<svg/",
                "'onmouseover",
                "<!--",
                "<![CDATA",
                "<b>",
                "<i>",
            ] {
                assert!(!page.contains(mark), "{path}: {mark} of {nasty}");
            }
            assert!(!page.contains("href=\"javascript:"), "{path}");
        }
        let page = text(&guest.get(&format!("/console/w/acme/deliveries/{delivery}")).await);
        assert!(page.contains("400"), "the answer is on the page");
        // Its failures would delay the next one.
        let sender = console.site.sender.as_ref().unwrap();
        assert!(sender.ledger().remove_endpoint("acme", &endpoint, sender.now()).await.unwrap());
    }
}

#[tokio::test]
async fn invisible_characters_in_foreign_text_are_shown_on_every_page() {
    let console = ConsoleSite::usual().await;
    let guest = console.guest("acme", true).await;
    let hidden = [
        "\u{202e}",
        "\u{2066}",
        "\u{200f}",
        "\u{61c}",
        "\u{200b}",
        "\u{feff}",
        "\u{2060}",
        "\u{e0041}",
        "\u{ad}",
    ];
    let nasty: &'static str = Box::leak(format!("invoice{}exe", hidden.concat()).into_boxed_str());
    let receiver = Receiver::start(move |_, _| Reaction::Answer(400, nasty)).await;
    let endpoint = console.endpoint("acme", &receiver, nasty).await;
    let delivery = console.delivery(&nasty_call("call-1", nasty), "failed").await;
    let escaped = "invoice\\u202e\\u2066\\u200f\\u061c\\u200b\\ufeff\\u2060\\udb40\\udc41\\u00adexe";
    let mut seen = 0;
    for (path, page) in pages(&console, &guest, &endpoint, &delivery).await {
        assert!(!hidden.iter().any(|c| page.contains(c)), "{path}");
        seen += page.matches(escaped).count();
    }
    assert!(seen > 20, "{seen}");
    // A call copied from the page is the same call, and its signature fits the copied text.
    let page =
        text(&guest.post_and_follow(&format!("/console/w/acme/deliveries/{delivery}/links"), "").await);
    let copied = |id: &str| {
        let (_, rest) = page.split_once(&format!("<pre id=\"{id}\"")).unwrap();
        let raw = rest.split_once('>').unwrap().1.split_once("</pre>").unwrap().0;
        let marks = [("&#34;", "\""), ("&#39;", "'"), ("&#60;", "<"), ("&#62;", ">"), ("&#38;", "&")];
        marks.iter().fold(raw.to_owned(), |text, (mark, c)| text.replace(mark, c))
    };
    let sent = receiver.received()[0].json();
    let raw = copied("raw");
    assert_eq!(serde_json::from_str::<serde_json::Value>(&raw).unwrap()["prospect"], sent["prospect"]);
    let curl = copied("curl");
    let signature = curl.split_once("x-webhook-signature: ").unwrap().1.split('\'').next().unwrap();
    let path = format!("/v1/workspaces/acme/endpoints/{endpoint}/secret");
    let secret = console.api("GET", &path, &json!(null)).await["secret"].as_str().unwrap().to_owned();
    let secret = webhook_assets::webhook::WebhookSecret::parse(&secret).unwrap();
    assert!(webhook_assets::webhook::verify_plain(&secret, raw.as_bytes(), signature), "{curl}");
}

#[tokio::test]
async fn pages_have_a_strict_policy_and_nothing_that_it_forbids() {
    let console = ConsoleSite::usual().await;
    let receiver = Receiver::willing().await;
    let endpoint = console.endpoint("acme", &receiver, "mine").await;
    let delivery = console.delivery(&call("acme", "call-1"), "delivered").await;
    let guest = console.guest("acme", true).await;
    for path in ["/console/w/acme", "/console/nowhere", "/console/enter", "/console/sign-in"] {
        let answer = guest.get(path).await;
        assert_eq!(
            answer.must("content-security-policy"),
            "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; \
             media-src 'self' https://app.example.com; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
        );
        let fields = ["cache-control", "x-content-type-options", "referrer-policy", "x-frame-options"];
        let values: Vec<_> = fields.map(|field| answer.must(field).to_owned()).to_vec();
        assert_eq!(values, ["no-store", "nosniff", "same-origin", "DENY"], "{path}");
    }
    for (path, page) in pages(&console, &guest, &endpoint, &delivery).await {
        assert_eq!(page.matches("<script").count(), 1, "{path}");
        assert!(page.contains("<script src=\"/console/files/console-"), "{path}");
        for forbidden in ["<style", " style=", " onclick=", " onload=", "<iframe", "<object", "<base"] {
            assert!(!page.contains(forbidden), "{path}: {forbidden}");
        }
        // No foreign host: a page only fetches paths of this site.
        for attribute in ["src=\"", "action=\"", "<link rel=\"stylesheet\" href=\""] {
            for value in page.split(attribute).skip(1).map(|rest| rest.split('"').next().unwrap()) {
                assert!(value.starts_with("/console"), "{path}: {attribute}{value}");
            }
        }
    }
}

#[tokio::test]
async fn style_and_script_are_kept_by_browsers_and_change_their_names_with_their_content() {
    let console = ConsoleSite::usual().await;
    let page = text(&console.get("/console", &[]).await);
    let files: Vec<&str> = page.split('"').filter(|value| value.starts_with("/console/files/")).collect();
    assert_eq!(files.len(), 3, "{files:?}");
    for file in files {
        let answer = console.get(file, &[]).await;
        assert_eq!(
            (answer.status, answer.must("cache-control")),
            (200, "public, max-age=31536000, immutable")
        );
        assert!(!answer.body.is_empty() && answer.body.len() < 40_000, "{file}");
        assert_eq!(console.get(&file.replace("-", "-0"), &[]).await.status, 404);
    }
}

#[tokio::test]
async fn a_page_has_no_secret_and_no_link_until_it_is_requested() {
    let console = ConsoleSite::usual().await;
    let receiver = Receiver::willing().await;
    let endpoint = console.endpoint("acme", &receiver, "mine").await;
    let delivery = console.delivery(&call("acme", "call-1"), "delivered").await;
    let guest = console.guest("acme", true).await;
    let path = format!("/v1/workspaces/acme/endpoints/{endpoint}/secret");
    let secret = console.api("GET", &path, &json!(null)).await["secret"].as_str().unwrap().to_owned();
    // On a busy machine a first attempt may have timed out; the page shows the last one.
    let sent = receiver.received().pop().unwrap().json();
    let link = sent["call"]["recording_url"].as_str().unwrap().rsplit_once('=').unwrap().1.to_owned();
    // In a page, + and = stand as they are.
    for (path, page) in pages(&console, &guest, &endpoint, &delivery).await {
        assert_eq!(page.contains(&secret), path.ends_with("/secret"), "{path}");
        assert_eq!(page.contains(&link), path.ends_with("/links"), "{path}");
        assert!(!page.contains(&guest.cookie.split_once('=').unwrap().1[..60]), "{path}");
    }
    // The page shows the sent body byte for byte.
    let shown =
        text(&guest.post_and_follow(&format!("/console/w/acme/deliveries/{delivery}/links"), "").await);
    let (_, rest) = shown.split_once("<pre id=\"raw\"").unwrap();
    let raw = rest.split_once('>').unwrap().1.split_once("</pre>").unwrap().0;
    let raw = raw
        .replace("&#34;", "\"")
        .replace("&#39;", "'")
        .replace("&#60;", "<")
        .replace("&#62;", ">")
        .replace("&#38;", "&");
    assert_eq!(raw.as_bytes(), &receiver.received()[0].body[..]);
}

#[tokio::test]
async fn pages_stay_small_whatever_is_on_them() {
    let console = ConsoleSite::usual().await;
    let answer: &'static str = Box::leak("<".repeat(8_000).into_boxed_str());
    let receiver = Receiver::start(move |_, _| Reaction::Answer(400, answer)).await;
    let description = "<".repeat(500);
    console.endpoint("acme", &receiver, &description).await;
    let wide = "\"".repeat(120);
    let mut last = String::new();
    for at in 0..3 {
        let mut call = nasty_call(&format!("{at}-{wide}"), &"<".repeat(20_000));
        call["call"]["summary"] = "&".repeat(200_000).into();
        last = console.delivery(&call, "failed").await;
    }
    for _ in 0..59 {
        console.endpoint("acme", &receiver, &description).await;
    }
    let guest = console.guest("acme", true).await;
    let endpoints = console.api("GET", "/v1/workspaces/acme/endpoints", &json!(null)).await;
    let endpoint = endpoints["endpoints"][0]["id"].as_str().unwrap().to_owned();
    for (path, page) in pages(&console, &guest, &endpoint, &last).await {
        assert!(page.len() < 100_000, "{path}: {} bytes", page.len());
    }
    let second = text(&guest.get("/console/w/acme?first=50").await);
    assert_eq!(second.matches("<svg class=\"bars\"").count(), 10);
}

#[tokio::test]
async fn the_language_is_the_browsers_or_the_one_that_was_chosen() {
    let console = ConsoleSite::usual().await;
    let french = [("Accept-Language", "fr-FR,fr;q=0.9,en;q=0.8")];
    let page = console.get("/console", &french).await;
    assert!(text(&page).contains("<html lang=\"fr\">") && text(&page).contains("Venez par un lien"));
    assert_eq!(page.must("vary"), "Cookie, Accept-Language");
    let chosen = console.get("/console?lang=en", &french).await;
    assert!(text(&chosen).contains("Please come by a link"));
    let cookie = chosen.must("set-cookie").split(';').next().unwrap().to_owned();
    let kept = console.get("/console", &[french[0], ("Cookie", &cookie)]).await;
    assert!(text(&kept).contains("<html lang=\"en\">"));
    assert_eq!(console.get("/console?lang=xx", &[]).await.field("set-cookie"), None);
}

#[tokio::test]
async fn a_webhook_on_hold_says_since_when_why_and_when_it_is_tried_next() {
    let console = ConsoleSite::usual().await;
    let failing = Receiver::start(|_, _| Reaction::Answer(503, "")).await;
    let endpoint = console.endpoint("acme", &failing, "").await;
    console.delivery(&call("acme", "call-1"), "failed").await;
    console.site.clock.advance(std::time::Duration::from_secs(60));
    console.delivery(&call("acme", "call-2"), "failed").await;
    let path = format!("/v1/workspaces/acme/endpoints/{endpoint}");
    let health = console.api("GET", &path, &serde_json::Value::Null).await["health"].clone();
    assert!(health["last_failure"].as_str().unwrap().contains("503"), "{health}");
    for moment in ["failing_since", "held_since", "held_until"] {
        assert!(health[moment].is_string(), "{moment}: {health}");
    }
    let guest = console.guest("acme", false).await;
    for (lang, pill, words) in [
        (
            "en",
            "On hold",
            ["Every attempt has failed since", "New deliveries have been waiting since", "The next"],
        ),
        (
            "fr",
            "Retenu",
            ["Toutes les tentatives échouent", "Les nouvelles livraisons attendent", "La prochaine"],
        ),
    ] {
        let page = text(&guest.get(&format!("/console/w/acme/webhooks/{endpoint}?lang={lang}")).await);
        assert!(page.contains(&format!("<span class=\"pill bad\">{pill}</span>")), "{lang}: {page}");
        assert!(page.contains("503") && words.iter().all(|words| page.contains(words)), "{lang}: {page}");
    }
}

#[tokio::test]
async fn when_the_database_does_not_answer_the_page_says_so_without_details() {
    let console = ConsoleSite::usual().await;
    let guest = console.guest("acme", false).await;
    console.site.sender.as_ref().unwrap().ledger().close().await;
    let answer = guest.get("/console/w/acme").await;
    assert_eq!((answer.status, answer.must("retry-after")), (503, "5"));
    assert!(text(&answer).contains("Come back in a moment") && !text(&answer).contains("pool"));
}

#[tokio::test]
async fn other_methods_are_answered_with_the_allowed_ones() {
    let console = ConsoleSite::usual().await;
    let guest = console.guest("acme", false).await;
    for (method, path, allow) in [
        ("POST", "/console/w/acme", "GET, HEAD"),
        ("DELETE", "/console/w/acme/recover", "GET, HEAD, POST"),
        ("GET", "/console/w/acme/webhooks/ep_1/secret", "POST"),
        ("GET", "/console/sign-out", "POST"),
    ] {
        let fields = [("Cookie", guest.cookie.as_str())];
        let answer = console.site.admin().request(method, path, &fields, b"").await;
        assert_eq!((answer.status, answer.must("allow")), (405, allow), "{method} {path}");
    }
    let head =
        console.site.admin().request("HEAD", "/console/w/acme", &[("Cookie", &guest.cookie)], b"").await;
    assert_eq!((head.status, head.body.len()), (200, 0));
}
