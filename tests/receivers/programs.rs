//! Real programs: a receiver that is started with its secret, and the gateway and sender with the assets of the links.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::mpsc::{Receiver as Lines, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use webhook_assets::clock::{Clock, SystemClock};
use webhook_assets::webhook::{CompletedCall, EventType, Links, Message, Signing, WebhookSecret};

use crate::interpreter::root;

/// How long a test waits for an event that must happen.
const WAIT_LIMIT: Duration = Duration::from_secs(60);

/// A running program; the test reads its standard output line by line. Dropping it closes its standard input, and kills
/// it if it has not ended within its grace period.
pub(crate) struct Program {
    child: Child,
    grace: Duration,
    lines: Lines<String>,
    said: Vec<String>,
}

impl Program {
    pub(crate) fn start(command: &mut Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("{command:?}: {e}"));
        let (sender, lines) = channel();
        let out = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            out.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)).ok();
        });
        Self { child, grace: Duration::ZERO, lines, said: Vec::new() }
    }

    /// Gives it time to clean up: it ends by itself when its standard input does.
    pub(crate) fn with_grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// The rest of the next line that contains `before`.
    pub(crate) fn says(&mut self, before: &str) -> String {
        self.says_within(WAIT_LIMIT, before)
    }

    pub(crate) fn says_within(&mut self, patience: Duration, before: &str) -> String {
        let end = Instant::now() + patience;
        loop {
            match self.lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    let rest = line.split_once(before).map(|(_, rest)| rest.to_owned());
                    self.said.push(line);
                    if let Some(rest) = rest {
                        return rest;
                    }
                }
                Err(RecvTimeoutError::Timeout) => panic!("no {before:?} in time: {:#?}", self.said),
                Err(RecvTimeoutError::Disconnected) => panic!("ended without {before:?}: {:#?}", self.said),
            }
        }
    }

    /// The next lines, to the first that contains `words`.
    pub(crate) fn says_until(&mut self, words: &str) -> Vec<String> {
        let before = self.said.len();
        self.says(words);
        self.said.split_off(before)
    }

    /// Everything that it prints within a short while from now.
    pub(crate) fn says_no_more(&mut self) -> Vec<String> {
        let mut more = Vec::new();
        while let Ok(line) = self.lines.recv_timeout(Duration::from_millis(300)) {
            more.push(line);
        }
        more
    }

    /// Writes a line to its standard input.
    pub(crate) fn tell(&mut self, line: &str) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{line}").unwrap();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let end = Instant::now() + self.grace;
        while Instant::now() < end && matches!(self.child.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The gateway with the sample call, and links to it.
pub(crate) struct Gateway {
    _program: Program,
    pub(crate) recording: String,
    pub(crate) transcript: String,
}

impl Gateway {
    pub(crate) fn start() -> Self {
        let mut program = Program::start(
            Command::new(env!("CARGO_BIN_EXE_webhook-assets"))
                .args(["demo", "--listen", "127.0.0.1:0"])
                .stderr(Stdio::null()),
        );
        let recording = program.says("curl -o recording.mp3 '").trim_end_matches('\'').to_owned();
        let transcript = program.says("curl '").trim_end_matches('\'').to_owned();
        Self { _program: program, recording, transcript }
    }
}

/// The program, gateway and sender, on the sample call and a fresh database, with one endpoint.
pub(crate) struct Sender {
    _program: Program,
    _folder: tempfile::TempDir,
    admin: String,
    endpoint: String,
    pub(crate) secret: WebhookSecret,
}

impl Sender {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name).display().to_string();
        let program = env!("CARGO_BIN_EXE_webhook-assets");
        let made =
            Command::new(program).args(["keys", "new", "--keys", &path("keys.json")]).output().unwrap();
        assert!(made.status.success());
        // Links name the gateway's port, so the test chooses that first.
        let listen = format!("127.0.0.1:{}", free_port());
        let mut program = Program::start(
            Command::new(program)
                .arg("serve")
                .env("WEBHOOK_ASSETS_LISTEN", &listen)
                .env("WEBHOOK_ASSETS_ADMIN_LISTEN", "127.0.0.1:0")
                .env("WEBHOOK_ASSETS_PUBLIC_URL", format!("http://{listen}"))
                .env("WEBHOOK_ASSETS_STORE", format!("file://{}/fixtures", root().display()))
                .env("WEBHOOK_ASSETS_KEYS", path("keys.json"))
                .env("WEBHOOK_ASSETS_DATABASE", path("calls.db"))
                .env("WEBHOOK_ASSETS_WEBHOOKS_ALLOW_HTTP", "true")
                .env("WEBHOOK_ASSETS_WEBHOOKS_ALLOWED_NETWORKS", "127.0.0.0/8")
                .stderr(Stdio::null()),
        );
        let admin = program.says("admin listening on ");
        // A receiver needs the endpoint's secret to start, so its URL comes later.
        let url = format!("{admin}/v1/workspaces/acme/endpoints");
        let added = ask("POST", &url, &json!({"url": "http://127.0.0.1:9/"}));
        let text = |name: &str| added[name].as_str().unwrap().to_owned();
        let secret = WebhookSecret::parse(&text("secret")).unwrap();
        Self { _program: program, _folder: folder, endpoint: format!("{url}/{}", text("id")), admin, secret }
    }

    /// Sends to this URL from now on.
    pub(crate) fn point_at(&self, url: &str) {
        self.change(&json!({ "url": url }));
    }

    /// Changes the endpoint.
    pub(crate) fn change(&self, change: &Value) {
        ask("PATCH", &self.endpoint, change);
    }

    /// Posts a call and waits until it is delivered; returns the delivery. `assets` are those of the sample call.
    pub(crate) fn deliver(&self, call: &str, assets: Option<&str>) -> Value {
        self.post(call, assets);
        self.wait_for(call)
    }

    /// Waits until the call is delivered; returns the delivery.
    pub(crate) fn wait_for(&self, call: &str) -> Value {
        let url = format!("{}/v1/workspaces/acme/deliveries?call_id={call}", self.admin);
        let end = Instant::now() + WAIT_LIMIT;
        loop {
            let delivery = ask("GET", &url, &Value::Null)["deliveries"][0].clone();
            match delivery["status"].as_str() {
                Some("delivered") => return delivery,
                Some("failed") => panic!("{delivery:#}"),
                _ if Instant::now() > end => panic!("not delivered in time: {delivery:#}"),
                _ => std::thread::sleep(Duration::from_millis(50)),
            }
        }
    }
}

