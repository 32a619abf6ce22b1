//! The metrics page.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;
use webhook_assets::tokens::Scope;

use super::scopes::TokenSite;
use super::{AdminSite, JSON, TOKEN, bearing, webhooks, wish};
use crate::support::receiver::{Reaction, Receiver};
use crate::support::stores::{Fault, FaultyStore};
use crate::support::{CALL, NOW, Plan, sample_store, waiting};

/// A metrics page, parsed as strictly as OpenMetrics 1.0 is written.
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

    /// Bucket counts never decrease, and the last one equals the count.
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

async fn page(api: &AdminSite) -> Page {
    let answer = api.get("/metrics").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.must("content-type"), "application/openmetrics-text; version=1.0.0; charset=utf-8");
    Page::parse(std::str::from_utf8(&answer.body).unwrap())
}

/// Does something and returns by how much each series moved, once the last of `until` has moved.
async fn moved(api: &AdminSite, before: &Page, until: &str) -> impl Fn(&str) -> f64 {
    let has_moved = async || Some(page(api).await).filter(|page| page.value(until) > before.value(until));
    let after = waiting::until(has_moved, || format!("{until} does not move")).await;
    let before: BTreeMap<String, f64> = before
        .families
        .values()
        .flat_map(|family| &family.samples)
        .map(|(name, labels, value)| (format!("{name}{{{labels}}}"), *value))
        .collect();
    move |series| after.value(series) - before.get(series).copied().unwrap_or(0.0)
}

const FAMILIES: [(&str, &str); 49] = [
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
    ("connections", "gauge"),
    ("connections_refused", "counter"),
    ("connections_cut", "counter"),
    ("admin_connections", "gauge"),
    ("admin_connections_refused", "counter"),
    ("admin_connections_cut", "counter"),
    ("admin_requests_refused", "counter"),
    ("certificate_expires_seconds", "gauge"),
    ("certificate_reloads", "counter"),
    ("log_lines_dropped", "counter"),
    ("settings_reloads", "counter"),
    ("tasks_died", "counter"),
    ("trace_spans", "counter"),
    ("audit_up", "gauge"),
    ("log_up", "gauge"),
    ("request_seconds", "histogram"),
    ("links_refused", "counter"),
    ("keyring_signing_key", "gauge"),
    ("keyring_signing_key_age_seconds", "gauge"),
    ("keyring_signs_until_seconds", "gauge"),
    ("webhook_events_accepted", "counter"),
    ("webhook_deliveries", "counter"),
    ("webhook_delivery_seconds", "histogram"),
    ("webhook_attempts", "counter"),
    ("webhook_attempt_seconds", "histogram"),
    ("webhook_first_attempt_delay_seconds", "histogram"),
    ("webhook_deliveries_pending", "gauge"),
    ("webhook_overdue_seconds", "gauge"),
    ("webhook_deliveries_not_fetched", "gauge"),
    ("webhook_endpoint_changes", "counter"),
    ("webhook_database_errors", "counter"),
    ("webhook_database_warnings", "counter"),
    ("webhook_alerts", "counter"),
    ("webhook_alerts_pending", "gauge"),
    ("webhook_deliveries_requeued", "counter"),
    ("audit_trail_missed", "counter"),
];

#[tokio::test]
async fn the_metrics_page_is_strict_openmetrics_with_every_family() {
    let store = FaultyStore::around(sample_store().await);
    let sender = Some(webhooks::alerting(&Receiver::willing().await));
    let plan = Plan { objects: store.clone(), sender, ..Plan::sending().await.soon_out_of_patience() };
    let api = AdminSite::of(plan).await;
    // Families without a sample are not shown, so the test makes everything happen once.
    api.site.get(&api.site.recording(), &[]).await;
    api.mint(&wish("recording")).await;
    api.site.keyring.reload(std::path::Path::new("/nowhere"));
    hold_an_endpoint(&api).await;
    store.set_fault(Fault::StallsAfter(1_000));
    let request = crate::support::client::request_head("GET", &api.site.recording(), &[], b"");
    api.site.client().exchange(request.as_bytes()).await;
    webhooks::drop_tables(&api.site).await;
    api.get("/v1/workspaces/acme/endpoints").await;
    let page = page(&api).await;
    for (name, kind) in FAMILIES {
        let family = page.families.get(&format!("webhook_assets_{name}"));
        assert_eq!(family.map(|family| family.kind.as_str()), Some(kind), "{name}");
        assert!(!family.unwrap().samples.is_empty(), "{name}");
    }
    assert_eq!(page.families.len(), FAMILIES.len(), "{:?}", page.families.keys());
}

