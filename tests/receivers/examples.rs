//! examples/receiver.py beside a real sender.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;
use webhook_assets::webhook::{CompletedCall, Links, WebhookSecret};

use crate::interpreter::{present, root};
use crate::programs::{Attempt, Program, Sender};
use crate::snippets::snippet;
use crate::vectors;

const CALL: &str = "550e8400-e29b-41d4-a716-446655440000";

fn receiver(python: &Path, secret: &WebhookSecret, folder: &Path) -> (Program, String) {
    let mut command = Command::new(python);
    command.arg(root().join("examples/receiver.py")).arg("0").arg(folder);
    let mut receiver = Program::start(command.env("WEBHOOK_SECRET", secret.reveal()));
    let url = receiver.says("listening on ");
    (receiver, url)
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.ends_with(".part"))
        .collect();
    names.sort();
    names
}

#[test]
fn the_receiver_of_the_examples_downloads_what_the_sender_sends() {
    let Some(python) = present(Path::new("python3"), "examples/receiver.py is not tried") else { return };
    let (folder, sender) = (tempfile::tempdir().unwrap(), Sender::start());
    let (mut running, url) = receiver(&python, &sender.secret, folder.path());
    sender.point_at(&url);
    let delivery = sender.deliver("call-1", Some(CALL));
    let event = |line: &str| line.split(": call ").next().unwrap().to_owned();
    let end = Instant::now() + Duration::from_secs(60);
    while names(folder.path()).len() < 3 {
        assert!(Instant::now() < end, "not downloaded: {:?}", names(folder.path()));
        std::thread::sleep(Duration::from_millis(20));
    }
    let said = running.says_no_more();
    assert!(said[0].ends_with(": call connected"), "{said:?}");
    let event = event(&said[0]);
    let saved = |name: &str| fs::read(folder.path().join(format!("{event}{name}"))).unwrap();
    let sample = |path: &str| fs::read(root().join("fixtures").join(path)).unwrap();
    assert!(saved(".mp3") == sample(&format!("recordings/{CALL}.mp3")));
    assert!(saved(".transcript.json") == sample(&format!("transcripts/{CALL}.json")));
    let body: Value = serde_json::from_slice(&saved(".json")).unwrap();
    assert_eq!((&body["event"], &body["id"]), (&"call.completed".into(), &event.as_str().into()));

    // A person sends it again: the fresh links are followed.
    sender.resend(&delivery);
    running.says(&format!("{event}_1_r1: call connected"));
    let again = |name: &str| fs::read(folder.path().join(format!("{event}_1_r1{name}"))).unwrap();
    assert!(again(".mp3") == saved(".mp3") && again(".transcript.json") == saved(".transcript.json"));
    assert_eq!(serde_json::from_slice::<Value>(&again(".json")).unwrap()["resend"], 1);

    // A start after a stop in the middle of the downloads.
    drop(running);
    fs::remove_file(folder.path().join(format!("{event}.mp3"))).unwrap();
    let (mut running, _) = receiver(&python, &sender.secret, folder.path());
    running.says(&format!("{event}: call "));
    assert!(saved(".mp3") == sample(&format!("recordings/{CALL}.mp3")));
}

#[test]
fn the_receiver_of_the_examples_takes_genuine_events_once() {
    let Some(python) = present(Path::new("python3"), "examples/receiver.py is not tried") else { return };
    let (folder, secret) = (tempfile::tempdir().unwrap(), WebhookSecret::generate().unwrap());
    let (mut running, url) = receiver(&python, &secret, folder.path());
    let genuine = Attempt::of(&CompletedCall::sample(), Links::default(), &secret);
    for (attempt, expected) in
        [(&genuine, 200), (&genuine, 200), (&genuine.forged(), 401), (&genuine.unsigned(), 401)]
    {
        let (status, answer) = attempt.post(&url);
        assert_eq!(status, expected, "{answer}");
    }
    assert_eq!(running.says_no_more(), ["evt_1: call connected"]);
    assert_eq!(names(folder.path()), ["evt_1.json"]);
    vectors::are_answered_as_they_say(|secret| receiver(&python, secret, folder.path()));
}

#[test]
fn the_receiver_of_the_examples_checks_signatures_with_the_function_of_the_page() {
    let (page, example) =
        (snippet("verify.py"), fs::read_to_string(root().join("examples/receiver.py")).unwrap());
    let (_, function) = page.split_once("def is_genuine").unwrap();
    assert!(example.contains(function.trim_end()), "docs/receivers.md has another is_genuine");
}
