//! Every code block of a document is run by a test, or the list below says who runs it.

use std::fs;

use super::commands::DOCUMENTS_THAT_RUN;
use crate::interpreter::root;

/// The tests that run the named snippets of a document.
const SNIPPETS: [(&str, &str); 6] = [
    ("docs/receivers.md", "tests/receivers/page.rs"),
    ("docs/receivers.md", "tests/receivers/servers.rs"),
    ("docs/receivers-in-more-languages.md", "tests/receivers/servers.rs"),
    ("docs/minting.md", "packages/rust/tests/signed_url.rs"),
    ("packages/node/README.md", "packages/node/test/readme.test.js"),
    ("packages/python/README.md", "packages/python/tests/test_readme.py"),
];

/// How a block begins that `cargo test` cannot run, and who runs it instead.
const RUN_ELSEWHERE: [(&str, &str); 14] = [
    ("https://app.example.com/api/webhook-assets/recording/550e8400-…", "nobody: a link, shortened"),
    ("cargo run -- demo", "`cli::demo` of tests/it, with the program that `cargo test` has built"),
    ("cargo test", "CI runs the tests, and clippy for each set of features; nobody installs the program"),
    ("curl -kOJ", "`bash tests/run deploy`, which downloads through examples/nginx.sh"),
    ("npm install ./packages/node", "`bash tests/run packages`"),
    ("pip install ./packages/python", "`bash tests/run packages`"),
    ("webhook-assets-links = {", "`the_dependency_of_the_docs_is_the_links_library` below"),
    ("[alerts]", "nobody: it names Slack; `cli::check` of tests/it sets another receiver"),
    ("<iframe ", "`bash tests/run console`, whose product shows the page in a frame"),
    ("pg_dump ", "`bash tests/run sender drill`, with a PostgreSQL server under load"),
    ("createdb ", "`bash tests/run sender drill`, after the server's death"),
    (
        "docker ",
        "nobody, for want of Docker; `architecture` of tests/it and `bash tests/run deploy` check its files",
    ),
    ("sudo apt install ./webhook-assets", "`bash tests/run deb`, in a Debian that the suite makes"),
    (
        "apt-get install",
        "nobody: it changes the machine, and takes versions of its tools that CI does not have",
    ),
];

/// A fenced code block.
pub(super) struct Block {
    pub(super) document: String,
    line: usize,
    pub(super) language: String,
    name: Option<String>,
    pub(super) text: String,
}

impl Block {
    pub(super) fn runs_elsewhere(&self) -> bool {
        RUN_ELSEWHERE.iter().any(|(begin, _)| self.text.trim_start().starts_with(begin))
    }

    fn is_tested(&self) -> bool {
        let is = |document: &str| self.document == document;
        match (&self.name, self.language.as_str()) {
            (Some(name), _) => SNIPPETS.iter().any(|(document, test)| {
                is(document)
                    && fs::read_to_string(root().join(test)).unwrap().contains(&format!("\"{name}\""))
            }),
            (None, "sh") => DOCUMENTS_THAT_RUN.into_iter().any(is),
            // A documentation test compiles it.
            (None, language) if language.starts_with("rust") => {
                let own = self.document.strip_prefix("packages/rust/");
                let library = if own.is_some() { "packages/rust/src/lib.rs" } else { "src/lib.rs" };
                let included = format!("[doc = include_str!(\"../{}\")]", own.unwrap_or(&self.document));
                read(library).contains(&included)
            }
            _ => false,
        }
    }
}

/// The documents for people: all but ARCHITECTURE.md, whose blocks are drawings.
pub(super) fn documents() -> Vec<String> {
    let is_document = |path: &str| path.ends_with(".md") && path != "ARCHITECTURE.md";
    let mut found: Vec<_> =
        ["", "docs/"].into_iter().flat_map(files_of).filter(|path| is_document(path)).collect();
    let folders = ["", "packages/"].into_iter().flat_map(files_of);
    found.extend(folders.map(|folder| format!("{folder}/README.md")));
    found.retain(|path| root().join(path).is_file());
    found.sort();
    assert!(found.len() >= 13, "{found:?}");
    found
}

fn files_of(folder: &str) -> Vec<String> {
    let entries = fs::read_dir(root().join(folder)).unwrap();
    entries.map(|entry| format!("{folder}{}", entry.unwrap().file_name().to_str().unwrap())).collect()
}

pub(super) fn read(document: &str) -> String {
    fs::read_to_string(root().join(document)).unwrap()
}

pub(super) fn blocks_of(document: &str) -> Vec<Block> {
    let (text, mut found, mut open, mut before) = (read(document), Vec::new(), None::<Block>, "");
    for (at, line) in text.lines().enumerate() {
        match (line.trim_start().strip_prefix("```"), &mut open) {
            (Some(_), Some(_)) => found.extend(open.take()),
            (None, Some(block)) => block.text += &format!("{line}\n"),
            (Some(language), None) => {
                let name = before.strip_prefix("<!-- snippet: ").and_then(|rest| rest.strip_suffix(" -->"));
                open = Some(Block {
                    document: document.to_owned(),
                    line: at + 1,
                    language: language.to_owned(),
                    name: name.map(str::to_owned),
                    text: String::new(),
                });
            }
            (None, None) => {
                let indented = line.starts_with("    ") && before.is_empty();
                assert!(!indented, "{document}:{}: fence this block, and name its language", at + 1);
            }
        }
        before = line;
    }
    assert!(open.is_none(), "{document}: a block has no end");
    found
}

#[test]
fn every_block_is_run_by_a_test_or_says_who_runs_it() {
    let blocks: Vec<_> = documents().iter().flat_map(|document| blocks_of(document)).collect();
    assert!(blocks.len() > 30, "{}", blocks.len());
    for block in &blocks {
        let place = format!("{}:{}", block.document, block.line);
        assert!(
            block.runs_elsewhere() || block.is_tested(),
            "{place}: no test runs this block:\n{}",
            block.text
        );
    }
    for (begin, _) in RUN_ELSEWHERE {
        assert!(blocks.iter().any(|block| block.text.trim_start().starts_with(begin)), "no block: {begin}");
    }
}

#[test]
fn the_dependency_of_the_docs_is_the_links_library() {
    let manifest: toml::Table = read("packages/rust/Cargo.toml").parse().unwrap();
    for document in ["docs/minting.md", "packages/rust/README.md"] {
        let blocks = blocks_of(document);
        let block = blocks.iter().find(|block| block.language == "toml").unwrap();
        let dependencies: toml::Table = block.text.parse().unwrap();
        let ours = &dependencies[manifest["package"]["name"].as_str().unwrap()];
        assert_eq!(ours["path"].as_str(), Some("…/packages/rust"), "{document}");
        let oldest = manifest["package"]["rust-version"].as_str().unwrap();
        assert!(read(document).contains(&format!("from Rust {oldest} on")), "{document}");
    }
}

#[test]
fn the_readme_fits_into_five_minutes() {
    let (lines, pictures) = (read("README.md").lines().count(), read("README.md").matches("![").count());
    assert!(lines <= 200 && pictures == 1, "{lines} lines, {pictures} pictures");
}