/// One endpoint accepts every delivery; another fails until its circuit breaker opens and the operator is alerted.
async fn hold_an_endpoint(api: &AdminSite) {
    let willing = Receiver::willing().await;
    let failing = Receiver::start(|_, _| Reaction::Answer(500, "no")).await;
    for receiver in [&willing, &failing] {
        let add = json!({"url": receiver.url("/")});
        assert_eq!(api.send("POST", "/v1/workspaces/acme/endpoints", &add).await.status, 201);
    }
    for number in 0..30 {
        api.send("POST", "/v1/calls", &webhooks::call("acme", &format!("call-{number}"))).await;
    }
    failing.wait_for(30).await;
    let held = "webhook_assets_webhook_endpoint_changes_total{change=\"held\"}";
    let alerted = "webhook_assets_webhook_alerts_total{result=\"delivered\"}";
    let is_so = async || {
        let page = page(api).await;
        api.site.clock.advance(Duration::from_secs(10));
        api.site.sender.as_ref().unwrap().wake();
        (page.value(held) > 0.0 && page.value(alerted) > 0.0).then_some(())
    };
    waiting::until(is_so, || "nothing was held".to_owned()).await;
}

#[tokio::test]
async fn a_fresh_process_has_a_page_too() {
    let api = AdminSite::usual().await;
    assert!(page(&api).await.value("webhook_assets_keyring_keys") > 0.0);
}

#[tokio::test]
async fn counters_move_with_requests() {
    let api = AdminSite::usual().await;
    let site = &api.site;
    let before = page(&api).await;
    site.get(&site.recording(), &[]).await;
    site.get(&(site.recording() + "0"), &[]).await;
    let refused = "webhook_assets_requests_total{asset=\"none\",status=\"403\",outcome=\"malformed_sig\"}";
    let by = moved(&api, &before, refused).await;
    assert_eq!(by(refused), 1.0);
    assert_eq!(by("webhook_assets_requests_total{asset=\"recording\",status=\"200\",outcome=\"ok\"}"), 1.0);
    assert_eq!(by("webhook_assets_sent_bytes_total{asset=\"recording\"}"), 300_000.0);
    assert_eq!(by("webhook_assets_bodies_total{asset=\"recording\",ending=\"complete\"}"), 1.0);
    assert_eq!(by("webhook_assets_response_head_seconds_count{asset=\"recording\"}"), 1.0);
    assert_eq!(by("webhook_assets_store_answers_total{operation=\"get\",result=\"ok\"}"), 1.0);
    assert_eq!(by("webhook_assets_requests_in_flight{}"), 0.0);
    let before = page(&api).await;
    let batch = json!({"links": [wish("recording"), wish("transcript"), wish("transcript")]});
    api.mint(&batch).await;
    let by = moved(&api, &before, "webhook_assets_links_minted_total{asset=\"transcript\"}").await;
    assert_eq!(by("webhook_assets_links_minted_total{asset=\"recording\"}"), 1.0);
    assert_eq!(by("webhook_assets_links_minted_total{asset=\"transcript\"}"), 2.0);
}

