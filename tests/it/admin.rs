//! The private listener: health, metrics, minting; and its description, held to what it really answers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use jsonschema::{Draft, Validator};
use serde_json::{Value, json};
use webhook_assets::clock::UnixSeconds;
use webhook_assets::signed_url::SigningKey;
use webhook_assets::{Keyring, admin};

use crate::support::stores::{Fault, Tried};
use crate::support::{ABSENT, Answer, CALL, DAY, NOW, Plan, Site, key, recording, sample_store, transcript};

const JSON: (&str, &str) = ("Content-Type", "application/json");

/// The admin listener of a site, every answer of which is held to the description.
struct Desk {
    site: Site,
    description: Description,
}

impl Desk {
    async fn usual() -> Self {
        Self::of(Plan::usual().await).await
    }

    async fn tried() -> (Self, Arc<Tried>) {
        let store = Tried::around(sample_store().await);
        (Self::of(Plan::on(store.clone())).await, store)
    }

    async fn with_token(token: &'static str) -> Self {
        Self::of(Plan { admin_token: Some(token), ..Plan::usual().await }).await
    }

    async fn of(plan: Plan) -> Self {
        let site = plan.start().await;
        let description = Description(site.admin().request("GET", "/openapi.json", &[], b"").await.json());
        Self { site, description }
    }

    async fn ask(&self, method: &str, path: &str, fields: &[(&str, &str)], body: &[u8]) -> Answer {
        let answer = self.site.admin().request(method, path, fields, body).await;
        assert_eq!(answer.must("x-content-type-options"), "nosniff");
        assert_eq!(answer.must("cache-control"), "no-store");
        self.description.hold(method, path, &answer);
        answer
    }

    async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[], b"").await
    }

    /// POSTs a body that is JSON, and holds its acceptance to the description of requests.
    async fn mint(&self, wish: &Value) -> Answer {
        self.ask("POST", "/v1/links", &[JSON], wish.to_string().as_bytes()).await
    }
}

/// A bearer's Authorization.
fn bearing(token: &str) -> String {
    format!("Bearer {token}")
}

fn wish(kind: &str) -> Value {
    json!({"kind": kind, "id": CALL.to_string()})
}

