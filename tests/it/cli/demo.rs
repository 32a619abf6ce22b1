//! `demo`: what a newcomer sees with the program alone, in any folder.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::Command;

use tempfile::TempDir;
use webhook_assets::store::SAMPLE;

use super::{Home, Ran, Server, eventually};
use crate::support::client::request_head;
use crate::support::waiting::WAIT_LIMIT;
use crate::support::{Answer, CALL, recording, transcript};

/// `demo` in an empty folder.
fn demo(folder: &TempDir, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_webhook-assets"));
    command.arg("demo").args(arguments).env_clear().current_dir(folder.path());
    command
}

/// Starts it on free ports and waits until it has printed everything.
fn started(folder: &TempDir) -> Server {
    let server = Server::start(demo(folder, &["--listen", "127.0.0.1:0"]));
    let done = || server.out().ends_with(" serve\n").then_some(());
    eventually(done, || format!("not all is printed: {} {}", server.out(), server.err()));
    server
}

/// The links of the lines that begin with `words`.
fn links(server: &Server, words: &str) -> Vec<String> {
    let lines = server.out();
    let rests = lines.lines().filter_map(|line| line.trim_start().strip_prefix(words));
    let links: Vec<_> = rests.map(|rest| rest.trim_matches('\'').to_owned()).collect();
    assert!(!links.is_empty(), "no line begins with {words:?}: {}", server.out());
    links
}

fn exchange(address: SocketAddr, method: &str, target: &str, fields: &[(&str, &str)], body: &str) -> Answer {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(WAIT_LIMIT)).unwrap();
    let head = request_head(method, target, fields, body.as_bytes());
    stream.write_all(&[head, body.to_owned()].concat().into_bytes()).unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    Answer::parse(&bytes, false).0
}

#[test]
fn a_demo_in_an_empty_folder_sends_a_webhook_and_prints_links_that_work() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = started(&folder);
    for words in [
        "/webhook  ",
        "both signatures are good",
        "GET  recording_url   200 OK, 323640 bytes, audio/mpeg",
        "GET  transcript_url  200 OK, 26999 bytes, application/json",
    ] {
        assert!(server.out().contains(words), "{words:?} is missing in {}", server.out());
    }
    let answer = server.get(&links(&server, "curl -o recording.mp3 ")[0]);
    assert_eq!((answer.status, answer.must("content-type")), (200, "audio/mpeg"));
    let sample = format!("{}/fixtures/recordings/{CALL}.mp3", env!("CARGO_MANIFEST_DIR"));
    assert!(answer.body == std::fs::read(sample).unwrap(), "the sample recording");
    let answer = server.get(&links(&server, "curl 'http")[0]);
    let expected = String::from_utf8(transcript()).unwrap().replace(&CALL.to_string(), &SAMPLE.to_string());
    assert_eq!((answer.status, answer.body), (200, expected.into_bytes()));
    let answer = server.get(&links(&server, "curl -i ")[0]);
    assert_eq!((answer.status, answer.code().as_str()), (403, "expired"));
    let base = format!("http://{}/", server.gateway);
    assert_eq!(server.out().matches(&base).count(), 3, "links name the address that it listens on");
    assert_eq!(server.err(), "", "nothing to warn of");

    server.signal("INT");
    assert_eq!(server.ended().code(), Some(0));
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0, "it leaves nothing behind");
}

#[test]
fn the_page_of_a_demo_shows_its_delivery() {
    let folder = tempfile::tempdir().unwrap();
    let server = started(&folder);
    let link = links(&server, &format!("http://{}/console/", server.admin)).remove(0);
    let target = format!("/console/{link}");
    assert_eq!(exchange(server.admin, "GET", &target, &[], "").status, 200);

    let pass = target.split_once('?').unwrap().1;
    let form = "application/x-www-form-urlencoded";
    let fields = [("Origin", "http://localhost"), ("Content-Type", form)];
    let entered = exchange(server.admin, "POST", "/console/enter", &fields, pass);
    assert_eq!((entered.status, entered.must("location")), (303, "/console/w/demo"));
    let cookie = entered.must("set-cookie").split(';').next().unwrap().to_owned();
    let page = || exchange(server.admin, "GET", "/console/w/demo/deliveries", &[("Cookie", &cookie)], "");
    // The attempt is recorded soon after the receiver has answered.
    let delivered = || String::from_utf8_lossy(&page().body).contains("Delivered").then_some(());
    eventually(delivered, || format!("no delivery: {}", String::from_utf8_lossy(&page().body)));
}

