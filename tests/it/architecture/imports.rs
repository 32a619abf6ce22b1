//! Imports run one way inside rooms too: a file never imports, over whatever detours, from a file that imports it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::{code_of, sources};

/// Modules by path (`store::local::files`), each with the modules that it names.
type Imports = BTreeMap<String, BTreeSet<String>>;

/// `store/local/mod.rs` is `store::local`; `lib.rs` and `main.rs` are none.
fn module_of(file: &Path) -> Option<String> {
    let path = file.with_extension("");
    let mut names: Vec<_> = path.iter().map(|name| name.to_str().unwrap().to_owned()).collect();
    names.pop_if(|last| last == "mod");
    let is_root = matches!(names.as_slice(), [only] if only == "lib" || only == "main");
    (!is_root).then(|| names.join("::"))
}

/// The paths of `a::{b, c::{self, D as E}}`, each as a whole.
fn paths_of(tree: &str) -> Vec<String> {
    let Some((head, rest)) = tree.split_once('{') else {
        return vec![tree.split(" as ").next().unwrap().trim().to_owned()];
    };
    let (mut depth, mut items) = (0, vec![String::new()]);
    for c in rest.trim_end().trim_end_matches('}').chars() {
        depth += i32::from(c == '{') - i32::from(c == '}');
        match c {
            ',' if depth == 0 => items.push(String::new()),
            _ => items.last_mut().unwrap().push(c),
        }
    }
    let items = items.iter().filter(|item| !item.trim().is_empty());
    items.flat_map(|item| paths_of(&format!("{}{}", head.trim(), item.trim()))).collect()
}

/// Every path in a file's code, tests at its end left out: of `use`, and those that begin with `crate`, `super` or `self`.
fn paths_in(code: &str) -> Vec<String> {
    // `pub(in crate::room)` imports nothing.
    let code = code.split("#[cfg(test)]\nmod ").next().unwrap().replace("pub(in ", "pub(");
    let code = code.replace("pub(crate::", "pub(");
    let mut paths = Vec::new();
    for statement in code.split(';') {
        if let Some((_, tree)) = statement.rsplit_once("use ") {
            paths.extend(paths_of(&tree.split_whitespace().collect::<Vec<_>>().join(" ")));
        }
    }
    for word in code.split(|c: char| !c.is_alphanumeric() && c != '_' && c != ':') {
        // `super::` before a brace names nothing by itself.
        let path = word.trim_end_matches(':');
        if path.contains("::") && !path.starts_with("::") {
            paths.push(path.to_owned());
        }
    }
    paths
}

/// The module that a path in `module` leads to, as far as there is one.
fn target(module: &str, path: &str, modules: &BTreeSet<String>) -> Option<String> {
    let mut base: Vec<&str> = module.split("::").collect();
    let mut names: Vec<&str> = path.split("::").collect();
    match *names.first()? {
        "crate" => base.clear(),
        "self" => {}
        "super" => drop(base.pop()),
        child if modules.contains(&format!("{module}::{child}")) => names.insert(0, "self"),
        _ => return None,
    }
    base.extend(names.iter().skip(1));
    while !base.is_empty() {
        let name = base.join("::");
        if modules.contains(&name) {
            return Some(name).filter(|found| found != module);
        }
        base.pop();
    }
    None
}

fn imports() -> Imports {
    let files: BTreeMap<_, _> =
        sources().into_iter().filter_map(|file| Some((module_of(&file)?, file))).collect();
    let modules: BTreeSet<_> = files.keys().cloned().collect();
    let targets = |module: &String, file: &Path| {
        paths_in(&code_of(file)).iter().filter_map(|path| target(module, path, &modules)).collect()
    };
    files.iter().map(|(module, file)| (module.clone(), targets(module, file))).collect()
}

/// Everything that can be reached from a module by imports.
fn reached(imports: &Imports, from: &str) -> BTreeSet<String> {
    let (mut found, mut next) = (BTreeSet::new(), vec![from.to_owned()]);
    while let Some(module) = next.pop() {
        for target in &imports[&module] {
            if found.insert(target.clone()) {
                next.push(target.clone());
            }
        }
    }
    found
}

#[test]
fn a_path_leads_to_the_module_that_has_its_item() {
    let modules = ["store", "store::local", "store::local::files", "store::error"].map(str::to_owned).into();
    let of = |path| target("store::local", path, &modules);
    assert_eq!(of("super::error::StoreError").as_deref(), Some("store::error"));
    assert_eq!(of("files::Files").as_deref(), Some("store::local::files"));
    assert_eq!(of("crate::store::Store").as_deref(), Some("store"));
    assert_eq!(of("self::files").as_deref(), Some("store::local::files"));
    assert_eq!(of("std::fs::File"), None);
    assert_eq!(paths_of("a::{self, b::{C as D, E}, F}"), ["a::self", "a::b::C", "a::b::E", "a::F"]);
}

#[test]
fn no_file_imports_from_a_file_that_imports_it() {
    let imports = imports();
    let in_a_cycle = |module: &&String| reached(&imports, module).contains(*module);
    let found: Vec<_> = imports.keys().filter(in_a_cycle).collect();
    assert!(found.is_empty(), "{} of {} files stand in a cycle: {found:#?}", found.len(), imports.len());
}
