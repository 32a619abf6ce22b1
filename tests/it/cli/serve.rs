//! `serve`: starts, handles signals, reloads its keyring.

use std::io::{Read, Write};
use std::net::TcpStream;

use webhook_assets::AssetRef;

use super::{Home, Ran, Server, WAIT_LIMIT, eventually, get, target_of};
use crate::support::client::request_head;
use crate::support::{Answer, CALL, recording, transcript};

/// Larger than all socket buffers together, so that the download of a paused reader is in flight.
const LARGE: u64 = 64 << 20;

fn connect(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(server.gateway).unwrap();
    stream.set_read_timeout(Some(WAIT_LIMIT)).unwrap();
    stream
}

/// Requests a large recording and reads its first bytes only.
fn begin_download(home: &Home, server: &Server) -> (TcpStream, Vec<u8>) {
    let path = home.path(&format!("store/{}", AssetRef::recording(CALL).object_path()));
    std::fs::File::create(path).unwrap().set_len(LARGE).unwrap();
    let link = home.link();
    let mut stream = connect(server);
    stream.write_all(request_head("GET", target_of(&link), &[], b"").as_bytes()).unwrap();
    let mut start = vec![0; 4_096];
    stream.read_exact(&mut start).unwrap();
    assert!(start.starts_with(b"HTTP/1.1 200 "));
    (stream, start)
}

/// A server that drains for longer than a test waits.
fn patient(home: &Home) -> Server {
    let mut command = home.program(&["serve"]);
    command.env("WEBHOOK_ASSETS_SERVER_DRAIN_TIMEOUT", "1h");
    command.env("WEBHOOK_ASSETS_SERVER_IDLE_TIMEOUT", "1h");
    command.env("WEBHOOK_ASSETS_SERVER_HEADER_TIMEOUT", "1h");
    Server::start(command)
}

fn refuses_connections(server: &Server) -> Option<()> {
    TcpStream::connect(server.gateway).is_err().then_some(())
}

#[test]
fn five_variables_are_enough_to_serve() {
    let home = Home::ready();
    let server = home.serve();
    assert_ne!((server.gateway.port(), server.admin.port()), (0, 0));
    let answer = server.get(&home.link());
    assert_eq!((answer.status, answer.body), (200, recording()));
    let link = home.run(&["mint", "transcript", &CALL.to_string()]).succeeded().out;
    let answer = server.get(link.trim());
    assert_eq!((answer.status, answer.body), (200, transcript()));
    assert_eq!(get(server.admin, "/readyz").status, 200);
    assert_eq!(server.out().lines().count(), 2, "{}", server.out());
}

#[test]
fn neither_keys_nor_signatures_are_in_the_log() {
    let home = Home::ready();
    let server = Server::start({
        let mut command = home.program(&["serve"]);
        command.env("WEBHOOK_ASSETS_LOG_LEVEL", "debug");
        command
    });
    let link = home.link();
    let (_, sig) = link.split_once("&sig=").unwrap();
    assert_eq!(server.get(&link).status, 200);
    assert_eq!(server.get(&link.replace("recording", "transcript")).status, 403);
    server.logs("sent the recording");
    server.logs("no_key_fits");
    server.signal("HUP");
    server.logs("the keyring was replaced");
    for secret in home.secrets("keys.json").iter().map(String::as_str).chain([sig]) {
        assert!(!server.err().contains(secret) && !server.out().contains(secret), "a secret in the log");
    }
    assert!(!server.err().contains('\x1b'), "colours in a pipe");
}

#[test]
fn the_log_is_one_json_object_a_line_without_a_terminal() {
    let home = Home::ready();
    let server = home.serve();
    server.get(&home.link());
    server.logs("sent the recording");
    for line in server.err().lines() {
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(event["timestamp"].is_string() && event["level"].is_string(), "{line}");
    }
}

#[test]
fn variables_take_precedence_over_the_settings_file() {
    let home = Home::ready();
    let keys = home.path("keys.json");
    let settings = format!(
        "listen = \"127.0.0.1:1\"\npublic_url = \"https://file.example/below\"\nkeys = {keys:?}\n\
         [store]\nurl = \"file:///nowhere\"\n[admin]\nlisten = \"127.0.0.1:0\"\n[log]\nformat = \"human\"\n"
    );
    home.write("settings.toml", &settings);
    let server = Server::start({
        let mut command = home.bare(&["serve", "--config", "settings.toml"]);
        command.env("WEBHOOK_ASSETS_LISTEN", "127.0.0.1:0");
        command.env("WEBHOOK_ASSETS_STORE", format!("file://{}", home.path("store").display()));
        command
    });
    assert_ne!(server.gateway.port(), 1);
    let link =
        Ran::of(&mut home.bare(&["mint", "recording", &CALL.to_string(), "--config", "settings.toml"]));
    let link = link.succeeded().out.trim().to_owned();
    assert!(link.starts_with("https://file.example/below/webhook-assets/recording/"), "{link}");
    assert_eq!(server.get(&link).status, 200);
    assert!(server.err().lines().all(|line| !line.starts_with('{')), "the file's log format holds");
}

