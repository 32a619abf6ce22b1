//! Without a link a browser gets no page.

use std::time::Duration;

use webhook_assets::signed_url::{BaseUrl, SigningKey};
use webhook_assets::{AssetRef, Keyring, SecretKey};

use super::{ConsoleSite, FORM, Guest, ORIGIN, TOKEN, cookie_of, text};
use crate::support::{CALL, NOW, Plan, key};

#[tokio::test]
async fn without_a_link_there_is_no_page() {
    let console = ConsoleSite::usual().await;
    for path in
        ["/console", "/console/", "/console/w/acme", "/console/w/acme/deliveries", "/console/w/acme/recover"]
    {
        let answer = console.get(path, &[]).await;
        assert_eq!(answer.status, 403, "{path}");
        assert!(text(&answer).contains("This page opens with a link that the product gives you."), "{path}");
    }
    let answer = console.get("/console/w/acme", &[("Authorization", &format!("Bearer {TOKEN}"))]).await;
    assert_eq!(answer.status, 403, "the token is for the sign-in form, not for every request");
}

#[tokio::test]
async fn a_portal_link_opens_one_workspace_once() {
    let console = ConsoleSite::usual().await;
    let link = console.link("acme", false).await;
    // Programs that preview links request them, and that must not use the link up.
    for _ in 0..2 {
        let page = console.get(&link, &[]).await;
        assert_eq!((page.status, page.field("set-cookie")), (200, None));
        assert_eq!(page.must("referrer-policy"), "strict-origin");
    }
    let entered = console.enter(&link).await;
    assert_eq!((entered.status, entered.must("location")), (303, "/console/w/acme"));
    let guest = Guest { console: &console, cookie: cookie_of(&entered) };
    assert_eq!(guest.get("/console/w/acme").await.status, 200);
    assert_eq!(guest.get("/console/w/other").await.status, 404);
    assert_eq!(guest.get("/console").await.must("location"), "/console/w/acme");
    let again = console.enter(&link).await;
    assert_eq!((again.status, again.field("set-cookie")), (403, None));
    assert!(text(&again).contains("It was used before"));
}

#[tokio::test]
async fn the_cookie_is_out_of_reach_of_scripts_and_other_sites() {
    let console = ConsoleSite::usual().await;
    let entered = console.enter(&console.link("acme", false).await).await;
    let cookie = entered.must("set-cookie");
    assert!(cookie.ends_with("; Path=/console; Max-Age=633600; HttpOnly; SameSite=Lax"), "{cookie}");
    let mut plan = Plan::sending().await;
    plan.console.url = Some(BaseUrl::parse("https://hooks.example.com").unwrap());
    let console = ConsoleSite::of(plan).await;
    let minted = console.api("POST", "/v1/workspaces/acme/portal-links", &serde_json::json!({})).await;
    let url = minted["url"].as_str().unwrap();
    assert!(url.starts_with("https://hooks.example.com/console/enter?pass="), "{url}");
    let body = format!("pass={}", url.split_once("pass=").unwrap().1);
    let origin = ("Origin", "https://hooks.example.com");
    let entered =
        console.site.admin().request("POST", "/console/enter", &[origin, FORM], body.as_bytes()).await;
    assert!(entered.must("set-cookie").ends_with("; HttpOnly; SameSite=Lax; Secure"), "{entered:?}");
}

#[tokio::test]
async fn links_and_sessions_end_at_their_time() {
    let console = ConsoleSite::usual().await;
    let late = console.link("acme", false).await;
    let guest = console.guest("acme", false).await;
    console.site.clock.advance(Duration::from_secs(900));
    let refused = console.enter(&late).await;
    assert_eq!(refused.status, 403);
    assert!(text(&refused).contains("Its time is over"));
    assert_eq!(console.get(&late, &[]).await.status, 403);
    assert_eq!(guest.get("/console/w/acme").await.status, 200);
    console.site.clock.advance(Duration::from_secs(8 * 3_600));
    assert_eq!(guest.get("/console/w/acme").await.status, 403);
}

#[tokio::test]
async fn no_other_signature_of_the_keyring_opens_a_session() {
    let console = ConsoleSite::usual().await;
    let guest = console.guest("acme", false).await;
    let (session, csrf) = (guest.cookie.split_once('=').unwrap().1, guest.csrf().await);
    let asset = console.site.link(AssetRef::recording(CALL));
    let sig = asset.rsplit_once('=').unwrap().1;
    let link = console.link("acme", false).await;
    let pass = link.split_once("?pass=").unwrap().1;
    let (content, rest) = pass.split_once('.').unwrap();
    let other = console.link("other", true).await;
    let other = other.split_once("?pass=").unwrap().1.split_once('.').unwrap().0;
    for forged in [
        session.to_owned(),
        csrf.clone(),
        sig.to_owned(),
        format!("{content}.9999999999.{sig}"),
        format!("{other}.{rest}"),
        pass[..pass.len() - 1].to_owned(),
        String::new(),
    ] {
        let refused = console.enter(&format!("/console/enter?pass={forged}")).await;
        assert_eq!((refused.status, refused.field("set-cookie")), (403, None), "{forged}");
    }
    for forged in [pass, csrf.as_str(), sig, ""] {
        let cookie = format!("webhook_assets_session={forged}");
        assert_eq!(console.get("/console/w/acme", &[("Cookie", &cookie)]).await.status, 403, "{forged}");
    }
}

