//! docs/receivers.md: the tests take every snippet from the page and run it.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;
use webhook_assets::store::SAMPLE;
use webhook_assets::webhook::{
    CallStatus, CompletedCall, Links, Message, Resend, Signing, WebhookSecret, X_WEBHOOK_SIGNATURE,
};

use crate::calls::base64;
use crate::interpreter::{ask, feed, installed, library, present, root};
use crate::programs::{Attempt, Gateway, Program, free_port};
use crate::signatures;

const MESSAGE: Message<'static> = Message { event: "msg_1", call: Some("call-1"), resend: None };

#[test]
fn the_payload_is_exactly_what_is_sent() {
    let payload: Value = serde_json::from_str(&snippet("payload.json")).unwrap();
    let link = |name| payload["call"][name].as_str();
    let links = Links { recording: link("recording_url"), transcript: link("transcript_url") };
    let message = Message {
        event: payload["id"].as_str().unwrap(),
        call: payload["call"]["id"].as_str(),
        resend: None,
    };
    assert_eq!(CompletedCall::sample().body(&message, links), serde_json::to_vec(&payload).unwrap());
}

#[test]
fn the_field_reference_names_every_field_and_every_status() {
    let page = page();
    let (_, reference) = page.split_once("| field | type |").unwrap();
    let (reference, _) = reference.split_once("\n\n").unwrap();
    let body = CompletedCall::sample().body(&Message { call: None, ..MESSAGE }, Links::default());
    let body: Value = serde_json::from_slice(&body).unwrap();
    for (name, value) in body.as_object().unwrap() {
        let fields: Vec<_> = value.as_object().into_iter().flatten().map(|(field, _)| field).collect();
        assert!(!fields.is_empty() || reference.contains(&format!("`{name}`")), "{name}");
        for field in fields {
            let named = [format!("`{name}.{field}`"), format!("`{field}`")];
            assert!(named.iter().any(|named| reference.contains(named)), "{name}.{field}");
        }
    }
    for status in CallStatus::ALL {
        assert!(reference.contains(&format!("`{}`", status.name())), "{status:?}");
    }
}

#[test]
fn the_receiver_in_node_accepts_genuine_events_once_and_resends_too() {
    let Some(node) = present(Path::new("node"), "server.mjs of the page is not tried") else { return };
    let folder = written(&["server.mjs"]);
    let secret = WebhookSecret::generate().unwrap();
    let mut receiver = Program::start(server(&node, &secret).arg(folder.path().join("server.mjs")));
    let url = format!("http://127.0.0.1:{}/webhook", receiver.says("listening on port "));

    accepts_only_genuine_events(&url, &secret);
    assert_eq!(receiver.says_no_more(), [line_of(0), line_of(2)]);
}

#[test]
fn the_receiver_with_express_accepts_only_genuine_events() {
    let Some(node) = present(Path::new("node"), "express.mjs of the page is not tried") else { return };
    let Some(modules) = modules("express") else { return };
    let folder = written(&["express.mjs"]);
    std::os::unix::fs::symlink(modules, folder.path().join("node_modules")).unwrap();
    let secret = WebhookSecret::generate().unwrap();
    let mut receiver = Program::start(server(&node, &secret).arg(folder.path().join("express.mjs")));
    let url = format!("http://127.0.0.1:{}/webhook", receiver.says("listening on port "));

    accepts_only_genuine_events(&url, &secret);
    assert_eq!(receiver.says_no_more(), [0, 1, 2, 3].map(line_of));
}

#[test]
fn the_receiver_in_php_accepts_only_genuine_events() {
    let Some(php) = present(Path::new("php"), "webhook.php of the page is not tried") else { return };
    let folder = written(&["webhook.php"]);
    let secret = WebhookSecret::generate().unwrap();
    let port = free_port();
    let mut command = server(&php, &secret);
    // Its log goes to a file of the test.
    command.args(["-S", &format!("127.0.0.1:{port}")]).arg(folder.path().join("webhook.php"));
    let _receiver = Program::start(command.stderr(fs::File::create(folder.path().join("log")).unwrap()));
    let begun = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        assert!(begun.elapsed() < Duration::from_secs(20), "php does not listen");
        std::thread::sleep(Duration::from_millis(20));
    }

    accepts_only_genuine_events(&format!("http://127.0.0.1:{port}/"), &secret);
    let log = fs::read_to_string(folder.path().join("log")).unwrap();
    for request in 0..4 {
        assert_eq!(log.matches(&line_of(request)).count(), 1, "{log}");
    }
}