#[test]
fn the_commands_that_a_demo_prints_lead_to_a_server() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = started(&folder);
    server.signal("INT");
    assert_eq!(server.ended().code(), Some(0));
    let out = server.out();
    let (_, commands) = out.split_once("Next, ").unwrap();
    let (_, commands) = commands.split_once('\n').unwrap();
    let (setup, serve) = commands.trim_end().rsplit_once('\n').unwrap();

    let script = format!("set -e\n{setup}\nexec {}", serve.trim());
    let mut shell = Command::new("sh");
    shell.args(["-c", &script]).env_clear().env("PATH", "/usr/bin:/bin").current_dir(folder.path());
    let next = Server::start(shell);
    assert_eq!((next.gateway, next.admin), (server.gateway, server.admin), "the addresses of the demo");
    for words in ["made keys.json", "ok    settings", "ok    store"] {
        assert!(next.out().contains(words), "{words:?} is missing in {}", next.out());
    }
    std::fs::write(folder.path().join(format!("calls/recordings/{CALL}.mp3")), recording()).unwrap();
    let mut mint = Command::new(env!("CARGO_BIN_EXE_webhook-assets"));
    mint.args(["mint", "recording", &CALL.to_string(), "--keys", "keys.json", "--public-url", "http://a"]);
    let link = Ran::of(mint.env_clear().current_dir(folder.path())).succeeded().out;
    assert_eq!(next.get(link.trim()).status, 200);
}

#[test]
fn a_demo_whose_port_is_in_use_says_what_to_do() {
    let home = Home::without_keys();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, port) = (taken.local_addr().unwrap(), taken.local_addr().unwrap().port());
    home.run(&["demo", "--listen", &address.to_string()])
        .refused(1, &[&format!("port {port} is in use"), "demo --listen 127.0.0.1:0"]);
}

#[test]
fn a_demo_takes_another_port_for_its_page_if_8081_is_in_use() {
    // If it is in use already, this fails, and that is as good.
    let taken = TcpListener::bind("127.0.0.1:8081");
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(demo(&folder, &["--listen", &free.to_string()]));
    assert_eq!(server.gateway, free);
    assert_ne!(server.admin.port(), 8081);
    drop(taken);
}

#[test]
fn a_demo_in_a_container_is_reached_from_outside_and_needs_no_writable_folder() {
    let folder = tempfile::tempdir().unwrap();
    // The image sets this variable. /tmp is not writable if the root file system is read-only.
    let mut command = demo(&folder, &[]);
    command.env("WEBHOOK_ASSETS_LISTEN", "0.0.0.0:0").env("TMPDIR", "/nonexistent");
    let server = Server::start(command);
    server.prints(" serve\n");
    let (gateway, admin) = (server.gateway, server.admin);
    assert!(gateway.ip().is_unspecified() && admin.ip().is_unspecified(), "{gateway} {admin}");
    let link = links(&server, "curl -o recording.mp3 ").remove(0);
    assert!(link.starts_with(&format!("http://127.0.0.1:{}/", gateway.port())), "{link}");
    let outside = |address: SocketAddr| SocketAddr::new([127, 0, 0, 1].into(), address.port());
    let target = &link[link.find("/webhook-assets/").unwrap()..];
    assert_eq!(exchange(outside(gateway), "GET", target, &[], "").status, 200);
    let page = links(&server, &format!("http://{}/console/", outside(admin))).remove(0);
    assert_eq!(exchange(outside(admin), "GET", &format!("/console/{page}"), &[], "").status, 200);
    let unknown = exchange(outside(admin), "GET", "/v1/workspaces/demo/endpoints", &[], "");
    assert_eq!(unknown.status, 401, "the API is not open to the network");
}
