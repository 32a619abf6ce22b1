//! The settings page below a path prefix, which a proxy keeps or strips.

use webhook_assets::signed_url::BaseUrl;

use super::{ConsoleSite, FORM, Guest, call, cookie_of, text};
use crate::support::Plan;
use crate::support::receiver::Receiver;

const OUTSIDE: &str = "https://app.example.com";
const ORIGIN: (&str, &str) = ("Origin", OUTSIDE);

async fn below_hooks() -> ConsoleSite {
    let mut plan = Plan::sending().await;
    plan.console.url = Some(BaseUrl::parse("https://app.example.com/hooks").unwrap());
    ConsoleSite::of(plan).await
}

/// A guest who came by a portal link to the address that a proxy forwards to this prefix.
async fn enter<'c>(console: &'c ConsoleSite, prefix: &str) -> Guest<'c> {
    let minted =
        console.api("POST", "/v1/workspaces/acme/portal-links", &serde_json::json!({"listen": true})).await;
    let url = minted["url"].as_str().unwrap();
    let pass = url.strip_prefix("https://app.example.com/hooks/console/enter?").unwrap();
    let page = text(&console.get(&format!("{prefix}/console/enter?{pass}"), &[]).await);
    assert!(page.contains("action=\"/hooks/console/enter\""), "{page}");
    let path = format!("{prefix}/console/enter");
    let entered = console.site.admin().request("POST", &path, &[ORIGIN, FORM], pass.as_bytes()).await;
    assert_eq!((entered.status, entered.must("location")), (303, "/hooks/console/w/acme"));
    assert!(entered.must("set-cookie").contains("; Path=/hooks/console; "), "{entered:?}");
    Guest { console, cookie: cookie_of(&entered) }
}

/// Every address in a page that a browser would follow: of links, forms, files, and the page itself.
fn addresses(page: &str) -> Vec<String> {
    let attributes = ["href", "action", "src", "data-path", "data-check"];
    let values = |name: &&str| {
        let start = format!(" {name}=\"");
        page.split(&start).skip(1).map(|rest| rest.split('"').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    attributes.iter().flat_map(values).collect()
}

#[tokio::test]
async fn every_address_in_a_page_is_below_the_prefix_whether_the_proxy_keeps_or_strips_it() {
    let console = below_hooks().await;
    let receiver = Receiver::willing().await;
    let endpoint = console.endpoint("acme", &receiver, "mine").await;
    let delivery = console.delivery(&call("acme", "call-1"), "delivered").await;
    for prefix in ["/hooks", ""] {
        let guest = enter(&console, prefix).await;
        let mut waiting = vec!["/hooks/console/w/acme".to_owned()];
        let mut seen = std::collections::BTreeSet::new();
        while let Some(path) = waiting.pop() {
            let forwarded = format!("{prefix}{}", path.strip_prefix("/hooks").unwrap());
            let answer = guest.get(&forwarded).await;
            if answer.must("content-type") != "text/html; charset=utf-8" {
                continue;
            }
            for address in addresses(&text(&answer)).into_iter().filter(|found| found.starts_with('/')) {
                assert!(address.starts_with("/hooks/console"), "{address} on {path}");
                let place = address.split(['?', '#']).next().unwrap().to_owned();
                let is_asset = ["/recording", "/transcript"].iter().any(|end| place.ends_with(end));
                if seen.insert(place.clone()) && !is_asset {
                    let found =
                        guest.get(&format!("{prefix}{}", place.strip_prefix("/hooks").unwrap())).await;
                    assert!([200, 405].contains(&found.status), "{place}: {found:?}");
                    if found.status == 200 {
                        waiting.push(place);
                    }
                }
            }
        }
        for wanted in
            [format!("/webhooks/{endpoint}"), format!("/deliveries/{delivery}/listen"), "/find".to_owned()]
        {
            assert!(seen.iter().any(|place| place.ends_with(&wanted)), "{wanted}: {seen:?}");
        }
        assert!(seen.iter().any(|place| place.ends_with(".css")), "{seen:?}");
    }
}

#[tokio::test]
async fn redirects_error_pages_and_signing_out_stay_below_the_prefix() {
    let console = below_hooks().await;
    for prefix in ["/hooks", ""] {
        let guest = enter(&console, prefix).await;
        let start = guest.get(&format!("{prefix}/console")).await;
        assert_eq!((start.status, start.must("location")), (303, "/hooks/console/w/acme"));
        let missing = guest.get(&format!("{prefix}/console/w/other?lang=fr")).await;
        assert_eq!(missing.status, 404);
        assert!(text(&missing).contains("data-path=\"/hooks/console/w/other\""), "{}", text(&missing));
        assert!(missing.must("set-cookie").contains("; Path=/hooks/console; "));
        let page = text(&guest.get(&format!("{prefix}/console/w/acme")).await);
        let csrf = page.split_once("name=\"csrf\" value=\"").unwrap().1.split('"').next().unwrap();
        let form = format!("csrf={csrf}&url=https%3A%2F%2Freceiver.example.com%2F&anyway=1");
        let added =
            guest.post_as(&format!("{prefix}/console/w/acme/webhooks/new"), &[ORIGIN, FORM], &form).await;
        assert!(added.must("location").starts_with("/hooks/console/w/acme/webhooks/ep_"), "{added:?}");
        let out = guest
            .post_as(&format!("{prefix}/console/sign-out"), &[ORIGIN, FORM], &format!("csrf={csrf}"))
            .await;
        assert_eq!((out.status, out.must("location")), (303, "/hooks/console/signed-out"));
    }
    let token = format!("token={}", super::TOKEN);
    let sign_in = "/hooks/console/sign-in";
    let operator = console.site.admin().request("POST", sign_in, &[ORIGIN, FORM], token.as_bytes()).await;
    assert_eq!(operator.must("location"), "/hooks/console");
}

#[tokio::test]
async fn other_paths_below_the_prefix_are_no_page_and_no_api() {
    let console = below_hooks().await;
    for path in [
        "/hooks",
        "/hooks/",
        "/hooks/metrics",
        "/hooks/healthz",
        "/hooks/v1/tokens",
        "/hooks/consoles",
        "/other/console",
    ] {
        assert_eq!(console.get(path, &[]).await.status, 404, "{path}");
    }
}