#[tokio::test]
async fn counters_move_with_what_the_store_does_wrong() {
    let (api, store) = AdminSite::on_faulty_store().await;
    let site = &api.site;
    let before = page(&api).await;
    store.set_fault(Fault::Fails);
    site.get(&site.recording(), &[]).await;
    store.set_fault(Fault::EndsAfter(100_000));
    let request = crate::support::client::request_head("GET", &site.recording(), &[], b"");
    site.client().exchange(request.as_bytes()).await;
    let broken = "webhook_assets_bodies_total{asset=\"recording\",ending=\"store_failed\"}";
    let by = moved(&api, &before, broken).await;
    assert_eq!(by(broken), 1.0);
    assert_eq!(by("webhook_assets_store_broke_off_total{reason=\"broken\"}"), 1.0);
    assert_eq!(by("webhook_assets_store_answers_total{operation=\"get\",result=\"unavailable\"}"), 1.0);
    let failed =
        "webhook_assets_requests_total{asset=\"recording\",status=\"503\",outcome=\"store_unavailable\"}";
    assert_eq!(by(failed), 1.0);
}

/// The counter counts links handed out; the gateway mints a batch as a whole or not at all.
#[tokio::test]
async fn a_batch_that_is_refused_counts_no_link() {
    let api = AdminSite::usual().await;
    let answer = api.mint(&json!({"links": [wish("recording"), wish("nonsense")]})).await;
    assert_eq!(answer.status, 422);
    assert_eq!(page(&api).await.value("webhook_assets_links_minted_total{asset=\"recording\"}"), 0.0);
}

#[tokio::test]
async fn a_refused_link_is_found_under_its_reason_and_every_request_with_its_whole_time() {
    let api = AdminSite::usual().await;
    let site = &api.site;
    let before = page(&api).await;
    site.get(&site.recording(), &[]).await;
    let old =
        site.link_for(webhook_assets::AssetRef::recording(crate::support::CALL), Duration::from_secs(1));
    site.clock.advance(Duration::from_secs(1));
    site.get(&old, &[]).await;
    site.get("/nowhere", &[]).await;
    site.get(&(site.recording() + "&sig="), &[]).await;
    let by = moved(&api, &before, "webhook_assets_links_refused_total{reason=\"repeated_sig\"}").await;
    assert_eq!(by("webhook_assets_links_refused_total{reason=\"expired\"}"), 1.0);
    assert_eq!(by("webhook_assets_links_refused_total{reason=\"no_key_fits\"}"), 0.0);
    assert_eq!(by("webhook_assets_request_seconds_count{asset=\"recording\"}"), 2.0);
    assert_eq!(by("webhook_assets_request_seconds_count{asset=\"none\"}"), 2.0);
}

#[tokio::test]
async fn the_key_that_signs_is_named_with_its_age_and_its_end() {
    use crate::support::{DAY, NOW, key};
    use webhook_assets::Keyring;
    use webhook_assets::signed_url::SigningKey;

    let keys = vec![
        SigningKey::new(
            "old",
            key(),
            webhook_assets::clock::UnixSeconds(NOW.0 - 500),
            Some(NOW.plus(3 * DAY)),
        ),
        SigningKey::new("next", key(), NOW.plus(Duration::from_secs(60)), Some(NOW.plus(5 * DAY))),
    ];
    let api = AdminSite::of(Plan { keyring: Keyring::new(keys).unwrap(), ..Plan::usual().await }).await;
    let signs = |id: &str| format!("webhook_assets_keyring_signing_key{{key_id=\"{id}\"}}");
    let now = page(&api).await;
    assert_eq!((now.value(&signs("old")), now.value(&signs("next"))), (1.0, 0.0));
    assert_eq!(now.value("webhook_assets_keyring_signing_key_age_seconds"), 500.0);
    // Four days from now a link valid for a day would outlive the last key.
    let ends = NOW.plus(4 * DAY).0 as f64 + 1.0;
    assert_eq!(now.value("webhook_assets_keyring_signs_until_seconds"), ends);

    api.site.clock.advance(Duration::from_secs(70));
    let now = page(&api).await;
    assert_eq!((now.value(&signs("old")), now.value(&signs("next"))), (0.0, 1.0));
    assert_eq!(now.value("webhook_assets_keyring_signing_key_age_seconds"), 10.0);

    api.site.keyring.replace(Keyring::of_one("for-ever", key()));
    assert_eq!(page(&api).await.value("webhook_assets_keyring_signs_until_seconds"), 0.0);
    assert_eq!(page(&api).await.value(&signs("for-ever")), 1.0);
}

