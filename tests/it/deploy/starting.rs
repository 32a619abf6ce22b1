//! Commands and images that exist.

use std::collections::BTreeSet;
use std::process::Command;

use super::{COMPOSE, PROGRAM, files_below, only, pieces, read};

/// The words of a command line, also of `[a, b]`.
fn words(text: &str) -> Vec<String> {
    pieces(text, |c| !c.is_whitespace() && !"[],\"".contains(c)).map(str::to_owned).collect()
}

/// The text behind the program's name in every command of these files: in back quotes, in an array, in a unit.
fn commands() -> BTreeSet<Vec<String>> {
    let mut found = BTreeSet::new();
    for (_, text) in files_below("deploy") {
        // A comment's line breaks do not end its commands.
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
    // The program and its `keys new`, nginx, the store, PostgreSQL.
    assert_eq!(images.len(), 5);
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
