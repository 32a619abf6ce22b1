//! What a person meets when the session is over, or a path has no page: what was typed, the way back, the navigation.

use std::time::Duration;

use serde_json::json;

use super::{ConsoleSite, FORM, Guest, ORIGIN, cookie_of, text};
use crate::support::receiver::Receiver;

const WORKING_DAY: Duration = Duration::from_secs(8 * 3_600);
const TYPED: &str = "url=https%3A%2F%2Fexample.com%2Fhook&description=Caf%C3%A9+%3Cb%3E&header_name=X-Key&header_value=s3cret-value&basic_password=s3cret-word&status-missed=1&late_assets=1";

/// A guest who came by a link with a way back.
async fn guest_of_product(console: &ConsoleSite) -> Guest<'_> {
    let wish = json!({"return_url": "https://app.example.com/settings?tab=hooks"});
    let entered = console.enter(&console.link_with("acme", &wish).await).await;
    Guest { console, cookie: cookie_of(&entered) }
}

/// The hidden fields of the last form of a page, as a form's body.
fn fields_of(page: &str) -> Vec<(String, String)> {
    let (_, main) = page.split_once("<main").unwrap();
    let fields = main.split("<input type=\"hidden\" name=\"").skip(1);
    fields
        .map(|field| {
            let (name, rest) = field.split_once('"').unwrap();
            let value = rest.split_once("value=\"").unwrap().1.split('"').next().unwrap();
            (name.to_owned(), value.replace("&#60;", "<").replace("&#62;", ">"))
        })
        .collect()
}

