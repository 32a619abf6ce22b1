//! The list of webhooks: its order, its search, its pages and its figures.

use serde_json::{Value, json};

use super::{ConsoleSite, Guest, call, text};
use crate::support::receiver::{Reaction, Receiver};
use crate::support::waiting::until;
use crate::support::webhooks::settle;

/// The names of the webhooks on a page, in order.
fn names(page: &str) -> Vec<String> {
    let rows = page.split("class=\"rows hooks\"").nth(1).unwrap_or_default();
    let rows = rows.split("</table>").next().unwrap();
    let links = rows.split("<td class=\"main\">").skip(1).map(|row| row.split("\">").nth(1).unwrap());
    links.map(|link| link.split("</a>").next().unwrap().to_owned()).collect()
}

async fn add(console: &ConsoleSite, host: &str, description: &str) -> String {
    let wish =
        json!({"url": format!("https://{host}/hook"), "description": description, "allow_duplicate": true});
    let added = console.api("POST", "/v1/workspaces/acme/endpoints", &wish).await;
    added["id"].as_str().unwrap().to_owned()
}

async fn page(guest: &Guest<'_>, query: &str) -> String {
    let answer = guest.get(&format!("/console/w/acme{query}")).await;
    assert_eq!(answer.status, 200, "{query}");
    text(&answer)
}

#[tokio::test]
async fn those_that_fail_come_first_and_each_row_has_its_figures_in_words() {
    let console = ConsoleSite::usual().await;
    let failing = Receiver::start(|_, _| Reaction::Answer(401, "no")).await;
    let good = Receiver::willing().await;
    console.endpoint("acme", &good, "B works").await;
    console.delivery(&call("acme", "call-1"), "delivered").await;
    console.endpoint("acme", &failing, "Z fails").await;
    let accepted = console.api("POST", "/v1/calls", &call("acme", "call-2")).await;
    for delivery in accepted["deliveries"].as_array().unwrap() {
        let path = format!("/v1/workspaces/acme/deliveries/{}", delivery.as_str().unwrap());
        let ended = async || {
            settle(console.site.sender.as_ref().unwrap()).await;
            console.site.clock.advance(std::time::Duration::from_secs(5));
            let status = console.api("GET", &path, &Value::Null).await["status"].clone();
            (status != "queued" && status != "sending" && status != "waiting").then_some(())
        };
        until(ended, || format!("{path} does not end")).await;
    }
    let paused = add(&console, "paused.example.com", "A paused one").await;
    let paused = format!("/v1/workspaces/acme/endpoints/{paused}");
    console.api("PATCH", &paused, &json!({"state": "paused"})).await;
    let guest = console.guest("acme", false).await;
    let shown = page(&guest, "").await;
    assert_eq!(names(&shown), ["Z fails", "A paused one", "B works"]);
    for words in [
        "<title>Last 24 hours: 4 attempts, 0 succeeded, 4 failed; the median answer took ",
        "<title>Last 24 hours: No attempts</title>",
        "<title>Last 24 hours: 2 attempts, 2 succeeded, 0 failed; the median answer took ",
        "<td class=\"figure bad-text\" data-label=\"Failed\">1</td>",
        "data-label=\"Success\">100 %</td>",
    ] {
        assert!(shown.contains(words), "{words} is missing in {shown}");
    }
    let french =
        console.get("/console/w/acme", &[("Cookie", &guest.cookie), ("Accept-Language", "fr")]).await;
    assert!(text(&french).contains("<title>Dernières 24 heures : 4 tentatives, 0 réussie, 4 échouées; "));
}

#[tokio::test]
async fn forty_webhooks_are_searched_by_name_and_host_on_pages_that_keep_the_search() {
    let console = ConsoleSite::usual().await;
    for number in 0..40 {
        let host = if number % 2 == 0 { "hooks.zapier.com" } else { "n8n.example.org" };
        add(&console, host, &format!("Team {number:02} <b>")).await;
    }
    add(&console, "crm.example.net", "").await;
    let guest = console.guest("acme", false).await;
    let first = page(&guest, "").await;
    assert_eq!(names(&first).len(), 20);
    assert_eq!(names(&first)[0], "crm.example.net");
    assert!(first.contains("Active: 41") && first.contains("id=\"recent\""), "{first}");
    let rest = page(&guest, "?first=20").await;
    assert_eq!((names(&rest).len(), names(&page(&guest, "?first=40").await).len()), (20, 1));
    assert!(!rest.contains("id=\"recent\""));

    let found = page(&guest, "?q=ZAPIER").await;
    assert_eq!(names(&found).len(), 20);
    assert!(found.contains("20 of 41 webhooks") && found.contains("value=\"ZAPIER\""), "{found}");
    let found = page(&guest, "?q=team+").await;
    assert!(found.contains("href=\"/console/w/acme?q=team&#38;first=20\""), "{found}");
    assert!(found.contains("href=\"/console/w/acme?q=team&#38;lang=fr\""), "{found}");
    assert_eq!(names(&page(&guest, "?q=team&first=20").await).len(), 20);
    assert_eq!(names(&page(&guest, "?q=07+%3Cb%3E").await), ["Team 07 &#60;b&#62;"]);
    let nothing = page(&guest, "?q=%3Ci%3E").await;
    assert!(names(&nothing).is_empty() && nothing.contains("No webhook has “&#60;i&#62;”"), "{nothing}");
    for odd in ["?first=99999", "?first=-1", "?first=x", "?q=a&q=b", "?q=%00"] {
        page(&guest, odd).await;
    }
    let size = first.len();
    assert!(size < 100_000, "{size} bytes");
}
