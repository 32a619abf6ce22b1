//! Which web pages may read the answers.

use webhook_assets::AssetRef;
use webhook_assets::gateway::AllowedOrigins;

use super::EXPOSED;
use crate::support::{ABSENT, Answer, NOW, Plan, Site};

const OURS: &str = "https://crm.example.com";
const OTHER: &str = "https://evil.example";

async fn site_for_our_pages() -> Site {
    let mut plan = Plan::usual().await;
    plan.gateway.allowed_origins = AllowedOrigins::from_list([OURS, "http://localhost:3000"]).unwrap();
    plan.start().await
}

/// Answers of all kinds: 200, 206, 304, 403, 404, 405, 412, 416.
async fn all_sorts(site: &Site, origin: &[(&str, &str)]) -> Vec<Answer> {
    let link = site.recording();
    let with = |field: (&'static str, &'static str)| [origin, &[field]].concat();
    let mut answers = vec![
        site.get(&link, origin).await,
        site.get(&link, &with(("Range", "bytes=0-1"))).await,
        site.get(&link, &with(("If-None-Match", "*"))).await,
        site.get(&link, &with(("If-Match", "\"no\""))).await,
        site.get(&link, &with(("Range", "bytes=300000-"))).await,
        site.get("/api/webhook-assets/recording/x", origin).await,
        site.get(&site.link(AssetRef::recording(ABSENT)), origin).await,
        site.get("/nowhere", origin).await,
        site.client().request("POST", &link, origin, b"").await,
    ];
    site.clock.advance(2 * crate::support::DAY);
    answers.push(site.get(&link, origin).await);
    site.clock.set(NOW);
    let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    assert_eq!(statuses, [200, 206, 304, 412, 416, 403, 404, 404, 405, 403]);
    answers
}

#[tokio::test]
async fn every_page_may_read_every_answer_by_default_errors_too() {
    let site = Site::usual().await;
    for answer in all_sorts(&site, &[("Origin", OTHER)]).await {
        assert_eq!(answer.must("access-control-allow-origin"), "*");
        assert_eq!(answer.must("access-control-expose-headers"), EXPOSED);
        assert_eq!(answer.field("access-control-allow-credentials"), None, "no cookie is involved");
        assert!(!answer.field("vary").unwrap_or_default().contains("Origin"));
    }
}

#[tokio::test]
async fn a_listed_origin_may_read_every_answer_and_answers_vary_by_origin() {
    let site = site_for_our_pages().await;
    for answer in all_sorts(&site, &[("Origin", OURS)]).await {
        assert_eq!(answer.must("access-control-allow-origin"), OURS, "{answer:?}");
        assert_eq!(answer.must("access-control-expose-headers"), EXPOSED);
        assert_eq!(answer.must("vary"), "Origin");
    }
}

#[tokio::test]
async fn another_origin_and_none_get_no_permission_but_the_bytes() {
    let site = site_for_our_pages().await;
    let near = [
        "https://crm.example.com.evil.example",
        "https://crm.example.com:8443",
        "http://crm.example.com",
        "null",
    ];
    for origin in near.iter().chain(&[OTHER]).map(|origin| vec![("Origin", *origin)]).chain([vec![]]) {
        for answer in all_sorts(&site, &origin).await {
            let permission = answer.fields.iter().find(|(name, _)| name.starts_with("access-control-"));
            assert_eq!(permission, None, "{origin:?}");
            assert_eq!(
                answer.must("vary"),
                "Origin",
                "or a cache would pass this answer on to a listed page"
            );
        }
    }
}

#[tokio::test]
async fn a_transcript_varies_by_both() {
    let site = site_for_our_pages().await;
    let answer = site.get(&site.transcript(), &[("Origin", OURS)]).await;
    let vary: Vec<&str> =
        answer.fields.iter().filter(|(name, _)| name == "vary").map(|(_, value)| value.as_str()).collect();
    assert_eq!(vary, ["Origin", "Accept-Encoding"]);
}

#[tokio::test]
async fn a_preflight_allows_the_methods_and_the_fields_of_downloads() {
    let site = Site::usual().await;
    let asks = [("Origin", OURS), ("Access-Control-Request-Method", "GET")];
    let answer = site.client().request("OPTIONS", &site.recording(), &asks, b"").await;
    assert_eq!((answer.status, answer.must("access-control-allow-origin")), (204, "*"));
    assert_eq!(answer.must("access-control-allow-methods"), "GET, HEAD, OPTIONS");
    let fields = answer.must("access-control-allow-headers").to_ascii_lowercase();
    for needed in
        ["range", "if-range", "if-match", "if-none-match", "if-modified-since", "if-unmodified-since"]
    {
        assert!(fields.split(", ").any(|field| field == needed), "{needed} in {fields}");
    }
    assert!(answer.must("access-control-max-age").parse::<u32>().unwrap() > 0);
}

#[tokio::test]
async fn a_preflight_of_another_origin_allows_nothing() {
    let site = site_for_our_pages().await;
    for (origin, allowed) in [(OURS, true), ("http://localhost:3000", true), (OTHER, false)] {
        let asks = [("Origin", origin), ("Access-Control-Request-Method", "GET")];
        let answer = site.client().request("OPTIONS", &site.recording(), &asks, b"").await;
        let vary: Vec<_> =
            answer.fields.iter().filter(|(name, _)| name == "vary").map(|(_, value)| value).collect();
        assert_eq!((answer.status, vary[0].as_str(), vary.len()), (204, "Origin", 2));
        assert_eq!(answer.field("access-control-allow-origin"), allowed.then_some(origin));
        assert_eq!(answer.field("access-control-allow-methods").is_some(), allowed);
    }
}

#[tokio::test]
async fn a_preflight_allows_all_requested_header_fields() {
    for site in [Site::usual().await, site_for_our_pages().await] {
        for wished in
            ["baggage, sentry-trace, x-requested-with", "range", "authorization, x-datadog-trace-id"]
        {
            let asks = [
                ("Origin", OURS),
                ("Access-Control-Request-Method", "GET"),
                ("Access-Control-Request-Headers", wished),
            ];
            for target in [site.recording(), site.transcript()] {
                let answer = site.client().request("OPTIONS", &target, &asks, b"").await;
                assert_eq!((answer.status, answer.must("access-control-allow-headers")), (204, wished));
                let varies = |name: &str| answer.fields.contains(&("vary".to_owned(), name.to_owned()));
                assert!(varies("Access-Control-Request-Headers"), "{answer:?}");
            }
        }
    }
}

#[tokio::test]
async fn an_invalid_or_too_long_list_is_answered_with_the_fields_of_downloads() {
    let site = Site::usual().await;
    let long = "x-a, ".repeat(2_000) + "x-b";
    for wished in ["", "a b", "x-a, \u{e9}", "x-a;q=1", "(", long.as_str()] {
        let asks = [
            ("Origin", OURS),
            ("Access-Control-Request-Method", "GET"),
            ("Access-Control-Request-Headers", wished),
        ];
        let answer = site.client().request("OPTIONS", &site.recording(), &asks, b"").await;
        assert_eq!(answer.status, 204, "{wished:?}");
        assert!(answer.must("access-control-allow-headers").starts_with("Range, If-Range"), "{wished:?}");
    }
}
