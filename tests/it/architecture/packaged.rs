//! `cargo package` carries what the crate is built from.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{code_of, root, source_path, sources};

/// The files that the code includes, and whether only tests of the documentation read them.
pub(super) fn included() -> Vec<(PathBuf, bool)> {
    let mut all = Vec::new();
    for file in sources() {
        let code = code_of(&file);
        let folder = root().join(source_path(&file)).parent().unwrap().to_owned();
        for (at, found) in code.match_indices("include_").filter(|(at, _)| code[*at..].contains("!(\"")) {
            let (_, rest) = code[at + found.len()..].split_once("!(\"").unwrap();
            let included = folder.join(rest.split_once('"').unwrap().0).canonicalize().unwrap();
            let included = included.strip_prefix(root().canonicalize().unwrap()).unwrap().to_owned();
            all.push((included, code[..at].ends_with("#[cfg(doctest)]\n#[doc = ")));
        }
    }
    assert!(all.len() > 5, "{all:?}");
    all
}

/// What `cargo package` carries.
fn packaged() -> BTreeSet<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let arguments =
        ["package", "--list", "--locked", "--offline", "--allow-dirty", "--package", "webhook-assets"];
    let asked = Command::new(cargo).args(arguments).current_dir(root()).output().unwrap();
    assert!(asked.status.success(), "{}", String::from_utf8_lossy(&asked.stderr));
    String::from_utf8(asked.stdout).unwrap().lines().map(PathBuf::from).collect()
}

#[test]
fn the_package_carries_what_it_is_built_from_and_nothing_that_only_the_repository_needs() {
    let packaged = packaged();
    let sources: Vec<_> = sources().iter().map(|file| source_path(file)).collect();
    let of_the_library = |path: &PathBuf| path.starts_with("packages/rust");
    for (included, _) in included().into_iter().filter(|(path, _)| !of_the_library(path)) {
        // A file, or the folder that a macro completes.
        assert!(packaged.iter().any(|file| file.starts_with(&included)), "{} is missing", included.display());
    }
    for source in sources.iter().filter(|source| !of_the_library(source)) {
        assert!(packaged.contains(source), "{} is missing", source.display());
    }
    for file in ["LICENSE", "README.md", "CHANGELOG.md", "fixtures/vectors/signed_url.json"] {
        assert!(packaged.contains(Path::new(file)), "{file} is missing");
    }
    for folder in [".cargo", ".ci", "benches", "deploy", "fuzz", "packages", "tests"] {
        let found = packaged.iter().find(|file| file.starts_with(folder));
        assert_eq!(found, None, "it belongs to the repository alone");
    }
}
