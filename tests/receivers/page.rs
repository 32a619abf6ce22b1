//! docs/receivers.md: the tests take every snippet from the page and run it. (`whole_receivers` has the whole receivers.)

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use webhook_assets::store::SAMPLE;
use webhook_assets::webhook::{CallStatus, CompletedCall, EventType, Links, Message};

use crate::calls::base64;
use crate::interpreter::{ask, feed, installed, library, present, root};
use crate::programs::Gateway;
use crate::signatures;
use crate::snippets::{snippet, written};
use crate::vectors::{self, Vector};

const MESSAGE: Message<'static> =
    Message { event: "msg_1", event_type: EventType::CallCompleted, call: Some("call-1"), resend: None };

#[test]
fn the_payload_is_exactly_what_is_sent() {
    let payload: Value = serde_json::from_str(&snippet("payload.json")).unwrap();
    let link = |name| payload["call"][name].as_str();
    let links = Links { recording: link("recording_url"), transcript: link("transcript_url") };
    let message = Message {
        event: payload["id"].as_str().unwrap(),
        event_type: EventType::CallCompleted,
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
fn the_function_in_python_accepts_only_genuine_events() {
    let Some(python) = present(Path::new("python3"), "verify.py of the page is not tried") else { return };
    let folder = written(&["verify.py"]);
    let driver = "import base64, sys\nfrom verify import is_genuine\nfor line in sys.stdin:\n    \
                  body, signature, secret = (base64.b64decode(part) for part in line.rstrip('\\n').split(' '))\n    \
                  print(str(is_genuine(body, signature.decode(), secret.decode())).lower())\n";
    fs::write(folder.path().join("drive.py"), driver).unwrap();
    let line = |body: &str, signature: &str, secret: &str| {
        [body, signature, secret].map(|part| base64(part.as_bytes())).join(" ")
    };
    let vectors = Vector::all();
    let lines = vectors.iter().map(|it| line(&it.body, &it.header("x-webhook-signature"), &it.secret));
    let strange = line("{}", "é", &vectors[0].secret);
    let answers = ask(
        Command::new(python).arg(folder.path().join("drive.py")),
        &lines.chain([strange]).collect::<Vec<_>>(),
    );
    let expected = vectors.iter().map(|it| it.plain == "good").chain([false]);
    assert_eq!(answers, expected.map(|good| good.to_string()).collect::<Vec<_>>());
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
    let step = |body: &str, secret: &str, signature: Option<String>| {
        let mut input = serde_json::json!({"rawBody": body, "secret": secret});
        if let Some(signature) = signature {
            input["signature"] = signature.into();
        }
        let mut command = Command::new(&node);
        command.arg(folder.path().join("drive.cjs")).arg(folder.path().join("zapier.js"));
        feed(&mut command, input.to_string().as_bytes()).stdout
    };
    for vector in Vector::all() {
        let passed = step(&vector.body, &vector.secret, Some(vector.header("x-webhook-signature")));
        let expected = if vector.plain == "good" { &vector.body } else { "Invalid signature" };
        assert_eq!(String::from_utf8(passed).unwrap(), format!("{expected}\n"), "{}", vector.name);
        assert_eq!(step(&vector.body, &vector.secret, None), b"Invalid signature\n");
    }
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
                  const [body, id, time, signature, secret, now] = line.split(' ');\n\
                  if (now) Date.now = () => Number(now) * 1000;\n\
                  const headers = { 'webhook-id': `${decoded(id)}`, 'webhook-timestamp': `${decoded(time)}`,\n\
                  'webhook-signature': `${decoded(signature)}` };\n\
                  try { console.log(receive(decoded(body), headers, secret).event.startsWith('call.')); }\n\
                  catch { console.log(false); } });\n";
    fs::write(folder.path().join("drive.mjs"), driver).unwrap();
    let mut command = Command::new(node);
    command.arg(folder.path().join("drive.mjs"));
    signatures::judged(&mut command, &signatures::standard_lines()[..20], 2);
    vectors::are_judged_as_they_say(&mut command);
}

#[test]
fn the_snippet_with_the_python_library_verifies_events() {
    let python = installed("pypi").join("bin/python");
    let Some(python) = library(&python, "standard.py of the page is not tried") else { return };
    let folder = written(&["standard.py"]);
    let driver = "import base64, datetime, sys\nimport standardwebhooks.webhooks as library\n\
                  from standard import receive\nfor line in sys.stdin:\n    \
                  *encoded, secret = line.split()[:5]\n    \
                  for now in line.split()[5:]:\n        \
                  class Clock(datetime.datetime):\n            \
                  now = classmethod(lambda cls, tz, at=int(now): cls.fromtimestamp(at, tz))\n        \
                  library.datetime = Clock\n    \
                  body, *fields = (base64.b64decode(part) for part in encoded)\n    \
                  names = ['webhook-id', 'webhook-timestamp', 'webhook-signature']\n    \
                  headers = {name: field.decode() for name, field in zip(names, fields)}\n    \
                  try:\n        print(str(receive(body, headers, secret)['event'].startswith('call.')).lower())\n    \
                  except Exception:\n        print('false')\n";
    fs::write(folder.path().join("drive.py"), driver).unwrap();
    let mut command = Command::new(python);
    command.arg(folder.path().join("drive.py"));
    signatures::judged(&mut command, &signatures::standard_lines()[..20], 2);
    vectors::are_judged_as_they_say(&mut command);
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

fn modules(package: &str) -> Option<PathBuf> {
    library(&installed(package).join("node_modules"), "a snippet of the page is not tried")
}
