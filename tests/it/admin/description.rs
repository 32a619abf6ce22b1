//! The description and the listener agree, in both directions.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use webhook_assets::Keyring;
use webhook_assets::admin;
use webhook_assets::clock::UnixSeconds;
use webhook_assets::signed_url::SigningKey;

use super::minting::bad_wishes;
use super::tokens::see_tokens;
use super::{AdminSite, JSON, TOKEN, webhooks, wish};
use crate::support::receiver::Receiver;
use crate::support::stores::Fault;
use crate::support::{ABSENT, Answer, CALL, NOW, Plan, key};

#[tokio::test]
async fn the_description_is_well_formed_and_complete_in_itself() {
    let api = AdminSite::usual().await;
    let description = &api.description;
    assert_eq!(description.0, serde_json::from_str::<Value>(admin::OPENAPI).unwrap());
    assert!(description.0["openapi"].as_str().unwrap().starts_with("3.1."));
    for schema in description.0["components"]["schemas"].as_object().unwrap().values() {
        jsonschema::draft202012::meta::validate(schema).unwrap();
        description.validator(schema);
    }
    let ids: BTreeSet<&str> = description
        .operations()
        .iter()
        .map(|(path, method)| description.0["paths"][path][method]["operationId"].as_str().unwrap())
        .collect();
    assert_eq!(ids.len(), description.operations().len());
    // Every reference leads somewhere.
    let text = description.0.to_string();
    for reference in text.split("\"$ref\":\"#").skip(1).map(|rest| rest.split('"').next().unwrap()) {
        assert!(description.0.pointer(reference).is_some(), "{reference}");
    }
}

const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

#[tokio::test]
async fn every_described_operation_is_served_and_every_other_is_not() {
    let api = AdminSite::sending().await;
    let operations = api.description.operations();
    let described: BTreeSet<&str> = operations.iter().map(|(path, _)| path.as_str()).collect();
    let guesses = [
        "/",
        "/health",
        "/healthz/",
        "/livez",
        "/ready",
        "/readyz/",
        "/status",
        "/ping",
        "/version",
        "/metrics/",
        "/metrics.json",
        "/openapi",
        "/openapi.yaml",
        "/openapi.json/",
        "/docs",
        "/swagger",
        "/v1",
        "/v1/",
        "/v1/link",
        "/v1/links/",
        "/v1/links/x",
        "/v1/keys",
        "/v1/keyring",
        "/v1/calls/",
        "/v1/calls/x",
        "/v1/endpoints",
        "/v1/workspaces",
        "/v1/workspaces/",
        "/v1/workspaces/acme/",
        "/v1/workspaces/acme/calls",
        "/v1/workspaces/acme/endpoints/",
        "/v1/workspaces//endpoints",
        "/v1/workspaces/acme/endpoints/x/secret/",
        "/v1/workspaces/acme/endpoints/x/secret/rotate/x",
        "/v1/workspaces/acme/deliveries/x/attempts",
        "/v2/links",
        "/links",
        "/keys",
        "/config",
        "/debug",
        "/debug/pprof",
        "/debug/vars",
        "/admin",
        "/shutdown",
        "/drain",
        "/reload",
        "/favicon.ico",
        "/robots.txt",
        "//healthz",
        "/HEALTHZ",
        "/webhook-assets/recording/x",
    ];
    for path in guesses.into_iter().chain(described.iter().copied()) {
        for method in METHODS {
            let answer = api.site.admin().request(method, path, &[], b"").await;
            // HEAD goes with GET, as everywhere in HTTP.
            let as_described = if method == "HEAD" { "get" } else { &method.to_lowercase() };
            // A well-formed path that names nothing gets 404 too, with another code.
            let (no_route, no_method) = (is_no_route(&api, method, path).await, answer.status == 405);
            let served = !no_route && !no_method;
            let is_described = operations.contains(&(path.to_owned(), as_described.to_owned()));
            assert_eq!(served, is_described, "{method} {path}: {}", answer.status);
            assert_eq!(no_route, !described.contains(path), "{method} {path}");
            if answer.status == 405 {
                allows_what_is_described(&operations, path, answer.must("allow"));
            }
        }
    }
}

/// Whether the answer is 404 for an unknown route. An answer to HEAD has no code; the answer to GET has.
async fn is_no_route(api: &AdminSite, method: &str, path: &str) -> bool {
    let method = if method == "HEAD" { "GET" } else { method };
    let answer = api.site.admin().request(method, path, &[], b"").await;
    answer.status == 404 && answer.code() == "no_such_route"
}