// --- health and readiness ---------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_process_that_answers_is_healthy() {
    let (desk, store) = Desk::tried().await;
    store.go_wrong(Fault::Fails);
    let answer = desk.get("/healthz").await;
    assert_eq!((answer.status, answer.json()), (200, json!({"status": "ok"})));
    assert_eq!(store.requests.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn keys_and_store_make_it_ready() {
    let (desk, store) = Desk::tried().await;
    let answer = desk.get("/readyz").await;
    assert_eq!(
        (answer.status, answer.json()),
        (200, json!({"status": "ready", "keys": "ok", "store": "ok"}))
    );
    // A look at the store is good for two seconds: whoever asks often costs nothing.
    for _ in 0..20 {
        desk.get("/readyz").await;
    }
    assert_eq!(store.requests.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_store_that_does_not_work_makes_it_not_ready_in_words_without_its_url() {
    for fault in [Fault::Fails, Fault::Refuses, Fault::Hangs] {
        let (desk, store) = Desk::tried().await;
        store.go_wrong(fault);
        let started = Instant::now();
        let answer = desk.get("/readyz").await;
        assert!(started.elapsed() < Duration::from_secs(3), "{fault:?}");
        assert_eq!((answer.status, &answer.json()["status"]), (503, &json!("not ready")), "{fault:?}");
        let text = String::from_utf8(answer.body.clone()).unwrap();
        for secret in ["store.example.com", "secret", "AKIAEXAMPLE", "https:", "Amz"] {
            assert!(!text.contains(secret), "{text}");
        }
        let words = answer.json()["store"].as_str().unwrap().to_owned();
        assert!(words.split(' ').count() > 3, "{words:?}");
        assert_eq!(answer.json()["keys"], "ok");
        assert_eq!(desk.get("/healthz").await.status, 200);
    }
}

#[tokio::test]
async fn it_is_ready_again_once_the_store_is() {
    let (desk, store) = Desk::tried().await;
    store.go_wrong(Fault::Fails);
    assert_eq!(desk.get("/readyz").await.status, 503);
    store.go_wrong(Fault::None);
    tokio::time::sleep(Duration::from_millis(2_100)).await;
    assert_eq!(desk.get("/readyz").await.status, 200);
}

#[tokio::test]
async fn it_is_not_ready_while_no_key_may_sign() {
    let starts = NOW.plus(Duration::from_secs(60));
    let keyring = Keyring::new(vec![SigningKey::new("k1", key(), starts, None)]).unwrap();
    let desk = Desk::of(Plan { keyring, ..Plan::usual().await }).await;
    let answer = desk.get("/readyz").await;
    assert_eq!((answer.status, &answer.json()["store"]), (503, &json!("ok")));
    assert_ne!(answer.json()["keys"], "ok");
    desk.site.clock.set(starts);
    assert_eq!(desk.get("/readyz").await.status, 200);
}

#[tokio::test]
async fn while_it_stops_it_is_not_ready() {
    let desk = Desk::usual().await;
    desk.site.drain.begin();
    let answer = desk.get("/readyz").await;
    assert_eq!((answer.status, &answer.json()["status"]), (503, &json!("stopping")));
    assert_eq!(desk.get("/healthz").await.status, 200);
}

// --- metrics ----------------------------------------------------------------------------------------------------------

/// A metrics page, read as strictly as OpenMetrics 1.0 is written.
#[derive(Debug, Default)]
struct Page {
    families: BTreeMap<String, Family>,
}

#[derive(Debug, Default)]
struct Family {
    kind: String,
    unit: String,
    help: String,
    /// Name, labels as they stand, value.
    samples: Vec<(String, String, f64)>,
}

impl Page {
    fn parse(text: &str) -> Self {
        let body = text.strip_suffix("# EOF\n").expect("a page ends with # EOF and a newline");
        assert!(!body.contains("# EOF") && !body.contains('\r') && !body.contains("\n\n"));
        let mut page = Self::default();
        let mut current = String::new();
        for line in body.lines() {
            match line.strip_prefix("# ") {
                Some(comment) => page.take_comment(comment, &mut current),
                None => page.take_sample(line, &current),
            }
        }
        for (name, family) in &page.families {
            family.check(name);
        }
        page
    }

    fn take_comment(&mut self, comment: &str, current: &mut String) {
        let [what, name, text] = comment.splitn(3, ' ').collect::<Vec<_>>()[..] else {
            panic!("no comment of the format: {comment:?}")
        };
        if name != current {
            assert!(!self.families.contains_key(name), "{name} is interleaved with others");
            *current = name.to_owned();
        }
        let family = self.families.entry(name.to_owned()).or_default();
        assert!(family.samples.is_empty(), "{what} of {name} stands behind its samples");
        let place = match what {
            "TYPE" => &mut family.kind,
            "UNIT" => &mut family.unit,
            "HELP" => &mut family.help,
            _ => panic!("no comment of the format: {comment:?}"),
        };
        assert!(place.is_empty() && !text.is_empty(), "{what} of {name} stands twice or is empty");
        text.clone_into(place);
    }

    fn take_sample(&mut self, line: &str, current: &str) {
        let (series, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("no sample: {line:?}"));
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        let labels = labels.strip_suffix('}').unwrap_or_else(|| panic!("no labels: {line:?}"));
        let fine = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        assert!(fine(name) && name.starts_with(current), "{line:?} stands under {current}");
        for label in labels.split(',').filter(|_| !labels.is_empty()) {
            let (key, value) = label.split_once('=').unwrap_or_else(|| panic!("no label: {line:?}"));
            let inner = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
            assert!(fine(key) && inner.is_some_and(|inner| !inner.contains(['"', '\\', '\n'])), "{line:?}");
        }
        let value: f64 = value.parse().unwrap_or_else(|_| panic!("no number: {line:?}"));
        assert!(value.is_finite() && value >= 0.0, "{line:?}");
        let family = self.families.get_mut(current).unwrap_or_else(|| panic!("no family: {line:?}"));
        let sample = (name.to_owned(), labels.to_owned(), value);
        assert!(
            family.samples.iter().all(|(n, l, _)| (n, l) != (&sample.0, &sample.1)),
            "{line:?} stands twice"
        );
        family.samples.push(sample);
    }

    fn value(&self, series: &str) -> f64 {
        let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
        let labels = labels.trim_end_matches('}');
        let samples = self.families.values().flat_map(|family| &family.samples);
        let mut found = samples.filter(|(n, l, _)| n == name && l == labels).map(|(_, _, value)| *value);
        found.next().unwrap_or(0.0)
    }
}

impl Family {
    fn check(&self, name: &str) {
        assert!(name.starts_with("webhook_assets_") && !self.help.is_empty(), "{name} without help");
        assert!(
            self.unit.is_empty() || name.ends_with(&format!("_{}", self.unit)),
            "{name} in {}",
            self.unit
        );
        let suffixes: &[&str] = match self.kind.as_str() {
            "counter" => &["_total"],
            "gauge" => &[""],
            "histogram" => &["_bucket", "_sum", "_count"],
            other => panic!("{name} is of type {other:?}"),
        };
        for (sample, labels, _) in &self.samples {
            let suffix = &sample[name.len()..];
            assert!(suffixes.contains(&suffix), "{sample} in a {}", self.kind);
            assert_eq!(suffix == "_bucket", labels.contains("le=\""), "{sample}");
        }
        if self.kind == "histogram" {
            self.check_buckets(name);
        }
    }

    /// Buckets grow, and the last is the count.
    fn check_buckets(&self, name: &str) {
        let mut last = BTreeMap::new();
        for (sample, labels, value) in &self.samples {
            let others: Vec<&str> = labels.split(',').filter(|label| !label.starts_with("le=")).collect();
            let others = others.join(",");
            if sample.ends_with("_bucket") {
                let before = last.insert(others, (*value, labels.contains("le=\"+Inf\"")));
                assert!(before.is_none_or(|(before, end)| before <= *value && !end), "{name} {labels}");
            }
        }
        for (sample, labels, value) in &self.samples {
            if sample.ends_with("_count") {
                assert_eq!(last.get(labels), Some(&(*value, true)), "{name} {labels}");
            }
        }
    }
}

async fn page(desk: &Desk) -> Page {
    let answer = desk.get("/metrics").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.must("content-type"), "application/openmetrics-text; version=1.0.0; charset=utf-8");
    Page::parse(std::str::from_utf8(&answer.body).unwrap())
}

/// Does something and returns by how much each series moved, once the last of `until` did.
async fn moved(desk: &Desk, before: &Page, until: &str) -> impl Fn(&str) -> f64 {
    for _ in 0..200 {
        if page(desk).await.value(until) > before.value(until) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let after = page(desk).await;
    let before: BTreeMap<String, f64> = before
        .families
        .values()
        .flat_map(|family| &family.samples)
        .map(|(name, labels, value)| (format!("{name}{{{labels}}}"), *value))
        .collect();
    move |series| after.value(series) - before.get(series).copied().unwrap_or(0.0)
}

const FAMILIES: [(&str, &str); 13] = [
    ("requests", "counter"),
    ("bodies", "counter"),
    ("sent_bytes", "counter"),
    ("response_head_seconds", "histogram"),
    ("requests_in_flight", "gauge"),
    ("store_answers", "counter"),
    ("store_wait_seconds", "histogram"),
    ("store_broke_off", "counter"),
    ("store_resumed", "counter"),
    ("store_up", "gauge"),
    ("links_minted", "counter"),
    ("keyring_keys", "gauge"),
    ("keyring_reloads", "counter"),
];

#[tokio::test]
async fn the_metrics_page_is_strict_openmetrics_with_every_family() {
    let (desk, store) = Desk::tried().await;
    // Families without a sample are not shown, so everything happens once.
    desk.site.get(&desk.site.recording(), &[]).await;
    desk.mint(&wish("recording")).await;
    desk.site.keyring.reload(std::path::Path::new("/nowhere"));
    store.go_wrong(Fault::StallsAfter(1_000));
    let request = crate::support::client::request_head("GET", &desk.site.recording(), &[], b"");
    desk.site.client().exchange(request.as_bytes()).await;
    let page = page(&desk).await;
    for (name, kind) in FAMILIES {
        let family = page.families.get(&format!("webhook_assets_{name}"));
        assert_eq!(family.map(|family| family.kind.as_str()), Some(kind), "{name}");
        assert!(!family.unwrap().samples.is_empty(), "{name}");
    }
    assert_eq!(page.families.len(), FAMILIES.len(), "{:?}", page.families.keys());
}

#[tokio::test]
async fn a_fresh_process_has_a_page_too() {
    let desk = Desk::usual().await;
    assert!(page(&desk).await.value("webhook_assets_keyring_keys") > 0.0);
}

#[tokio::test]
async fn counters_move_with_requests() {
    let desk = Desk::usual().await;
    let site = &desk.site;
    let before = page(&desk).await;
    site.get(&site.recording(), &[]).await;
    site.get(&(site.recording() + "0"), &[]).await;
    let refused = "webhook_assets_requests_total{asset=\"none\",status=\"403\",outcome=\"malformed_sig\"}";
    let by = moved(&desk, &before, refused).await;
    assert_eq!(by(refused), 1.0);
    assert_eq!(by("webhook_assets_requests_total{asset=\"recording\",status=\"200\",outcome=\"ok\"}"), 1.0);
    assert_eq!(by("webhook_assets_sent_bytes_total{asset=\"recording\"}"), 300_000.0);
    assert_eq!(by("webhook_assets_bodies_total{asset=\"recording\",ending=\"complete\"}"), 1.0);
    assert_eq!(by("webhook_assets_response_head_seconds_count{asset=\"recording\"}"), 1.0);
    assert_eq!(by("webhook_assets_store_answers_total{operation=\"get\",result=\"ok\"}"), 1.0);
    assert_eq!(by("webhook_assets_requests_in_flight{}"), 0.0);
    let before = page(&desk).await;
    let batch = json!({"links": [wish("recording"), wish("transcript"), wish("transcript")]});
    desk.mint(&batch).await;
    let by = moved(&desk, &before, "webhook_assets_links_minted_total{asset=\"transcript\"}").await;
    assert_eq!(by("webhook_assets_links_minted_total{asset=\"recording\"}"), 1.0);
    assert_eq!(by("webhook_assets_links_minted_total{asset=\"transcript\"}"), 2.0);
}

#[tokio::test]
async fn counters_move_with_what_the_store_does_wrong() {
    let (desk, store) = Desk::tried().await;
    let site = &desk.site;
    let before = page(&desk).await;
    store.go_wrong(Fault::Fails);
    site.get(&site.recording(), &[]).await;
    store.go_wrong(Fault::EndsAfter(100_000));
    let request = crate::support::client::request_head("GET", &site.recording(), &[], b"");
    site.client().exchange(request.as_bytes()).await;
    let broken = "webhook_assets_bodies_total{asset=\"recording\",ending=\"store_failed\"}";
    let by = moved(&desk, &before, broken).await;
    assert_eq!(by(broken), 1.0);
    assert_eq!(by("webhook_assets_store_broke_off_total{reason=\"broken\"}"), 1.0);
    assert_eq!(by("webhook_assets_store_answers_total{operation=\"get\",result=\"unavailable\"}"), 1.0);
    let failed =
        "webhook_assets_requests_total{asset=\"recording\",status=\"503\",outcome=\"store_unavailable\"}";
    assert_eq!(by(failed), 1.0);
}

/// The number is of links that were handed out; a batch is minted whole or not at all.
#[tokio::test]
async fn a_batch_that_is_refused_counts_no_link() {
    let desk = Desk::usual().await;
    let answer = desk.mint(&json!({"links": [wish("recording"), wish("nonsense")]})).await;
    assert_eq!(answer.status, 422);
    assert_eq!(page(&desk).await.value("webhook_assets_links_minted_total{asset=\"recording\"}"), 0.0);
}

// --- minting ----------------------------------------------------------------------------------------------------------

/// Path and query of a minted link at the gateway.
fn target(desk: &Desk, link: &Value) -> String {
    link["url"].as_str().unwrap().strip_prefix(desk.site.base.origin()).unwrap().to_owned()
}

#[tokio::test]
async fn a_minted_link_opens_its_asset_until_it_expires() {
    let desk = Desk::usual().await;
    let answer = desk.mint(&json!({"kind": "recording", "id": CALL.to_string(), "expires_in": 60})).await;
    assert_eq!(answer.status, 200);
    let link = answer.json();
    assert_eq!(link["expires"], NOW.0 + 60);
    assert_eq!(link["expires_at"], UnixSeconds(NOW.0 + 60).to_string());
    assert_eq!(
        (&link["kind"], &link["id"], &link["key_id"]),
        (&json!("recording"), &json!(CALL.to_string()), &json!("k1"))
    );
    assert_eq!(link.get("object"), None);
    let target = target(&desk, &link);
    assert!(target.starts_with("/api/webhook-assets/recording/"));
    let opened = desk.site.get(&target, &[]).await;
    assert!(opened.status == 200 && opened.body == recording());
    desk.site.clock.advance(Duration::from_secs(60));
    assert_eq!(desk.site.get(&target, &[]).await.code(), "expired");
}

#[tokio::test]
async fn without_a_lifetime_a_link_lives_as_long_as_links_may() {
    let desk = Desk::usual().await;
    let link = desk.mint(&wish("transcript")).await.json();
    assert_eq!(link["expires"], NOW.plus(DAY).0);
    let opened = desk.site.get(&target(&desk, &link), &[]).await;
    assert!(opened.status == 200 && opened.body == transcript());
}

#[tokio::test]
async fn a_batch_is_answered_in_its_order() {
    let desk = Desk::usual().await;
    let wishes: Vec<Value> = (1..=100_u64)
        .map(|number| {
            let kind = if number % 3 == 0 { "transcript" } else { "recording" };
            let id = uuid::Uuid::from_u128(number.into()).to_string();
            json!({"kind": kind, "id": id, "expires_in": number, "check": number % 2 == 0})
        })
        .collect();
    let answer = desk.mint(&json!({"links": wishes})).await;
    assert_eq!(answer.status, 200);
    let links = answer.json()["links"].as_array().unwrap().clone();
    assert_eq!(links.len(), wishes.len());
    for (link, wish) in links.iter().zip(&wishes) {
        assert_eq!((&link["kind"], &link["id"]), (&wish["kind"], &wish["id"]));
        assert_eq!(link["url"].is_null(), wish["check"] == true);
    }
}

#[tokio::test]
async fn a_check_says_what_there_is() {
    let (desk, store) = Desk::tried().await;
    let wishes = json!({"links": [
        {"kind": "recording", "id": CALL.to_string(), "check": true},
        {"kind": "transcript", "id": CALL.to_string(), "check": true},
        {"kind": "recording", "id": ABSENT.to_string(), "check": true},
        {"kind": "recording", "id": ABSENT.to_string()},
    ]});
    let links = desk.mint(&wishes).await.json()["links"].clone();
    assert_eq!(links[0]["object"], json!({"size": 300_000, "media_type": "audio/mpeg"}));
    assert_eq!(links[1]["object"], json!({"size": transcript().len(), "media_type": "application/json"}));
    let absent = json!({
        "kind": "recording", "id": ABSENT.to_string(), "url": null, "expires_at": null, "object": null,
        "reason": "not_found",
    });
    assert_eq!(links[2], absent);
    assert!(links[3]["url"].is_string());
    assert_eq!(store.asked(), (3, 0));
    let single = desk.mint(&json!({"kind": "recording", "id": ABSENT.to_string(), "check": true})).await;
    assert_eq!((single.status, single.json()), (200, absent));
}

#[tokio::test]
async fn a_check_that_cannot_be_made_is_503_with_retry_after() {
    let (desk, store) = Desk::tried().await;
    for fault in [Fault::Fails, Fault::Refuses, Fault::Hangs] {
        store.go_wrong(fault);
        let answer = desk.mint(&json!({"kind": "recording", "id": CALL.to_string(), "check": true})).await;
        assert_eq!((answer.status, answer.code().as_str()), (503, "storage_unavailable"), "{fault:?}");
        assert!(answer.must("retry-after").parse::<u32>().is_ok());
        let text = String::from_utf8(answer.body).unwrap();
        assert!(!text.contains("secret") && !text.contains("store.example.com"));
        // Without the check the store is not needed.
        assert_eq!(desk.mint(&wish("recording")).await.status, 200);
    }
}

#[tokio::test]
async fn without_a_key_that_may_sign_it_is_503() {
    let starts = NOW.plus(Duration::from_secs(60));
    let keyring = Keyring::new(vec![SigningKey::new("k1", key(), starts, None)]).unwrap();
    let desk = Desk::of(Plan { keyring, ..Plan::usual().await }).await;
    let answer = desk.mint(&wish("recording")).await;
    assert_eq!((answer.status, answer.code().as_str()), (503, "no_key"));
}

/// A wish that is refused, and where the answer points.
fn bad_wishes() -> Vec<(Value, &'static str)> {
    let id = CALL.to_string();
    vec![
        (json!({"kind": "recording", "id": id, "expires_in": 0}), "/expires_in"),
        (json!({"kind": "video", "id": id}), "/kind"),
        (json!({"kind": "Recording", "id": id}), "/kind"),
        (json!({"kind": "", "id": id}), "/kind"),
        (json!({"kind": "recording", "id": ""}), "/id"),
        (json!({"kind": "recording", "id": "42"}), "/id"),
        (json!({"kind": "recording", "id": format!("{id}0")}), "/id"),
        (json!({"kind": "recording", "id": "../../etc/passwd"}), "/id"),
        (json!({"kind": "recording", "id": id, "expires_in": -1}), "/expires_in"),
        (json!({"kind": "recording", "id": id, "expires_in": 1.5}), "/expires_in"),
        (json!({"kind": "recording", "id": id, "expires_in": "60"}), ""),
        (json!({"kind": "recording", "id": id, "expires": 60}), ""),
        (json!({"kind": "recording", "id": id, "check": "yes"}), ""),
        (json!({"kind": "recording", "id": id, "check": null}), ""),
        (json!({"kind": "recording", "id": 42}), ""),
        (json!({"kind": null, "id": id}), ""),
        (json!({"kind": "recording"}), ""),
        (json!({"id": id}), ""),
        (json!({}), ""),
        (json!(null), ""),
        (json!("recording"), ""),
        (json!(42), ""),
        (json!([]), ""),
        (json!([wish("recording")]), ""),
    ]
}

#[tokio::test]
async fn a_wish_that_cannot_be_fulfilled_is_422_and_the_answer_points_to_it() {
    let desk = Desk::usual().await;
    for (wish, pointer) in bad_wishes() {
        let answer = desk.mint(&wish).await;
        assert_eq!((answer.status, answer.code().as_str()), (422, "invalid_request"), "{wish}");
        assert_eq!(answer.json()["pointer"], pointer, "{wish}");
        let batch = json!({"links": [{"kind": "recording", "id": CALL.to_string()}, wish]});
        let answer = desk.mint(&batch).await;
        assert_eq!((answer.status, &answer.json()["pointer"]), (422, &json!(format!("/links/1{pointer}"))));
    }
}

#[tokio::test]
async fn a_lifetime_beyond_the_longest_is_422() {
    let desk = Desk::usual().await;
    for expires_in in [86_401, u64::from(u32::MAX), u64::MAX] {
        let wish = json!({"kind": "recording", "id": CALL.to_string(), "expires_in": expires_in});
        let answer = desk.mint(&wish).await;
        assert_eq!((answer.status, &answer.json()["pointer"]), (422, &json!("/expires_in")));
    }
    let longest = json!({"kind": "recording", "id": CALL.to_string(), "expires_in": 86_400});
    assert_eq!(desk.mint(&longest).await.status, 200);
}

#[tokio::test]
async fn a_batch_of_another_form_is_422() {
    let desk = Desk::usual().await;
    for batch in [
        json!({"links": {}}),
        json!({"links": null}),
        json!({"links": "x"}),
        json!({"links": [], "check": true}),
        json!({"links": [], "kind": "recording", "id": CALL.to_string()}),
        json!({"links": [[]]}),
        json!({"links": [null]}),
        json!({"links": [{"links": []}]}),
    ] {
        assert_eq!(desk.mint(&batch).await.status, 422, "{batch}");
    }
    assert_eq!(desk.mint(&json!({"links": []})).await.json(), json!({"links": []}));
}

#[tokio::test]
async fn a_batch_has_at_most_a_thousand_links() {
    let desk = Desk::usual().await;
    let batch = |count| json!({"links": vec![wish("recording"); count]});
    let answer = desk.mint(&batch(1_000)).await;
    assert_eq!((answer.status, answer.json()["links"].as_array().unwrap().len()), (200, 1_000));
    let answer = desk.mint(&batch(1_001)).await;
    assert_eq!((answer.status, &answer.json()["pointer"]), (422, &json!("/links")));
}

#[tokio::test]
async fn what_is_not_json_is_400() {
    let desk = Desk::usual().await;
    let bodies: [&[u8]; 7] =
        [b"", b"{", b"kind=recording", b"{} {}", b"{\"kind\": 'recording'}", b"\xff\xfe", b"NaN"];
    for body in bodies {
        let answer = desk.ask("POST", "/v1/links", &[JSON], body).await;
        assert_eq!((answer.status, answer.code().as_str()), (400, "not_json"), "{body:?}");
    }
    let deep = "[".repeat(100_000);
    assert_eq!(desk.ask("POST", "/v1/links", &[JSON], deep.as_bytes()).await.status, 400);
}

#[tokio::test]
async fn another_media_type_is_415() {
    let desk = Desk::usual().await;
    let body = wish("recording").to_string();
    for media_type in ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", "json", ""] {
        let answer = desk.ask("POST", "/v1/links", &[("Content-Type", media_type)], body.as_bytes()).await;
        assert_eq!((answer.status, answer.code().as_str()), (415, "unsupported_media_type"), "{media_type}");
    }
    assert_eq!(desk.ask("POST", "/v1/links", &[], body.as_bytes()).await.status, 415);
    for media_type in ["application/json; charset=utf-8", "Application/JSON", "application/json;x=y"] {
        let answer = desk.ask("POST", "/v1/links", &[("Content-Type", media_type)], body.as_bytes()).await;
        assert_eq!(answer.status, 200, "{media_type}");
    }
}

#[tokio::test]
async fn a_body_of_more_than_a_mebibyte_is_413() {
    let desk = Desk::usual().await;
    let mut body = wish("recording").to_string();
    body.push_str(&" ".repeat((1 << 20) - body.len()));
    assert_eq!(desk.ask("POST", "/v1/links", &[JSON], body.as_bytes()).await.status, 200);
    body.push(' ');
    let answer = desk.ask("POST", "/v1/links", &[JSON], body.as_bytes()).await;
    assert_eq!((answer.status, answer.code().as_str()), (413, "body_too_large"));
}

// --- who may mint -----------------------------------------------------------------------------------------------------

const TOKEN: &str = "a-token-for-tests-0123456789";

#[tokio::test]
async fn with_a_token_only_its_bearer_mints() {
    let desk = Desk::with_token(TOKEN).await;
    let body = wish("recording").to_string();
    let good = bearing(TOKEN);
    let twice = [("Authorization", good.as_str()), ("Authorization", good.as_str()), JSON];
    let upper = bearing(&TOKEN.to_uppercase());
    let short = bearing(&TOKEN[..TOKEN.len() - 1]);
    let long = bearing(&format!("{TOKEN}0"));
    let basic = format!("Basic {TOKEN}");
    let single = |value| vec![("Authorization", value), JSON];
    let refused = [
        vec![JSON],
        single(""),
        single("Bearer"),
        single(TOKEN),
        single(&upper),
        single(&short),
        single(&long),
        single(&basic),
        twice.to_vec(),
        vec![("X-Token", TOKEN), JSON],
    ];
    for fields in refused {
        let answer = desk.ask("POST", "/v1/links", &fields, body.as_bytes()).await;
        assert_eq!((answer.status, answer.code().as_str()), (401, "unauthorized"), "{fields:?}");
        assert_eq!(answer.must("www-authenticate"), "Bearer");
        assert!(!String::from_utf8(answer.body).unwrap().contains(TOKEN));
    }
    // Not in the query either: it would be logged on the way.
    let answer = desk
        .site
        .admin()
        .request("POST", &format!("/v1/links?token={TOKEN}&access_token={TOKEN}"), &[JSON], body.as_bytes())
        .await;
    assert_eq!(answer.status, 401);
    // The body does not matter to whoever is not let in.
    assert_eq!(desk.ask("POST", "/v1/links", &[], b"garbage").await.status, 401);
    for scheme in ["Bearer", "bearer", "BEARER"] {
        let value = format!("{scheme} {TOKEN}");
        let fields = [("Authorization", value.as_str()), JSON, ("Host", "admin.internal:9000")];
        assert_eq!(desk.ask("POST", "/v1/links", &fields, body.as_bytes()).await.status, 200, "{scheme}");
    }
}

#[tokio::test]
async fn health_and_metrics_take_no_token() {
    let desk = Desk::with_token(TOKEN).await;
    for path in ["/healthz", "/readyz", "/metrics", "/openapi.json"] {
        assert_eq!(desk.get(path).await.status, 200, "{path}");
    }
}

/// A web page can give its own name the address 127.0.0.1; then the browser sends that name as Host.
#[tokio::test]
async fn without_a_token_only_requests_meant_for_loopback_mint() {
    let desk = Desk::usual().await;
    let body = wish("recording").to_string();
    for host in [
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "evil-localhost",
        "10.0.0.1",
        "0.0.0.0",
        "[::]",
        "192.168.1.1:9000",
        "",
    ] {
        let answer = desk.ask("POST", "/v1/links", &[("Host", host), JSON], body.as_bytes()).await;
        assert_eq!((answer.status, answer.code().as_str()), (403, "host_not_allowed"), "{host:?}");
    }
    for host in
        ["localhost", "localhost:9000", "127.0.0.1", "127.0.0.1:9000", "127.8.8.8", "[::1]", "[::1]:9000"]
    {
        let answer = desk.ask("POST", "/v1/links", &[("Host", host), JSON], body.as_bytes()).await;
        assert_eq!(answer.status, 200, "{host:?}");
    }
}

#[tokio::test]
async fn no_page_of_another_origin_is_let_in_by_cors() {
    let desk = Desk::usual().await;
    let fields = [("Origin", "https://evil.example"), ("Access-Control-Request-Method", "POST")];
    for method in ["OPTIONS", "POST", "GET"] {
        let answer = desk.site.admin().request(method, "/v1/links", &fields, b"").await;
        assert!(!answer.fields.iter().any(|(name, _)| name.starts_with("access-control-")), "{answer:?}");
    }
}

// --- the description --------------------------------------------------------------------------------------------------

/// The OpenAPI document (3.1: its schemas are JSON Schema 2020-12).
struct Description(Value);

impl Description {
    /// Every path and method that is described.
    fn operations(&self) -> BTreeSet<(String, String)> {
        let paths = self.0["paths"].as_object().unwrap();
        let methods = |item: &Value| item.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        paths.iter().flat_map(|(path, item)| methods(item).into_iter().map(|m| (path.clone(), m))).collect()
    }

    fn validator(&self, schema: &Value) -> Validator {
        let mut whole = schema.clone();
        whole["components"] = self.0["components"].clone();
        let options = jsonschema::options().with_draft(Draft::Draft202012).should_validate_formats(true);
        options.build(&whole).unwrap()
    }

    /// Holds an answer of a described operation to its description.
    fn hold(&self, method: &str, path: &str, answer: &Answer) {
        let path = template(path);
        let operation = &self.0["paths"][path][method.to_lowercase()];
        if operation.is_null() {
            return;
        }
        let content = &operation["responses"][answer.status.to_string()]["content"];
        assert!(content.is_object(), "{method} {path}: {} is not described", answer.status);
        let media_type = answer.must("content-type").split(';').next().unwrap();
        let schema = &content[media_type]["schema"];
        assert!(schema.is_object(), "{method} {path}: {} as {media_type} is not described", answer.status);
        let body = if media_type.ends_with("json") {
            answer.json()
        } else {
            Value::String(String::from_utf8(answer.body.clone()).unwrap())
        };
        let errors: Vec<String> = self.validator(schema).iter_errors(&body).map(|e| e.to_string()).collect();
        assert!(errors.is_empty(), "{method} {path} {}: {errors:?} in {body}", answer.status);
    }

    fn accepts(&self, wish: &Value) -> bool {
        let body = &self.0["paths"]["/v1/links"]["post"]["requestBody"];
        self.validator(&body["content"]["application/json"]["schema"]).is_valid(wish)
    }
}

#[tokio::test]
async fn the_description_is_well_formed_and_complete_in_itself() {
    let desk = Desk::usual().await;
    let description = &desk.description;
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
    let desk = Desk::usual().await;
    let operations = desk.description.operations();
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
            let answer = desk.site.admin().request(method, path, &[], b"").await;
            // HEAD goes with GET, as everywhere in HTTP.
            let as_described = if method == "HEAD" { "get" } else { &method.to_lowercase() };
            let served = !matches!(answer.status, 404 | 405);
            let is_described = operations.contains(&(path.to_owned(), as_described.to_owned()));
            assert_eq!(served, is_described, "{method} {path}: {}", answer.status);
            assert_eq!(answer.status == 404, !described.contains(path), "{method} {path}");
            if answer.status == 405 {
                allows_what_is_described(&operations, path, answer.must("allow"));
            }
        }
    }
}

