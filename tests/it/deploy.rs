//! What the files of `deploy/` say about the program, held to the program. (`tests/deploy/run` holds them to Compose,
//! Kubernetes, systemd, nginx and Prometheus.)

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use webhook_assets::config::{Config, DEFAULTS, Sources};

const PROGRAM: &str = env!("CARGO_BIN_EXE_webhook-assets");
const ALERTS: &str = "deploy/prometheus/alerts.yaml";
const DASHBOARD: &str = "deploy/grafana/dashboard.json";
const COMPOSE: &str = "deploy/compose.yaml";
const KUBERNETES: &str = "deploy/kubernetes";
const DEPLOYMENT: &str = "deploy/kubernetes/deployment.yaml";
const UNIT: &str = "deploy/systemd/webhook-assets.service";

/// What stands with a dot between two words in these files and is no setting.
const NO_SETTINGS: [&str; 2] = ["webhooks.db", "admin.ui"];

/// Labels that Prometheus and the kubelet give.
const LABELS_OF_OTHERS: [&str; 5] = ["job", "instance", "le", "container", "pod"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every file below a folder, with its path from the project's.
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

/// The pieces of a text that are made of such characters alone.
fn pieces(text: &str, of: impl Fn(char) -> bool) -> impl Iterator<Item = &str> {
    text.split(move |c| !of(c)).filter(|piece| !piece.is_empty())
}

/// The first number of a text: 40 of `40s`.
fn number(text: &str) -> u64 {
    pieces(text, |c| c.is_ascii_digit()).next().unwrap_or_else(|| panic!("{text:?}")).parse().unwrap()
}

/// What stands behind the only `key` at the beginning of a line.
fn only<'t>(text: &'t str, key: &str) -> &'t str {
    let mut found = text.lines().filter_map(|line| line.trim_start().strip_prefix(key));
    let value = found.next().unwrap_or_else(|| panic!("no {key}"));
    assert_eq!(found.next(), None, "{key} stands twice");
    value.trim()
}

fn seconds(text: &str) -> Duration {
    Duration::from_secs(number(text))
}

// --- metrics ---------------------------------------------------------------------------------------------------------

/// The families of the metrics page, as `admin/metrics.rs` holds them to the page itself.
fn families() -> BTreeMap<String, String> {
    let list = read("tests/it/admin/metrics.rs");
    let (_, list) = list.split_once("const FAMILIES").unwrap();
    let (_, list) = list.split_once("= [").unwrap();
    let (list, _) = list.split_once("];").unwrap();
    let words: Vec<_> = list.split('"').skip(1).step_by(2).collect();
    assert!(words.len() > 40, "{words:?}");
    words.chunks(2).map(|pair| (format!("webhook_assets_{}", pair[0]), pair[1].to_owned())).collect()
}

/// The names under which a family's samples are found in Prometheus.
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

/// The labels of every metric of ours.
fn labels() -> BTreeSet<String> {
    let source = ["answers", "metrics"].map(|room| read(format!("src/telemetry/{room}.rs"))).concat();
    let mut found: BTreeSet<String> = LABELS_OF_OTHERS.map(str::to_owned).into();
    for set in source.split("EncodeLabelSet)]").skip(1) {
        let fields = set.split_once('{').unwrap().1.split_once('}').unwrap().0;
        found.extend(
            fields
                .split(',')
                .filter_map(|field| field.split_once(':'))
                .map(|(name, _)| name.trim().to_owned()),
        );
    }
    let (_, short) = source.rsplit_once("labels! {").unwrap();
    let (short, _) = short.split_once("\n}").unwrap();
    found.extend(
        short
            .lines()
            .filter_map(|line| line.split_once('{'))
            .map(|(_, name)| name.trim_end_matches([' ', '}']).trim().to_owned()),
    );
    assert!(["asset", "outcome", "change", "code"].iter().all(|name| found.contains(*name)), "{found:?}");
    found
}

