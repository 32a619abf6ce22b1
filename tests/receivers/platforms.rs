//! Programs that users run: the help page's Express handler, and n8n with the workflow of fixtures/n8n.
//!
//! Genuine events come from the real sender; the test forges the others.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use webhook_assets::webhook::{CompletedCall, Links};

use crate::interpreter::{installed, library, present, root, variable};
use crate::programs::{Attempt, Program, Sender};

/// The sample call.
const CALL: &str = "550e8400-e29b-41d4-a716-446655440000";

/// The first start of n8n creates its database.
const FIRST_START: Duration = Duration::from_secs(180);

#[test]
fn the_express_handler_of_the_help_page_accepts_only_genuine_events() {
    let why = "the help page's Express handler is not tried";
    let Some(node) = present(Path::new("node"), why) else { return };
    let Some(modules) = library(&installed("express").join("node_modules"), why) else { return };
    let sender = Sender::start();
    let mut receiver = Program::start(
        Command::new(node)
            .arg(root().join("fixtures/receivers/express.js"))
            .env("NODE_PATH", modules)
            .env("WEBHOOK_SECRET", sender.secret.reveal()),
    );
    let url = receiver.says("listening on ");
    sender.point_at(&url);
    let delivery = sender.deliver("call-1", Some(CALL));
    receiver.says("Call completed: {");
    // Sent again by a person, the event arrives with fresh links.
    sender.resend(&delivery);
    receiver.says("Call completed: {");
    receiver.says("  resend: 1");

    let genuine = Attempt::of(&CompletedCall::sample(), Links::default(), &sender.secret);
    assert_eq!(genuine.post(&url).0, 200);
    let (status, answer) = genuine.forged().post(&url);
    assert_eq!((status, answer.ends_with("Invalid signature")), (401, true), "{answer}");
    assert_eq!(genuine.unsigned().post(&url).0, 401);
}

#[test]
fn the_workflow_for_n8n_checks_the_signature_and_downloads_both_files() {
    if variable("N8N").is_none() {
        eprintln!("skipped: n8n is tried by bash tests/run receivers n8n");
        return;
    }
    let why = "the workflow for n8n is not tried";
    let Some(n8n) = library(&installed("n8n"), why) else { return };
    let Some(node) = present(Path::new("node"), why) else { return };
    let sender = Sender::start();
    let mut receiver = Program::start(
        Command::new(node)
            .arg(root().join("tests/receivers/n8n.mjs"))
            .arg(n8n)
            .arg(root().join("fixtures/n8n/call-completed.json"))
            .arg(sender.secret.reveal()),
    )
    .with_grace(Duration::from_secs(10));
    let url = receiver.says_within(FIRST_START, "listening on ");

    // n8n answers before the workflow runs.
    sender.point_at(&url);
    let first = sender.deliver("call-1", Some(CALL));
    let genuine = Attempt::of(&CompletedCall::sample(), Links::default(), &sender.secret);
    for attempt in [&genuine.forged(), &genuine.unsigned()] {
        assert_eq!(attempt.post(&url).0, 200);
    }
    sender.deliver("call-2", None);

    receiver.tell("4");
    let executions: Vec<Value> = serde_json::from_str(&receiver.says("executions ")).unwrap();
    let statuses: Vec<_> = executions.iter().map(|execution| &execution["status"]).collect();
    assert_eq!(statuses, ["success", "error", "error", "success"], "{executions:#?}");

    let item = |execution: usize, node: &str| executions[execution]["nodes"][node][0][0].clone();
    let recording = &item(0, "Download the recording")["binary"]["recording"];
    assert_eq!(recording["mimeType"], "audio/mpeg");
    assert_eq!(recording["fileName"], "recording-550e8400-e29b-41d4-a716-446655440000.mp3");
    let length =
        std::fs::metadata(root().join("fixtures/recordings/550e8400-e29b-41d4-a716-446655440000.mp3"));
    assert_eq!(recording["bytes"], length.unwrap().len());
    assert_eq!(item(0, "Fetch the transcript")["json"]["schema"], "call-transcript/1");
    for refused in [1, 2] {
        let nodes = executions[refused]["nodes"].as_object().unwrap();
        let ran: Vec<_> = nodes.keys().collect();
        assert_eq!(json!(ran), json!(["Call completed", "Sign the raw body", "Is it genuine?", "Refuse"]));
    }
    let without_files = &executions[3]["nodes"];
    assert!(without_files.get("Download the recording").is_none(), "{without_files:#}");
    assert!(without_files.get("Fetch the transcript").is_none(), "{without_files:#}");

    // Webhook nodes that ask for credentials.
    let basic = json!({"username": "acme", "password": "open sesame"});
    for (path, credentials) in [
        ("header-auth", json!({"headers": {"X-API-Key": "k3y-of-n8n"}})),
        ("basic-auth", json!({"basic_auth": basic})),
    ] {
        let url = url.replace("call-completed", path);
        let (status, answer) = genuine.post(&url);
        assert!(matches!(status, 401 | 403), "{path}: {status} {answer}");
        sender.point_at(&url);
        sender.change(&credentials);
        sender.deliver(path, None);
    }
    receiver.tell("6");
    let executions: Vec<Value> = serde_json::from_str(&receiver.says("executions ")).unwrap();
    for (execution, path) in [(4, "header-auth"), (5, "basic-auth")] {
        let event = &executions[execution]["nodes"][path][0][0]["json"]["body"];
        assert_eq!(event["call"]["id"], path, "{executions:#?}");
    }
    sender.point_at(&url);
    later_events_reach_n8n(&sender, &mut receiver, &first);
}

/// A resend by a person, a call that the filter leaves out, and a recording that comes after its call.
fn later_events_reach_n8n(sender: &Sender, receiver: &mut Program, first: &Value) {
    sender.resend(first);
    sender.wait_for("call-1");
    sender.change(&json!({"filter": {"status": ["voicemail"]}, "late_assets": true}));
    assert_eq!(sender.post("call-3", Some(CALL))["deliveries"], json!([]));
    sender.change(&json!({"filter": null}));
    sender.deliver("call-4", None);
    sender.report_recording("call-4", CALL);
    receiver.tell("9");
    let executions: Vec<Value> = serde_json::from_str(&receiver.says("executions ")).unwrap();
    assert_eq!(executions.len(), 9, "{executions:#?}");
    let event = |execution: usize| &executions[execution]["nodes"]["Call completed"][0][0]["json"]["body"];
    let recorded = |execution: usize| {
        executions[execution]["nodes"]["Download the recording"][0][0]["binary"]["recording"]["bytes"]
            .as_u64()
    };
    assert_eq!((&event(6)["call"]["id"], &event(6)["resend"]), (&json!("call-1"), &json!(1)));
    assert_eq!((&event(7)["call"]["id"], recorded(7)), (&json!("call-4"), None));
    assert_eq!((&event(8)["event"], &event(8)["call"]["id"]), (&json!("call.updated"), &json!("call-4")));
    for execution in [6, 8] {
        assert!(recorded(execution).is_some_and(|bytes| bytes > 300_000), "{:#}", executions[execution]);
    }
}