fn allows_what_is_described(operations: &BTreeSet<(String, String)>, path: &str, allow: &str) {
    let allowed: BTreeSet<String> =
        allow.split(", ").map(str::to_lowercase).filter(|m| m != "head").collect();
    let described = operations.iter().filter(|(of, _)| of == path).map(|(_, method)| method.clone());
    assert_eq!(allowed, described.collect(), "{path}");
}

/// What the test has seen of each operation: its described path, its method and the statuses of its answers.
#[derive(Default)]
pub(super) struct Seen(BTreeSet<(String, String, String)>);

impl Seen {
    pub(super) async fn ask(
        &mut self,
        api: &AdminSite,
        method: &str,
        path: &str,
        fields: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let answer = api.ask(method, path, fields, body).await;
        let template = api.description.template(path);
        self.0.insert((template, method.to_lowercase(), answer.status.to_string()));
        answer
    }
}

const EVIL: (&str, &str) = ("Host", "evil.example");

#[tokio::test]
async fn every_described_status_really_happens() {
    let mut seen = Seen::default();
    see_gateway(&mut seen).await;
    see_webhooks(&mut seen).await;
    see_tokens(&mut seen).await;
    let description = AdminSite::usual().await.description;
    let mut described = BTreeSet::new();
    for (path, method) in description.operations() {
        let responses = description.0["paths"][&path][&method]["responses"].as_object().unwrap();
        described.extend(responses.keys().map(|status| (path.clone(), method.clone(), status.clone())));
    }
    let missing: Vec<_> = described.difference(&seen.0).collect();
    assert!(missing.is_empty(), "described and never seen: {missing:?}");
    assert_eq!(seen.0, described);
}

/// Health, minting, erasure.
async fn see_gateway(seen: &mut Seen) {
    let (api, store) = AdminSite::on_faulty_store().await;
    let guarded = AdminSite::with_token(TOKEN).await;
    let body = wish("recording").to_string();
    for path in ["/healthz", "/readyz", "/metrics", "/openapi.json"] {
        seen.ask(&api, "GET", path, &[], b"").await;
    }
    api.site.drain.begin();
    seen.ask(&api, "GET", "/readyz", &[], b"").await;
    let large = " ".repeat((1 << 20) + 1);
    for (fields, body) in [
        (&[JSON][..], body.as_str()),
        (&[JSON], "{"),
        (&[EVIL, JSON], &body),
        (&[JSON], &large),
        (&[], &body),
        (&[JSON], "{}"),
    ] {
        seen.ask(&api, "POST", "/v1/links", fields, body.as_bytes()).await;
    }
    see_slow_bodies(seen, &api, &[("POST", "/v1/links".to_owned())]).await;
    store.set_fault(Fault::Fails);
    let checked = json!({"kind": "recording", "id": CALL.to_string(), "check": true}).to_string();
    seen.ask(&api, "POST", "/v1/links", &[JSON], checked.as_bytes()).await;
    seen.ask(&guarded, "POST", "/v1/links", &[JSON], checked.as_bytes()).await;
    let erase = format!("/v1/assets/{CALL}");
    for (asked, path, fields) in [
        (&api, erase.as_str(), &[][..]),
        (&api, "/v1/assets/x", &[]),
        (&api, &erase, &[EVIL]),
        (&guarded, &erase, &[]),
    ] {
        seen.ask(asked, "DELETE", path, fields, b"").await;
    }
    store.set_fault(Fault::Refuses);
    seen.ask(&api, "DELETE", &erase, &[], b"").await;
    store.set_fault(Fault::None);
    seen.ask(&api, "DELETE", &erase, &[], b"").await;
}

