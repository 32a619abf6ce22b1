//! Signatures, verified by the help page's function, by Python, and by the libraries of Standard Webhooks.

use std::path::Path;
use std::process::Command;

use http::HeaderMap;
use webhook_assets::clock::{Clock, SystemClock, UnixSeconds};
use webhook_assets::webhook::{
    Signing, WEBHOOK_ID, WEBHOOK_SIGNATURE, WEBHOOK_TIMESTAMP, WebhookSecret, X_WEBHOOK_SIGNATURE,
};

use crate::calls::{BODIES, base64};
use crate::interpreter::{ask, installed, library, present, root};

#[test]
fn the_function_of_the_help_page_verifies_every_body_after_parsing_it() {
    let Some(node) = present(Path::new("node"), "the help page's function is not tried") else { return };
    let page = root().join("fixtures/receivers/help_page.js");
    let script = root().join("tests/receivers/help_page.cjs");
    verifies_every_good_signature_and_no_other(Command::new(node).arg(script).arg(page));
}

#[test]
fn python_verifies_every_raw_body() {
    let Some(python) = present(Path::new("python3"), "raw bodies are not tried") else { return };
    verifies_every_good_signature_and_no_other(
        Command::new(python).arg(root().join("tests/receivers/raw_body.py")),
    );
}

fn verifies_every_good_signature_and_no_other(command: &mut Command) {
    let (old, new) = (WebhookSecret::generate().unwrap(), WebhookSecret::generate().unwrap());
    let mut lines = Vec::new();
    for (case, (body, flipped)) in BODIES.iter().enumerate() {
        let plain = case % 2;
        let signing = Signing { current: new.clone(), previous: vec![old.clone()], plain };
        let headers = signing.headers("evt", UnixSeconds(0), body);
        let signature = headers[X_WEBHOOK_SIGNATURE].to_str().unwrap();
        let (right, wrong) = if plain == 0 { (&new, &old) } else { (&old, &new) };
        let line =
            |body: &[u8], secret: &WebhookSecret| format!("{} {signature} {}", base64(body), secret.reveal());
        lines.extend([line(body, right), line(flipped, right), line(body, wrong)]);
    }
    judged(command, &lines, 3);
}

#[test]
fn the_standard_webhooks_library_for_rust_verifies_every_event() {
    for (body, flipped, headers, secret) in standard_events() {
        let library = standardwebhooks::Webhook::new(secret.reveal()).unwrap();
        library.verify(body, &headers).unwrap();
        assert!(library.verify(flipped, &headers).is_err());
    }
}

#[test]
fn the_standard_webhooks_library_for_node_verifies_every_event() {
    let Some(node) = present(Path::new("node"), "npm's standardwebhooks is not tried") else { return };
    let npm = installed("npm");
    let why = "npm's standardwebhooks is not tried";
    let Some(_) = library(&npm.join("node_modules/standardwebhooks"), why) else { return };
    judged(
        Command::new(node).arg(root().join("tests/receivers/standard_webhooks.cjs")).arg(npm),
        &standard_lines(),
        2,
    );
}

#[test]
fn the_standard_webhooks_library_for_python_verifies_every_event() {
    let python = installed("pypi").join("bin/python");
    let Some(python) = library(&python, "PyPI's standardwebhooks is not tried") else { return };
    judged(
        Command::new(python).arg(root().join("tests/receivers/standard_webhooks.py")),
        &standard_lines(),
        2,
    );
}

/// Each event unchanged, then with one bit of its body flipped.
pub(crate) fn standard_lines() -> Vec<String> {
    let mut lines = Vec::new();
    for (body, flipped, headers, secret) in standard_events() {
        let fields = [WEBHOOK_ID, WEBHOOK_TIMESTAMP, WEBHOOK_SIGNATURE];
        let fields = fields.map(|name| base64(headers[name].as_bytes()));
        for body in [body, flipped] {
            lines.push(format!("{} {} {}", base64(body), fields.join(" "), secret.reveal()));
        }
    }
    lines
}

/// Each body, a copy with a bit flipped, the header fields during a rotation, and the secret that the receiver knows:
/// the new one or the old one, in turn.
fn standard_events() -> impl Iterator<Item = (&'static [u8], &'static [u8], HeaderMap, WebhookSecret)> {
    let (old, new) = (WebhookSecret::generate().unwrap(), WebhookSecret::generate().unwrap());
    let signing = Signing { current: new.clone(), previous: vec![old.clone()], plain: 0 };
    let now = SystemClock.now();
    BODIES.iter().enumerate().map(move |(case, (body, flipped))| {
        let headers = signing.headers(&format!("evt_{case}"), now, body);
        (&body[..], &flipped[..], headers, [&new, &old][case % 2].clone())
    })
}

/// The first of every `group` lines must verify and the others must not.
pub(crate) fn judged(command: &mut Command, lines: &[String], group: usize) {
    let answers = ask(command, lines);
    for (at, (line, answer)) in lines.iter().zip(&answers).enumerate() {
        let expected = if at % group == 0 { "true" } else { "false" };
        assert_eq!(answer, expected, "line {at}: {}", line.chars().take(2_000).collect::<String>());
    }
}
