//! Interpreters of other languages, and the libraries installed below target/receivers.

use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Where `run` installs: one folder for each of npm, pypi, express and n8n.
pub(crate) fn installed(what: &str) -> PathBuf {
    root().join("target/receivers").join(what)
}

/// The program to run, `None` if this machine lacks it. Then the test is skipped, unless [`needed`].
pub(crate) fn present(program: &Path, for_what: &str) -> Option<PathBuf> {
    match Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status() {
        Ok(_) => Some(program.to_owned()),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            skip(&format!("there is no {} on this machine: {for_what}", program.display()));
            None
        }
        Err(error) => panic!("{}: {error}", program.display()),
    }
}

/// The file or folder that `run` installs, `None` before that.
pub(crate) fn library(path: &Path, for_what: &str) -> Option<PathBuf> {
    if path.exists() {
        return Some(path.to_owned());
    }
    skip(&format!("{} is not installed; bash tests/run receivers does that: {for_what}", path.display()));
    None
}

fn skip(why: &str) {
    assert!(!needed(), "needed but missing: {why}");
    eprintln!("skipped: {why}");
}

/// Whether a missing program fails the test: `run` sets that.
fn needed() -> bool {
    variable("NEEDED").is_some()
}

#[expect(clippy::disallowed_methods, reason = "the suite's own settings, not the program's")]
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(format!("WEBHOOK_ASSETS_TEST_{name}")).ok()
}

/// Feeds the lines to one process and returns what it prints, one line for each.
pub(crate) fn ask(command: &mut Command, lines: &[String]) -> Vec<String> {
    let output = feed(command, lines.join("\n").as_bytes());
    let answers: Vec<_> = String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect();
    assert_eq!(answers.len(), lines.len(), "one answer for each line");
    answers
}

/// Runs the command with this standard input; it must succeed.
pub(crate) fn feed(command: &mut Command, input: &[u8]) -> Output {
    // A file, so that neither side waits for the other.
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(input).unwrap();
    let output = command.stdin(Stdio::from(File::open(file.path()).unwrap())).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{errors}", output.status);
    output
}
