//! What a document names between backquotes exists: commands and flags, settings, metrics, files, routes, codes of refusals.
//! (`tests/it/architecture` checks modules and items.)

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use webhook_assets::config::DEFAULTS;

use super::blocks::{documents, read};
use crate::interpreter::root;

/// The text between backquotes outside of code blocks, with its document.
fn spans() -> Vec<(String, String)> {
    let of = |document: String| {
        let text = read(&document);
        let outside: String = text.split("\n```").step_by(2).collect();
        let spans: Vec<_> = outside.split('`').skip(1).step_by(2).map(str::to_owned).collect();
        spans.into_iter().map(move |span| (document.clone(), span))
    };
    let found: Vec<_> = documents().into_iter().flat_map(of).collect();
    assert!(found.len() > 300, "{}", found.len());
    found
}

/// `webhook-assets keys new --import` names a command that has this flag.
#[test]
fn every_command_of_a_document_exists_and_has_the_flags_it_names() {
    let mut found = 0;
    for (document, span) in spans() {
        let Some(rest) = span.strip_prefix("webhook-assets ") else { continue };
        let is_command = |word: &&str| word.bytes().all(|byte| byte.is_ascii_lowercase());
        let words: Vec<_> = rest.split_whitespace().collect();
        let commands: Vec<_> = words.iter().copied().take_while(is_command).take(2).collect();
        let deepest = if matches!(commands[0], "keys" | "webhooks") { 2 } else { 1 };
        let help = help_of(&commands[..deepest.min(commands.len())]);
        for flag in words.iter().filter(|word| word.starts_with("--")) {
            let flag = flag.split('=').next().unwrap();
            assert!(
                help.split_whitespace().any(|word| word.trim_end_matches(',') == flag),
                "{document}: {span}"
            );
        }
        found += 1;
    }
    assert!(found > 5, "{found}");
}

fn help_of(commands: &[&str]) -> String {
    let program = env!("CARGO_BIN_EXE_webhook-assets");
    let output = Command::new(program).args(commands).arg("--help").output().unwrap();
    assert!(output.status.success(), "there is no command {commands:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// `bash tests/run stores`, `tests/it/tls.rs`: the file is there. So is what `cargo` is to run.
#[test]
fn every_file_of_a_document_is_there() {
    let folders =
        ["benches/", "deploy/", "docs/", "fixtures/", "fuzz/", "packages/", "src/", "tests/", ".ci/"];
    let manifest = read("Cargo.toml");
    let mut found = 0;
    for (document, span) in spans() {
        let words: Vec<_> = span.split_whitespace().collect();
        let file = words.iter().find(|word| folders.iter().any(|folder| word.starts_with(folder)));
        if let Some(file) = file {
            assert!(root().join(file).exists(), "{document}: {span}: there is no {file}");
            found += 1;
        }
        if let ["cargo", "test" | "bench", .., "--test" | "--bench", target] = words[..] {
            assert!(
                root().join(format!("tests/{target}.rs")).exists()
                    || manifest.contains(&format!("name = \"{target}\"")),
                "{document}: {span}"
            );
        }
    }
    assert!(found > 50, "{found}");
}

/// Words with a dot between them that are no settings.
const NO_SETTINGS: [&str; 3] = ["store.options", "webhooks.js", "alerts.yaml"];

#[test]
fn every_setting_and_variable_of_a_document_exists() {
    let table: toml::Table = DEFAULTS.parse().unwrap();
    let keys = |(table, value): (&String, &toml::Value)| match value.as_table() {
        Some(inner) => inner.keys().map(|key| format!("{table}.{key}")).collect(),
        None => vec![table.clone()],
    };
    let settings: Vec<_> = table.iter().flat_map(keys).collect();
    let mut variables = ["STORE", "DATABASE", "PROGRAM"].map(str::to_owned).to_vec();
    variables.extend(settings.iter().map(|name| name.replace('.', "_").to_uppercase()));
    for (document, span) in spans() {
        for name in span.split(|c: char| !c.is_ascii_uppercase() && c != '_') {
            let variable = name.strip_prefix("WEBHOOK_ASSETS_").map(str::to_owned);
            assert!(variable.is_none_or(|name| variables.contains(&name)), "{document}: there is no {name}");
        }
        for name in span.split(|c: char| !c.is_ascii_lowercase() && !matches!(c, '_' | '.')) {
            let (section, key) = name.split_once('.').unwrap_or_default();
            let ours = table.get(section).is_some_and(toml::Value::is_table) && !key.is_empty();
            let known = settings.iter().any(|setting| setting == name) || NO_SETTINGS.contains(&name);
            assert!(!ours || known, "{document}: there is no setting {name}");
        }
    }
}

#[test]
fn every_metric_of_a_document_exists() {
    // `admin/metrics.rs` compares its list with the page itself.
    let (families, mut found) = (read("tests/it/admin/metrics.rs"), 0);
    for (document, span) in spans() {
        for name in span.split(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
            let Some(name) = name.strip_prefix("webhook_assets_") else { continue };
            let family =
                ["_total", "_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
            let family = family.unwrap_or(name);
            assert!(
                families.contains(&format!("\"{family}\"")),
                "{document}: there is no webhook_assets_{name}"
            );
            found += 1;
        }
    }
    assert!(found > 10, "{found}");
}

#[test]
fn every_route_of_a_document_is_described() {
    let description: Value = serde_json::from_str(&read("docs/openapi.json")).unwrap();
    let known: Vec<_> = description["paths"].as_object().unwrap().keys().map(|path| shape(path)).collect();
    let mut found = 0;
    for (document, span) in spans() {
        if ["/v1/", "/healthz", "/readyz", "/metrics", "/openapi.json"]
            .iter()
            .any(|begin| span.starts_with(begin))
        {
            assert!(known.contains(&shape(&span)), "{document}: {span}");
            found += 1;
        }
    }
    assert!(found > 8, "{found}");
}

/// `/v1/assets/{id}` without the names of its parameters.
fn shape(path: &str) -> String {
    path.split('/').map(|part| if part.starts_with('{') { "{}" } else { part }).collect::<Vec<_>>().join("/")
}

#[test]
fn every_code_of_a_document_is_one_that_the_gateway_answers() {
    let codes: Vec<_> =
        spans().into_iter().filter_map(|(_, span)| Some(span.strip_prefix("code: ")?.to_owned())).collect();
    assert!(codes.len() >= 4, "{codes:?}");
    let answers: String = ["src/gateway", "src/problem.rs", "packages/rust/src/signed_url"]
        .into_iter()
        .map(|path| all_of(&root().join(path)))
        .collect();
    for code in codes {
        assert!(answers.contains(&format!("\"{code}\"")), "{code}");
    }
}

/// The text of a file, or of all files below a folder.
fn all_of(path: &Path) -> String {
    match path.is_dir() {
        true => fs::read_dir(path).unwrap().map(|entry| all_of(&entry.unwrap().path())).collect(),
        false => fs::read_to_string(path).unwrap(),
    }
}