fn body_of(fields: &[(String, String)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

#[tokio::test]
async fn what_was_typed_survives_the_end_of_the_session_and_secrets_do_not() {
    let console = ConsoleSite::usual().await;
    let guest = guest_of_product(&console).await;
    let csrf = guest.csrf().await;
    console.site.clock.advance(WORKING_DAY);
    let path = "/console/w/acme/webhooks/new";
    let over = guest.post_as(path, &[ORIGIN, FORM], &format!("csrf={csrf}&{TYPED}")).await;
    let page = text(&over);
    assert_eq!(over.status, 403);
    assert!(page.contains("Your session is over") && page.contains("Caf\u{e9} &#60;b&#62;"), "{page}");
    assert!(page.contains("href=\"https://app.example.com/settings?tab=hooks\" target=\"_blank\""), "{page}");
    assert!(!page.contains("s3cret") && page.contains("Give them again"), "{page}");
    let kept = fields_of(&page);
    assert!(kept.contains(&("status-missed".to_owned(), "1".to_owned())), "{kept:?}");

    // Signed in again in another tab, the person sends it from this one, after a look.
    let again = guest_of_product(&console).await;
    let asked = again.post_as(path, &[ORIGIN, FORM], &body_of(&kept)).await;
    let page = text(&asked);
    assert_eq!(asked.status, 403, "nothing is saved without a look");
    assert!(page.contains("Send what you typed?") && page.contains("aria-label=\"Pages\""), "{page}");
    let list = console.api("GET", "/v1/workspaces/acme/endpoints", &json!(null)).await;
    assert_eq!(list["endpoints"], json!([]));
    let mut fields = fields_of(&page);
    // A header without its value is asked for again.
    let refused = again.post_as(path, &[ORIGIN, FORM], &body_of(&fields)).await;
    assert_eq!(refused.status, 422);
    fields.retain(|(name, _)| name != "header_name");
    fields.push(("anyway".to_owned(), "1".to_owned()));
    let saved = again.post_as(path, &[ORIGIN, FORM], &body_of(&fields)).await;
    assert_eq!(saved.status, 303, "{}", text(&saved));
    let list = console.api("GET", "/v1/workspaces/acme/endpoints", &json!(null)).await;
    assert_eq!(list["endpoints"][0]["description"], "Caf\u{e9} <b>");
    assert_eq!(list["endpoints"][0]["filter"]["status"], json!(["missed"]));
}

#[tokio::test]
async fn what_was_typed_is_never_given_to_another_workspace_or_to_a_stranger() {
    let console = ConsoleSite::usual().await;
    let guest = guest_of_product(&console).await;
    let csrf = guest.csrf().await;
    let path = "/console/w/acme/webhooks/new";
    let body = format!("csrf={csrf}&{TYPED}");
    let other = console.guest("other", true).await;
    let answer = other.post_as(path, &[ORIGIN, FORM], &body).await;
    assert_eq!(answer.status, 403);
    assert!(!text(&answer).contains("example.com/hook"));
    // Without a genuine cookie the body is not even read.
    for cookie in ["", "webhook_assets_session=x.1.y"] {
        let stranger = Guest { console: &console, cookie: cookie.to_owned() };
        let answer = stranger.post_as(path, &[ORIGIN, FORM], &body).await;
        assert_eq!(answer.status, 403);
        assert!(!text(&answer).contains("example.com/hook"));
    }
    // A form that no page gave out is not offered again.
    let forged = guest.post_as(path, &[ORIGIN, FORM], &format!("csrf=x.1.y&{TYPED}")).await;
    assert!(forged.status == 403 && !text(&forged).contains("example.com/hook"));
    // Another site gets nothing repeated, whoever's cookie it uses.
    console.site.clock.advance(WORKING_DAY);
    let evil = guest.post_as(path, &[("Origin", "https://evil.example"), FORM], &body).await;
    assert!(evil.status == 403 && !text(&evil).contains("example.com/hook"));
}

#[tokio::test]
async fn the_way_back_is_the_customers_own() {
    let console = ConsoleSite::usual().await;
    let guest = guest_of_product(&console).await;
    let back = "<a class=\"back\" href=\"https://app.example.com/settings?tab=hooks\" target=\"_top\">Back to app.example.com</a>";
    assert!(text(&guest.get("/console/w/acme").await).contains(back));
    let out = guest.post("/console/sign-out", "").await;
    // The cookie that is left opens nothing, and knows the way.
    let left = Guest { console: &console, cookie: cookie_of(&out) };
    let way = "<a class=\"button\" href=\"https://app.example.com/settings?tab=hooks\" target=\"_top\">";
    assert!(text(&left.get("/console/signed-out").await).contains(way));
    let over = left.get("/console/w/acme").await;
    assert!(over.status == 403 && text(&over).contains(way) && text(&over).contains("Your session is over"));
    let again = guest_of_product(&console).await;
    console.site.clock.advance(WORKING_DAY);
    let over = text(&again.get("/console/w/acme").await);
    assert!(over.contains(way) && over.contains("Go back, and open the page from there again."), "{over}");
    // A used link knows it, too.
    let wish = json!({"return_url": "https://app.example.com/a"});
    let link = console.link_with("acme", &wish).await;
    console.enter(&link).await;
    assert!(text(&console.enter(&link).await).contains("href=\"https://app.example.com/a\" target=\"_top\""));
}

#[tokio::test]
async fn a_way_back_is_chosen_by_the_product_alone() {
    let console = ConsoleSite::usual().await;
    let mint = async |wish: &serde_json::Value| {
        let bearing = format!("Bearer {}", super::TOKEN);
        let fields = [("Authorization", bearing.as_str()), ("Content-Type", "application/json")];
        let path = "/v1/workspaces/acme/portal-links";
        console.site.admin().request("POST", path, &fields, wish.to_string().as_bytes()).await
    };
    for (field, value) in [
        ("return_url", json!("javascript:alert(1)")),
        ("return_url", json!("http://app.example.com/")),
        ("return_url", json!(7)),
        ("embed_origins", json!("https://app.example.com")),
        ("embed_origins", json!(["https://*.example.com"])),
        ("embed_origins", json!(["https://a.example/path"])),
        ("color", json!("red")),
        ("logo_url", json!("data:image/png;base64,AAAA")),
        ("logo_url", json!("https://u:p@cdn.example.com/logo.svg")),
        ("logo_url", json!("https://cdn.example.com/lo\u{200b}go.svg")),
        ("logo_url", json!("https://cdn.example.com/")),
    ] {
        let answer = mint(&json!({field: value})).await;
        assert_eq!(answer.status, 422, "{field} {value}");
        assert!(text(&answer).contains(&format!("/{field} takes")), "{}", text(&answer));
    }
    // A link's address can be changed, and then it opens nothing and leads nowhere.
    let link = console.link_with("acme", &json!({"return_url": "https://app.example.com/"})).await;
    let foreign = console.link_with("acme", &json!({"return_url": "https://evil.example/"})).await;
    let pass = |link: &str| link.split_once("?pass=").unwrap().1.to_owned();
    let mixed =
        format!("{}.{}", pass(&foreign).split('.').next().unwrap(), pass(&link).split_once('.').unwrap().1);
    let answer = text(&console.get(&format!("/console/enter?pass={mixed}"), &[]).await);
    assert!(!answer.contains("evil.example"), "{answer}");
    for query in ["return_url=https://evil.example", "back=https://evil.example"] {
        assert!(!text(&console.get(&format!("/console?{query}"), &[]).await).contains("href=\"https://evil"));
    }
}

#[tokio::test]
async fn a_path_without_a_page_keeps_the_navigation_and_says_what_to_do() {
    let console = ConsoleSite::usual().await;
    let endpoint = console.endpoint("acme", &Receiver::willing().await, "CRM").await;
    let guest = console.guest("acme", false).await;
    let delivery = console.delivery(&super::call("acme", "call-1"), "delivered").await;
    for (path, status, way_on) in [
        ("/console/w/acme/nowhere".to_owned(), 404, "/console/w/acme"),
        ("/console/w/other/deliveries".to_owned(), 404, "/console/w/acme"),
        (
            format!("/console/w/acme/deliveries/{delivery}/listen"),
            403,
            &*format!("/console/w/acme/deliveries/{delivery}"),
        ),
        (
            format!("/console/w/acme/webhooks/{endpoint}/pause"),
            405,
            &*format!("/console/w/acme/webhooks/{endpoint}"),
        ),
        (
            format!("/console/w/acme/deliveries/{delivery}/resend"),
            405,
            &*format!("/console/w/acme/deliveries/{delivery}"),
        ),
    ] {
        let answer = guest.get(&path).await;
        let page = text(&answer);
        assert_eq!(answer.status, status, "{path}");
        assert!(
            page.contains("href=\"/console/w/acme/recover\"") && page.contains("Sign out"),
            "{path}: {page}"
        );
        assert!(page.contains(&format!("<a class=\"button\" href=\"{way_on}\">")), "{path}: {page}");
        assert!(!page.contains("other</strong>"), "{path}");
    }
    let operator = console.operator().await;
    let page = text(&operator.get("/console/w/acme/nowhere").await);
    assert!(page.contains("<strong>acme</strong>") && page.contains("To the workspaces"), "{page}");
}
