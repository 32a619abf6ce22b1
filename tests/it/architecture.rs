//! The order of the code: which room may use which, and what the files beside the code promise about it.

mod documents;
mod image;
mod imports;
mod packaged;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The rooms in reading order, those of the links library first, and what each may use: only rooms that stand above it.
const ROOMS: [(&str, &[&str]); 23] = [
    ("time", &[]),
    ("secret", &[]),
    ("asset", &[]),
    ("signed_url", &["time", "secret", "asset"]),
    ("clock", &["time"]),
    ("transcript", &["asset"]),
    ("problem", &[]),
    ("tasks", &[]),
    ("text", &[]),
    ("private_file", &[]),
    ("telemetry", &["clock", "asset", "signed_url", "tasks", "text"]),
    ("keys", &["clock", "asset", "signed_url", "private_file", "telemetry"]),
    ("tokens", &["clock", "private_file"]),
    ("store", &["clock", "asset", "signed_url", "tasks", "telemetry"]),
    ("webhook", &["clock", "secret", "asset", "signed_url"]),
    ("ledger", &["clock", "asset", "tasks", "text", "webhook"]),
    (
        "sender",
        &[
            "clock",
            "secret",
            "asset",
            "signed_url",
            "tasks",
            "telemetry",
            "keys",
            "store",
            "webhook",
            "ledger",
        ],
    ),
    ("server", &["clock", "problem", "tasks", "telemetry"]),
    (
        "gateway",
        &[
            "clock",
            "asset",
            "signed_url",
            "transcript",
            "problem",
            "tasks",
            "telemetry",
            "keys",
            "store",
            "server",
        ],
    ),
    (
        "console",
        &[
            "clock",
            "secret",
            "asset",
            "signed_url",
            "transcript",
            "tasks",
            "text",
            "telemetry",
            "keys",
            "tokens",
            "store",
            "webhook",
            "ledger",
            "sender",
            "server",
        ],
    ),
    (
        "admin",
        &[
            "clock",
            "secret",
            "asset",
            "signed_url",
            "problem",
            "tasks",
            "telemetry",
            "keys",
            "tokens",
            "store",
            "webhook",
            "ledger",
            "sender",
            "server",
            "console",
        ],
    ),
    (
        "config",
        &[
            "asset",
            "signed_url",
            "telemetry",
            "store",
            "webhook",
            "ledger",
            "sender",
            "server",
            "gateway",
            "console",
            "admin",
        ],
    ),
    (
        "cli",
        &[
            "clock",
            "secret",
            "asset",
            "signed_url",
            "problem",
            "tasks",
            "text",
            "private_file",
            "telemetry",
            "keys",
            "tokens",
            "store",
            "webhook",
            "ledger",
            "sender",
            "server",
            "gateway",
            "console",
            "admin",
            "config",
        ],
    ),
];

/// The most lines a file may have.
const LONGEST_FILE: usize = 500;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Where the rooms are: the program's, and the links library's.
const CRATES: [&str; 2] = ["src", "packages/rust/src"];

/// Every Rust file of both crates, as a path from `src/`. Their rooms have different names.
fn sources() -> Vec<PathBuf> {
    let mut found: Vec<_> = CRATES.into_iter().flat_map(files_below).collect();
    found.sort();
    found.dedup();
    found
}

/// A file of a room, as a path from the top; `lib.rs` is the program's.
fn source_path(file: &Path) -> PathBuf {
    let paths = CRATES.map(|of_crate| Path::new(of_crate).join(file));
    paths.iter().find(|path| root().join(path).is_file()).unwrap_or(&paths[0]).clone()
}

/// Every Rust file below a folder, as a path from there.
fn files_below(folder: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    let root = root().join(folder);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path.strip_prefix(&root).unwrap().to_owned());
            }
        }
    }
    found.sort();
    assert!(found.len() > 10);
    found
}