/// What a receiver of the page prints of a request that it takes.
fn line_of(request: usize) -> String {
    format!("Call call-1 connected: {}", link(request))
}

/// The link that a request brings: each has another one.
fn link(request: usize) -> String {
    format!("https://app.example.com/api/webhook-assets/recording/{request}?expires=1&sig=0")
}

/// Posts an event, its retry, a resend by a person, and the retry of that; then a forged event, and one without a
/// signature.
fn accepts_only_genuine_events(url: &str, secret: &WebhookSecret) {
    let resend = Some(Resend { delivery: "dlv_1_1", number: 1 });
    for (request, resend) in [None, None, resend, resend].into_iter().enumerate() {
        let link = link(request);
        let links = Links { recording: Some(&link), transcript: None };
        let message = Message { resend, ..MESSAGE };
        let (status, answer) = Attempt::at(&message, &CompletedCall::sample(), links, secret).post(url);
        assert_eq!(status, 200, "{answer}");
    }
    let genuine = Attempt::of(&CompletedCall::sample(), Links::default(), secret);
    for attempt in [genuine.forged(), genuine.unsigned()] {
        let (status, answer) = attempt.post(url);
        assert_eq!(status, 401, "{answer}");
    }
}

fn server(interpreter: &Path, secret: &WebhookSecret) -> Command {
    let mut command = Command::new(interpreter);
    command.env("WEBHOOK_SECRET", secret.reveal()).env("PORT", "0");
    command
}

#[test]
fn the_function_in_python_accepts_only_genuine_events() {
    let Some(python) = present(Path::new("python3"), "verify.py of the page is not tried") else { return };
    let folder = written(&["verify.py"]);
    let driver = "import base64, sys\nfrom verify import is_genuine\nfor line in sys.stdin:\n    \
                  body, signature, secret = line.split()\n    \
                  print(str(is_genuine(base64.b64decode(body), signature, secret)).lower())\n";
    fs::write(folder.path().join("drive.py"), driver).unwrap();
    let secret = WebhookSecret::generate().unwrap();
    let body = CompletedCall::sample().body(&MESSAGE, Links::default());
    let signature = signature(&secret, &body);
    let body = base64(&body);
    let lines = [&*body, "e30="].map(|body| format!("{body} {signature} {}", secret.reveal()));
    let strange = format!("{body} é {}", secret.reveal());
    let answers = ask(
        Command::new(python).arg(folder.path().join("drive.py")),
        &[lines[0].clone(), lines[1].clone(), strange],
    );
    assert_eq!(answers, ["true", "false", "false"]);
}

#[test]
fn the_step_for_zapier_passes_only_genuine_events() {
    let Some(node) = present(Path::new("node"), "zapier.js of the page is not tried") else { return };
    let folder = written(&["zapier.js"]);
    // Zapier runs a step as the body of an async function.
    let driver = "const step = require('fs').readFileSync(process.argv[2], 'utf8');\n\
                  const AsyncFunction = (async () => {}).constructor;\n\
                  const inputData = JSON.parse(require('fs').readFileSync(0, 'utf8'));\n\
                  new AsyncFunction('inputData', 'require', step)(inputData, require)\n\
                  .then((event) => console.log(JSON.stringify(event)), (error) => console.log(error.message));\n";
    fs::write(folder.path().join("drive.cjs"), driver).unwrap();
    let secret = WebhookSecret::generate().unwrap();
    let body = CompletedCall::sample().body(&MESSAGE, Links::default());
    let step = |signature: Option<&str>| {
        let mut input =
            serde_json::json!({"rawBody": std::str::from_utf8(&body).unwrap(), "secret": secret.reveal()});
        if let Some(signature) = signature {
            input["signature"] = signature.into();
        }
        let mut command = Command::new(&node);
        command.arg(folder.path().join("drive.cjs")).arg(folder.path().join("zapier.js"));
        feed(&mut command, input.to_string().as_bytes()).stdout
    };
    assert_eq!(step(Some(&signature(&secret, &body))).trim_ascii_end(), body);
    assert_eq!(step(Some(&"0".repeat(64))), b"Invalid signature\n");
    assert_eq!(step(None), b"Invalid signature\n");
}

