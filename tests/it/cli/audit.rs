//! The audit of downloads: what the program records, where, and what happens when it cannot.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::{Value, json};

use super::access_log::metric;
use super::database::ask as ask_admin;
use super::{Home, Ran, Server, eventually, get, target_of};
use crate::support::client::request_head;
use crate::support::{ABSENT, Answer, CALL};

fn start(home: &Home, file: &str, required: bool) -> Server {
    let mut command = home.program(&["serve"]);
    command.env("WEBHOOK_ASSETS_AUDIT_FILE", file);
    command.env("WEBHOOK_ASSETS_AUDIT_REQUIRED", required.to_string());
    Server::start(command)
}

/// A server that sends webhooks, too.
fn start_sending(home: &Home, required: bool) -> Server {
    let mut command = home.program(&["serve"]);
    command.envs(home.sending()).env("WEBHOOK_ASSETS_AUDIT_FILE", "audit.jsonl");
    command.env("WEBHOOK_ASSETS_AUDIT_REQUIRED", required.to_string());
    Server::start(command)
}

/// The records of a file, once it holds at least `count`.
#[track_caller]
fn records(file: &Path, count: usize) -> Vec<Value> {
    let read = || std::fs::read_to_string(file).unwrap_or_default();
    eventually(|| (read().lines().count() >= count).then_some(()), || format!("not {count}: {}", read()));
    let records: Vec<Value> = read().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(records.len(), count, "{records:#?}");
    records
}

fn ask(server: &Server, method: &str, link: &str, fields: &[(&str, &str)]) -> Answer {
    use std::io::{Read, Write};

    let mut stream = std::net::TcpStream::connect(server.gateway).unwrap();
    stream.write_all(request_head(method, target_of(link), fields, b"").as_bytes()).unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    Answer::parse(&bytes, method == "HEAD").0
}

