//! No workspace sees what belongs to another.

use std::collections::BTreeSet;

use super::{ConsoleSite, call, text};
use crate::support::receiver::Receiver;

/// Every path below a workspace that `src/console/route.rs` knows: its pattern and its methods.
pub(super) const ROUTES: [(&str, &[&str]); 27] = [
    ("check", &["POST"]),
    ("webhooks/new", &["GET", "POST"]),
    ("webhooks/id", &["GET"]),
    ("webhooks/id/secret", &["POST"]),
    ("webhooks/id/rotate", &["POST"]),
    ("webhooks/id/pause", &["POST"]),
    ("webhooks/id/resume", &["POST"]),
    ("webhooks/id/remove", &["POST"]),
    ("webhooks/id/take-back", &["POST"]),
    ("webhooks/id/test", &["POST"]),
    ("webhooks/id/try", &["POST"]),
    ("webhooks/id/change", &["POST"]),
    ("webhooks/id/backfill", &["POST"]),
    ("activity", &["GET"]),
    ("deliveries", &["GET"]),
    ("deliveries.csv", &["GET"]),
    ("deliveries/resend", &["POST"]),
    ("deliveries/id", &["GET"]),
    ("deliveries/id/resend", &["POST"]),
    ("deliveries/id/links", &["POST"]),
    ("deliveries/id/listen", &["GET"]),
    ("deliveries/id/captions", &["GET"]),
    ("deliveries/id/recording", &["GET"]),
    ("deliveries/id/transcript", &["GET"]),
    ("recover", &["GET", "POST"]),
    ("find", &["GET", "POST"]),
    ("calls/id", &["GET"]),
];

#[test]
fn the_list_of_routes_is_complete() {
    let source = include_str!("../../../src/console/route.rs");
    let quoted = |line: &str| line.split('"').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
    let table = |from: &str| source.split_once(from).unwrap().1.split_once("_ =>").unwrap().0.to_owned();
    let actions: Vec<String> =
        table("impl Action {").lines().flat_map(|line| quoted(line).into_iter().next()).collect();
    let mut there = BTreeSet::new();
    let lines = table("impl Page {");
    let lines = lines.lines().filter(|line| line.trim_start().starts_with('['));
    for pattern in lines.flat_map(|line| line.split("=>").next().unwrap().split(" | ")) {
        let pattern = pattern.trim().trim_matches(['[', ']']);
        let segments = pattern.split(", ").map(|segment| segment.trim_matches('"'));
        let path = segments.collect::<Vec<_>>().join("/");
        match path.rsplit('/').next().unwrap() {
            "action" => there.extend(actions.iter().map(|action| path.replace("action", action))),
            "kind" => there.extend(["recording", "transcript"].map(|kind| path.replace("kind", kind))),
            "" => {}
            _ => drop(there.insert(path)),
        }
    }
    let tested: BTreeSet<String> = ROUTES.iter().map(|(path, _)| (*path).to_owned()).collect();
    assert_eq!(there, tested);
}

#[tokio::test]
async fn every_page_of_one_workspace_is_404_for_another() {
    let console = ConsoleSite::usual().await;
    let receiver = Receiver::willing().await;
    let theirs = console.endpoint("other", &receiver, "theirs").await;
    console.endpoint("acme", &receiver, "mine").await;
    let delivery = console.delivery(&call("other", "their-call"), "delivered").await;
    let arrived = receiver.received().len();
    let guest = console.guest("acme", true).await;
    for (route, methods) in ROUTES {
        let id = if route.starts_with("webhooks") { &theirs } else { &delivery };
        let path = route.replace("/id", &format!("/{id}"));
        for method in methods {
            let ask = async |path: &str| match *method {
                "GET" => guest.get(path).await,
                _ => guest.post(path, "url=https%3A%2F%2Fexample.com%2F&within=24h").await,
            };
            let answer = ask(&format!("/console/w/other/{path}")).await;
            assert_eq!(answer.status, 404, "{method} {path}");
            if route.contains("/id") {
                let answer = ask(&format!("/console/w/acme/{path}")).await;
                assert_eq!(answer.status, 404, "{method} {path} in one's own workspace");
                for theirs in ["theirs", "their-call", "John", "whsec_", &theirs] {
                    let page = text(&answer).replace(&path, "").replace(&format!("/{theirs}"), "");
                    assert!(!page.contains(theirs) || theirs.starts_with("ep_"), "{method} {path}: {theirs}");
                }
            }
        }
    }
    assert_eq!(guest.get("/console/w/other").await.status, 404);
    // The other workspace is unchanged, and the sender sent nothing more.
    let still = console
        .api("GET", &format!("/v1/workspaces/other/endpoints/{theirs}"), &serde_json::Value::Null)
        .await;
    assert_eq!(
        (&still["state"], &still["previous_secret_until"]),
        (&"active".into(), &serde_json::Value::Null)
    );
    assert_eq!(receiver.received().len(), arrived);
}

