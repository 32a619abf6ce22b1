//! The real program, in a fresh folder, with an environment that holds only what the test sets.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use tempfile::TempDir;
use webhook_assets::clock::{Clock, SystemClock};

use crate::backend::Variable;
use crate::contract::Served;
use crate::support::process::Running;

/// A folder with the keyring of every test, and the variables of one store.
pub struct Home {
    folder: TempDir,
    store: Vec<Variable>,
}

impl Home {
    pub fn of(store: &[Variable]) -> Self {
        let home = Self { folder: tempfile::tempdir().unwrap(), store: store.to_vec() };
        let keys = home.folder.path().join("keys.json");
        // The key of `support::key`.
        let secret = "07".repeat(32);
        let text = format!(r#"{{"version": 1, "keys": [{{"id": "k1", "secret": "{secret}"}}]}}"#);
        std::fs::write(&keys, text).unwrap();
        std::fs::set_permissions(&keys, PermissionsExt::from_mode(0o600)).unwrap();
        home
    }

    fn program(&self, command: &str) -> Command {
        let mut program = Command::new(env!("CARGO_BIN_EXE_webhook-assets"));
        program.arg(command).env_clear().current_dir(self.folder.path()).stdin(Stdio::null());
        program.env("WEBHOOK_ASSETS_PUBLIC_URL", "https://app.example.com/api");
        program.env("WEBHOOK_ASSETS_KEYS", "keys.json");
        program.env("WEBHOOK_ASSETS_LISTEN", "127.0.0.1:0").env("WEBHOOK_ASSETS_ADMIN_LISTEN", "127.0.0.1:0");
        program.envs(self.store.iter().map(|(name, value)| (name, value)));
        program.stdout(Stdio::piped()).stderr(Stdio::piped());
        program
    }

    /// The exit code of `check` and everything it printed.
    pub fn check(&self) -> (Option<i32>, String) {
        let output = self.program("check").output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(said).unwrap())
    }

    /// Starts `serve`.
    pub fn serve(&self) -> Server {
        let running = Running::start(self.program("serve"));
        let gateway = running.address("gateway");
        Server { running, gateway }
    }
}

/// A running `serve`; killed when dropped.
pub struct Server {
    running: Running,
    gateway: SocketAddr,
}

impl Server {
    pub fn served(&self) -> Served {
        Served { address: self.gateway, now: SystemClock.now() }
    }

    /// The log so far.
    pub fn log(&self) -> String {
        self.running.err()
    }

    #[track_caller]
    pub fn logs(&self, words: &str) {
        self.running.logs(words);
    }
}