#[test]
fn the_snippet_with_the_node_library_verifies_events() {
    let Some(node) = present(Path::new("node"), "standard.mjs of the page is not tried") else { return };
    let Some(modules) = modules("npm") else { return };
    let folder = written(&["standard.mjs"]);
    std::os::unix::fs::symlink(modules, folder.path().join("node_modules")).unwrap();
    let driver = "import { createInterface } from 'node:readline';\nimport { receive } from './standard.mjs';\n\
                  const decoded = (text) => Buffer.from(text, 'base64');\n\
                  createInterface({ input: process.stdin }).on('line', (line) => {\n\
                  const [body, id, time, signature, secret] = line.split(' ');\n\
                  const headers = { 'webhook-id': `${decoded(id)}`, 'webhook-timestamp': `${decoded(time)}`,\n\
                  'webhook-signature': `${decoded(signature)}` };\n\
                  try { console.log(receive(decoded(body), headers, secret).event === 'call.completed'); }\n\
                  catch { console.log(false); } });\n";
    fs::write(folder.path().join("drive.mjs"), driver).unwrap();
    signatures::judged(
        Command::new(node).arg(folder.path().join("drive.mjs")),
        &signatures::standard_lines()[..20],
        2,
    );
}

#[test]
fn the_snippet_with_the_python_library_verifies_events() {
    let python = installed("pypi").join("bin/python");
    let Some(python) = library(&python, "standard.py of the page is not tried") else { return };
    let folder = written(&["standard.py"]);
    let driver = "import base64, sys\nfrom standard import receive\nfor line in sys.stdin:\n    \
                  *encoded, secret = line.split()\n    \
                  body, *fields = (base64.b64decode(part) for part in encoded)\n    \
                  names = ['webhook-id', 'webhook-timestamp', 'webhook-signature']\n    \
                  headers = {name: field.decode() for name, field in zip(names, fields)}\n    \
                  try:\n        print(str(receive(body, headers, secret)['event'] == 'call.completed').lower())\n    \
                  except Exception:\n        print('false')\n";
    fs::write(folder.path().join("drive.py"), driver).unwrap();
    signatures::judged(
        Command::new(python).arg(folder.path().join("drive.py")),
        &signatures::standard_lines()[..20],
        2,
    );
}

#[test]
fn the_download_snippet_resumes_where_it_stopped() {
    let why = "download.sh of the page is not tried";
    let (Some(sh), Some(_)) = (Some(Path::new("sh")), present(Path::new("curl"), why)) else { return };
    let gateway = Gateway::start();
    let folder = written(&["download.sh", "subtitles.sh"]);
    let run = |script: &str| {
        let mut command = Command::new(sh);
        command.arg("-e").arg(script).current_dir(folder.path());
        command.env("RECORDING_URL", &gateway.recording).env("TRANSCRIPT_URL", &gateway.transcript);
        feed(&mut command, b"");
    };
    let sample = |path: &str| fs::read(root().join("fixtures").join(path)).unwrap();
    let recording = sample("recordings/550e8400-e29b-41d4-a716-446655440000.mp3");
    let downloaded = folder.path().join("recording.mp3");
    for already in [0, recording.len() / 2] {
        fs::write(&downloaded, &recording[..already]).unwrap();
        run("download.sh");
        assert!(fs::read(&downloaded).unwrap() == recording, "{already} bytes were there");
        let transcript = fs::read_to_string(folder.path().join("transcript.json")).unwrap();
        assert!(transcript.contains("\"schema\"") && transcript.contains(&SAMPLE.to_string()));
    }
    run("subtitles.sh");
    let subtitles = fs::read_to_string(folder.path().join("transcript.srt")).unwrap();
    assert!(subtitles.starts_with("1\n00:00:") && subtitles.contains(" --> "), "{subtitles}");
}

fn page() -> String {
    fs::read_to_string(root().join("docs/receivers.md")).unwrap()
}

/// The code block that follows `<!-- snippet: {name} -->`.
pub(crate) fn snippet(name: &str) -> String {
    let page = page();
    let marker = format!("<!-- snippet: {name} -->\n");
    let (_, rest) = page.split_once(&marker).unwrap_or_else(|| panic!("the page has no `{marker}`"));
    let mut lines = rest.lines();
    assert!(lines.next().unwrap().starts_with("```"), "no code block follows {name}");
    lines.take_while(|line| !line.starts_with("```")).flat_map(|line| [line, "\n"]).collect()
}

/// A folder with these snippets.
fn written(names: &[&str]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in names {
        fs::write(folder.path().join(name), snippet(name)).unwrap();
    }
    folder
}

fn modules(package: &str) -> Option<PathBuf> {
    library(&installed(package).join("node_modules"), "a snippet of the page is not tried")
}

fn signature(secret: &WebhookSecret, body: &[u8]) -> String {
    let headers = Signing::with(secret.clone()).headers("evt_1", webhook_assets::clock::UnixSeconds(0), body);
    headers[X_WEBHOOK_SIGNATURE].to_str().unwrap().to_owned()
}
