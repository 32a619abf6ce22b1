//! What the Dockerfile promises about the code, and the code about the image.

use std::process::Command;

use super::{packaged, read, root};

/// The Dockerfile's instructions, each in one line.
fn instructions() -> Vec<(String, String)> {
    let text: String =
        read("Dockerfile").lines().filter(|line| !line.starts_with('#')).fold(String::new(), |text, line| {
            match line.strip_suffix('\\') {
                Some(begun) => text + begun,
                None => text + line + "\n",
            }
        });
    let parts = text.lines().filter_map(|line| line.split_once(' '));
    parts.map(|(word, rest)| (word.to_owned(), rest.trim().to_owned())).collect()
}

/// The rest of every instruction `word` in the last stage: the image that runs.
fn in_the_image(word: &str) -> Vec<String> {
    let all = instructions();
    let last = all.iter().rposition(|(word, _)| word == "FROM").unwrap();
    all[last..].iter().filter(|(found, _)| found == word).map(|(_, rest)| rest.clone()).collect()
}

/// `["webhook-assets", "health"]`.
fn words_of_array(text: &str) -> Vec<String> {
    serde_json::from_str(&text[text.find('[').unwrap()..]).unwrap()
}

/// The paths that `COPY` takes out of the build context.
fn copied() -> Vec<String> {
    let copies =
        instructions().into_iter().filter(|(word, rest)| word == "COPY" && !rest.contains("--from="));
    copies
        .flat_map(|(_, rest)| {
            let mut paths: Vec<_> = rest.split_whitespace().map(str::to_owned).collect();
            paths.pop();
            paths
        })
        .collect()
}

#[test]
fn the_image_is_built_from_paths_that_are_there_and_let_through() {
    let ignore = read(".dockerignore");
    let let_through: Vec<_> = ignore.lines().filter_map(|line| line.strip_prefix('!')).collect();
    assert!(ignore.lines().any(|line| line == "*"));
    assert_eq!(copied(), let_through, "what is let through is what is copied");
    for path in copied() {
        assert!(root().join(&path).exists(), "{path}");
    }
}

#[test]
fn every_file_that_the_code_includes_is_copied_into_the_image() {
    for (included, _) in packaged::included().into_iter().filter(|(_, for_doctests)| !for_doctests) {
        assert!(copied().iter().any(|path| included.starts_with(path)), "{}", included.display());
    }
}

#[test]
fn the_image_builds_with_the_compiler_that_the_manifest_asks_for() {
    let manifest: toml::Table = read("Cargo.toml").parse().unwrap();
    let version = manifest["package"]["rust-version"].as_str().unwrap();
    let (_, builder) = &instructions()[0];
    assert!(builder.starts_with(&format!("docker.io/library/rust:{version}-slim-bookworm ")), "{builder}");
    let builds =
        instructions().into_iter().filter(|(word, rest)| word == "RUN" && rest.contains("deploy/dist"));
    assert_eq!(builds.count(), 2, "the dependencies, then the program");
    let toolchain: toml::Table = read("rust-toolchain.toml").parse().unwrap();
    assert!(toolchain["toolchain"]["channel"].as_str().unwrap().starts_with(version));
}

#[test]
fn the_image_runs_without_root_and_stops_gently() {
    let user = in_the_image("USER").pop().unwrap();
    assert!(user.split(':').all(|id| id.parse::<u32>().is_ok_and(|id| id >= 1_000)), "{user}");
    assert_eq!(in_the_image("STOPSIGNAL"), ["SIGTERM"]);
    assert_eq!(in_the_image("EXPOSE"), ["8080"]);
    assert_eq!(words_of_array(&in_the_image("ENTRYPOINT")[0]), ["webhook-assets"]);
}

#[test]
fn the_image_starts_and_asks_itself_by_commands_that_exist() {
    let start = words_of_array(&in_the_image("CMD")[0]).remove(0);
    let check = words_of_array(&in_the_image("HEALTHCHECK")[0]);
    assert_eq!(check[0], "webhook-assets");
    for command in [&start, &check[1]] {
        let asked = Command::new(env!("CARGO_BIN_EXE_webhook-assets")).args([command, "--help"]).output();
        assert!(asked.unwrap().status.success(), "{command}");
    }
}

#[test]
fn the_image_sets_only_settings_that_exist_and_can_be_read() {
    let variables: Vec<(String, String)> = in_the_image("ENV")
        .iter()
        .flat_map(|line| line.split_whitespace())
        .map(|pair| pair.split_once('=').unwrap())
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    assert_eq!(variables, [("WEBHOOK_ASSETS_LISTEN".to_owned(), "0.0.0.0:8080".to_owned())]);
    let sources = webhook_assets::config::Sources::of(None, variables)
        .with("WEBHOOK_ASSETS_PUBLIC_URL", "https://app.example.com".into())
        .with("WEBHOOK_ASSETS_STORE", "memory:///".into())
        .with("WEBHOOK_ASSETS_KEYS", "keys.json".into());
    assert_eq!(sources.read().unwrap().warnings, [""; 0]);
}