#[test]
fn a_variable_that_is_no_setting_is_warned_of() {
    let home = Home::ready();
    let server = Server::start({
        let mut command = home.program(&["serve"]);
        command.env("WEBHOOK_ASSETS_LISTN", "127.0.0.1:0");
        command
    });
    server.logs("WEBHOOK_ASSETS_LISTN is no setting; did you mean WEBHOOK_ASSETS_LISTEN?");
}

#[test]
fn serve_refuses_a_missing_an_empty_and_a_damaged_keyring() {
    let home = Home::without_keys();
    home.run(&["serve"]).refused(64, &["keys.json", "make one", "webhook-assets keys new"]);
    home.write("keys.json", "{\"version\": 1, \"keys\": []}\n");
    Ran::of(home.program(&["serve"]).env("WEBHOOK_ASSETS_LOG_LEVEL", "error"))
        .refused(64, &["no key", "webhook-assets keys new"]);
    for damaged in ["", "{", "[]", "{\"version\": 1}", "\u{feff}{}"] {
        home.write("keys.json", damaged);
        Ran::of(home.program(&["serve"]).env("WEBHOOK_ASSETS_LOG_LEVEL", "error"))
            .refused(64, &["keyring", "damaged"]);
    }
}

#[test]
fn the_command_suggested_for_a_missing_or_empty_keyring_helps() {
    let home = Home::without_keys();
    for found in [None, Some("{\"version\": 1, \"keys\": []}\n")] {
        let _ = std::fs::remove_file(home.path("keys.json"));
        found.map(|text| home.write("keys.json", text));
        let told = home.run(&["serve"]).err;
        let (_, command) = told.rsplit_once("webhook-assets ").unwrap();
        let arguments: Vec<_> = command.split_whitespace().collect();
        home.run(&arguments).succeeded();
        home.run(&["mint", "recording", &CALL.to_string()]).succeeded();
    }
}

#[test]
fn serve_refuses_a_missing_store() {
    let home = Home::ready();
    let ran = Ran::of(home.program(&["serve"]).env("WEBHOOK_ASSETS_STORE", "file:///nowhere/at/all"));
    ran.refused(64, &["store.url", "/nowhere/at/all", "create it"]);
}

#[test]
fn an_address_in_use_is_named() {
    let home = Home::ready();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for (key, name) in [("listen", "WEBHOOK_ASSETS_LISTEN"), ("admin.listen", "WEBHOOK_ASSETS_ADMIN_LISTEN")]
    {
        let ran = Ran::of(home.program(&["serve"]).env(name, &address));
        ran.refused(1, &[&format!("{key}: {address}"), "choose another port"]);
    }
}

#[test]
fn a_download_in_flight_is_completed_before_the_end() {
    let home = Home::ready();
    for signal in ["TERM", "INT"] {
        let mut server = home.serve();
        let (mut stream, mut bytes) = begin_download(&home, &server);
        server.signal(signal);
        eventually(|| refuses_connections(&server), || "it still accepts connections".to_owned());
        assert_eq!(get(server.admin, "/readyz").status, 503, "readiness says that it stops");
        assert!(server.is_running());
        stream.read_to_end(&mut bytes).unwrap();
        let (answer, _) = Answer::parse(&bytes, false);
        assert_eq!(answer.body.len() as u64, LARGE);
        assert_eq!(server.ended().code(), Some(0));
        server.logs("every download in flight was completed");
    }
}

#[test]
fn an_idle_connection_does_not_delay_the_end() {
    let home = Home::ready();
    let mut server = patient(&home);
    let _silent = connect(&server);
    let mut kept = connect(&server);
    let link = home.link();
    let head = request_head("HEAD", target_of(&link), &[], b"").replace("Connection: close\r\n", "");
    kept.write_all(head.as_bytes()).unwrap();
    let mut start = [0; 12];
    kept.read_exact(&mut start).unwrap();
    server.signal("TERM");
    assert_eq!(server.ended().code(), Some(0));
}

#[test]
fn a_second_signal_ends_at_once() {
    let home = Home::ready();
    let mut server = patient(&home);
    let (stream, _) = begin_download(&home, &server);
    server.signal("TERM");
    eventually(|| refuses_connections(&server), || "it still accepts connections".to_owned());
    assert!(server.is_running());
    server.signal("TERM");
    assert_eq!(server.ended().code(), Some(143));
    server.logs("second signal");
    drop(stream);
}

#[test]
fn the_drain_deadline_ends_downloads_still_in_flight() {
    let home = Home::ready();
    let mut server = Server::start({
        let mut command = home.program(&["serve"]);
        command.env("WEBHOOK_ASSETS_SERVER_DRAIN_TIMEOUT", "300ms");
        command
    });
    let (mut stream, mut bytes) = begin_download(&home, &server);
    server.signal("TERM");
    assert_eq!(server.ended().code(), Some(0));
    server.logs("the deadline ended connections");
    let _ = stream.read_to_end(&mut bytes);
    assert!(!Answer::parse_loosely(&bytes, false).0.complete, "a short body is never taken for a whole one");
}

