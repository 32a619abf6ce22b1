//! A settings file, and behind a NUL the environment's variables. Whatever they hold, the outcome is settings or one
//! line that says what is wrong.
#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use webhook_assets::config::{Config, SettingError, Sources};

static FILE: LazyLock<PathBuf> = LazyLock::new(|| {
    let (file, path) = tempfile::Builder::new().suffix(".toml").tempfile().unwrap().keep().unwrap();
    drop(file);
    path
});

fuzz_target!(|text: &str| {
    let (file, environment) = text.split_once('\0').unwrap_or((text, ""));
    std::fs::write(&*FILE, file).unwrap();
    let variables = environment.lines().filter_map(|line| line.split_once('='));
    let mut environment = vec![
        ("WEBHOOK_ASSETS_PUBLIC_URL".to_owned(), "https://app.example.com/api".to_owned()),
        ("WEBHOOK_ASSETS_STORE".to_owned(), "memory:///".to_owned()),
        ("WEBHOOK_ASSETS_KEYS".to_owned(), "/nowhere/keys.json".to_owned()),
    ];
    for (name, value) in variables {
        // The program would read a file that the fuzzer names: not this one variable.
        if name != "WEBHOOK_ASSETS_ADMIN_TOKEN_FILE" {
            environment.retain(|(other, _)| *other != format!("WEBHOOK_ASSETS_{name}"));
            environment.push((format!("WEBHOOK_ASSETS_{name}"), value.to_owned()));
        }
    }
    match Sources::of(Some(FILE.clone()), environment).read() {
        Ok(config) => check(&config),
        Err(error) => check_error(&error),
    }
});

fn check(config: &Config) {
    assert!(!config.longest_lifetime.is_zero());
    assert!(config.server.connection_buffer >= 8_192);
    assert!(config.admin.token.is_some() || config.admin.listen.ip().is_loopback());
    assert!(config.warnings.iter().all(|warning| !warning.contains('\n')), "{:?}", config.warnings);
}

fn check_error(error: &SettingError) {
    let line = error.to_string();
    assert!(!line.is_empty() && !line.contains('\n'), "{line:?}");
}
