//! The settings that Compose, Kubernetes and systemd set exist, have valid values, and fit together.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;
use webhook_assets::config::{Config, DEFAULTS, Sources};

use super::{
    COMPOSE, DEPLOYMENT, KUBERNETES, NO_SETTINGS, PROGRAM, UNIT, files_below, only, pieces, read, root,
    seconds,
};

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
fn every_named_variable_and_setting_exists() {
    let settings = settings();
    let tables: BTreeSet<_> =
        settings.iter().filter_map(|name| name.split_once('.')).map(|(table, _)| table).collect();
    let mut variables: BTreeSet<_> = settings
        .iter()
        .map(|name| format!("WEBHOOK_ASSETS_{}", name.replace('.', "_").to_uppercase()))
        .collect();
    variables.extend(["WEBHOOK_ASSETS_STORE", "WEBHOOK_ASSETS_DATABASE"].map(str::to_owned));
    // Of the suites and the release: which program they use.
    variables.insert("WEBHOOK_ASSETS_PROGRAM".to_owned());
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

/// A folder with a token and the files of an installation.
pub(super) struct InstallFolder(tempfile::TempDir);

impl InstallFolder {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("admin-token"), "a-token-for-tests-0123456789\n").unwrap();
        Self(folder)
    }

    /// Parses these settings without an error or a warning; `folder` becomes this folder.
    pub(super) fn config(
        &self,
        file: Option<PathBuf>,
        variables: &[(String, String)],
        folder: &str,
    ) -> Config {
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

/// The variables of env.example; with `all`, also the optional ones.
fn example_variables(all: bool) -> BTreeMap<String, String> {
    let example = read("deploy/env.example");
    let example = if all { example.replace("\n#", "\n") } else { example };
    let is_name = |name: &str| name.bytes().all(|b| b.is_ascii_uppercase() || b == b'_');
    environment(&example).into_iter().filter(|(name, _)| is_name(name)).collect()
}

/// The variables that the program gets from compose.yaml and env.example; with `all`, also the optional ones.
pub(super) fn compose_variables(all: bool) -> Vec<(String, String)> {
    let given = example_variables(all);
    let compose = read(COMPOSE);
    let service = section(&compose, "  webhook-assets");
    assert_eq!(section(service, "    env_file"), "      - path: .env\n        required: false\n");
    let lines = section(service, "    environment").lines();
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
    let mut variables = given.clone();
    variables.extend(pairs.map(|(name, text)| (name.to_owned(), value(text))));
    variables.into_iter().collect()
}

#[test]
fn every_variable_of_env_example_and_any_other_setting_reaches_the_container() {
    let variables: BTreeMap<_, _> = compose_variables(true).into_iter().collect();
    let example = example_variables(true);
    assert!(example.len() > 5 && example.contains_key("WEBHOOK_ASSETS_CONSOLE_URL"), "{example:?}");
    for (name, value) in &example {
        assert_eq!(variables.get(name), Some(value), "{name}");
    }
    // What stands in `environment:` overrides deploy/.env, unless it takes its value from there.
    let compose = read(COMPOSE);
    let lines = section(section(&compose, "  webhook-assets"), "    environment").lines();
    let pairs = lines.map(str::trim).filter_map(|line| line.split_once(": "));
    let fixed: BTreeSet<_> = pairs
        .filter(|(name, value)| !name.starts_with('#') && !value.starts_with(&format!("${{{name}:")))
        .map(|(name, _)| name)
        .collect();
    let paths = ["ADMIN_LISTEN", "ADMIN_TOKEN_FILE", "KEYS", "LISTEN", "WEBHOOKS_SECRET_KEY_FILE"];
    assert_eq!(
        fixed,
        paths.map(|name| format!("WEBHOOK_ASSETS_{name}")).iter().map(String::as_str).collect()
    );
}

#[test]
fn compose_sets_valid_values_and_waits_longer_than_the_drain() {
    let (place, compose) = (InstallFolder::new(), read(COMPOSE));
    for all in [false, true] {
        let config = place.config(None, &compose_variables(all), "/run/secrets");
        assert_eq!((config.listen.port(), config.admin.listen.port()), (8080, 8081));
        assert_eq!(config.ledger.database.path().is_none(), all, "PostgreSQL with everything of env.example");
        let grace = seconds(only(section(&compose, "  webhook-assets"), "stop_grace_period:"));
        assert!(grace > config.server.drain_timeout);
    }
    // Published on this machine only: TLS stands in front, and no other machine may reach the admin listener.
    for port in ["127.0.0.1:8080:8080", "127.0.0.1:8081:8081"] {
        assert!(compose.contains(&format!("- {port}\n")), "{port}");
    }
    // The page of customers is for everyone, and only on request.
    let page = section(&compose, "  page");
    assert!(page.contains("    ports:\n      - 443:443\n"), "{page}");
    assert!(page.contains("    profiles: [page]\n"), "{page}");
    assert_eq!(compose.matches("    ports:").count(), 2);
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
fn kubernetes_sets_valid_values_and_waits_longer_than_the_drain() {
    let mut variables = variables_of_the_deployment();
    assert!(variables.len() >= 5, "{variables:?}");
    variables.extend(environment(&read("deploy/kubernetes/settings.env")));
    let secret = read("deploy/kubernetes/secret.example.yaml");
    let url = secret.lines().find_map(|line| line.trim().strip_prefix("WEBHOOK_ASSETS_DATABASE: ")).unwrap();
    variables.push(("WEBHOOK_ASSETS_DATABASE".into(), url.into()));
    let config = InstallFolder::new().config(None, &variables, "/etc/webhook-assets");
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
fn every_probed_path_is_one_of_the_admin_listener() {
    let description: Value = serde_json::from_str(&read("docs/openapi.json")).unwrap();
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
        "every probe asks the admin listener"
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
fn kustomize_includes_every_file_but_the_optional_ones() {
    let kustomization = read("deploy/kubernetes/kustomization.yaml");
    let listed: BTreeSet<_> =
        section(&kustomization, "resources").lines().map(|line| line.trim_start_matches("  - ")).collect();
    let there: BTreeSet<_> = fs::read_dir(root().join(KUBERNETES))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let optional =
        ["kustomization.yaml", "settings.env", "secret.example.yaml", "hpa.yaml", "settings-page.yaml"];
    let there: BTreeSet<_> =
        there.iter().map(String::as_str).filter(|name| !optional.contains(name)).collect();
    assert_eq!(listed, there);
}

#[test]
fn the_unit_sets_valid_values_waits_longer_than_the_drain_and_gives_up_on_wrong_settings() {
    let unit = read(UNIT);
    let variables: Vec<_> = unit.lines().filter_map(|line| line.strip_prefix("Environment=")).collect();
    let settings = root().join("deploy/systemd/settings.toml");
    let config = InstallFolder::new().config(Some(settings), &environment(&variables.join("\n")), "%d");
    assert!(seconds(only(&unit, "TimeoutStopSec=")) > config.server.drain_timeout);
    // The unit may write where the database is, and read where the keyring is; the keyring is no credential, because a
    // credential is a copy.
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