/// The code of a file without its comments. (A `//` inside a text cuts the line: a path never stands behind one.)
fn code_of(file: &Path) -> String {
    let text = read(source_path(file));
    text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

/// `store/open.rs` belongs to `store`, `keys.rs` to `keys`; `lib.rs` and `main.rs` belong to none.
fn room_of(file: &Path) -> Option<String> {
    let first = file.components().next()?.as_os_str().to_str()?.trim_end_matches(".rs");
    (!matches!(first, "lib" | "main")).then(|| first.to_owned())
}

/// Which room each name comes from that the links library hands out at its root.
fn names_at_the_root() -> BTreeMap<String, String> {
    let lib = read("packages/rust/src/lib.rs");
    let mut names = BTreeMap::new();
    for exported in lib.split(';').filter_map(|statement| statement.trim().strip_prefix("pub use ")) {
        let (room, rest) = exported.split_once("::").unwrap();
        for name in words(rest) {
            names.insert(name.to_owned(), room.to_owned());
        }
    }
    assert_eq!(names["Grant"], "signed_url");
    names
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

/// The first segments of every path that begins at the crate's root: of `crate::a::b` `a`, of `crate::{a, b::{c}}`
/// `a` and `b`.
fn first_segments(code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let path = &code[at + "crate::".len()..];
        match path.strip_prefix('{') {
            Some(group) => found.extend(heads_of_group(group)),
            None => found.extend(words(path).next().map(str::to_owned)),
        }
    }
    found
}

/// The first word of each item of `a, b::{c, d}}…`, up to the brace that closes the group.
fn heads_of_group(group: &str) -> Vec<String> {
    let (mut depth, mut items) = (0, vec![String::new()]);
    for c in group.chars() {
        match (c, depth) {
            ('}', 0) => break,
            (',', 0) => items.push(String::new()),
            _ => {
                depth += i32::from(c == '{') - i32::from(c == '}');
                items.last_mut().unwrap().push(c);
            }
        }
    }
    items.iter().filter_map(|item| words(item).next().map(str::to_owned)).collect()
}

#[test]
fn a_path_is_read_to_its_first_segment() {
    let code = "use crate::{admin, gateway::{self, Config}, AssetRef};\nlet x = crate::store::Store::new();";
    let found: Vec<_> = first_segments(code).into_iter().collect();
    assert_eq!(found, ["AssetRef", "admin", "gateway", "store"]);
}

#[test]
fn rooms_import_only_upwards() {
    let names = names_at_the_root();
    let allowed: BTreeMap<_, _> = ROOMS.into_iter().collect();
    for file in sources() {
        let Some(room) = room_of(&file) else { continue };
        let code = code_of(&file);
        for segment in first_segments(&code) {
            let used = names.get(&segment).unwrap_or(&segment);
            let may = *used == room || allowed[room.as_str()].contains(&used.as_str());
            assert!(may, "src/{}: {room} may not use {used} (crate::{segment})", file.display());
        }
        assert!(!code.contains("super::super"), "src/{}: say where from, by crate::", file.display());
    }
}

#[test]
fn the_table_of_rooms_has_an_order_and_every_room() {
    let mut above = BTreeSet::new();
    for (room, uses) in ROOMS {
        assert!(uses.iter().all(|used| above.contains(used)), "{room} uses a room below it");
        above.insert(room);
    }
    let there: BTreeSet<_> = sources().iter().filter_map(|file| room_of(file)).collect();
    assert_eq!(there, above.into_iter().map(str::to_owned).collect());
}

#[test]
fn the_program_has_the_links_library_at_its_root_and_nowhere_else() {
    for file in sources().iter().filter(|file| source_path(file).starts_with("src")) {
        let may = ["lib.rs", "clock.rs"].map(Path::new).contains(&file.as_path());
        assert!(may || !code_of(file).contains("webhook_assets_links"), "src/{}", file.display());
    }
}

#[test]
fn nothing_is_unsafe_but_two_calls() {
    // malloc_trim, and a descriptor that tokio watches: no safe function does either.
    let exceptions = ["cli/malloc_trim.rs", "server/socket/watched_fd.rs"].map(Path::new);
    for file in sources() {
        let code = code_of(&file);
        let found = words(&code).filter(|word| *word == "unsafe").count();
        assert_eq!(found, usize::from(exceptions.contains(&file.as_path())), "src/{}", file.display());
        let reasons = read(source_path(&file)).matches("// SAFETY: ").count();
        assert_eq!(found, reasons, "src/{}: each unsafe call says why it is sound", file.display());
        // What is deprecated may be unsound behind a safe signature.
        assert!(!words(&code).any(|word| word == "deprecated"), "src/{}", file.display());
    }
    assert!(read("Cargo.toml").contains("unsafe_code = \"deny\""));
    assert!(read("packages/rust/src/lib.rs").contains("#![forbid(unsafe_code)]"));
}

/// The files that read the wall clock, beside `clock` and `cli`.
const CLOCK_READERS: [&str; 6] = [
    "signed_url/mint.rs",
    "store/http/response/error_response.rs",
    "store/http/signed_get/store.rs",
    "store/local/opened_file.rs",
    "telemetry/access.rs",
    "telemetry/audit.rs",
];

#[test]
fn the_wall_clock_is_read_only_where_the_architecture_says() {
    let document = read("ARCHITECTURE.md");
    let (_, promise) = document.split_once("\n- The wall clock is an argument.").unwrap();
    let (promise, _) = promise.split_once("\n- ").unwrap();
    for reader in CLOCK_READERS {
        let module = reader.trim_end_matches(".rs").replace('/', "::");
        assert!(promise.contains(&format!("`{module}`")), "{module} is not in ARCHITECTURE.md");
    }
    for file in sources().iter().filter(|file| !file.starts_with("clock") && !file.starts_with("cli")) {
        let code = code_of(file);
        let outside_tests = code.split("#[cfg(test)]").next().unwrap();
        let reads = ["SystemClock", "SystemTime::now"].iter().any(|name| outside_tests.contains(name));
        let may = file == Path::new("clock.rs") || CLOCK_READERS.map(Path::new).contains(&file.as_path());
        assert!(may || !reads, "src/{} reads the wall clock: let the caller pass `now`", file.display());
        let takes_arrivals =
            file.starts_with("server") || file.starts_with("gateway") || file == Path::new("clock.rs");
        assert!(
            takes_arrivals || !code.contains("Moment::now"),
            "src/{}: no request arrives here",
            file.display()
        );
    }
}

#[test]
fn every_task_is_spawned_where_its_death_is_counted() {
    let spawns = ["tokio::spawn(", "task::spawn(", "spawn_local(", "JoinSet"];
    for file in sources() {
        // The demo plays a receiver beside the program.
        let let_through = ["tasks.rs", "cli/sender/demo.rs"].map(Path::new).contains(&file.as_path());
        let code = code_of(&file);
        let code = code.split("#[cfg(test)]").next().unwrap();
        let found = spawns.iter().find(|spawn| code.contains(**spawn));
        assert!(let_through || found.is_none(), "src/{}: {found:?}", file.display());
    }
    let manifest: toml::Table = read("Cargo.toml").parse().unwrap();
    let profiles = manifest["profile"].as_table().unwrap();
    assert!(profiles.values().all(|profile| profile.get("panic").is_none()), "a panic has to unwind");
}

#[test]
fn no_file_is_too_long_to_read() {
    for folder in ["src", "tests", "packages/rust"] {
        for file in files_below(folder) {
            let file = Path::new(folder).join(file);
            let lines = read(&file).lines().count();
            assert!(lines <= LONGEST_FILE, "{} has {lines} lines", file.display());
        }
    }
}

#[test]
fn every_dependency_has_a_reason() {
    let manifests = ["Cargo.toml", "packages/rust/Cargo.toml"].map(read);
    let tables = ["[dependencies]", "[dev-dependencies]"];
    for (manifest, table) in manifests.iter().flat_map(|manifest| tables.map(|table| (manifest, table))) {
        let (_, rest) = manifest.split_once(&format!("\n{table}\n")).unwrap();
        let lines = rest.lines().take_while(|line| !line.starts_with('['));
        for line in lines.filter(|line| line.contains('=') && !line.starts_with('#')) {
            let reason = line.rsplit_once('#').map_or("", |(_, reason)| reason.trim());
            assert!(!reason.is_empty(), "no reason: {line}");
        }
    }
}

#[test]
fn every_target_says_where_it_is() {
    // Cargo looks for a target without a path, and the image is built without tests and benches.
    let manifest: toml::Table = read("Cargo.toml").parse().unwrap();
    for kind in ["bin", "test", "bench", "example"] {
        for target in manifest.get(kind).and_then(toml::Value::as_array).into_iter().flatten() {
            assert!(target.get("path").is_some(), "[[{kind}]] {} needs a path", target["name"]);
        }
    }
}

#[test]
fn every_fuzz_target_is_built_and_every_built_one_is_there() {
    let manifest: toml::Table = read("fuzz/Cargo.toml").parse().unwrap();
    let built = manifest["bin"].as_array().unwrap().iter();
    let built: BTreeSet<_> =
        built.map(|bin| root().join("fuzz").join(bin["path"].as_str().unwrap())).collect();
    let there = fs::read_dir(root().join("fuzz/fuzz_targets")).unwrap();
    let there: BTreeSet<_> = there.map(|entry| entry.unwrap().path()).collect();
    assert_eq!(built, there);
}
