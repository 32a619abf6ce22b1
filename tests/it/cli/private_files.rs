//! `check` finds every file with a secret that other users may read.

use std::os::unix::fs::PermissionsExt;

use super::{Home, Ran};
use crate::support::tls::Pair;

/// What makes a setting name a file, for every setting that holds a path: the text of a good file, and other settings that
/// are needed. `None` for a file or folder without secrets.
type PathSetting = (&'static str, Option<(&'static str, &'static [(&'static str, &'static str)])>);

const PATH_SETTINGS: [PathSetting; 12] = [
    ("admin.token_file", Some(("the-token-of-the-operator\n", &[]))),
    ("admin.tokens_file", Some(("{\"version\": 1, \"tokens\": []}", &[]))),
    ("alerts.secret_file", Some((ALERTS_SECRET, &[("ALERTS_URL", "http://127.0.0.1:9/")]))),
    ("audit.file", Some(("", &[]))),
    ("keys", Some(("", &[]))),
    ("store.ca_file", None),
    ("tls.certificate", None),
    ("tls.key", Some(("", &[]))),
    ("webhooks.ca_file", None),
    ("webhooks.database", Some(("", &[]))),
    (
        "webhooks.proxy_credentials_file",
        Some(("user:password\n", &[("WEBHOOKS_PROXY", "http://127.0.0.1:9")])),
    ),
    ("webhooks.secret_key_file", Some(("", &[]))),
];

const ALERTS_SECRET: &str = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz\n";

#[test]
fn a_private_file_that_others_may_read_is_found_whatever_setting_names_it() {
    let home = Home::ready();
    let add = ["webhooks", "add", "--workspace", "acme", "http://127.0.0.1:9/"];
    Ran::of(home.program(&add).envs(home.sending())).succeeded();
    tls_files(&home);
    let secrets = PATH_SETTINGS.into_iter().filter_map(|(key, secret)| Some((key, secret?)));
    for (key, (text, needed)) in secrets {
        let mut command = home.program(&["check"]);
        let path = match key {
            "keys" => home.path("keys.json"),
            "webhooks.database" => home.path("calls.db"),
            "webhooks.secret_key_file" => home.path("calls.db.key"),
            "tls.key" => home.path("key.pem"),
            _ => home.write("private", text),
        };
        command.envs(needed.iter().map(|(name, value)| (format!("WEBHOOK_ASSETS_{name}"), value)));
        let variable = match key {
            "webhooks.database" => "WEBHOOK_ASSETS_DATABASE".to_owned(),
            key => format!("WEBHOOK_ASSETS_{}", key.replace('.', "_").to_uppercase()),
        };
        if key.starts_with("tls.") {
            command.env("WEBHOOK_ASSETS_TLS_CERTIFICATE", home.path("certificate.pem"));
        }
        if key.starts_with("webhooks.") || key.starts_with("alerts.") {
            command.envs(home.sending());
        }
        command.env(variable, &path);
        for (mode, is_found) in [(0o644, true), (0o600, false)] {
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
            let ran = Ran::of(&mut command);
            let told = ran.out.lines().any(|line| {
                line.contains("chmod 600") && line.contains(path.file_name().unwrap().to_str().unwrap())
            });
            assert_eq!(told, is_found, "{key} {mode:o}: {ran:?}");
        }
    }
}

/// A certificate with its key.
fn tls_files(home: &Home) {
    let Pair { certificate, key, .. } = Pair::fresh();
    home.write("certificate.pem", &certificate);
    home.write("key.pem", &key);
}

#[test]
fn the_list_of_settings_that_name_a_file_is_complete() {
    let defaults = Home::without_keys().run(&["config"]).succeeded().out;
    let defaults: toml::Table = defaults.parse().unwrap();
    let tables = defaults.iter().filter_map(|(table, inner)| Some((table, inner.as_table()?)));
    let inner = tables.flat_map(|(table, inner)| inner.keys().map(move |key| format!("{table}.{key}")));
    let keys = inner.chain(defaults.keys().cloned());
    let ends = ["file", "keys", ".key", "certificate", "database"];
    let mut keys: Vec<_> = keys.filter(|key| ends.iter().any(|end| key.ends_with(end))).collect();
    keys.sort();
    assert_eq!(keys, PATH_SETTINGS.map(|(key, _)| key));
}

#[test]
fn a_settings_file_with_credentials_is_private() {
    let home = Home::ready();
    let check = |text: &str| {
        let path = home.write("settings.toml", text);
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o644)).unwrap();
        home.run(&["check", "--config", "settings.toml"]).out.contains("chmod 600 settings.toml")
    };
    assert!(!check("[log]\nlevel = \"warn\"\n[store.options]\nregion = \"eu-central-1\"\n"));
    for secret in [
        "[webhooks]\nproxy = \"http://127.0.0.1:9\"\ndatabase = \"postgres://user:hunter2@127.0.0.1:1/calls\"\n",
        "[alerts]\nurl = \"http://127.0.0.1:9/services/s3cret\"\nformat = \"slack\"\n",
        "[store.options]\nsecret_access_key = \"s3cret\"\n",
    ] {
        assert!(check(secret), "{secret}");
    }
}

#[test]
fn folders_in_which_others_may_replace_files_are_found() {
    let home = Home::ready();
    std::fs::set_permissions(home.path(""), PermissionsExt::from_mode(0o777)).unwrap();
    let ran = home.run(&["check"]).succeeded().says(&["other users may replace the keyring", "chmod go-w"]);
    let folder = format!("chmod go-w {}", home.path("").canonicalize().unwrap().display());
    assert_eq!(ran.out.matches(&folder).count(), 1, "{ran:?}");
}
