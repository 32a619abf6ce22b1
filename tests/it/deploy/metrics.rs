//! Alerts and the dashboard query metrics, labels and values that exist.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{ALERTS, DASHBOARD, LABELS_OF_OTHERS, files_below, pieces, read};

/// The families of the metrics page that `admin/metrics.rs` checks against the page itself.
fn families() -> BTreeMap<String, String> {
    let list = read("tests/it/admin/metrics.rs");
    let (_, list) = list.split_once("const FAMILIES").unwrap();
    let (_, list) = list.split_once("= [").unwrap();
    let (list, _) = list.split_once("];").unwrap();
    let words: Vec<_> = list.split('"').skip(1).step_by(2).collect();
    assert!(words.len() > 40, "{words:?}");
    words.chunks(2).map(|pair| (format!("webhook_assets_{}", pair[0]), pair[1].to_owned())).collect()
}

/// The names of a family's samples in Prometheus.
fn samples(family: &str, kind: &str) -> Vec<String> {
    let suffixes: &[&str] = match kind {
        "counter" => &["_total"],
        "gauge" => &[""],
        "histogram" => &["_bucket", "_sum", "_count"],
        other => panic!("{other}"),
    };
    suffixes.iter().map(|suffix| format!("{family}{suffix}")).collect()
}

fn metrics_named(text: &str) -> BTreeSet<&str> {
    let names = pieces(text, |c| c.is_ascii_alphanumeric() || c == '_');
    names.filter(|name| name.starts_with("webhook_assets_")).collect()
}

#[test]
fn every_metric_of_the_alerts_and_the_dashboard_exists() {
    let real: BTreeSet<String> = families().iter().flat_map(|(family, kind)| samples(family, kind)).collect();
    for (file, text) in [files_below("deploy/prometheus"), files_below("deploy/grafana")].concat() {
        for name in metrics_named(&text) {
            assert!(real.contains(name), "{file}: there is no {name}");
        }
    }
}

#[test]
fn the_dashboard_shows_every_family() {
    let dashboard = read(DASHBOARD);
    let shown = metrics_named(&dashboard);
    for (family, kind) in families() {
        let names = samples(&family, &kind);
        assert!(names.iter().any(|name| shown.contains(name.as_str())), "{family} is in no panel");
    }
}

/// The labels of every metric of the program, out of the code that registers them.
fn labels() -> BTreeSet<String> {
    let mut found: BTreeSet<String> = LABELS_OF_OTHERS.map(str::to_owned).into();
    for (_, text) in files_below("src").into_iter().filter(|(_, text)| text.contains("metrics::")) {
        // Label sets that are structs: their fields.
        for set in text.split("EncodeLabelSet)]").skip(1) {
            let fields = set.split_once('{').unwrap().1.split_once('}').unwrap().0;
            let names = fields.split(',').filter_map(|field| field.split_once(':'));
            found.extend(names.map(|(name, _)| name.trim().to_owned()));
        }
        // `counters(name, help, label, …)`.
        let calls = text.split(".counters(").skip(1);
        found.extend(calls.filter_map(|call| call.split('"').nth(5)).map(str::to_owned));
        // `(label, value)` and `(label, what makes a metric)`.
        let pairs = text.split("(\"").skip(1).filter_map(|pair| pair.split_once("\","));
        found.extend(pairs.map(|(name, _)| name.to_owned()));
    }
    assert!(["asset", "outcome", "change", "code"].iter().all(|name| found.contains(*name)), "{found:?}");
    found
}

/// The label matchers in the PromQL of a text: `label="value"` and `label=~"one|two"`.
fn matchers(text: &str) -> Vec<(String, String)> {
    let text = text.replace("\\\"", "\"");
    let mut found = Vec::new();
    for (at, _) in text.match_indices("=\"").chain(text.match_indices("=~\"")) {
        let name: String =
            text[..at].chars().rev().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
        let (_, rest) = text[at..].split_once('"').unwrap();
        let (value, _) = rest.split_once('"').unwrap();
        found.push((name.chars().rev().collect(), value.to_owned()));
    }
    found
}