/// The PromQL of a text that has it between other things: `label="value"` and `label=~"one|two"`.
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
fn every_alert_says_what_to_do_and_is_tried() {
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
fn every_panel_asks_a_question_and_has_a_place_of_its_own() {
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

// --- settings --------------------------------------------------------------------------------------------------------

/// Every setting: `store.read_ahead`, `listen`.
fn settings() -> BTreeSet<String> {
    let table: toml::Table = DEFAULTS.parse().unwrap();
    let mut found = BTreeSet::new();
    for (key, value) in &table {
        match value.as_table() {
            Some(inner) => found.extend(inner.keys().map(|name| format!("{key}.{name}"))),
            None => drop(found.insert(key.clone())),
        }
    }
    found
}

#[test]
fn every_variable_and_setting_that_is_named_exists() {
    let settings = settings();
    let tables: BTreeSet<_> =
        settings.iter().filter_map(|name| name.split_once('.')).map(|(table, _)| table).collect();
    let mut variables: BTreeSet<_> = settings
        .iter()
        .map(|name| format!("WEBHOOK_ASSETS_{}", name.replace('.', "_").to_uppercase()))
        .collect();
    variables.extend(["WEBHOOK_ASSETS_STORE", "WEBHOOK_ASSETS_DATABASE"].map(str::to_owned));
    for (file, text) in files_below("deploy") {
        for name in pieces(&text, |c| c.is_ascii_uppercase() || c == '_') {
            assert!(
                !name.starts_with("WEBHOOK_ASSETS_") || variables.contains(name),
                "{file}: {name} is no setting"
            );
        }
        for name in pieces(&text, |c| c.is_ascii_lowercase() || c == '_' || c == '.') {
            let name = name.trim_matches('.');
            let (table, key) = name.split_once('.').unwrap_or(("", ""));
            let ours = tables.contains(table) && !key.is_empty() && !NO_SETTINGS.contains(&name);
            assert!(!ours || settings.contains(name), "{file}: {name} is no setting");
        }
    }
}

/// A folder with a token in it, where the files of an installation are.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("admin-token"), "a-token-for-tests-0123456789\n").unwrap();
        Self(folder)
    }

    /// Settings that are read without an error or a warning, the token's folder put into the place of `folder`.
    fn config(&self, file: Option<PathBuf>, variables: &[(String, String)], folder: &str) -> Config {
        let here = self.0.path().to_str().unwrap();
        let variables = variables.iter().map(|(name, value)| {
            let token = name.ends_with("_TOKEN_FILE");
            (name.clone(), if token { value.replace(folder, here) } else { value.clone() })
        });
        let config = Sources::of(file, variables.collect()).read().unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(config.warnings, [""; 0]);
        config
    }
}

/// `NAME=value` lines of a file for the environment.
fn environment(text: &str) -> Vec<(String, String)> {
    let lines = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('='));
    lines.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// The part of a YAML file below a key with this indentation, up to the next one.
fn section<'t>(text: &'t str, key: &str) -> &'t str {
    let (_, rest) = text.split_once(&format!("\n{key}:\n")).unwrap_or_else(|| panic!("no {key}"));
    let depth = key.len() - key.trim_start().len();
    let next = rest.lines().scan(0, |at, line| {
        let begun = *at;
        *at += line.len() + 1;
        Some((begun, line))
    });
    let is_next = |line: &str| !line.trim().is_empty() && line.len() - line.trim_start().len() <= depth;
    let end = next.into_iter().find(|(_, line)| is_next(line)).map_or(rest.len(), |(at, _)| at);
    &rest[..end]
}

