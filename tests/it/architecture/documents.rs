//! What the documents name in the code is there.

use std::fs;
use std::path::Path;

use super::{ROOMS, read, root, words};

/// The document's names of modules and items: `store::chunks`, `server::Limiter`.
fn names_in(document: &str) -> Vec<&str> {
    let is_name = |text: &&str| {
        let (room, rest) = text.split_once("::").unwrap_or_default();
        ROOMS.iter().any(|(known, _)| room == *known)
            && rest.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | ':'))
    };
    document.split('`').skip(1).step_by(2).filter(is_name).collect()
}

/// Follows a name through folders and files; what is left of it has to be an item there.
fn is_there(name: &str) -> bool {
    let first = name.split("::").next().unwrap();
    let links = ["time", "secret", "asset", "signed_url"].contains(&first);
    let mut folder = Path::new(if links { "packages/rust/src" } else { "src" }).to_owned();
    let mut file = None;
    let mut segments = name.split("::").peekable();
    while let Some(segment) = segments.peek() {
        let (inner, leaf) = (folder.join(segment), folder.join(format!("{segment}.rs")));
        let found = [inner.join("mod.rs"), leaf].into_iter().find(|path| root().join(path).is_file());
        let Some(found) = found else { break };
        (folder, file) = (inner, Some(found));
        segments.next();
    }
    let code = file.map(read).unwrap_or_default();
    segments.all(|item| words(&code).any(|word| word == item))
}

#[test]
fn every_module_and_item_that_a_document_names_is_there() {
    let docs = fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let docs = docs.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    let mut found = 0;
    for document in docs.chain(
        ["ARCHITECTURE.md", "CONTRIBUTING.md", "README.md", "SECURITY.md", "tests/README.md"]
            .map(|name| root().join(name)),
    ) {
        let text = read(&document);
        for name in names_in(&text) {
            assert!(is_there(name), "{}: {name}", document.display());
            found += 1;
        }
    }
    assert!(found > 30, "{found}");
    assert!(
        is_there("store::Store") && !is_there("store::Gateway") && !is_there("store::no_such_file::Store")
    );
}

#[test]
fn continuous_integration_runs_the_tests_that_the_guide_names() {
    let (guide, script) = (read("CONTRIBUTING.md"), read(".ci/run"));
    let is_test = |quoted: &&str| quoted.starts_with("cargo test") || *quoted == "bash tests/run stores";
    let named: Vec<_> = guide.split('`').filter(is_test).collect();
    assert!(named.len() >= 3, "{named:?}");
    for command in named {
        assert!(script.lines().any(|line| line == command), "{command}");
    }
}