#[tokio::test]
async fn lists_and_searches_show_only_the_own_workspace() {
    let console = ConsoleSite::usual().await;
    let receiver = Receiver::willing().await;
    let theirs = console.endpoint("other", &receiver, "theirs").await;
    console.endpoint("acme", &receiver, "mine").await;
    console.delivery(&call("other", "their-call"), "delivered").await;
    console.delivery(&call("acme", "my-call"), "delivered").await;
    let guest = console.guest("acme", false).await;
    for query in ["", "?call=their-call", &format!("?webhook={theirs}"), "?status=delivered", "?within=7d"] {
        let page = text(&guest.get(&format!("/console/w/acme/deliveries{query}")).await);
        assert!(!page.contains(">their-call<") && !page.contains("theirs"), "{query}");
    }
    for sought in ["their-call", "their", &theirs, "%2B33600000000"] {
        let found = guest.post("/console/w/acme/find", &format!("text={sought}")).await;
        assert!(!text(&found).contains(">their-call<") && !text(&found).contains("/w/other/"), "{sought}");
    }
    assert_eq!(guest.get("/console/find").await.status, 404);
    // A recovery that names the other workspace's webhook counts and recovers nothing.
    let form = format!("webhook={theirs}&within=7d");
    let recovered = guest.post("/console/w/acme/recover", &form).await;
    assert!(recovered.must("location").contains("&count=0&"), "{recovered:?}");
}

#[tokio::test]
async fn only_a_session_that_may_listen_gets_recordings_transcripts_and_links() {
    let console = ConsoleSite::usual().await;
    let receiver = Receiver::willing().await;
    console.endpoint("acme", &receiver, "mine").await;
    let id = console.delivery(&call("acme", "call-1"), "delivered").await;
    let of = |rest: &str| format!("/console/w/acme/deliveries/{id}/{rest}");
    let (deaf, guest, operator) =
        (console.guest("acme", false).await, console.guest("acme", true).await, console.operator().await);
    for rest in ["listen", "captions", "recording", "transcript", "transcript?format=vtt"] {
        let answer = deaf.get(&of(rest)).await;
        assert_eq!((answer.status, answer.field("location")), (403, None), "{rest}");
        assert!(!text(&answer).contains("Hi John"), "{rest}");
    }
    assert_eq!(deaf.post(&of("links"), "").await.status, 403);
    for listener in [&guest, &operator] {
        let page = listener.get(&of("listen")).await;
        assert_eq!(page.status, 200);
        assert!(!text(&page).contains("sig="));
        for kind in ["recording", "transcript"] {
            let opened = listener.get(&of(kind)).await;
            assert_eq!(opened.status, 302);
            let link = opened.must("location").strip_prefix("https://app.example.com").unwrap();
            assert_eq!(console.site.get(link, &[]).await.status, 200, "{kind}");
        }
        let captions = listener.get(&of("captions")).await;
        assert_eq!((captions.status, captions.must("content-type")), (200, "text/vtt"));
        assert!(text(&captions).contains("<v Jane Smith>Hi John"));
        assert!(text(&listener.post_and_follow(&of("links"), "").await).contains("sig="));
    }
}
