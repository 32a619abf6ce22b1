//! The whole receivers of the documents, started with a secret. `None` if the machine lacks what one needs.

use std::fs::File;
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use webhook_assets::webhook::WebhookSecret;

use crate::interpreter::{feed, installed, library, present};
use crate::programs::{Program, free_port};
use crate::snippets::written;

/// How long a receiver may take to listen: Java compiles it first.
const START_LIMIT: Duration = Duration::from_secs(60);

/// The file of a receiver's standard error, in its folder.
const ERRORS: &str = "errors";

/// A running receiver.
pub(crate) struct Server {
    pub(crate) program: Program,
    pub(crate) url: String,
    pub(crate) folder: TempDir,
}

impl Server {
    /// Starts a command, which listens on the port of `PORT`.
    fn start(folder: TempDir, secret: &WebhookSecret, port: u16, command: &mut Command) -> Self {
        let errors = File::create(folder.path().join(ERRORS)).unwrap();
        command.current_dir(folder.path()).stderr(errors);
        command.env("WEBHOOK_SECRET", secret.reveal()).env("PORT", port.to_string());
        let server = Self {
            program: Program::start(command),
            url: format!("http://127.0.0.1:{port}/webhook"),
            folder,
        };
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(begun.elapsed() < START_LIMIT, "it does not listen: {}", server.errors());
            std::thread::sleep(Duration::from_millis(20));
        }
        server
    }

    /// What it has written to standard error.
    pub(crate) fn errors(&self) -> String {
        std::fs::read_to_string(self.folder.path().join(ERRORS)).unwrap()
    }
}

pub(crate) fn node(secret: &WebhookSecret) -> Option<Server> {
    let node = present(Path::new("node"), "server.mjs of the page is not tried")?;
    let folder = written(&["server.mjs"]);
    Some(Server::start(folder, secret, free_port(), Command::new(node).arg("server.mjs")))
}

pub(crate) fn express(secret: &WebhookSecret) -> Option<Server> {
    let node = present(Path::new("node"), "express.mjs of the page is not tried")?;
    let modules =
        library(&installed("express").join("node_modules"), "express.mjs of the page is not tried")?;
    let folder = written(&["express.mjs"]);
    std::os::unix::fs::symlink(modules, folder.path().join("node_modules")).unwrap();
    Some(Server::start(folder, secret, free_port(), Command::new(node).arg("express.mjs")))
}

pub(crate) fn php(secret: &WebhookSecret) -> Option<Server> {
    let php = present(Path::new("php"), "webhook.php of the page is not tried")?;
    let (folder, port) = (written(&["webhook.php"]), free_port());
    let address = format!("127.0.0.1:{port}");
    Some(Server::start(folder, secret, port, Command::new(php).args(["-S", &address, "webhook.php"])))
}

pub(crate) fn go(secret: &WebhookSecret) -> Option<Server> {
    let go = present(Path::new("go"), "receiver.go of the page is not tried")?;
    let folder = written(&["receiver.go"]);
    compiled(Command::new(go).args(["build", "receiver.go"]), &folder);
    let program = folder.path().join("receiver");
    Some(Server::start(folder, secret, free_port(), &mut Command::new(program)))
}

pub(crate) fn ruby(secret: &WebhookSecret) -> Option<Server> {
    let puma = present(Path::new("puma"), "config.ru of the page is not tried")?;
    let (folder, port) = (written(&["config.ru"]), free_port());
    let address = format!("tcp://127.0.0.1:{port}");
    let mut command = Command::new(puma);
    command.args(["--environment", "production", "--bind", &address, "config.ru"]);
    Some(Server::start(folder, secret, port, &mut command))
}

pub(crate) fn java(secret: &WebhookSecret) -> Option<Server> {
    let java = present(Path::new("java"), "Receiver.java of the page is not tried")?;
    present(Path::new("javac"), "Receiver.java of the page is not tried")?;
    let folder = written(&["Receiver.java"]);
    Some(Server::start(folder, secret, free_port(), Command::new(java).arg("Receiver.java")))
}

pub(crate) fn csharp(secret: &WebhookSecret) -> Option<Server> {
    let compiler = present(Path::new("mcs"), "Receiver.cs of the page is not tried")?;
    let mono = present(Path::new("mono"), "Receiver.cs of the page is not tried")?;
    let folder = written(&["Receiver.cs"]);
    compiled(Command::new(compiler).arg("Receiver.cs"), &folder);
    Some(Server::start(folder, secret, free_port(), Command::new(mono).arg("Receiver.exe")))
}

fn compiled(command: &mut Command, folder: &TempDir) {
    feed(command.current_dir(folder.path()).stdout(Stdio::null()), b"");
}