impl Sender {
    /// Posts a call; returns what the sender says about it. `assets` are those of the sample call.
    pub(crate) fn post(&self, call: &str, assets: Option<&str>) -> Value {
        let mut event = serde_json::to_value(CompletedCall::sample()).unwrap();
        for (name, value) in [
            ("workspace", json!("acme")),
            ("call_id", json!(call)),
            ("recording", json!(assets)),
            ("transcript", json!(assets)),
        ] {
            event[name] = value;
        }
        ask("POST", &format!("{}/v1/calls", self.admin), &event)
    }

    /// Says that a recording has arrived after its call was sent.
    pub(crate) fn report_recording(&self, call: &str, recording: &str) {
        let report = json!({"workspace": "acme", "recording": recording});
        ask("POST", &format!("{}/v1/calls/{call}/assets", self.admin), &report);
    }

    /// Sends a delivery again, as a person does.
    pub(crate) fn resend(&self, delivery: &Value) {
        let id = delivery["id"].as_str().unwrap();
        ask("POST", &format!("{}/v1/workspaces/acme/deliveries/{id}/resend", self.admin), &Value::Null);
    }
}

/// A request to the admin listener that has to succeed.
fn ask(method: &str, url: &str, body: &Value) -> Value {
    let head = "content-type: application/json\r\n";
    let (status, answer) = exchange(method, url, head, body.to_string().as_bytes());
    assert!((200..300).contains(&status), "{method} {url}: {answer}");
    serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
}

/// One attempt of one event, for the test to forge.
pub(crate) struct Attempt {
    head: String,
    pub(crate) body: Vec<u8>,
}

impl Attempt {
    pub(crate) fn of(call: &CompletedCall, links: Links<'_>, secret: &WebhookSecret) -> Self {
        let message =
            Message { event: "evt_1", event_type: EventType::CallCompleted, call: None, resend: None };
        Self::at(&message, call, links, secret)
    }

    pub(crate) fn at(
        message: &Message<'_>,
        call: &CompletedCall,
        links: Links<'_>,
        secret: &WebhookSecret,
    ) -> Self {
        let body = call.body(message, links);
        let headers = message.headers(&Signing::with(secret.clone()), SystemClock.now(), &body);
        let lines = headers.iter().map(|(name, value)| format!("{name}: {}\r\n", value.to_str().unwrap()));
        Self { head: lines.collect(), body: body.to_vec() }
    }

    /// A request with these header fields.
    pub(crate) fn with(headers: &BTreeMap<String, String>, body: &str) -> Self {
        let lines = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n"));
        Self { head: lines.collect(), body: body.into() }
    }

    /// The same signature over a body with one word replaced.
    pub(crate) fn forged(&self) -> Self {
        let body = String::from_utf8(self.body.clone()).unwrap().replacen("connected", "voicemail", 1);
        Self { head: self.head.clone(), body: body.into_bytes() }
    }

    /// The same without any signature.
    pub(crate) fn unsigned(&self) -> Self {
        Self { head: String::new(), body: self.body.clone() }
    }

    /// Makes the POST and returns the status and all of the answer.
    pub(crate) fn post(&self, url: &str) -> (u16, String) {
        exchange("POST", url, &format!("content-type: application/json\r\n{}", self.head), &self.body)
    }
}

/// Sends one request on a new connection; returns the status and all of the answer.
fn exchange(method: &str, url: &str, fields: &str, body: &[u8]) -> (u16, String) {
    let (authority, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let mut stream = TcpStream::connect(authority).unwrap();
    stream.set_read_timeout(Some(WAIT_LIMIT)).unwrap();
    let length = body.len();
    let head = format!(
        "{method} /{path} HTTP/1.1\r\nhost: {authority}\r\nconnection: close\r\ncontent-length: {length}\r\n{fields}\r\n"
    );
    stream.write_all(&[head.as_bytes(), body].concat()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    (status.unwrap_or_else(|| panic!("no HTTP answer: {answer}")), answer)
}

/// A free port that nobody gets who takes any port: those come from 32,768 on (`net.ipv4.ip_local_port_range`). No two
/// calls of this process return the same one.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = u16::try_from(std::process::id() % 200 * 50).unwrap();
    let mut ports =
        std::iter::repeat_with(|| 20_000 + (first + NEXT.fetch_add(1, Ordering::Relaxed)) % 12_000);
    ports.find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).unwrap()
}