#[test]
fn a_changed_keyring_is_in_force_without_a_restart() {
    let home = Home::ready();
    let server = home.serve();
    let old = home.link();
    home.run(&["keys", "rotate", "--starts-in", "0s"]).succeeded();
    let new = home.link();
    eventually(|| (server.get(&new).status == 200).then_some(()), || "the new key is unknown".to_owned());
    assert_eq!(server.get(&old).status, 200, "rotation refuses no link");

    home.write("other.json", "");
    std::fs::remove_file(home.path("other.json")).unwrap();
    home.run(&["keys", "new", "--keys", "other.json"]).succeeded();
    std::fs::rename(home.path("other.json"), home.path("keys.json")).unwrap();
    eventually(|| (server.get(&new).status == 403).then_some(()), || "the old keys live on".to_owned());
    assert_eq!(server.get(&home.link()).status, 200);
}

#[test]
fn sighup_reloads_the_keyring_at_once() {
    let home = Home::ready();
    let server = home.serve();
    server.logs("\"serving\"");
    for round in 1..=3 {
        server.signal("HUP");
        let replaced = || server.err().matches("the keyring was replaced").count() >= round;
        eventually(|| replaced().then_some(()), || "it was not read".to_owned());
    }
    assert_eq!(server.get(&home.link()).status, 200);
}

#[test]
fn a_damaged_keyring_leaves_the_old_one_in_force() {
    let home = Home::ready();
    let server = home.serve();
    let link = home.link();
    home.write("keys.json", "{\"version\": 1, \"keys\": [");
    server.logs("the old one stays in force");
    assert_eq!(server.get(&link).status, 200);
    std::fs::remove_file(home.path("keys.json")).unwrap();
    server.signal("HUP");
    server.logs("there is no keyring at");
    assert_eq!(server.get(&link).status, 200);
}

#[test]
fn a_keyring_that_others_may_read_is_warned_of() {
    use std::os::unix::fs::PermissionsExt;

    let home = Home::ready();
    std::fs::set_permissions(home.path("keys.json"), PermissionsExt::from_mode(0o644)).unwrap();
    home.serve().logs("other users may read the keyring");
}

/// Kubernetes mounts secrets that root owns and the pod's group may read.
#[test]
fn a_keyring_of_root_readable_by_our_group_alone_causes_no_warning() {
    use std::os::unix::fs::{PermissionsExt, chown};
    use std::os::unix::process::CommandExt;

    const NONROOT: u32 = 65_532;
    let home = Home::ready();
    let keys = home.path("keys.json");
    if chown(&keys, Some(0), Some(NONROOT)).is_err() {
        println!("only root can give files away: not tried here");
        return;
    }
    std::fs::set_permissions(home.path("."), PermissionsExt::from_mode(0o755)).unwrap();
    for (mode, warned) in [(0o440, false), (0o640, false), (0o444, true), (0o460, true)] {
        std::fs::set_permissions(&keys, PermissionsExt::from_mode(mode)).unwrap();
        let mut command = home.program(&["serve", "--only", "gateway"]);
        let server = Server::start({
            command.uid(NONROOT).gid(NONROOT);
            command
        });
        server.logs("\"serving\"");
        assert_eq!(server.err().contains("other users may read the keyring"), warned, "{mode:o}");
    }
}

/// Like systemd: the socket is descriptor 3, and the variables say so.
#[test]
fn a_listener_from_the_service_manager_is_used() {
    let home = Home::ready();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let serve = home.program(&["serve"]);
    let mut command = std::process::Command::new("sh");
    command.arg("-c").arg("LISTEN_FDS=1 LISTEN_PID=$$ exec \"$0\" \"$@\" 3<&0 </dev/null");
    command.arg(serve.get_program()).args(serve.get_args());
    command.current_dir(serve.get_current_dir().unwrap());
    command.envs(serve.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.stdin(std::os::fd::OwnedFd::from(listener.try_clone().unwrap()));
    let server = Server::start(command);
    assert_eq!(server.gateway, address);
    assert_eq!(server.get(&home.link()).body, recording());
}

#[test]
fn a_descriptor_that_is_no_listener_is_refused_in_one_line() {
    let home = Home::ready();
    let serve = home.program(&["serve"]);
    let mut command = std::process::Command::new("sh");
    command.arg("-c").arg("LISTEN_FDS=1 LISTEN_PID=$$ exec \"$0\" \"$@\" 3</dev/null");
    command.arg(serve.get_program()).args(serve.get_args());
    command.current_dir(serve.get_current_dir().unwrap());
    command.envs(serve.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("pass TCP sockets that listen"), "{text}");
}