/// What a service of compose.yaml gets, with the settings of env.example, and more of them if `all`.
fn compose_variables(all: bool) -> Vec<(String, String)> {
    let example = read("deploy/env.example");
    let example = if all { example.replace("\n#", "\n") } else { example };
    let given: BTreeMap<_, _> = environment(&example).into_iter().collect();
    let compose = read(COMPOSE);
    let lines = section(section(&compose, "  webhook-assets"), "    environment").lines();
    let pairs =
        lines.map(str::trim).filter(|line| !line.starts_with('#')).map(|line| line.split_once(": ").unwrap());
    let value = |text: &str| match text.strip_prefix("${") {
        Some(variable) => {
            let (name, rest) = variable.trim_end_matches('}').split_once(':').unwrap();
            let default = rest.strip_prefix('-').map(str::to_owned);
            given.get(name).cloned().or(default).unwrap_or_else(|| panic!("env.example has no {name}"))
        }
        None => text.trim_matches('"').to_owned(),
    };
    pairs.map(|(name, text)| (name.to_owned(), value(text))).collect()
}

#[test]
fn compose_sets_what_can_be_read_and_waits_longer_than_the_drain() {
    let (place, compose) = (Place::new(), read(COMPOSE));
    for all in [false, true] {
        let config = place.config(None, &compose_variables(all), "/run/secrets");
        assert_eq!((config.listen.port(), config.admin.listen.port()), (8080, 8081));
        assert_eq!(config.ledger.database.path().is_none(), all, "PostgreSQL with everything of env.example");
        let grace = seconds(only(section(&compose, "  webhook-assets"), "stop_grace_period:"));
        assert!(grace > config.server.drain_timeout);
    }
    // Published for this machine alone: TLS stands in front, and nobody else is to reach the private listener.
    for port in ["127.0.0.1:8080:8080", "127.0.0.1:8081:8081"] {
        assert!(compose.contains(&format!("- {port}\n")), "{port}");
    }
    assert_eq!(compose.matches("    ports:").count(), 1);
}

