//! The files of `deploy/` agree with the program. (`tests/run deploy` runs them with Compose, Kubernetes, systemd,
//! nginx and Prometheus.)

mod metrics;
mod nginx;
mod settings;
mod settings_page;
mod starting;

use std::fs;
use std::path::Path;
use std::time::Duration;

const PROGRAM: &str = env!("CARGO_BIN_EXE_webhook-assets");
const ALERTS: &str = "deploy/prometheus/alerts.yaml";
const DASHBOARD: &str = "deploy/grafana/dashboard.json";
const COMPOSE: &str = "deploy/compose.yaml";
const KUBERNETES: &str = "deploy/kubernetes";
const DEPLOYMENT: &str = "deploy/kubernetes/deployment.yaml";
const UNIT: &str = "deploy/systemd/webhook-assets.service";

/// Words with a dot between them in these files that are no settings.
const NO_SETTINGS: [&str; 3] = ["webhooks.db", "admin.ui", "alerts.yaml"];

/// Labels that Prometheus and the kubelet add.
const LABELS_OF_OTHERS: [&str; 5] = ["job", "instance", "le", "container", "pod"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every file below a folder, with its path from the project's root.
fn files_below(folder: &str) -> Vec<(String, String)> {
    let (mut found, mut folders) = (Vec::new(), vec![root().join(folder)]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
            match path.is_dir() {
                true if name.ends_with("/secrets") => {}
                true => folders.push(path),
                false if name.ends_with("/.env") => {}
                false => found.push((name, fs::read_to_string(&path).unwrap())),
            }
        }
    }
    found.sort();
    found
}

/// The longest pieces of a text made of these characters alone.
fn pieces(text: &str, of: impl Fn(char) -> bool) -> impl Iterator<Item = &str> {
    text.split(move |c| !of(c)).filter(|piece| !piece.is_empty())
}

/// The first number of a text: 40 of `40s`.
fn number(text: &str) -> u64 {
    pieces(text, |c| c.is_ascii_digit()).next().unwrap_or_else(|| panic!("{text:?}")).parse().unwrap()
}

/// The text behind the only `key` at the beginning of a line.
fn only<'t>(text: &'t str, key: &str) -> &'t str {
    let mut found = text.lines().filter_map(|line| line.trim_start().strip_prefix(key));
    let value = found.next().unwrap_or_else(|| panic!("no {key}"));
    assert_eq!(found.next(), None, "{key} stands twice");
    value.trim()
}

fn seconds(text: &str) -> Duration {
    Duration::from_secs(number(text))
}
