//! The program as a separate process, on a fresh database: what the tests of the sender share.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use sqlx::Connection;

/// The kind of database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Database {
    Sqlite,
    Postgres,
}

impl Database {
    /// The available databases. PostgreSQL is one of them if `tests/run sender` has started it.
    pub fn all() -> Vec<Self> {
        if server().is_some() {
            return vec![Self::Sqlite, Self::Postgres];
        }
        println!("skipped PostgreSQL: `bash tests/run sender` starts one");
        vec![Self::Sqlite]
    }
}

/// The value that `tests/run sender` sets.
#[expect(
    clippy::disallowed_methods,
    reason = "the program reads its settings elsewhere; this is for the suite"
)]
pub fn variable(name: &str) -> Option<String> {
    std::env::var(format!("WEBHOOK_ASSETS_TEST_{name}")).ok()
}

/// The PostgreSQL server of `tests/run sender`.
pub fn server() -> Option<String> {
    variable("POSTGRES")
}

/// A folder with keys, and a fresh database: what several processes of the program share.
pub struct Home {
    pub database: String,
    folder: tempfile::TempDir,
}

impl Home {
    pub async fn new(kind: Database) -> Self {
        Self::with_database(kind, None).await
    }

    /// The same with the SQLite file in another folder.
    pub async fn with_database(kind: Database, folder_of_file: Option<&Path>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let keys = folder.path().join("keys.json");
        let made = Command::new(PROGRAM).args(["keys", "new", "--keys"]).arg(&keys).output().unwrap();
        assert!(made.status.success());
        std::fs::write(folder.path().join("secrets.key"), "5a".repeat(32)).unwrap();
        let database = match kind {
            Database::Sqlite => {
                format!("sqlite:{}", folder_of_file.unwrap_or(folder.path()).join("calls.db").display())
            }
            Database::Postgres => fresh_database().await,
        };
        Self { database, folder }
    }

    /// A folder without keys and database: a place for a restore.
    pub fn empty(kind: Database, database: Option<String>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = || format!("sqlite:{}", folder.path().join("calls.db").display());
        assert_eq!(kind == Database::Sqlite, database.is_none());
        Self { database: database.unwrap_or_else(file), folder }
    }

    pub fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// The program's log so far, over all its restarts.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// The command for the program; `admin` is the address of its admin listener.
    pub fn command(&self, admin: &str) -> Command {
        let mut command = self.other(&["serve", "--only", "sender"]);
        command.env("WEBHOOK_ASSETS_ADMIN_LISTEN", admin);
        command
    }

    /// Another command of the program.
    pub fn other(&self, arguments: &[&str]) -> Command {
        self.with_settings(Command::new(PROGRAM), arguments)
    }

    /// A program with the settings of this home.
    pub fn with_settings(&self, mut command: Command, arguments: &[&str]) -> Command {
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env("WEBHOOK_ASSETS_DATABASE", &self.database)
            .env("WEBHOOK_ASSETS_WEBHOOKS_SECRET_KEY_FILE", self.path("secrets.key"))
            .env("WEBHOOK_ASSETS_WEBHOOKS_ALLOW_HTTP", "true")
            .env("WEBHOOK_ASSETS_WEBHOOKS_ALLOWED_NETWORKS", "127.0.0.0/8")
            .env("WEBHOOK_ASSETS_PUBLIC_URL", "https://app.example.com/api")
            .env("WEBHOOK_ASSETS_STORE", format!("file://{}/fixtures", env!("CARGO_MANIFEST_DIR")))
            .env("WEBHOOK_ASSETS_KEYS", self.path("keys.json"))
            .env("WEBHOOK_ASSETS_LOG_FORMAT", "json");
        command
    }

    /// Starts it.
    pub fn start(&self, admin: &str) -> Process {
        self.start_with(admin, &[])
    }

    /// Starts it with further variables.
    pub fn start_with(&self, admin: &str, variables: &[(&str, &str)]) -> Process {
        let mut command = self.command(admin);
        command.envs(variables.iter().copied());
        self.launch(command)
    }

    /// Starts a command that serves, and waits for its admin listener.
    pub fn launch(&self, mut command: Command) -> Process {
        let log = std::fs::File::options().create(true).append(true).open(self.path("log")).unwrap();
        let mut child = command.stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let admin = lines.find_map(|line| Some(line.ok()?.split_once("admin listening on ")?.1.to_owned()));
        let admin = admin.unwrap_or_else(|| panic!("the program did not start:\n{}", self.log()));
        Process { child, admin }
    }
}

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_webhook-assets");

async fn fresh_database() -> String {
    let server = server().unwrap();
    let mut name = [0; 12];
    getrandom::fill(&mut name).unwrap();
    let name = format!("s{}", hex::encode(name));
    let mut connection = sqlx::PgConnection::connect(&server).await.unwrap();
    sqlx::query(sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}")))
        .execute(&mut connection)
        .await
        .unwrap();
    format!("{}/{name}", server.rsplit_once('/').unwrap().0)
}

/// A running program; killed without warning when dropped.
pub struct Process {
    pub child: Child,
    pub admin: String,
}

impl Process {
    /// Sends a signal: `STOP` and `CONT` pause the program.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success(), "kill -s {name}");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A client of the admin listener.
#[derive(Clone)]
pub struct Caller(Client<HttpConnector, Full<Bytes>>);

impl Caller {
    pub fn new() -> Self {
        Self(Client::builder(TokioExecutor::new()).build_http())
    }

    /// Sends a request; `None` if there was no answer.
    pub async fn try_ask(&self, method: &str, url: &str, body: &Value) -> Option<(StatusCode, Value)> {
        let request = Request::builder()
            .method(method)
            .uri(url)
            .header("content-type", "application/json")
            .body(Full::from(body.to_string()))
            .unwrap();
        let response = self.0.request(request).await.ok()?;
        let status = response.status();
        let body = response.into_body().collect().await.ok()?.to_bytes();
        Some((status, serde_json::from_slice(&body).unwrap_or_default()))
    }

    /// Sends a request that has to succeed.
    pub async fn ask(&self, method: &str, url: &str, body: &Value) -> Value {
        let (status, answer) = self.try_ask(method, url, body).await.unwrap();
        assert!(status.is_success(), "{method} {url}: {status} {answer}");
        answer
    }

    /// Adds an endpoint and returns its id.
    pub async fn add_endpoint(&self, admin: &str, workspace: &str, url: &str) -> String {
        let path = format!("{admin}/v1/workspaces/{workspace}/endpoints");
        let wish = json!({"url": url, "late_assets": true});
        self.ask("POST", &path, &wish).await["id"].as_str().unwrap().to_owned()
    }
}

/// A call without assets, ready to be posted.
pub fn call(workspace: &str, id: &str) -> Value {
    json!({
        "workspace": workspace, "call_id": id, "recording": null, "transcript": null,
        "call": {
            "ended_at": "2025-12-17T14:30:00.000Z", "status": "connected", "direction": "outgoing",
            "duration_seconds": 180, "from_number": "+33100000000", "to_number": "+33600000000",
            "summary": "Discussed pricing options. Prospect is interested but needs internal approval.",
        },
        "prospect": {"first_name": "John", "last_name": "Doe", "email": "john.doe@example.com", "company": "Acme Inc"},
        "user": {"name": "Jane Smith", "email": "jane@yourcompany.com"},
        "list": {"list_name": "Q1 Outbound Campaign", "list_id": "123"},
    })
}
