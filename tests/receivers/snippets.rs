//! The named code blocks of the pages for receivers.

use std::fs;

use tempfile::TempDir;

use crate::interpreter::root;

const PAGES: [&str; 2] = ["docs/receivers.md", "docs/receivers-in-more-languages.md"];

/// The code block that follows `<!-- snippet: {name} -->`.
pub(crate) fn snippet(name: &str) -> String {
    let marker = format!("<!-- snippet: {name} -->\n");
    let pages = PAGES.map(|page| fs::read_to_string(root().join(page)).unwrap());
    let found = pages.iter().find_map(|page| page.split_once(&marker));
    let (_, rest) = found.unwrap_or_else(|| panic!("no page has `{marker}`"));
    let mut lines = rest.lines();
    assert!(lines.next().unwrap().starts_with("```"), "no code block follows {name}");
    lines.take_while(|line| !line.starts_with("```")).flat_map(|line| [line, "\n"]).collect()
}

/// A folder with these snippets.
pub(crate) fn written(names: &[&str]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in names {
        fs::write(folder.path().join(name), snippet(name)).unwrap();
    }
    folder
}