/// Everything about webhooks: each operation with a good request and with every kind of bad one.
async fn see_webhooks(seen: &mut Seen) {
    let api = AdminSite::sending().await;
    let guarded = AdminSite::with_token(TOKEN).await;
    let none = AdminSite::usual().await;
    let (refusing, closed) = (AdminSite::sending().await, AdminSite::sending().await);
    webhooks::drop_tables(&refusing.site).await;
    closed.site.sender.as_ref().unwrap().ledger().close().await;

    let good = good_requests(&api).await;
    for (method, path, body) in &good {
        let body = body.as_bytes();
        let fields: &[_] = if body.is_empty() { &[] } else { &[JSON] };
        seen.ask(&api, method, path, fields, body).await;
        seen.ask(&api, method, path, &[EVIL, JSON], body).await;
        seen.ask(&none, method, path, fields, body).await;
        seen.ask(&guarded, method, path, fields, body).await;
        seen.ask(&refusing, method, path, fields, body).await;
        seen.ask(&closed, method, path, fields, body).await;
        if !body.is_empty() {
            let large = " ".repeat((1 << 20) + 1);
            seen.ask(&api, method, path, &[JSON], b"{").await;
            seen.ask(&api, method, path, &[JSON], large.as_bytes()).await;
            seen.ask(&api, method, path, &[], body).await;
            seen.ask(&api, method, path, &[JSON], b"[]").await;
        }
    }
    let with_body = good.iter().filter(|(_, _, body)| !body.is_empty());
    let with_body: Vec<_> = with_body.map(|(method, path, _)| (*method, path.clone())).collect();
    see_slow_bodies(seen, &api, &with_body).await;
    for list in ["/v1/workspaces/acme/deliveries", "/v1/workspaces/acme/audit", "/v1/audit"] {
        seen.ask(&api, "GET", &format!("{list}?limit=0"), &[], b"").await;
    }
    let dry_run = json!({"from": "2000-01-01T00:00:00Z", "to": "2200-01-01T00:00:00Z", "dry_run": true});
    let recover = "/v1/workspaces/acme/recover";
    seen.ask(&api, "POST", recover, &[JSON], dry_run.to_string().as_bytes()).await;
    see_late_assets(seen, &api).await;
    let call = webhooks::call("acme", "call-1");
    seen.ask(&api, "POST", "/v1/calls", &[JSON], call.to_string().as_bytes()).await;
    let other = json!({"workspace": "acme", "call_id": "call-1", "recording": null});
    let other = webhooks::with(&call, &other);
    seen.ask(&api, "POST", "/v1/calls", &[JSON], other.to_string().as_bytes()).await;
    see_duplicates(seen, &api).await;
    // A pending delivery cannot be sent again.
    let waiting = webhooks::waiting_delivery(&api).await;
    let resend = format!("/v1/workspaces/acme/deliveries/{waiting}/resend");
    seen.ask(&api, "POST", &resend, &[], b"").await;
    // More test events than the limit allows.
    let (_, test, _) = good.iter().find(|(_, path, _)| path.ends_with("/test")).unwrap();
    while seen.ask(&api, "POST", test, &[], b"").await.status != 429 {}
    let rotate = good.iter().find(|(_, path, _)| path.ends_with("/rotate")).unwrap().1.clone();
    for _ in 0..9 {
        seen.ask(&api, "POST", &rotate, &[JSON], b"{}").await;
    }
    let alerts =
        Plan { sender: Some(webhooks::alerting(&Receiver::willing().await)), ..Plan::sending().await };
    seen.ask(&AdminSite::of(alerts).await, "POST", "/v1/alerts/test", &[], b"").await;
    let keyless = AdminSite::of(Plan { keyring: of_tomorrow(), ..Plan::sending().await }).await;
    seen.ask(&keyless, "POST", "/v1/workspaces/acme/portal-links", &[JSON], b"{}").await;
    for path in ["/v1/workspaces/acme/calls/call-1", "/v1/workspaces/acme"] {
        seen.ask(&api, "DELETE", path, &[], b"").await;
    }
}

/// An endpoint whose URL another one has.
async fn see_duplicates(seen: &mut Seen, api: &AdminSite) {
    let path = "/v1/workspaces/acme/endpoints";
    let added = api.get(path).await.json()["endpoints"].clone();
    let wish = json!({"url": added[0]["url"]}).to_string();
    let other = format!("{path}/{}", added[1]["id"].as_str().unwrap());
    seen.ask(api, "POST", path, &[JSON], wish.as_bytes()).await;
    seen.ask(api, "PATCH", &other, &[JSON], wish.as_bytes()).await;
}

/// Reports of late assets that change nothing, and a backfill that does not send.
async fn see_late_assets(seen: &mut Seen, api: &AdminSite) {
    let assets = "/v1/calls/call-late/assets";
    for recording in [CALL, ABSENT] {
        let body = json!({"workspace": "acme", "recording": recording.to_string()}).to_string();
        seen.ask(api, "POST", assets, &[JSON], body.as_bytes()).await;
    }
    let disabled = webhooks::disabled_endpoint(api).await;
    let endpoints = api.get("/v1/workspaces/acme/endpoints").await.json();
    let mut endpoints = endpoints["endpoints"].as_array().unwrap().iter();
    let active = endpoints.find(|endpoint| endpoint["state"] == "active").unwrap()["id"].as_str().unwrap();
    for (id, dry_run) in [(active, true), (&disabled, false)] {
        let path = format!("/v1/workspaces/acme/endpoints/{id}/backfill");
        let body = json!({"from": "2096-10-02T00:00:00Z", "dry_run": dry_run}).to_string();
        seen.ask(api, "POST", &path, &[JSON], body.as_bytes()).await;
    }
}

