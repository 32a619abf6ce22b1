//! Every link of a document leads to a file that is there, and to a heading that it has.

use std::path::Path;

use super::blocks::{documents, read};
use crate::interpreter::root;

/// What stands behind `](` in a text.
fn targets(text: &str) -> impl Iterator<Item = &str> {
    text.split("](").skip(1).filter_map(|rest| rest.split(')').next())
}

/// A heading as the address of a page names it.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().to_lowercase();
    let kept = kept.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

fn has_heading(document: &str, wanted: &str) -> bool {
    let text = read(document);
    let headings = text.lines().filter(|line| line.starts_with('#'));
    headings.map(|line| anchor(line.trim_start_matches('#'))).any(|found| found == wanted)
}

#[test]
fn every_link_of_a_document_leads_somewhere() {
    let mut found = 0;
    for document in documents().into_iter().chain(["ARCHITECTURE.md".to_owned()]) {
        let folder = Path::new(&document).parent().unwrap();
        let text = read(&document);
        for target in targets(&text).filter(|target| !target.starts_with("http")) {
            let (file, heading) = target.split_once('#').unwrap_or((target, ""));
            let path = if file.is_empty() { root().join(&document) } else { root().join(folder).join(file) };
            assert!(path.exists(), "{document}: {target} is not there");
            let page = path.canonicalize().unwrap();
            let page =
                page.strip_prefix(root().canonicalize().unwrap()).unwrap().to_str().unwrap().to_owned();
            assert!(
                heading.is_empty() || has_heading(&page, heading),
                "{document}: {target} has no such heading"
            );
            found += 1;
        }
    }
    assert!(found > 60, "{found}");
}