/// `- name: A` with `value: B` in the next line.
fn variables_of_the_deployment() -> Vec<(String, String)> {
    let text = read(DEPLOYMENT);
    let lines: Vec<_> = text.lines().map(str::trim).collect();
    let pairs = lines
        .windows(2)
        .filter_map(|pair| Some((pair[0].strip_prefix("- name: ")?, pair[1].strip_prefix("value: ")?)));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[test]
fn kubernetes_sets_what_can_be_read_and_waits_longer_than_the_drain() {
    let mut variables = variables_of_the_deployment();
    assert!(variables.len() >= 5, "{variables:?}");
    variables.extend(environment(&read("deploy/kubernetes/settings.env")));
    let secret = read("deploy/kubernetes/secret.example.yaml");
    let url = secret.lines().find_map(|line| line.trim().strip_prefix("WEBHOOK_ASSETS_DATABASE: ")).unwrap();
    variables.push(("WEBHOOK_ASSETS_DATABASE".into(), url.into()));
    let config = Place::new().config(None, &variables, "/etc/webhook-assets");
    assert!(config.ledger.database.path().is_none(), "replicas share a database");
    let deployment = read(DEPLOYMENT);
    let pause = seconds(only(section(&deployment, "              sleep"), "seconds:"));
    let grace = seconds(only(&deployment, "terminationGracePeriodSeconds:"));
    assert!(grace > pause + config.server.drain_timeout, "{grace:?}");
    for (name, listen) in [("gateway", config.listen), ("admin", config.admin.listen)] {
        let port = format!("- name: {name}\n              containerPort: {}\n", listen.port());
        assert!(deployment.contains(&port), "{port}");
    }
    assert!(deployment.contains(&format!("prometheus.io/port: \"{}\"", config.admin.listen.port())));
    assert!(secret.contains("  keys.json: \"put here"), "no key stands in the repository");
}

#[test]
fn every_path_that_is_asked_is_one_of_the_private_listener() {
    let description: Value = serde_json::from_str(&read("src/admin/openapi.json")).unwrap();
    let deployment = read(DEPLOYMENT);
    let asked: Vec<_> = deployment
        .lines()
        .filter_map(|line| line.trim().split_once("path: "))
        .map(|(_, path)| path)
        .collect();
    assert_eq!(asked.len(), 4, "{asked:?}");
    for path in asked {
        assert!(description["paths"][path]["get"].is_object(), "{path}");
    }
    assert_eq!(
        deployment.matches("              port: admin\n").count(),
        3,
        "every probe asks the private listener"
    );
}

#[test]
fn pods_of_the_restricted_profile_see_a_rotated_keyring() {
    let deployment = read(DEPLOYMENT);
    let user = "        runAsNonRoot: true\n        runAsUser: 65532\n";
    for line in [
        user,
        "allowPrivilegeEscalation: false",
        "drop: [ALL]",
        "type: RuntimeDefault",
        "readOnlyRootFilesystem: true",
    ] {
        assert!(deployment.contains(line), "{line}");
    }
    assert!(read("Dockerfile").contains("USER 65532:65532"));
    assert!(!deployment.contains("subPath:"), "a subPath never changes");
}

#[test]
fn kustomize_takes_every_file_but_the_optional_ones() {
    let kustomization = read("deploy/kubernetes/kustomization.yaml");
    let listed: BTreeSet<_> =
        section(&kustomization, "resources").lines().map(|line| line.trim_start_matches("  - ")).collect();
    let there: BTreeSet<_> = fs::read_dir(root().join(KUBERNETES))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let optional = ["kustomization.yaml", "settings.env", "secret.example.yaml", "hpa.yaml"];
    let there: BTreeSet<_> =
        there.iter().map(String::as_str).filter(|name| !optional.contains(name)).collect();
    assert_eq!(listed, there);
}

#[test]
fn the_unit_sets_what_can_be_read_waits_longer_than_the_drain_and_gives_up_on_wrong_settings() {
    let unit = read(UNIT);
    let variables: Vec<_> = unit.lines().filter_map(|line| line.strip_prefix("Environment=")).collect();
    let settings = root().join("deploy/systemd/settings.toml");
    let config = Place::new().config(Some(settings), &environment(&variables.join("\n")), "%d");
    assert!(seconds(only(&unit, "TimeoutStopSec=")) > config.server.drain_timeout);
    // The database stands where the unit may write; the keyring where it is read, and no credential, which is a copy.
    let state = format!("/var/lib/{}", only(&unit, "StateDirectory="));
    assert!(config.ledger.database.path().unwrap().starts_with(state));
    assert!(unit.contains("LoadCredential=admin-token:") && !unit.contains("LoadCredential=keys"));
    let wrong = Command::new(PROGRAM)
        .arg("serve")
        .env_clear()
        .env("WEBHOOK_ASSETS_LISTEN", "nowhere")
        .output()
        .unwrap();
    let code = wrong.status.code().unwrap().to_string();
    assert!(only(&unit, "RestartPreventExitStatus=").split(' ').any(|listed| listed == code), "{code}");
    assert_eq!(only(&unit, "ExecReload="), "/bin/kill -HUP $MAINPID");
}

// --- what is started -------------------------------------------------------------------------------------------------

/// Words of a command line, of `[a, b]` too.
fn words(text: &str) -> Vec<String> {
    pieces(text, |c| !c.is_whitespace() && !"[],\"".contains(c)).map(str::to_owned).collect()
}

/// What is behind the program's name in every command of these files: in back quotes, in an array, in a unit.
fn commands() -> BTreeSet<Vec<String>> {
    let mut found = BTreeSet::new();
    for (_, text) in files_below("deploy") {
        // A comment's line breaks are none of its commands'.
        let prose = text.replace("\n#", " ");
        found.extend(
            prose
                .split('`')
                .skip(1)
                .step_by(2)
                .filter_map(|quoted| quoted.strip_prefix("webhook-assets "))
                .map(words),
        );
        found.extend(
            text.lines()
                .filter_map(|line| line.strip_prefix("ExecStart=/usr/local/bin/webhook-assets "))
                .map(words),
        );
        found.extend(text.lines().filter_map(|line| line.strip_prefix("#     webhook-assets ")).map(words));
        found.extend(
            text.lines()
                .filter_map(|line| line.trim().strip_prefix("test: [CMD, webhook-assets, "))
                .map(words),
        );
        found.extend(text.lines().filter_map(|line| line.trim().strip_prefix("args: ")).map(words));
        found.extend(text.lines().filter_map(|line| line.trim().strip_prefix("command: [")).map(words));
    }
    assert!(
        ["serve", "config", "health", "check", "keys"]
            .iter()
            .all(|word| found.iter().any(|line| line[0] == *word))
    );
    found
}

#[test]
fn every_command_exists_with_its_flags() {
    for command in commands() {
        let asked = Command::new(PROGRAM).args(&command).arg("--help").output().unwrap();
        assert!(asked.status.success(), "{command:?}: {}", String::from_utf8_lossy(&asked.stderr));
    }
}

#[test]
fn every_image_is_pinned_and_ours_is_this_version() {
    let ours = format!("webhook-assets:{}", env!("CARGO_PKG_VERSION"));
    let compose = read(COMPOSE);
    let images: Vec<_> = compose.lines().filter_map(|line| line.trim().strip_prefix("image: ")).collect();
    // The program and its keyring's maker, the store, PostgreSQL.
    assert_eq!(images.len(), 4);
    for image in images {
        let (name, tag) = image.split_once(':').unwrap_or_else(|| panic!("{image} has no tag"));
        assert!(tag.contains('.') && tag.starts_with(|c: char| c.is_ascii_digit()), "{image} may change");
        assert!(name != "webhook-assets" || image == ours, "{image}");
    }
    let kustomization = read("deploy/kubernetes/kustomization.yaml");
    assert_eq!(only(&kustomization, "newTag:"), env!("CARGO_PKG_VERSION"));
    for line in read("tests/deploy/requirements.txt").lines().filter(|line| !line.starts_with('#')) {
        assert!(line.contains("=="), "{line} is not pinned");
    }
}

// --- nginx -----------------------------------------------------------------------------------------------------------

/// The directives of nginx.conf, without comments.
fn directives() -> String {
    let text = read("deploy/nginx.conf");
    text.lines().filter(|line| !line.trim_start().starts_with('#')).collect::<Vec<_>>().join("\n")
}

#[test]
fn nginx_logs_no_query() {
    let directives = directives();
    let (_, format) = directives.split_once("log_format webhook_assets").unwrap();
    let (format, _) = format.split_once(';').unwrap();
    let logged: Vec<_> = pieces(format, |c| c.is_ascii_lowercase() || c == '_' || c == '$')
        .filter(|word| word.starts_with('$'))
        .collect();
    assert!(logged.contains(&"$uri"), "{logged:?}");
    for leak in
        ["$request", "$request_uri", "$args", "$query_string", "$is_args", "$arg_sig", "$http_referer"]
    {
        assert!(!logged.contains(&leak), "{leak} has the signature");
    }
    assert_eq!(directives.matches("access_log ").count(), 1);
    assert!(
        directives.contains("webhook-assets.error.log crit;"),
        "at `error` there are whole request lines"
    );
}

#[test]
fn nginx_streams_and_leaves_the_deadlines_to_the_gateway() {
    let (directives, place) = (directives(), Place::new());
    assert_eq!(only(&directives, "proxy_buffering "), "off;");
    assert_eq!(
        only(&directives, "proxy_pass "),
        "http://webhook_assets;",
        "a path here would rewrite the target"
    );
    let config = place.config(None, &compose_variables(false), "/run/secrets");
    assert!(seconds(only(&directives, "proxy_read_timeout ")) > config.store.resume_timeout);
    assert!(seconds(only(&directives, "keepalive_timeout ")) < config.server.header_timeout);
    let location = format!("location {}/webhook-assets/ {{", config.public_url.prefix());
    assert!(directives.contains(&location), "{location}");
    assert_eq!(only(&directives, "server 127.0.0.1:"), format!("{};", config.listen.port()));
}