/// Request bodies that never arrive whole, all at once.
pub(super) async fn see_slow_bodies(seen: &mut Seen, api: &AdminSite, operations: &[(&'static str, String)]) {
    let asked = operations.iter().map(|(method, path)| async move {
        let head =
            format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n");
        let begun = format!("{head}Content-Length: 1000\r\n\r\n{{");
        let said = api.site.admin().exchange(begun.as_bytes()).await;
        (*method, path.as_str(), Answer::parse(&said, false).0)
    });
    for (method, path, answer) in futures_util::future::join_all(asked).await {
        api.description.hold(method, path, &answer);
        let (template, status) = (api.description.template(path), answer.status.to_string());
        seen.0.insert((template, method.to_lowercase(), status));
    }
}

/// A keyring whose only key does not sign yet.
fn of_tomorrow() -> Keyring {
    let tomorrow = UnixSeconds(NOW.0 + 86_400);
    Keyring::new(vec![SigningKey::new("later", key(), tomorrow, None)]).unwrap()
}

/// A good request for each operation that leaves the endpoint and delivery of the others alone: method, path, body.
async fn good_requests(api: &AdminSite) -> Vec<(&'static str, String, String)> {
    let receiver = Receiver::willing().await;
    let add = json!({"url": receiver.url("/hook"), "late_assets": true, "allow_duplicate": true});
    let added = api.send("POST", "/v1/workspaces/acme/endpoints", &add).await.json();
    let accepted = api.send("POST", "/v1/calls", &webhooks::call("acme", "call-0")).await.json();
    let delivery = accepted["deliveries"][0].as_str().unwrap().to_owned();
    webhooks::until(api, "acme", &delivery, "delivered").await;
    let gone = api.send("POST", "/v1/workspaces/acme/endpoints", &add).await.json();
    let (endpoint, gone) = (added["id"].as_str().unwrap(), gone["id"].as_str().unwrap());
    let of = |path: &str| format!("/v1/workspaces/acme{path}");
    let late = json!({"call_id": "call-late", "recording": null, "transcript": null});
    let late = webhooks::with(&webhooks::call("acme", "call-late"), &late);
    let late = api.send("POST", "/v1/calls", &late).await.json();
    webhooks::until(api, "acme", late["deliveries"][0].as_str().unwrap(), "delivered").await;
    let range = json!({"from": "2000-01-01T00:00:00Z", "to": "2200-01-01T00:00:00Z"}).to_string();
    vec![
        ("POST", "/v1/calls".to_owned(), webhooks::call("acme", "call-1").to_string()),
        ("POST", "/v1/find".to_owned(), json!({"query": "call-0"}).to_string()),
        ("GET", of("/calls/call-0"), String::new()),
        ("GET", of("/endpoints"), String::new()),
        ("POST", of("/endpoints"), add.to_string()),
        ("GET", of(&format!("/endpoints/{endpoint}")), String::new()),
        ("PATCH", of(&format!("/endpoints/{endpoint}")), "{}".to_owned()),
        ("DELETE", of(&format!("/endpoints/{gone}")), String::new()),
        ("GET", of(&format!("/endpoints/{endpoint}/secret")), String::new()),
        ("POST", of(&format!("/endpoints/{endpoint}/secret/rotate")), "{}".to_owned()),
        ("POST", of(&format!("/endpoints/{endpoint}/test")), String::new()),
        ("GET", of("/notices"), String::new()),
        ("GET", "/v1/alerts".to_owned(), String::new()),
        ("POST", "/v1/alerts/test".to_owned(), String::new()),
        ("GET", of("/deliveries"), String::new()),
        ("GET", of("/audit"), String::new()),
        ("GET", "/v1/audit".to_owned(), String::new()),
        ("GET", of(&format!("/deliveries/{delivery}")), String::new()),
        ("POST", of(&format!("/deliveries/{delivery}/resend")), String::new()),
        ("POST", of("/recover"), range),
        (
            "POST",
            of(&format!("/endpoints/{endpoint}/backfill")),
            json!({"from": "2096-10-02T00:00:00Z"}).to_string(),
        ),
        (
            "POST",
            "/v1/calls/call-late/assets".to_owned(),
            json!({"workspace": "acme", "recording": CALL.to_string()}).to_string(),
        ),
        ("POST", of("/portal-links"), json!({"listen": true, "expires_in": 60}).to_string()),
        ("DELETE", of("/calls/call-0"), String::new()),
        ("DELETE", "/v1/workspaces/other".to_owned(), String::new()),
    ]
}

#[tokio::test]
async fn a_request_is_accepted_exactly_if_it_is_as_described() {
    let api = AdminSite::usual().await;
    let id = CALL.to_string();
    let mut wishes: Vec<Value> = bad_wishes().into_iter().map(|(wish, _)| wish).collect();
    wishes.extend([
        wish("recording"),
        wish("transcript"),
        json!({"kind": "recording", "id": id, "expires_in": 1}),
        json!({"kind": "recording", "id": id, "expires_in": 86_400, "check": false}),
        json!({"id": ABSENT.to_string(), "check": true, "kind": "transcript"}),
        json!({"kind": "recording", "id": uuid::Uuid::nil().to_string()}),
        json!({"kind": "recording", "id": id, "url": null}),
        json!({"kind": ["recording"], "id": id}),
        json!({"kind": "recording", "id": [id]}),
        json!({"kind": "recording", "id": id, "check": 1}),
        json!({"kind": "recording", "id": id, "expires_in": [60]}),
    ]);
    let batches: Vec<Value> = wishes.iter().map(|wish| json!({"links": [wish]})).collect();
    wishes.extend(batches);
    wishes.extend([
        json!({"links": []}),
        json!({"links": {}}),
        json!({"links": [], "x": 1}),
        json!({"links": vec![wish("recording"); 1_000]}),
        json!({"links": vec![wish("recording"); 1_001]}),
    ]);
    for wish in wishes {
        as_described(&api, &wish).await;
    }
}

async fn as_described(api: &AdminSite, wish: &Value) {
    let answer = api.mint(wish).await;
    let shown = wish.to_string().chars().take(200).collect::<String>();
    assert_eq!(
        answer.status == 200,
        api.description.accepts("POST", "/v1/links", wish),
        "{} for {shown}",
        answer.status
    );
}

#[tokio::test]
async fn a_list_in_place_of_a_wish_is_accepted_exactly_if_it_is_described() {
    let api = AdminSite::usual().await;
    let list = json!(["recording", CALL.to_string(), 60, false]);
    as_described(&api, &list).await;
    as_described(&api, &json!({"links": [list]})).await;
}

#[tokio::test]
async fn an_absent_lifetime_written_as_null_is_accepted_exactly_if_it_is_described() {
    let api = AdminSite::usual().await;
    as_described(&api, &json!({"kind": "recording", "id": CALL.to_string(), "expires_in": null})).await;
}

/// In JSON Schema 60.0 is an integer, and some languages write it so.
#[tokio::test]
async fn a_lifetime_written_with_a_fraction_of_zero_is_accepted_exactly_if_it_is_described() {
    let api = AdminSite::usual().await;
    as_described(&api, &json!({"kind": "recording", "id": CALL.to_string(), "expires_in": 60.0})).await;
}

#[tokio::test]
async fn another_spelling_of_an_id_is_accepted_exactly_if_it_is_described() {
    let api = AdminSite::usual().await;
    let id = CALL.to_string();
    for id in [id.to_uppercase(), id.replace('-', ""), format!("{{{id}}}"), format!("urn:uuid:{id}")] {
        as_described(&api, &json!({"kind": "recording", "id": id})).await;
    }
}

#[tokio::test]
async fn head_has_the_fields_of_get() {
    let api = AdminSite::usual().await;
    for path in ["/healthz", "/readyz", "/openapi.json", "/nowhere"] {
        let get = api.site.admin().request("GET", path, &[], b"").await;
        let head = api.site.admin().request("HEAD", path, &[], b"").await;
        // An answer to HEAD may leave the length out but must not give another one (RFC 9110 §8.6).
        let fields = |answer: &Answer| {
            let kept = answer.fields.iter().filter(|(name, _)| name != "date" && name != "content-length");
            kept.cloned().collect::<BTreeSet<_>>()
        };
        assert_eq!((get.status, fields(&get)), (head.status, fields(&head)), "{path}");
        let length = head.field("content-length");
        assert!(length.is_none_or(|length| length == get.body.len().to_string()), "{path}: {length:?}");
    }
}
