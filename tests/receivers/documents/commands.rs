//! The shell commands of each document run in order, in a folder that holds the sample call, beside a real `serve`.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use super::blocks::blocks_of;
use crate::interpreter::{present, root};
use crate::programs::free_port;

/// Documents whose shell blocks a test below runs.
pub(super) const DOCUMENTS_THAT_RUN: [&str; 5] =
    ["README.md", "docs/minting.md", "docs/operations.md", "docs/webhooks.md", "examples/README.md"];

const PRELUDE: &str = include_str!("prelude.sh");

/// How long the commands of a document may take.
const DEADLINE: Duration = Duration::from_secs(120);

/// What stands for something of the reader's, and what it is in the test.
const PLACEHOLDERS: [(&str, &str); 9] = [
    ("ENDPOINT", "\"$(endpoint)\""),
    ("DELIVERY", "\"$(delivery)\""),
    ("'LINK'", "\"$(link)\""),
    ("retire ID", "retire \"$(oldest_key)\""),
    ("/srv/call-assets", "$PWD/store"),
    ("https://hooks.zapier.com/hooks/catch/123/abc/", "\"http://127.0.0.1:$RECEIVER/zapier\""),
    ("//127.0.0.1:8081/", "//127.0.0.1:$ADMIN/"),
    ("//127.0.0.1:9000/", "//127.0.0.1:$RECEIVER/"),
    ("webhooks listen", "webhooks listen --listen \"127.0.0.1:$LISTENER\""),
];

#[test]
fn the_commands_of_the_readme_run() {
    run("README.md");
}

#[test]
fn the_commands_about_minting_run() {
    run("docs/minting.md");
}

#[test]
fn the_commands_for_operators_run() {
    run("docs/operations.md");
}

#[test]
fn the_commands_about_webhooks_run() {
    run("docs/webhooks.md");
}

#[test]
fn the_commands_of_the_examples_run() {
    run("examples/README.md");
}

fn run(document: &str) {
    assert!(DOCUMENTS_THAT_RUN.contains(&document));
    if ["sh", "curl"]
        .iter()
        .any(|tool| present(Path::new(tool), "the commands of a document are not run").is_none())
    {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for kind in ["recordings", "transcripts"] {
        let store = folder.path().join("store").join(kind);
        fs::create_dir_all(&store).unwrap();
        for file in fs::read_dir(root().join("fixtures").join(kind)).unwrap() {
            let file = file.unwrap();
            fs::copy(file.path(), store.join(file.file_name())).unwrap();
        }
    }
    fs::write(folder.path().join("commands.sh"), script(document)).unwrap();
    let log = folder.path().join("commands.log");
    let status = ended(start(folder.path(), File::create(&log).unwrap()));
    let log = fs::read_to_string(log).unwrap();
    assert!(status.is_some_and(|status| status.success()), "{document}: {status:?}\n{log}");
}

/// The prelude, and the document's commands with the test's own values.
fn script(document: &str) -> String {
    let blocks = blocks_of(document);
    let runs = blocks.iter().filter(|block| block.language == "sh" && !block.runs_elsewhere());
    let lines = runs.flat_map(|block| block.text.lines()).map(|line| {
        let line = PLACEHOLDERS
            .iter()
            .fold(line.trim_start().to_owned(), |line, (word, value)| line.replace(word, value));
        match line.as_str() {
            "webhook-assets serve" => "serving".to_owned(),
            line if line.contains("webhooks listen") => format!("listening listener.log {line}"),
            line => line.to_owned(),
        }
    });
    [PRELUDE.to_owned()].into_iter().chain(lines).collect::<Vec<_>>().join("\n")
}

fn start(folder: &Path, log: File) -> Child {
    let program = Path::new(env!("CARGO_BIN_EXE_webhook-assets")).parent().unwrap();
    let mut command = Command::new("sh");
    command
        .args(["-c", "PATH=\"$0:$PATH\" && . ./commands.sh"])
        .arg(program)
        .current_dir(folder)
        .process_group(0);
    for port in ["GATEWAY", "ADMIN", "RECEIVER", "LISTENER"] {
        command.env(port, free_port().to_string());
    }
    command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap()
}

/// How the commands ended; `None`, with everything that they started killed, if they did not in time.
fn ended(mut child: Child) -> Option<ExitStatus> {
    let begun = Instant::now();
    while begun.elapsed() < DEADLINE {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Command::new("kill").args(["-KILL", "--", &format!("-{}", child.id())]).status().unwrap();
    child.wait().unwrap();
    None
}
