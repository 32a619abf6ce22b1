//! The command line from outside: the real program in a fresh folder, with an environment that holds only what the test
//! sets.

mod access_log;
mod audit;
mod backup;
mod check;
mod database;
mod database_warnings;
mod demo;
mod erase;
mod every_command;
mod examples;
mod keys;
mod links;
mod logging;
mod portal_links;
mod private_files;
mod private_refusals;
mod proxies;
mod refused_forms;
mod reloading;
mod remote_stores;
mod serve;
mod settings;
mod stopped_process;
mod stopping;
mod store_settings;
mod tls;
mod tokens;
mod tracing;
mod webhooks;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};

use tempfile::TempDir;
use webhook_assets::AssetRef;

use crate::support::client::request_head;
use crate::support::process::{Running, piped};
use crate::support::waiting::{WAIT_LIMIT, eventually};
use crate::support::{Answer, CALL, recording, transcript};

/// A folder with a keyring and a store of local files that holds the sample call.
struct Home {
    folder: TempDir,
}

impl Home {
    /// Everything in place.
    fn ready() -> Self {
        let home = Self::without_keys();
        home.run(&["keys", "new", "--keys", "keys.json"]).succeeded();
        home
    }

    /// The store alone.
    fn without_keys() -> Self {
        let home = Self { folder: tempfile::tempdir().unwrap() };
        for (asset, bytes) in
            [(AssetRef::recording(CALL), recording()), (AssetRef::transcript(CALL), transcript())]
        {
            let path = home.path(&format!("store/{}", asset.object_path()));
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, bytes).unwrap();
        }
        home
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        std::fs::write(self.path(name), text).unwrap();
        self.path(name)
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    /// The five variables that `serve` needs.
    fn five(&self) -> Vec<(&'static str, String)> {
        vec![
            ("WEBHOOK_ASSETS_PUBLIC_URL", "https://app.example.com/api".to_owned()),
            ("WEBHOOK_ASSETS_STORE", format!("file://{}", self.path("store").display())),
            ("WEBHOOK_ASSETS_KEYS", self.path("keys.json").display().to_string()),
            ("WEBHOOK_ASSETS_LISTEN", "127.0.0.1:0".to_owned()),
            ("WEBHOOK_ASSETS_ADMIN_LISTEN", "127.0.0.1:0".to_owned()),
        ]
    }

    /// The program, with nothing in its environment.
    fn bare(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_webhook-assets"));
        command.args(arguments).env_clear().current_dir(self.folder.path()).stdin(Stdio::null());
        command
    }

    /// The program with the five variables.
    fn program(&self, arguments: &[&str]) -> Command {
        let mut command = self.bare(arguments);
        command.envs(self.five());
        command
    }

    /// Runs it to its end.
    fn run(&self, arguments: &[&str]) -> Ran {
        Ran::of(&mut self.program(arguments))
    }

    /// Runs it to its end with `text` on standard input.
    fn run_with_input(&self, arguments: &[&str], text: &str) -> Ran {
        self.run_command_with_input(&mut self.program(arguments), text)
    }

    fn run_command_with_input(&self, command: &mut Command, text: &str) -> Ran {
        let mut child = piped(command).stdin(Stdio::piped()).spawn().unwrap();
        // Taken out of the child, so that it is closed at the end of this line.
        feed(child.stdin.take().unwrap(), text);
        Ran::after(child)
    }