/// By how much a refusal's series moved.
fn of_reason(by: impl Fn(&str) -> f64) -> impl Fn(&str) -> f64 {
    move |reason| by(&format!("webhook_assets_admin_requests_refused_total{{reason=\"{reason}\"}}"))
}

#[tokio::test]
async fn a_refused_request_of_an_api_is_counted_under_its_reason() {
    let site = TokenSite::start().await;
    let api = &site.api;
    let reader = site.token("reader", &[Scope::Read], Some("acme")).await;
    let before = page(api).await;
    api.ask("POST", "/v1/links", &[JSON], b"{}").await;
    for borne in ["no-such-token-0123456789", "another-token-0123456789"] {
        site.send(borne, "POST", "/v1/links", &json!({})).await;
    }
    site.send(&reader, "POST", "/v1/calls", &json!({})).await;
    site.send(&reader, "GET", "/v1/workspaces/other/endpoints", &serde_json::Value::Null).await;
    let bearer = bearing(TOKEN);
    let large = vec![b'x'; (1 << 20) + 1];
    api.ask("POST", "/v1/calls", &[("Authorization", &bearer), JSON], &large).await;
    api.ask("POST", "/v1/calls", &[("Authorization", &bearer)], b"{}").await;
    let last = "webhook_assets_admin_requests_refused_total{reason=\"unsupported_media_type\"}";
    let by = of_reason(moved(api, &before, last).await);
    let reasons = [
        ("no_token", 1.0),
        ("unknown_token", 2.0),
        ("scope_missing", 1.0),
        ("workspace_not_allowed", 1.0),
        ("body_too_large", 1.0),
        ("unsupported_media_type", 1.0),
        ("host_not_allowed", 0.0),
    ];
    for (reason, count) in reasons {
        assert_eq!(by(reason), count, "{reason}");
    }
}

#[tokio::test]
async fn a_host_that_is_not_this_machine_is_counted_as_refused() {
    let api = AdminSite::usual().await;
    let before = page(&api).await;
    api.ask("POST", "/v1/links", &[("Host", "evil.example"), JSON], b"{}").await;
    let series = "webhook_assets_admin_requests_refused_total{reason=\"host_not_allowed\"}";
    assert_eq!(moved(&api, &before, series).await(series), 1.0);
}

#[tokio::test]
async fn what_is_sent_once_more_is_counted_under_its_cause_and_a_gap_in_the_audit_trail_too() {
    let api = AdminSite::sending().await;
    let receiver = Receiver::willing().await;
    let add = json!({"url": receiver.url("/"), "allow_duplicate": true});
    api.send("POST", "/v1/workspaces/acme/endpoints", &add).await;
    let accepted = api.send("POST", "/v1/calls", &webhooks::call("acme", "call-1")).await.json();
    let delivery = accepted["deliveries"][0].as_str().unwrap();
    webhooks::until(&api, "acme", delivery, "delivered").await;
    let second = api.send("POST", "/v1/workspaces/acme/endpoints", &add).await.json();
    let before = page(&api).await;
    let backfill = format!("/v1/workspaces/acme/endpoints/{}/backfill", second["id"].as_str().unwrap());
    let from = json!({"from": NOW.to_string()});
    assert_eq!(api.send("POST", &backfill, &from).await.json()["queued"], 1);
    api.ask("POST", &format!("/v1/workspaces/acme/deliveries/{delivery}/resend"), &[JSON], b"{}").await;
    webhooks::drop_tables(&api.site).await;
    api.ask("DELETE", &format!("/v1/assets/{CALL}"), &[], b"").await;
    let by = moved(&api, &before, "webhook_assets_audit_trail_missed_total{}").await;
    let of_cause =
        |cause| by(&format!("webhook_assets_webhook_deliveries_requeued_total{{cause=\"{cause}\"}}"));
    assert_eq!(["backfill", "resend", "recover", "late_asset"].map(of_cause), [1.0, 1.0, 0.0, 0.0]);
    assert_eq!(by("webhook_assets_audit_trail_missed_total{}"), 1.0);
}