#[tokio::test]
async fn a_session_outlives_a_rotation_of_keys_and_ends_with_its_key() {
    let console = ConsoleSite::usual().await;
    let guest = console.guest("acme", false).await;
    let new = || SigningKey::new("k2", SecretKey::from_bytes(&[9; 32]).unwrap(), NOW, None);
    let old = SigningKey::new("k1", key(), webhook_assets::clock::UnixSeconds(0), None);
    console.site.keyring.replace(Keyring::new(vec![old, new()]).unwrap());
    assert_eq!(guest.get("/console/w/acme").await.status, 200);
    let paused = guest.post("/console/w/acme/webhooks/ep_1/pause", "").await;
    assert_eq!(paused.status, 404, "the form was taken");
    console.site.keyring.replace(Keyring::new(vec![new()]).unwrap());
    assert_eq!(guest.get("/console/w/acme").await.status, 403);
}

#[tokio::test]
async fn the_operator_signs_in_with_the_exact_token_only() {
    let console = ConsoleSite::usual().await;
    for wrong in ["", "x", &TOKEN[1..], &format!("{TOKEN}0"), &TOKEN.to_uppercase()] {
        let body = format!("token={wrong}");
        let answer =
            console.site.admin().request("POST", "/console/sign-in", &[ORIGIN, FORM], body.as_bytes()).await;
        assert_eq!((answer.status, answer.field("set-cookie")), (403, None), "{wrong}");
    }
    let operator = console.operator().await;
    assert!(text(&operator.get("/console").await).contains("Workspaces"));
    assert_eq!(operator.get("/console/w/whatever").await.status, 200);
}

/// On loopback without a token the API needs no token; a page that a proxy may show to the world needs a link.
#[tokio::test]
async fn without_a_token_the_operator_cannot_sign_in_and_pages_need_a_link() {
    let site = Plan::sending().await.start().await;
    let ask = |method: &'static str, path: &'static str, body: &'static str| {
        let client = site.admin();
        async move { client.request(method, path, &[ORIGIN, FORM], body.as_bytes()).await }
    };
    for answer in [
        ask("GET", "/console", "").await,
        ask("GET", "/console/sign-in", "").await,
        ask("POST", "/console/sign-in", "token=").await,
    ] {
        assert_eq!((answer.status, answer.field("set-cookie")), (403, None));
        assert!(!text(&answer).contains("sign-in\""), "{}", text(&answer));
    }
}

#[tokio::test]
async fn signing_out_takes_the_cookie_away() {
    let console = ConsoleSite::usual().await;
    let guest = console.guest("acme", false).await;
    let answer = guest.post("/console/sign-out", "").await;
    assert!(answer.must("set-cookie").starts_with("webhook_assets_session=; Path=/console; Max-Age=0;"));
    let foreign = guest.post_as("/console/sign-out", &[ORIGIN, FORM], "csrf=x").await;
    assert_eq!(foreign.status, 403);
}

#[tokio::test]
async fn a_process_that_does_not_send_has_no_pages_of_webhooks() {
    let console = ConsoleSite::of(Plan::usual().await).await;
    let body = format!("token={TOKEN}");
    let entered =
        console.site.admin().request("POST", "/console/sign-in", &[ORIGIN, FORM], body.as_bytes()).await;
    let guest = Guest { console: &console, cookie: cookie_of(&entered) };
    assert_eq!(guest.get("/console/w/acme").await.status, 404);
}