#[test]
fn only_requests_with_a_good_signature_are_recorded() {
    let home = Home::ready();
    let server = start(&home, "audit.jsonl", false);
    let link = home.link();
    let absent = home.run(&["mint", "transcript", &ABSENT.to_string()]).succeeded().out;
    ask(&server, "GET", &link, &[("User-Agent", "a \"b\"\t")]);
    ask(&server, "GET", &link, &[("Range", "bytes=10-19")]);
    ask(&server, "HEAD", &link, &[]);
    ask(&server, "GET", &format!("{}&format=vtt", absent.trim()), &[]);
    for nobodys in [format!("{link}0"), "/nowhere".to_owned(), link.replace("recording", "transcript")] {
        assert!(ask(&server, "GET", &nobodys, &[]).status >= 400);
    }
    ask(&server, "GET", &link, &[("Range", "bytes=0-0,-1")]);
    let records = records(&home.path("audit.jsonl"), 5);

    let found = |names: &[&str]| -> Vec<Value> {
        records.iter().map(|record| names.iter().map(|name| record[*name].clone()).collect()).collect()
    };
    let names = ["method", "asset", "id", "format", "status", "sent", "size", "range", "complete"];
    let call = CALL.to_string();
    let several = records[4]["sent"].as_u64().unwrap();
    assert_eq!(
        found(&names),
        [
            json!(["GET", "recording", call, null, 200, 300_000, 300_000, null, true]),
            json!(["GET", "recording", call, null, 206, 10, 300_000, "bytes=10-19", true]),
            json!(["HEAD", "recording", call, null, 200, 0, 300_000, null, false]),
            json!(["GET", "transcript", ABSENT.to_string(), "vtt", 404, 0, null, null, false]),
            json!(["GET", "recording", call, null, 206, several, 300_000, "bytes=0-0,-1", true]),
        ]
    );
    for record in &records {
        assert_eq!(record["client"], "127.0.0.1");
        assert_eq!(record["key_id"], home.ids("keys.json")[0].as_str());
        for time in ["timestamp", "link_expires"] {
            humantime::parse_rfc3339(record[time].as_str().unwrap()).unwrap();
        }
    }
    assert_eq!(records[0]["user_agent"], "a \"b\"");
    let ids: BTreeSet<_> = records.iter().map(|record| record["request_id"].as_str().unwrap()).collect();
    assert!(ids.len() == 5 && ids.iter().all(|id| id.len() == 32), "{ids:?}");
    // The access record of the same request has the same id.
    server.logs(records[0]["request_id"].as_str().unwrap());

    let text = home.read("audit.jsonl");
    let sig = link.rsplit_once('=').unwrap().1;
    assert!(!text.contains(&sig[..16]) && !text.contains(&home.secrets("keys.json")[0][..16]));
    let mode = std::fs::metadata(home.path("audit.jsonl")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_file_that_was_moved_away_is_opened_anew_on_a_hangup() {
    let home = Home::ready();
    let server = start(&home, "audit.jsonl", false);
    let link = home.link();
    server.get(&link);
    records(&home.path("audit.jsonl"), 1);
    std::fs::rename(home.path("audit.jsonl"), home.path("audit.1")).unwrap();
    server.get(&link);
    records(&home.path("audit.1"), 2);
    server.signal("HUP");
    eventually(|| home.path("audit.jsonl").exists().then_some(()), || "it was not made".to_owned());
    server.get(&link);
    records(&home.path("audit.jsonl"), 1);
    records(&home.path("audit.1"), 2);
}

#[test]
fn downloads_just_before_the_end_are_recorded() {
    let home = Home::ready();
    let mut server = start(&home, "audit.jsonl", true);
    let link = home.link();
    for _ in 0..10 {
        assert_eq!(server.get(&link).status, 200);
    }
    server.signal("TERM");
    assert_eq!(server.ended().code(), Some(0));
    assert_eq!(home.read("audit.jsonl").lines().count(), 10);
}

/// A file that starts on a full disk.
fn full(home: &Home) -> std::path::PathBuf {
    let path = home.path("audit.jsonl");
    std::os::unix::fs::symlink("/dev/full", &path).unwrap();
    path
}

#[test]
fn downloads_go_on_while_the_audit_fails_and_it_catches_up() {
    let home = Home::ready();
    let path = full(&home);
    let server = start(&home, "audit.jsonl", false);
    let link = home.link();
    assert_eq!(metric(server.admin, "webhook_assets_audit_up"), 1.0);
    assert_eq!(server.get(&link).status, 200);
    server.logs("the audit log cannot be written");
    assert_eq!(metric(server.admin, "webhook_assets_audit_up"), 0.0);
    assert_eq!(server.get(&link).status, 200);
    std::fs::remove_file(&path).unwrap();
    server.signal("HUP");
    records(&path, 2);
    server.logs("the audit log is written again");
    assert_eq!(metric(server.admin, "webhook_assets_audit_up"), 1.0);
    assert_eq!(metric(server.admin, "webhook_assets_log_lines_dropped_total{log=\"audit\"}"), 0.0);
}

#[test]
fn a_download_is_refused_while_a_required_audit_cannot_be_written() {
    let home = Home::ready();
    let path = full(&home);
    let server = start(&home, "audit.jsonl", true);
    let link = home.link();
    // The audit has not written yet, so its state is unknown.
    assert_eq!(server.get(&link).status, 200);
    server.logs("the audit log cannot be written");
    for _ in 0..3 {
        let answer = server.get(&link);
        assert_eq!((answer.status, answer.json()["code"].as_str()), (503, Some("audit_unavailable")));
        assert!(answer.must("retry-after").parse::<u64>().unwrap() > 0);
    }
    assert_eq!(server.get(&format!("{link}0")).status, 403, "a client without a good link learns nothing");
    assert_eq!(get(server.admin, "/healthz").status, 200);
    let ready = get(server.admin, "/readyz");
    let part = ready.json()["parts"]["audit"].clone();
    assert_eq!(
        (ready.status, part["state"].as_str()),
        (503, Some("down")),
        "no balancer sends downloads here"
    );
    assert!(part["reason"].as_str().unwrap().contains("audit.required"), "{part}");
    std::fs::remove_file(&path).unwrap();
    server.signal("HUP");
    // The download that was served, and the refused ones.
    let outcomes: Vec<_> = records(&path, 4).iter().map(|record| record["outcome"].clone()).collect();
    assert_eq!(outcomes, ["ok", "unrecorded", "unrecorded", "unrecorded"]);
    assert_eq!(server.get(&link).status, 200);
    assert_eq!(get(server.admin, "/readyz").status, 200);
}

#[test]
fn actions_go_on_while_the_audit_fails_even_if_it_is_required_and_their_lines_come_later() {
    let home = Home::ready();
    for required in [false, true] {
        let path = full(&home);
        let server = start_sending(&home, required);
        let endpoints = "/v1/workspaces/acme/endpoints";
        let wish = json!({"url": "http://127.0.0.1:9/", "allow_duplicate": true});
        let added = ask_admin(&server, "POST", endpoints, &wish);
        assert_eq!(added.status, 201, "{added:?}");
        server.logs("the audit log cannot be written");
        assert_eq!(metric(server.admin, "webhook_assets_audit_up"), 0.0);
        let id = added.json()["id"].as_str().unwrap().to_owned();
        let paused = ask_admin(&server, "PATCH", &format!("{endpoints}/{id}"), &json!({"state": "paused"}));
        let removed = ask_admin(&server, "DELETE", &format!("{endpoints}/{id}"), &Value::Null);
        assert_eq!((paused.status, removed.status), (200, 204), "an action needs no room in audit.file");
        let trail = ask_admin(&server, "GET", "/v1/workspaces/acme/audit?limit=3", &Value::Null).json();
        assert_eq!(trail["entries"].as_array().unwrap().len(), 3, "the database has them");
        std::fs::remove_file(&path).unwrap();
        server.signal("HUP");
        let actions: Vec<_> = records(&path, 3).iter().map(|record| record["action"].clone()).collect();
        assert_eq!(actions, ["endpoint.added", "endpoint.changed", "endpoint.removed"]);
        server.logs("the audit log is written again");
        assert_eq!(metric(server.admin, "webhook_assets_audit_up"), 1.0);
        assert_eq!(metric(server.admin, "webhook_assets_log_lines_dropped_total{log=\"audit\"}"), 0.0);
        drop(server);
        std::fs::remove_file(&path).unwrap();
    }
}

#[test]
fn an_audit_that_cannot_be_opened_ends_the_start() {
    let home = Home::ready();
    let mut command = home.program(&["serve"]);
    command.env("WEBHOOK_ASSETS_AUDIT_FILE", "/nowhere/audit.jsonl").env("WEBHOOK_ASSETS_LOG_LEVEL", "error");
    Ran::of(&mut command).refused(64, &["audit.file", "/nowhere/audit.jsonl", "create its folder"]);
}

#[test]
fn the_audit_can_go_to_standard_output() {
    let home = Home::ready();
    let server = start(&home, "-", false);
    server.get(&home.link());
    server.prints("\"request_id\"");
    let out = server.out();
    let record: Value = serde_json::from_str(out.lines().last().unwrap()).unwrap();
    assert_eq!((record["status"].as_u64(), record["complete"].as_bool()), (Some(200), Some(true)));
}

#[test]
fn actions_get_a_line_too_and_those_of_the_command_line_are_in_the_trail() {
    let home = Home::ready();
    let server = start_sending(&home, false);
    let wish = json!({"url": "http://127.0.0.1:9/s3cret"});
    let added = ask_admin(&server, "POST", "/v1/workspaces/acme/endpoints", &wish);
    assert_eq!(added.status, 201, "{added:?}");
    let line = &records(&home.path("audit.jsonl"), 1)[0];
    assert_eq!((&line["action"], &line["actor"]["kind"]), (&json!("endpoint.added"), &json!("operator")));
    assert_eq!(line["subject"], added.json()["id"]);
    assert!(!home.read("audit.jsonl").contains("s3cret"));

    let id = added.json()["id"].as_str().unwrap().to_owned();
    let mut pause = home.program(&["webhooks", "pause", "--workspace", "acme", &id]);
    Ran::of(pause.envs(home.sending()).env("USER", "root").env("SUDO_USER", "jane")).succeeded();
    let entry =
        ask_admin(&server, "GET", "/v1/workspaces/acme/audit", &Value::Null).json()["entries"][0].clone();
    assert_eq!(entry["actor"], json!({"kind": "cli", "name": "jane"}));
    assert_eq!((&entry["before"]["state"], &entry["after"]["state"]), (&json!("active"), &json!("paused")));
}