fn allows_what_is_described(operations: &BTreeSet<(String, String)>, path: &str, allow: &str) {
    let allowed: BTreeSet<String> =
        allow.split(", ").map(str::to_lowercase).filter(|m| m != "head").collect();
    let described = operations.iter().filter(|(of, _)| of == path).map(|(_, method)| method.clone());
    assert_eq!(allowed, described.collect(), "{path}");
}

/// The path as the description has it.
fn template(path: &str) -> &str {
    if path.starts_with("/v1/assets/") { "/v1/assets/{id}" } else { path }
}

#[tokio::test]
async fn every_described_status_really_happens() {
    let (desk, store) = Desk::tried().await;
    let guarded = Desk::with_token(TOKEN).await;
    let body = wish("recording").to_string();
    let mut seen = BTreeSet::new();
    let mut see = |method: &str, path: &str, answer: &Answer| {
        seen.insert((template(path).to_owned(), method.to_lowercase(), answer.status.to_string()));
    };
    for path in ["/healthz", "/readyz", "/metrics", "/openapi.json"] {
        see("GET", path, &desk.get(path).await);
    }
    desk.site.drain.begin();
    see("GET", "/readyz", &desk.get("/readyz").await);
    let evil = [("Host", "evil.example"), JSON];
    let large = " ".repeat((1 << 20) + 1);
    for (fields, body) in [
        (&[JSON][..], body.as_str()),
        (&[JSON], "{"),
        (&evil, &body),
        (&[JSON], &large),
        (&[], &body),
        (&[JSON], "{}"),
    ] {
        see("POST", "/v1/links", &desk.ask("POST", "/v1/links", fields, body.as_bytes()).await);
    }
    store.go_wrong(Fault::Fails);
    let checked = json!({"kind": "recording", "id": CALL.to_string(), "check": true});
    see("POST", "/v1/links", &desk.mint(&checked).await);
    see("POST", "/v1/links", &guarded.mint(&checked).await);
    let erase = format!("/v1/assets/{CALL}");
    for (asked, path, fields) in [
        (&desk, erase.as_str(), &[][..]),
        (&desk, "/v1/assets/x", &[]),
        (&desk, &erase, &evil[..1]),
        (&guarded, &erase, &[]),
    ] {
        see("DELETE", path, &asked.ask("DELETE", path, fields, b"").await);
    }
    store.go_wrong(Fault::Refuses);
    see("DELETE", &erase, &desk.ask("DELETE", &erase, &[], b"").await);
    store.go_wrong(Fault::None);
    see("DELETE", &erase, &desk.ask("DELETE", &erase, &[], b"").await);
    let mut described = BTreeSet::new();
    for (path, method) in desk.description.operations() {
        let responses = desk.description.0["paths"][&path][&method]["responses"].as_object().unwrap();
        described.extend(responses.keys().map(|status| (path.clone(), method.clone(), status.clone())));
    }
    assert_eq!(seen, described);
}

