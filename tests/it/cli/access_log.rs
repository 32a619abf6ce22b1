//! What the running program logs under load, and at its end.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Stdio;

use serde_json::Value;
use webhook_assets::AssetRef;

use super::{Home, Server, WAIT_LIMIT, eventually, get, target_of};
use crate::support::client::request_head;
use crate::support::{ABSENT, CALL, recording};

/// The access records among the lines of a log.
fn records(log: &str) -> Vec<Value> {
    let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|line| line["peer"].is_string()).collect()
}

/// The value of a series on the metrics page.
pub fn metric(admin: SocketAddr, series: &str) -> f64 {
    let page = String::from_utf8(get(admin, "/metrics").body).unwrap();
    let value = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok());
    value.unwrap_or_else(|| panic!("no {series} in {page}"))
}

/// Sends `times` requests on one connection, each of which makes a record of about two kilobytes.
fn ask(gateway: SocketAddr, times: usize) {
    let mut stream = TcpStream::connect(gateway).unwrap();
    stream.set_read_timeout(Some(WAIT_LIMIT)).unwrap();
    let (target, agent) = ("\"".repeat(512), "\u{80}".repeat(120));
    let request = format!("GET /{target} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: {agent}\r\n\r\n");
    let mut answers = BufReader::new(stream.try_clone().unwrap());
    let asking = std::thread::spawn(move || {
        for _ in 0..times {
            stream.write_all(request.as_bytes()).unwrap();
        }
        stream.shutdown(std::net::Shutdown::Write).unwrap();
    });
    let (mut line, mut answered) = (Vec::new(), 0);
    while answers.read_until(b'\n', &mut line).unwrap() > 0 {
        answered += usize::from(String::from_utf8_lossy(&line).contains("HTTP/1.1 404"));
        line.clear();
    }
    asking.join().unwrap();
    assert_eq!(answered, times);
}

#[test]
fn a_log_that_is_not_read_delays_no_client_and_counts_what_was_dropped() {
    let home = Home::ready();
    let (mut log, writer) = std::io::pipe().unwrap();
    let mut child =
        home.program(&["serve"]).stdout(Stdio::piped()).stderr(writer).spawn().expect("the program");
    let mut out = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut address = || out.next().unwrap().split_once("://").unwrap().1.parse::<SocketAddr>().unwrap();
    let (gateway, admin) = (address(), address());
    // Twice what fits: 4 MiB, and what the pipe takes.
    ask(gateway, 5_000);
    let dropped = metric(admin, "webhook_assets_log_lines_dropped_total{log=\"access\"}");
    assert!((500.0..5_000.0).contains(&dropped), "{dropped}");

    let pid = child.id().to_string();
    let reading = std::thread::spawn(move || {
        let mut text = String::new();
        log.read_to_string(&mut text).unwrap();
        text
    });
    let stopped = std::process::Command::new("kill").args(["-TERM", &pid]).status().unwrap();
    assert!(stopped.success());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let text = reading.join().unwrap();
    // Every line is whole, every record is written or counted, and the log says that some were dropped.
    assert_eq!(records(&text).len() as f64 + dropped, 5_000.0);
    let warning = text.lines().find(|line| line.contains("were dropped")).expect("a warning");
    let warning: Value = serde_json::from_str(warning).unwrap();
    assert_eq!((warning["level"].as_str(), warning["lines"].as_f64()), (Some("WARN"), Some(dropped)));
}

#[test]
fn requests_just_before_the_end_are_recorded() {
    let home = Home::ready();
    let mut server = home.serve();
    for _ in 0..20 {
        assert_eq!(server.get("/nowhere").status, 404);
    }
    server.signal("TERM");
    assert_eq!(server.ended().code(), Some(0));
    // The reader of the pipe may lag behind.
    eventually(
        || (records(&server.err()).len() == 20).then_some(()),
        || format!("{} records", records(&server.err()).len()),
    );
}

#[test]
fn a_download_that_a_second_signal_breaks_off_is_recorded() {
    let home = Home::ready();
    let path = home.path(&format!("store/{}", AssetRef::recording(ABSENT).object_path()));
    std::fs::write(&path, vec![7; 64 << 20]).unwrap();
    let mut server = home.serve();
    let link = home.run(&["mint", "recording", &ABSENT.to_string()]).succeeded().out;
    let mut stream = TcpStream::connect(server.gateway).unwrap();
    let request = request_head("GET", target_of(link.trim()), &[("User-Agent", "half-way")], b"");
    stream.write_all(request.as_bytes()).unwrap();
    stream.read_exact(&mut [0; 1_000]).unwrap();
    server.signal("TERM");
    server.logs("stopping");
    server.signal("TERM");
    assert_eq!(server.ended().code(), Some(143));
    server.logs("half-way");
    let found = records(&server.err());
    assert_eq!(found[0]["ending"], "client_left", "{found:?}");
}

#[test]
fn the_log_level_applies_to_access_records() {
    let home = Home::ready();
    for (level, recorded) in [("error", 0), ("warn", 0), ("info", 1), ("debug", 1)] {
        let mut command = home.program(&["serve"]);
        command.env("WEBHOOK_ASSETS_LOG_LEVEL", level);
        let mut server = Server::start(command);
        assert_eq!(server.get("/nowhere").status, 404);
        server.signal("TERM");
        assert_eq!(server.ended().code(), Some(0));
        assert_eq!(server.err().matches("no_such_route").count(), 2 * recorded, "{level}: {}", server.err());
    }
}

#[test]
fn a_record_in_text_has_the_fields_of_one_in_json() {
    let home = Home::ready();
    let mut command = home.program(&["serve"]);
    command.env("WEBHOOK_ASSETS_LOG_FORMAT", "human");
    let server = Server::start(command);
    assert_eq!(server.get(&home.link()).body, recording());
    let sentence = format!("INFO sent the recording {CALL} peer=127.0.0.1:");
    server.logs(&sentence);
    let text = server.err();
    let line = text.lines().find(|line| line.contains(&sentence)).unwrap();
    humantime::parse_rfc3339(line.split(' ').next().unwrap()).unwrap();
    for field in [
        "method=GET",
        "version=HTTP/1.1",
        "status=200",
        "outcome=\"ok\"",
        "sent=300000",
        "ending=\"complete\"",
    ] {
        assert!(line.contains(&format!(" {field}")), "{field} is missing in {line}");
    }
    assert!(line.contains("&sig=[redacted] ") && !line.contains('\u{1b}'), "{line}");
}
