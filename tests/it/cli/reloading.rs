//! SIGHUP: settings that change while the program runs; and processes that share a keyring.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::json;

use super::access_log::metric;
use super::{Home, Server, WAIT_LIMIT, eventually, target_of};
use crate::support::client::request_head;
use crate::support::{Answer, CALL};

fn start(home: &Home, settings: &str) -> Server {
    home.write("settings.toml", settings);
    Server::start(home.program(&["serve", "--config", "settings.toml"]))
}

/// Writes other settings and waits until the program has read them.
fn change(home: &Home, server: &Server, settings: &str, result: &str) {
    let series = format!("webhook_assets_settings_reloads_total{{result=\"{result}\"}}");
    let before = metric(server.admin, &series);
    home.write("settings.toml", settings);
    server.signal("HUP");
    eventually(|| (metric(server.admin, &series) > before).then_some(()), || "they were not read".to_owned());
}

/// The answer on a connection that stays open.
fn ask(stream: &mut TcpStream, link: &str) -> Vec<u8> {
    let head = request_head("HEAD", target_of(link), &[], b"").replace("Connection: close\r\n", "");
    stream.write_all(head.as_bytes()).unwrap();
    let (mut bytes, mut byte) = (Vec::new(), [0]);
    while !bytes.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap() > 0 {
        bytes.push(byte[0]);
    }
    bytes
}

fn connect(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(server.gateway).unwrap();
    stream.set_read_timeout(Some(WAIT_LIMIT)).unwrap();
    stream
}

#[test]
fn the_level_of_the_log_changes_without_a_restart() {
    let home = Home::ready();
    let mut server = start(&home, "[log]\nlevel = \"info\"\n");
    server.get("/first");
    change(&home, &server, "[log]\nlevel = \"warn\"\n", "ok");
    server.logs("the settings were read again");
    server.get("/second");
    change(&home, &server, "[log]\nlevel = \"debug\"\n", "ok");
    server.get("/third");
    server.signal("TERM");
    assert_eq!(server.ended().code(), Some(0));
    server.logs("stopped");
    let log = server.err();
    let told: Vec<bool> = ["/first", "/second", "/third"].iter().map(|target| log.contains(target)).collect();
    assert_eq!(told, [true, false, true], "{log}");
    assert_eq!(log.matches("the settings were read again").count(), 2, "{log}");
    assert!(log.contains("[\\\"log.level\\\"]"), "{log}");
}

#[test]
fn connection_limits_change_without_a_restart_and_close_no_connection() {
    let home = Home::ready();
    let server = start(&home, "");
    let link = home.link();
    let (mut first, mut second) = (connect(&server), connect(&server));
    for stream in [&mut first, &mut second] {
        assert!(ask(stream, &link).starts_with(b"HTTP/1.1 200"));
    }
    change(&home, &server, "[server]\nconnections_per_address = 1\n", "ok");
    // New connections get the change.
    let refused = || {
        let answer = server.get(&link);
        (answer.status == 503 && answer.json()["code"] == "too_many_connections").then_some(())
    };
    eventually(refused, || "there is room".to_owned());
    for stream in [&mut first, &mut second] {
        assert!(ask(stream, &link).starts_with(b"HTTP/1.1 200"), "an open connection stays");
    }
    change(&home, &server, "[server]\nlongest_target = 60\n", "ok");
    eventually(|| (server.get(&link).status == 414).then_some(()), || "it is still allowed".to_owned());
    assert!(
        ask(&mut first, &link).starts_with(b"HTTP/1.1 200"),
        "a connection keeps the limits it began with"
    );
}

#[test]
fn bad_settings_leave_the_old_ones_in_force_loudly() {
    let home = Home::ready();
    let server = start(&home, "[server]\nlongest_target = 300\n");
    let link = home.link();
    change(&home, &server, "[server]\nlongest_target = 60\nheader_timeout = \"soon\"\n", "failed");
    server.logs("the old ones stay in force");
    server.logs("server.header_timeout");
    assert_eq!(server.get(&link).status, 200);
    change(&home, &server, "[server]\nlongest_target = 60\n", "ok");
    eventually(|| (server.get(&link).status == 414).then_some(()), || "it is still allowed".to_owned());
}

#[test]
fn settings_that_wait_for_the_next_start_are_named_without_their_values() {
    let home = Home::ready();
    let server = start(&home, "");
    let settings = "[webhooks]\ndatabase = \"postgres://me:hunter2@localhost/calls\"\n\
                    [gateway]\nrequests_in_flight = 7\n[server]\nconnections = 70\n";
    change(&home, &server, settings, "ok");
    server.logs("wait for the next start");
    let log = server.err();
    let line = log.lines().find(|line| line.contains("wait for the next start")).unwrap();
    assert!(line.contains("gateway.requests_in_flight") && line.contains("webhooks.database"), "{line}");
    assert!(!line.contains("server.connections") && !log.contains("hunter2"), "{log}");
    // The next signal names the waiting setting again.
    change(&home, &server, settings, "ok");
    eventually(
        || (server.err().matches("wait for the next start").count() == 2).then_some(()),
        || server.err(),
    );
}

/// The id of the key that signs at one of the processes.
fn signer(server: &Server) -> String {
    let wish = json!({"kind": "recording", "id": CALL.to_string(), "expires_in": 60}).to_string();
    let fields = [("Content-Type", "application/json")];
    let mut stream = TcpStream::connect(server.admin).unwrap();
    stream.set_read_timeout(Some(WAIT_LIMIT)).unwrap();
    let head = request_head("POST", "/v1/links", &fields, wish.as_bytes());
    stream.write_all((head + &wish).as_bytes()).unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    Answer::parse(&bytes, false).0.json()["key_id"].as_str().unwrap().to_owned()
}

#[expect(clippy::disallowed_methods, reason = "the processes go by the machine's clock")]
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

#[test]
fn two_processes_with_the_same_keyring_switch_their_signing_key_in_the_same_second() {
    let home = Home::ready();
    let servers = [home.serve(), home.serve_beside()];
    let old = home.ids("keys.json")[0].clone();
    home.run(&["keys", "rotate", "--starts-in", "5s"]).succeeded();
    let keys: serde_json::Value = serde_json::from_str(&home.read("keys.json")).unwrap();
    let starts = keys["keys"][1]["starts"].as_str().unwrap();
    let starts = humantime::parse_rfc3339(starts).unwrap().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let new = home.ids("keys.json")[1].clone();
    for server in &servers {
        eventually(
            || (metric(server.admin, "webhook_assets_keyring_keys") == 2.0).then_some(()),
            || "the new keyring was not read".to_owned(),
        );
    }
    let mut seen = [[0, 0]; 2];
    while now() < starts + 2 {
        for (server, seen) in servers.iter().zip(&mut seen) {
            let before = now();
            let key = signer(server);
            let after = now();
            // An answer that crossed the start of the second may name either.
            if after < starts {
                assert_eq!(key, old, "at {after}, before {starts}");
                seen[0] += 1;
            } else if before >= starts {
                assert_eq!(key, new, "at {before}, from {starts} on");
                seen[1] += 1;
            }
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(seen.iter().flatten().all(|times| *times > 0), "{seen:?}");
}