#[tokio::test]
async fn a_cookie_that_was_copied_is_good_no_more_once_its_session_is_signed_out() {
    let console = ConsoleSite::usual().await;
    let guest = console.guest("acme", true).await;
    let other = console.guest("acme", true).await;
    let csrf = guest.csrf().await;
    let copied = Guest { console: &console, cookie: guest.cookie.clone() };
    let answer = guest.post("/console/sign-out", "").await;
    assert_eq!((answer.status, answer.must("location")), (303, "/console/signed-out"));
    assert!(text(&console.get("/console/signed-out", &[]).await).contains("You are signed out"));
    for path in ["/console", "/console/w/acme", "/console/w/acme/deliveries", "/console/w/acme/recover"] {
        let refused = copied.get(path).await;
        assert_eq!(refused.status, 401, "{path}");
        assert!(refused.must("set-cookie").contains("Max-Age=0"), "{path}");
    }
    let body = format!("csrf={csrf}&within=24h");
    assert_eq!(copied.post_as("/console/w/acme/recover", &[ORIGIN, FORM], &body).await.status, 401);
    assert_eq!(other.get("/console/w/acme").await.status, 200, "another session goes on");
    // The sign-out is stored in the database, for every replica and after a restart, as long as the cookie would be
    // good.
    console.site.clock.advance(Duration::from_secs(8 * 3_600 - 1));
    let next = console.guest("acme", false).await;
    assert_eq!(copied.get("/console/w/acme").await.status, 401);
    assert_eq!(next.get("/console/w/acme").await.status, 200);
}

#[tokio::test]
async fn a_session_that_cannot_be_ended_is_not_reported_as_ended() {
    let console = ConsoleSite::usual().await;
    let guest = console.guest("acme", false).await;
    let csrf = guest.csrf().await;
    console.site.sender.as_ref().unwrap().ledger().close().await;
    let answer = guest.post_as("/console/sign-out", &[ORIGIN, FORM], &format!("csrf={csrf}")).await;
    assert_eq!((answer.status, answer.field("set-cookie")), (503, None));
}

#[tokio::test]
async fn a_named_token_that_may_operate_signs_in_until_it_is_revoked() {
    let folder = tempfile::tempdir().unwrap();
    let tokens_file = Some(folder.path().join("tokens.json"));
    let console = ConsoleSite::of(Plan { tokens_file, ..Plan::sending().await }).await;
    let sign_in = async |token: &str| {
        let body = format!("token={token}");
        console.site.admin().request("POST", "/console/sign-in", &[ORIGIN, FORM], body.as_bytes()).await
    };
    let make = async |name: &str, scopes: &[&str]| {
        let wish = serde_json::json!({"name": name, "scopes": scopes});
        let made = console.api("POST", "/v1/tokens", &wish).await;
        made["token"].as_str().unwrap().to_owned()
    };
    let reader = make("reader", &["read", "endpoints", "portal"]).await;
    assert_eq!(sign_in(&reader).await.status, 403);
    let operator = make("operator", &["operate"]).await;
    let answer = sign_in(&operator).await;
    assert_eq!(answer.status, 303);
    let guest = Guest { console: &console, cookie: cookie_of(&answer) };
    assert_eq!(guest.get("/console").await.status, 200);
    let path = "/v1/tokens/operator";
    let bearing = format!("Bearer {TOKEN}");
    let fields = [("Authorization", bearing.as_str())];
    assert_eq!(console.site.admin().request("DELETE", path, &fields, b"").await.status, 204);
    assert_eq!(guest.get("/console").await.status, 403);
}

#[tokio::test]
async fn what_the_page_refuses_is_counted_under_its_reason() {
    let console = ConsoleSite::usual().await;
    let count = async |reason: &str| {
        let page = String::from_utf8(console.get("/metrics", &[]).await.body).unwrap();
        let series = format!("webhook_assets_admin_requests_refused_total{{reason=\"{reason}\"}} ");
        page.lines().find_map(|line| line.strip_prefix(&series)).map_or(0, |count| count.parse().unwrap())
    };
    let guest = console.guest("acme", false).await;
    let evil = [("Origin", "https://evil.example"), FORM];
    assert_eq!(guest.post_as("/console/w/acme/recover", &evil, "csrf=x").await.status, 403);
    assert_eq!(guest.post_as("/console/w/acme/recover", &[ORIGIN, FORM], "csrf=x").await.status, 403);
    assert_eq!(guest.post_as("/console/sign-out", &[ORIGIN, FORM], "csrf=x").await.status, 403);
    assert_eq!(console.get("/console/w/acme", &[]).await.status, 403);
    let link = console.link("acme", false).await;
    assert_eq!(console.enter(&link).await.status, 303);
    assert_eq!(console.enter(&link).await.status, 403);
    assert_eq!(console.enter("/console/enter?pass=x").await.status, 403);
    let sign_in = guest.post_as("/console/sign-in", &[ORIGIN, FORM], "token=wrong").await;
    assert_eq!(sign_in.status, 403);
    let reasons = [
        ("wrong_origin", 1),
        ("wrong_form", 2),
        ("no_session", 1),
        ("link_used", 1),
        ("link_invalid", 1),
        ("unknown_token", 1),
        ("link_expired", 0),
    ];
    for (reason, expected) in reasons {
        assert_eq!(count(reason).await, expected, "{reason}");
    }
}