#[test]
fn every_label_and_its_value_exists() {
    let labels = labels();
    let source: String = files_below("src").into_iter().map(|(_, text)| text).collect();
    for file in [ALERTS, DASHBOARD] {
        let text = read(file);
        let matchers = matchers(&text);
        assert!(matchers.len() > 10, "{matchers:?}");
        for (name, values) in matchers.iter().filter(|(name, _)| !name.is_empty()) {
            assert!(labels.contains(name), "{file}: no metric has the label {name}");
            let ours = !LABELS_OF_OTHERS.contains(&name.as_str()) && name != "status";
            for value in values.split('|').filter(|_| ours) {
                assert!(source.contains(&format!("\"{value}\"")), "{file}: {name} is never {value:?}");
            }
        }
        for (at, by) in text.match_indices(" by (") {
            let (names, _) = text[at + by.len()..].split_once(')').unwrap();
            for name in names.split(',').map(str::trim) {
                assert!(labels.contains(name), "{file}: no metric has the label {name}");
            }
        }
    }
}

#[test]
fn every_alert_says_what_to_do_and_has_a_test() {
    let (alerts, tried) = (read(ALERTS), read("deploy/prometheus/alerts_test.yaml"));
    let rules: Vec<_> = alerts.split("- alert: ").skip(1).collect();
    assert!(rules.len() > 15);
    let healthy = tried.split("- name: ").nth(1).unwrap();
    for rule in rules {
        let name = rule.lines().next().unwrap();
        for part in ["expr: ", "labels: {severity: ", "summary: ", "description: "] {
            assert!(rule.contains(part), "{name} has no {part}");
        }
        assert!(rule.contains("{severity: page}") || rule.contains("{severity: ticket}"), "{name}");
        assert!(
            healthy.contains(&format!("alertname: {name}, exp_alerts: []")),
            "{name} is never seen silent"
        );
        assert!(
            tried.contains(&format!("alertname=\"{name}\", alertstate=\"firing\"")),
            "{name} never fires"
        );
    }
}

#[test]
fn the_runbook_has_a_screen_for_every_alert() {
    let (alerts, runbook) = (read(ALERTS), read("docs/runbook.md"));
    let names: Vec<_> = alerts.split("- alert: ").skip(1).map(|rule| rule.lines().next().unwrap()).collect();
    let screens: Vec<_> = runbook.split("\n### ").skip(1).collect();
    let titles: Vec<_> = screens.iter().map(|screen| screen.lines().next().unwrap()).collect();
    assert_eq!(titles, names);
    for (name, screen) in names.iter().zip(screens) {
        let screen = screen.split("\n## ").next().unwrap();
        assert!(screen.lines().count() <= 24, "{name} is longer than a screen");
        let rule = alerts.split(&format!("- alert: {name}\n")).nth(1).unwrap();
        let page = rule.split("severity: ").nth(1).unwrap().starts_with("page");
        let urgency = if page { "**Page. It means:**" } else { "**Ticket. It means:**" };
        for part in [urgency, "**Look at:**", "**Do:**"] {
            assert!(screen.contains(part), "{name} has no {part}");
        }
    }
}

#[test]
fn every_panel_has_a_query_and_overlaps_no_other() {
    let dashboard: Value = serde_json::from_str(&read(DASHBOARD)).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let rows: Vec<_> =
        panels.iter().filter(|panel| panel["type"] == "row").map(|row| row["title"].clone()).collect();
    assert_eq!(rows, ["Gateway", "Store", "Webhooks", "Process"]);
    let (mut ids, mut taken) = (BTreeSet::new(), BTreeSet::new());
    for panel in panels {
        let title = panel["title"].as_str().unwrap();
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title}: its id is another's");
        let [x, y, w, h] = ["x", "y", "w", "h"].map(|side| panel["gridPos"][side].as_u64().unwrap());
        assert!(x + w <= 24, "{title} is too wide");
        for place in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
            assert!(taken.insert(place), "{title} lies over another");
        }
        if panel["type"] != "row" {
            assert!(title.ends_with('?'), "{title}");
            assert!(panel["description"].as_str().unwrap().ends_with('.'), "{title} has no description");
            assert!(panel["fieldConfig"]["defaults"]["unit"].is_string(), "{title} has no unit");
            assert!(!panel["targets"].as_array().unwrap().is_empty(), "{title} shows nothing");
        }
    }
}