#[tokio::test]
async fn a_request_is_accepted_exactly_if_it_is_as_described() {
    let desk = Desk::usual().await;
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
        as_described(&desk, &wish).await;
    }
}

async fn as_described(desk: &Desk, wish: &Value) {
    let answer = desk.mint(wish).await;
    let shown = wish.to_string().chars().take(200).collect::<String>();
    assert_eq!(answer.status == 200, desk.description.accepts(wish), "{} for {shown}", answer.status);
}

#[tokio::test]
async fn a_list_in_place_of_a_wish_is_accepted_exactly_if_it_is_described() {
    let desk = Desk::usual().await;
    let list = json!(["recording", CALL.to_string(), 60, false]);
    as_described(&desk, &list).await;
    as_described(&desk, &json!({"links": [list]})).await;
}

#[tokio::test]
async fn an_absent_lifetime_written_as_null_is_accepted_exactly_if_it_is_described() {
    let desk = Desk::usual().await;
    as_described(&desk, &json!({"kind": "recording", "id": CALL.to_string(), "expires_in": null})).await;
}

/// In JSON Schema 60.0 is an integer, and there are languages that write it so.
#[tokio::test]
async fn a_lifetime_written_with_a_fraction_of_zero_is_accepted_exactly_if_it_is_described() {
    let desk = Desk::usual().await;
    as_described(&desk, &json!({"kind": "recording", "id": CALL.to_string(), "expires_in": 60.0})).await;
}

#[tokio::test]
async fn another_spelling_of_an_id_is_accepted_exactly_if_it_is_described() {
    let desk = Desk::usual().await;
    let id = CALL.to_string();
    for id in [id.to_uppercase(), id.replace('-', ""), format!("{{{id}}}"), format!("urn:uuid:{id}")] {
        as_described(&desk, &json!({"kind": "recording", "id": id})).await;
    }
}

#[tokio::test]
async fn head_has_the_fields_of_get() {
    let desk = Desk::usual().await;
    for path in ["/healthz", "/readyz", "/openapi.json", "/nowhere"] {
        let get = desk.site.admin().request("GET", path, &[], b"").await;
        let head = desk.site.admin().request("HEAD", path, &[], b"").await;
        // A length may be left out of an answer to HEAD, but not be another one (RFC 9110 §8.6).
        let fields = |answer: &Answer| {
            let kept = answer.fields.iter().filter(|(name, _)| name != "date" && name != "content-length");
            kept.cloned().collect::<BTreeSet<_>>()
        };
        assert_eq!((get.status, fields(&get)), (head.status, fields(&head)), "{path}");
        let length = head.field("content-length");
        assert!(length.is_none_or(|length| length == get.body.len().to_string()), "{path}: {length:?}");
    }
}