    /// The variables that allow webhooks to this machine, with a database in this folder.
    fn sending(&self) -> [(&'static str, String); 3] {
        [
            ("WEBHOOK_ASSETS_DATABASE", self.path("calls.db").display().to_string()),
            ("WEBHOOK_ASSETS_WEBHOOKS_ALLOW_HTTP", "true".to_owned()),
            ("WEBHOOK_ASSETS_WEBHOOKS_ALLOWED_NETWORKS", "127.0.0.0/8".to_owned()),
        ]
    }

    /// Starts `serve` with the five variables.
    fn serve(&self) -> Server {
        Server::start(self.program(&["serve"]))
    }

    /// Starts a second server beside it, with another database.
    fn serve_beside(&self) -> Server {
        let mut command = self.program(&["serve"]);
        command.env("WEBHOOK_ASSETS_DATABASE", self.path("beside.db"));
        Server::start(command)
    }

    /// Every key of a keyring file, in hexadecimal digits.
    fn secrets(&self, name: &str) -> Vec<String> {
        let file: serde_json::Value = serde_json::from_str(&self.read(name)).unwrap();
        let keys = file["keys"].as_array().unwrap();
        keys.iter().map(|key| key["secret"].as_str().unwrap().to_owned()).collect()
    }

    /// The ids of a keyring file.
    fn ids(&self, name: &str) -> Vec<String> {
        let file: serde_json::Value = serde_json::from_str(&self.read(name)).unwrap();
        let keys = file["keys"].as_array().unwrap();
        keys.iter().map(|key| key["id"].as_str().unwrap().to_owned()).collect()
    }

    /// A fresh link to the recording, made by `mint`.
    fn link(&self) -> String {
        self.run(&["mint", "recording", &CALL.to_string()]).succeeded().out.trim().to_owned()
    }
}

fn feed(mut stdin: ChildStdin, text: &str) {
    stdin.write_all(text.as_bytes()).unwrap();
}

/// How a run ended and what it printed.
#[derive(Debug)]
struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Ran {
    fn of(command: &mut Command) -> Self {
        Self::after(piped(command).spawn().unwrap())
    }

    fn after(child: Child) -> Self {
        let output = child.wait_with_output().unwrap();
        Self {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    #[track_caller]
    fn succeeded(self) -> Self {
        assert_eq!((self.code, self.err.as_str()), (Some(0), ""), "{self:?}");
        self
    }

    /// Checks that it failed with `code`, one line on standard error that has all `words`, and nothing on standard
    /// output.
    #[track_caller]
    fn refused(self, code: i32, words: &[&str]) -> Self {
        assert_eq!((self.code, self.out.as_str()), (Some(code), ""), "{self:?}");
        assert_eq!(self.err.lines().count(), 1, "{self:?}");
        self.says(words)
    }

    #[track_caller]
    fn says(self, words: &[&str]) -> Self {
        let said = format!("{}{}", self.out, self.err);
        for word in words {
            assert!(said.contains(word), "{word:?} is missing in: {said}");
        }
        self
    }

    #[track_caller]
    fn hides(self, secrets: &[String]) -> Self {
        assert!(!secrets.is_empty());
        for secret in secrets {
            assert!(!self.out.contains(secret) && !self.err.contains(secret), "a key was shown");
        }
        self
    }
}

/// A running `serve` or `demo`; killed when dropped.
struct Server {
    running: Running,
    gateway: SocketAddr,
    admin: SocketAddr,
}

impl Server {
    fn start(command: Command) -> Self {
        let running = Running::start(command);
        let (gateway, admin) = (running.address("gateway"), running.address("admin"));
        Self { running, gateway, admin }
    }

    /// GET of a link's path and query, whatever its base is.
    fn get(&self, link: &str) -> Answer {
        get(self.gateway, link)
    }
}

impl Deref for Server {
    type Target = Running;

    fn deref(&self) -> &Running {
        &self.running
    }
}

impl DerefMut for Server {
    fn deref_mut(&mut self) -> &mut Running {
        &mut self.running
    }
}

/// Path and query of a link below any base.
fn target_of(link: &str) -> &str {
    link.find("/webhook-assets/").map_or(link, |at| &link[at..])
}

fn get(address: SocketAddr, link: &str) -> Answer {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(WAIT_LIMIT)).unwrap();
    stream.write_all(request_head("GET", target_of(link), &[], b"").as_bytes()).unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    Answer::parse(&bytes, false).0
}

/// The test vectors' keys and links.
fn vectors() -> serde_json::Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/vectors/signed_url.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}
