//! Portal links that let a product embed the page, and give it a colour and a logo.

use serde_json::{Value, json};

use super::{ConsoleSite, FORM, Guest, ORIGIN, cookie_of, text};
use crate::support::Answer;

fn wish() -> Value {
    json!({
        "embed_origins": ["https://app.example.com", "https://beta.example.com:8443"],
        "color": "#FFE600",
        "logo_url": "https://cdn.example.com/logo.svg",
    })
}

fn ancestors(answer: &Answer) -> &str {
    let policy = answer.must("content-security-policy");
    policy.split_once("frame-ancestors ").unwrap().1.split(';').next().unwrap()
}

const SITES: &str = "https://app.example.com https://beta.example.com:8443";

#[tokio::test]
async fn exactly_the_sites_of_the_link_may_embed_each_of_its_pages() {
    let console = ConsoleSite::usual().await;
    let link = console.link_with("acme", &wish()).await;
    let door = console.get(&link, &[]).await;
    assert_eq!((door.status, ancestors(&door), door.field("x-frame-options")), (200, SITES, None));
    let entered = console.enter(&link).await;
    assert_eq!((entered.status, ancestors(&entered)), (303, SITES));
    let guest = Guest { console: &console, cookie: cookie_of(&entered) };
    for path in [
        "/console/w/acme",
        "/console/w/acme/webhooks/new",
        "/console/nowhere",
        "/console/w/acme/webhooks/x/pause",
    ] {
        let answer = guest.get(path).await;
        assert_eq!((ancestors(&answer), answer.field("x-frame-options")), (SITES, None), "{path}");
    }
    // A used link, the page after signing out, and a session that is over are shown in the frame, too.
    assert_eq!(ancestors(&console.enter(&link).await), SITES);
    let out = guest.post("/console/sign-out", "").await;
    let left = Guest { console: &console, cookie: cookie_of(&out) };
    assert_eq!(ancestors(&left.get("/console/signed-out").await), SITES);
    let guest = Guest {
        console: &console,
        cookie: cookie_of(&console.enter(&console.link_with("acme", &wish()).await).await),
    };
    console.site.clock.advance(std::time::Duration::from_secs(8 * 3_600));
    let over = guest.get("/console/w/acme").await;
    assert_eq!((over.status, ancestors(&over)), (403, SITES));
}

#[tokio::test]
async fn without_sites_in_the_link_nothing_is_embedded() {
    let console = ConsoleSite::usual().await;
    let entered = console.enter(&console.link_with("acme", &json!({"color": "#ffe600"})).await).await;
    let guest = Guest { console: &console, cookie: cookie_of(&entered) };
    let operator = console.operator().await;
    for answer in [
        guest.get("/console/w/acme").await,
        operator.get("/console").await,
        console.get("/console", &[]).await,
    ] {
        assert_eq!((ancestors(&answer), answer.must("x-frame-options")), ("'none'", "DENY"));
    }
    assert!(entered.must("set-cookie").ends_with("; HttpOnly; SameSite=Lax"));
}

#[tokio::test]
async fn the_cookie_of_an_embedded_session_is_tied_to_the_site_around_it() {
    let console = ConsoleSite::usual().await;
    let entered = console.enter(&console.link_with("acme", &wish()).await).await;
    assert!(
        entered.must("set-cookie").ends_with("; HttpOnly; SameSite=None; Secure; Partitioned"),
        "{entered:?}"
    );
    let guest = Guest { console: &console, cookie: cookie_of(&entered) };
    let lang = guest.get("/console/w/acme?lang=fr").await;
    assert!(lang.must("set-cookie").ends_with("; SameSite=None; Secure; Partitioned"), "{lang:?}");
    // That browsers now send the cookie with requests of other sites changes nothing for forms.
    let csrf = guest.csrf().await;
    let path = "/console/w/acme/recover";
    let body = format!("csrf={csrf}&within=24h");
    for from in
        [("Origin", "https://app.example.com"), ("Origin", "https://evil.example"), ("Origin", "null")]
    {
        assert_eq!(guest.post_as(path, &[from, FORM], &body).await.status, 403, "{from:?}");
    }
    let cross = ("Sec-Fetch-Site", "cross-site");
    assert_eq!(guest.post_as(path, &[ORIGIN, FORM, cross], &body).await.status, 403);
    assert_eq!(guest.post_as(path, &[ORIGIN, FORM], "within=24h").await.status, 403);
    assert_eq!(guest.post_as(path, &[ORIGIN, FORM], &body).await.status, 303);
}

#[tokio::test]
async fn a_page_has_the_colour_and_the_logo_of_the_link() {
    let console = ConsoleSite::usual().await;
    let entered = console.enter(&console.link_with("acme", &wish()).await).await;
    let guest = Guest { console: &console, cookie: cookie_of(&entered) };
    let answer = guest.get("/console/w/acme").await;
    let page = text(&answer);
    assert!(
        page.contains(
            "<img src=\"https://cdn.example.com/logo.svg\" alt=\"\" referrerpolicy=\"no-referrer\">"
        ),
        "{page}"
    );
    assert!(
        answer.must("content-security-policy").contains("img-src 'self' https://cdn.example.com/logo.svg;")
    );
    assert!(page.contains("<link rel=\"stylesheet\" href=\"/console/colors/ffe600.css\">"), "{page}");
    let sheet = console.get("/console/colors/ffe600.css", &[]).await;
    assert_eq!((sheet.status, sheet.must("content-type")), (200, "text/css; charset=utf-8"));
    assert!(text(&sheet).contains("--accent:#"));
    for other in ["fff", "ffe600;", "%22", "../console"] {
        assert_eq!(console.get(&format!("/console/colors/{other}.css"), &[]).await.status, 404, "{other}");
    }
}
