//! `check` and `health`.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::thread;

use serde_json::Value;

use super::database::{ask, hand_in, on_database};
use super::{Home, Ran, Running, Server, eventually, piped};

/// The failing lines of a report.
fn failures(ran: &Ran) -> Vec<&str> {
    ran.out.lines().filter(|line| line.starts_with("FAIL")).collect()
}

#[test]
fn a_good_setup_passes_every_check() {
    let home = Home::ready();
    let ran = home.run(&["check"]).succeeded().hides(&home.secrets("keys.json"));
    for what in ["settings", "keyring", "clock", "store", "public URL", "admin", "webhooks"] {
        let line = ran.out.lines().find(|line| line.starts_with(&format!("ok    {what}")));
        assert!(line.is_some(), "{what}: {}", ran.out);
    }
    // Nothing serves here, so the public URL was not tried.
    let notes: Vec<_> = ran.out.lines().filter(|line| !line.starts_with("ok ")).collect();
    assert!(
        matches!(notes[..], [note] if note.starts_with("note  public URL") && note.contains("does not run"))
    );
}

#[test]
fn each_broken_part_fails_and_says_what_to_do() {
    let broken: [(&str, &str, &[&str]); 6] = [
        ("WEBHOOK_ASSETS_KEYS", "absent.json", &["keyring", "webhook-assets keys new"]),
        ("WEBHOOK_ASSETS_KEYS", "empty.json", &["keyring", "webhook-assets keys new"]),
        ("WEBHOOK_ASSETS_KEYS", "waiting.json", &["keyring", "keys rotate --starts-in 0s"]),
        ("WEBHOOK_ASSETS_STORE", "file:///nowhere/at/all", &["store", "/nowhere/at/all", "create it"]),
        ("WEBHOOK_ASSETS_WEBHOOKS_PROXY", "http://127.0.0.1:9", &["webhooks.proxy", "127.0.0.1:9", "wait"]),
        ("WEBHOOK_ASSETS_PUBLIC_URL", "https://x.example/webhook-assets", &["public URL", "leave it out"]),
    ];
    let home = Home::ready();
    home.write("empty.json", "{\"version\": 1, \"keys\": []}");
    let key = "5a".repeat(32);
    home.write(
        "waiting.json",
        &format!(r#"{{"version":1,"keys":[{{"id":"k","secret":"{key}","starts":"2190-01-01T00:00:00Z"}}]}}"#),
    );
    for (name, value, words) in broken {
        let ran = Ran::of(home.program(&["check"]).env(name, value)).hides(std::slice::from_ref(&key));
        assert_eq!((ran.code, ran.err.as_str()), (Some(1), ""), "{value}: {ran:?}");
        let failed = failures(&ran);
        assert_eq!(failed.len(), 1, "{value}: {ran:?}");
        assert!(words.iter().all(|word| failed[0].contains(word)), "{value}: {failed:?}");
    }
}

#[test]
fn a_cloud_store_that_does_not_answer_fails() {
    let home = Home::ready();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut command = home.program(&["check"]);
    command
        .env("WEBHOOK_ASSETS_STORE", "s3://bucket/prefix")
        .env("WEBHOOK_ASSETS_STORE_FIRST_BYTE_TIMEOUT", "500ms")
        .env("AWS_ENDPOINT_URL", format!("http://{closed}"))
        .env("AWS_ALLOW_HTTP", "true")
        .env("AWS_REGION", "eu-central-1")
        .env("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
        .env("AWS_SECRET_ACCESS_KEY", "a-secret-that-nobody-may-see");
    let ran = Ran::of(&mut command);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    let ran = ran.hides(&["a-secret-that-nobody-may-see".to_owned()]);
    assert!(
        matches!(failures(&ran)[..], [line] if line.contains("store") && line.contains("endpoint")),
        "{ran:?}"
    );
}

#[test]
fn an_odd_setup_is_a_warning_and_no_failure() {
    let home = Home::ready();
    std::fs::set_permissions(home.path("keys.json"), PermissionsExt::from_mode(0o640)).unwrap();
    std::fs::remove_dir_all(home.path("store/transcripts")).unwrap();
    let mut command = home.program(&["check"]);
    command.env("WEBHOOK_ASSETS_PUBLIC_URL", "http://127.0.0.1:8080").env("WEBHOOK_ASSETS_STOER", "x");
    let ran = Ran::of(&mut command).succeeded();
    let warned = ran.out.lines().filter(|line| line.starts_with("warn")).count();
    assert_eq!(warned, 4, "{}", ran.out);
    ran.says(&["chmod 600", "there is no folder", "nobody else can follow", "WEBHOOK_ASSETS_STORE?"]);
}

#[test]
fn a_folder_of_recordings_that_is_a_symlink_fails_and_serving_warns_of_it() {
    let home = Home::ready();
    std::fs::rename(home.path("store/recordings"), home.path("elsewhere")).unwrap();
    std::os::unix::fs::symlink(home.path("elsewhere"), home.path("store/recordings")).unwrap();
    let ran = home.run(&["check"]);
    assert_eq!(ran.code, Some(1), "{ran:?}");
    assert!(
        matches!(failures(&ran)[..], [line] if line.contains("store/recordings is a symlink") && line.contains("bind")),
        "{ran:?}"
    );
    let server = home.serve();
    assert_eq!(server.get(&home.link()).status, 404);
    server.logs("store/recordings");
}

#[test]
fn the_webhooks_database_and_its_key_are_checked_without_being_created() {
    let home = Home::ready();
    let check = || Ran::of(home.program(&["check"]).envs(home.sending()));
    check().succeeded().says(&["calls.db is made on the first start"]);
    assert!(!home.path("calls.db").exists() && !home.path("calls.db.key").exists());

    let add = ["webhooks", "add", "--workspace", "acme", "http://127.0.0.1:9/"];
    Ran::of(home.program(&add).envs(home.sending())).succeeded();
    let ran = check().succeeded().says(&["calls.db answers", "webhooks.allow_http", "127.0.0.0/8"]);
    assert!(!ran.out.contains("chmod"), "{ran:?}");
    std::fs::set_permissions(home.path("calls.db.key"), PermissionsExt::from_mode(0o644)).unwrap();
    check().succeeded().says(&["chmod 600", "calls.db.key"]);

    let elsewhere =
        |database: &str| Ran::of(home.program(&["check"]).env("WEBHOOK_ASSETS_DATABASE", database));
    home.write("text.db", "this is no database, however long it is");
    for (database, words) in [
        ("/nowhere/calls.db", &["webhooks", "create the folder"][..]),
        ("text.db", &["webhooks", "text.db"]),
        ("postgres://user:hunter2@127.0.0.1:1/calls", &["webhooks", "secret_key_file"]),
    ] {
        let ran = elsewhere(database).hides(&["hunter2".to_owned()]);
        assert_eq!((ran.code, failures(&ran).len()), (Some(1), 1), "{database}: {ran:?}");
        assert!(words.iter().all(|word| failures(&ran)[0].contains(word)), "{database}: {ran:?}");
    }
}

/// A port that nothing listens on.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A server that gives every request this answer; returns its origin.
fn answering(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    origin
}

/// A running `serve`, and a check beside it with these URLs.
struct Beside {
    home: Home,
    ports: [u16; 2],
    _server: Server,
}

impl Beside {
    fn start() -> Self {
        let (home, ports) = (Home::ready(), [free_port(), free_port()]);
        let beside = |arguments: &[&str]| {
            let mut command = home.program(arguments);
            command.env("WEBHOOK_ASSETS_LISTEN", format!("127.0.0.1:{}", ports[0]));
            command.env("WEBHOOK_ASSETS_ADMIN_LISTEN", format!("127.0.0.1:{}", ports[1]));
            command.env("WEBHOOK_ASSETS_CONSOLE_URL", format!("http://127.0.0.1:{}/hooks", ports[1]));
            command
        };
        let server = Server::start(beside(&["serve"]));
        Self { _server: server, home, ports }
    }

    /// The lines about these URLs, with the exit code.
    fn check(&self, public_url: &str, console_url: &str) -> (Option<i32>, Vec<String>) {
        let mut command = self.home.program(&["check"]);
        command.env("WEBHOOK_ASSETS_ADMIN_LISTEN", format!("127.0.0.1:{}", self.ports[1]));
        command.env("WEBHOOK_ASSETS_PUBLIC_URL", public_url).env("WEBHOOK_ASSETS_CONSOLE_URL", console_url);
        let ran = Ran::of(&mut command);
        assert!(!ran.out.contains("sig="), "a signature is shown: {ran:?}");
        let about = |line: &&str| {
            line.contains("asked through")
                || line.contains("answers")
                || line.contains("leads to")
                || line.contains("reached")
        };
        let lines = ran.out.lines().filter(|line| line.contains("public URL") || line.contains("console"));
        (ran.code, lines.filter(about).map(str::to_owned).collect())
    }
}

#[test]
fn the_program_asks_itself_through_its_public_urls() {
    let beside = Beside::start();
    let [public, console] = beside.ports.map(|port| format!("http://127.0.0.1:{port}"));
    let (code, lines) = beside.check(&format!("{public}/api"), &console);
    assert_eq!((code, lines.len()), (Some(0), 2), "{lines:?}");
    assert!(
        lines.iter().all(|line| line.starts_with("ok ") && line.contains("this very program")),
        "{lines:?}"
    );

    // The settings page below a path prefix.
    let (code, lines) = beside.check(&format!("{public}/api"), &format!("{console}/hooks"));
    assert_eq!((code, lines.len()), (Some(0), 2), "{lines:?}");
    let (code, lines) = beside.check(&format!("{public}/api"), &format!("{console}/else"));
    assert!(code == Some(1) && lines.iter().any(|line| line.contains("404")), "{lines:?}");

    // The two listeners confused, another program, and a proxy that does not reach this one.
    let page = "HTTP/1.1 200 OK\r\nServer: other\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello";
    let bad_gateway =
        "HTTP/1.1 502 Bad Gateway\r\nServer: nginx\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let moved =
        "HTTP/1.1 301 Moved Permanently\r\nLocation: /\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let (answering_page, bad_gateway, moved) = (answering(page), answering(bad_gateway), answering(moved));
    for (public_url, console_url, words) in [
        (&console, &public, ["404", "404"]),
        (&answering_page, &answering_page, ["200 OK by other", "not this program"]),
        (&bad_gateway, &bad_gateway, ["502 Bad Gateway by nginx", "upstream"]),
        (&moved, &moved, ["301", "redirect"]),
    ] {
        let (code, lines) = beside.check(public_url, console_url);
        assert_eq!((code, lines.len()), (Some(1), 2), "{public_url}: {lines:?}");
        for (line, word) in lines.iter().zip(words) {
            assert!(line.starts_with("FAIL") && line.contains("(cause: the proxy, or the URL)"), "{line}");
            assert!(line.contains(word) || lines[0].contains(word), "{word}: {line}");
        }
    }
    let closed = format!("http://127.0.0.1:{}", free_port());
    let (code, lines) = beside.check(&closed, &closed);
    assert_eq!((code, lines.len()), (Some(0), 2), "{lines:?}");
    assert!(
        lines.iter().all(|line| line.starts_with("warn") && line.contains("cause: the network")),
        "{lines:?}"
    );
}

#[test]
fn a_public_url_of_a_program_with_another_keyring_fails() {
    let (beside, other) = (Beside::start(), Beside::start());
    let (code, lines) = beside.check(&format!("http://127.0.0.1:{}", other.ports[0]), "");
    assert_eq!(code, Some(1), "{lines:?}");
    assert!(
        matches!(&lines[..], [line] if line.contains("404") || line.contains("another keyring")),
        "{lines:?}"
    );
    let (code, lines) = beside.check(&format!("http://127.0.0.1:{}/api", other.ports[0]), "");
    assert_eq!(code, Some(1), "{lines:?}");
    assert!(matches!(&lines[..], [line] if line.contains("another keyring")), "{lines:?}");
}

#[test]
fn the_limit_on_open_files_is_compared_with_the_settings() {
    let home = Home::ready();
    let limited = |limit: &str| {
        let mut command = Command::new("sh");
        let program = env!("CARGO_BIN_EXE_webhook-assets");
        command.args(["-c", &format!("ulimit -n {limit}; exec {program} check")]).env_clear();
        Ran::of(command.envs(home.five()).current_dir(home.path(""))).succeeded()
    };
    limited("1000").says(&["warn", "limits", "1000 open files", "server.connections = 8192", "LimitNOFILE="]);
    let ran = limited("16384");
    assert!(ran.out.contains("ok    limits      16384 open files"), "{ran:?}");
}

#[test]
fn secrets_and_header_fields_that_do_not_open_are_found_with_their_endpoints() {
    let home = Home::ready();
    let run = |arguments: &[&str]| Ran::of(home.program(arguments).envs(home.sending()));
    let ids = ["http://127.0.0.1:9/", "http://127.0.0.1:9/b"].map(|url| {
        let ran = run(&["webhooks", "add", "--workspace", "acme", "--json", url]).succeeded();
        serde_json::from_str::<Value>(&ran.out).unwrap()["id"].as_str().unwrap().to_owned()
    });
    run(&["check"]).succeeded().says(&["the secrets of 2 endpoints open"]);
    on_database(&home.path("calls.db"), "UPDATE endpoints SET headers = zeroblob(64) WHERE url LIKE '%b'");
    let ran = run(&["check"]);
    assert_eq!((ran.code, failures(&ran).len()), (Some(1), 1), "{ran:?}");
    let line = failures(&ran)[0];
    assert!(line.contains("1 of 2") && line.contains(&ids[1]) && !line.contains(&ids[0]), "{line}");

    // A running server says so too, once it has met it, until the endpoint is gone.
    let mut command = home.program(&["serve"]);
    let server = Server::start({
        command.envs(home.sending());
        command
    });
    let is = |state: &str| {
        let part = ask(&server, "GET", "/readyz", &Value::Null).json()["parts"]["webhooks"].clone();
        (part["state"] == state).then_some(part)
    };
    assert_eq!(hand_in(&server, "c1", "x").status, 202);
    let part = eventually(|| is("degraded"), || server.err());
    assert!(part["reason"].as_str().unwrap().contains("see `check`"), "{part}");
    run(&["webhooks", "remove", "--workspace", "acme", &ids[1]]).succeeded();
    eventually(|| is("ok"), || server.err());
}

#[test]
fn findings_are_printed_as_json_with_their_cause() {
    let home = Home::ready();
    let check = |variable: (&str, &str)| {
        let ran = Ran::of(home.program(&["check", "--json"]).env(variable.0, variable.1));
        (ran.code, serde_json::from_str::<Value>(&ran.out).unwrap())
    };
    let (code, found) = check(("NO_COLOR", "1"));
    assert_eq!((code, &found["result"]), (Some(0), &"ok".into()));
    assert!(
        found["findings"].as_array().unwrap().iter().all(|finding| finding["cause"].is_null()),
        "{found}"
    );
    for (name, value, about, cause) in [
        ("WEBHOOK_ASSETS_KEYS", "absent.json", "keyring", "machine"),
        ("WEBHOOK_ASSETS_STORE", "file:///nowhere/at/all", "store", "settings"),
        ("WEBHOOK_ASSETS_WEBHOOKS_PROXY", "http://127.0.0.1:9", "webhooks", "network"),
        ("WEBHOOK_ASSETS_PUBLIC_URL", "https://x.example/webhook-assets", "public URL", "settings"),
    ] {
        let (code, found) = check((name, value));
        let failed =
            found["findings"].as_array().unwrap().iter().find(|finding| finding["level"] == "failed");
        let failed = failed.unwrap_or_else(|| panic!("{value}: {found}"));
        assert_eq!((code, &found["result"]), (Some(1), &"failed".into()));
        assert_eq!((&failed["about"], &failed["cause"]), (&about.into(), &cause.into()), "{failed}");
        assert!(failed["text"].as_str().unwrap().len() > 20);
    }
    let ran = Ran::after(
        piped(home.program(&["check", "--json"]).env("WEBHOOK_ASSETS_LISTEN", "8080")).spawn().unwrap(),
    );
    let found: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((ran.code, &found["findings"][0]["cause"]), (Some(64), &"settings".into()));
}

#[test]
fn a_wrong_setting_fails_with_64() {
    let home = Home::ready();
    let ran = Ran::of(home.program(&["check"]).env("WEBHOOK_ASSETS_LISTEN", "8080"));
    assert_eq!((ran.code, ran.err.as_str()), (Some(64), ""), "{ran:?}");
    assert!(
        matches!(failures(&ran)[..], [line] if line.contains("listen") && line.contains("127.0.0.1:8080"))
    );
}

#[test]
fn colours_are_for_terminals_and_on_request() {
    let home = Home::ready();
    let coloured = |variables: &[(&str, &str)]| {
        let ran = Ran::of(home.program(&["check"]).envs(variables.iter().copied())).succeeded();
        ran.out.contains('\x1b')
    };
    assert!(!coloured(&[]), "a pipe");
    assert!(coloured(&[("CLICOLOR_FORCE", "1")]));
    assert!(!coloured(&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]));
    let ran = Ran::of(home.program(&["keys", "retire", "nobody"]).env("NO_COLOR", "1"));
    assert!(!ran.err.contains('\x1b') && ran.err.starts_with("error: "), "{ran:?}");
}

#[test]
fn health_is_the_health_of_a_running_server() {
    let home = Home::ready();
    let server = home.serve();
    let admin = server.admin.to_string();
    let health = |address: &str| {
        // A container's health check has this one setting and no other.
        Ran::of(home.bare(&["health"]).env("WEBHOOK_ASSETS_ADMIN_LISTEN", address))
    };
    assert_eq!(health(&admin).succeeded().out, "ok\n");
    assert_eq!(health(&format!("0.0.0.0:{}", server.admin.port())).succeeded().out, "ok\n");
    health(&server.gateway.to_string()).refused(1, &["/healthz answered", "404"]);
    drop(server);
    health(&admin).refused(1, &[&admin, "is the server running?"]);
    health("nowhere").refused(64, &["admin.listen", "\"nowhere\""]);
}

#[test]
fn the_receiver_of_alerts_is_reached_or_its_line_fails_and_neither_shows_its_url() {
    let home = Home::ready();
    let receiver = Running::start(home.bare(&["webhooks", "listen", "--listen", "127.0.0.1:0"]));
    let check = |address: &str| {
        let mut command = home.program(&["check"]);
        command
            .env("WEBHOOK_ASSETS_ALERTS_URL", format!("http://{address}/services/s3cret"))
            .env("WEBHOOK_ASSETS_ALERTS_FORMAT", "slack");
        Ran::of(&mut command).hides(&["s3cret".to_owned()])
    };
    let address = receiver.address("receiver").to_string();
    let line = format!("alerts.url: {address} is reached");
    check(&address).succeeded().says(&[&line, "webhooks alerts test"]);
    let failed = check("127.0.0.1:9");
    assert_eq!((failed.code, failures(&failed).len()), (Some(1), 1), "{failed:?}");
    failed.says(&["alerts.url: 127.0.0.1:9: The connection was refused"]);
}

#[test]
fn alerts_as_json_need_a_secret() {
    let home = Home::ready();
    let mut command = home.program(&["serve"]);
    command.env("WEBHOOK_ASSETS_ALERTS_URL", "https://ops.example.com/s3cret");
    let refused = Ran::of(&mut command).hides(&["s3cret".to_owned()]);
    refused.refused(64, &["alerts.secret_file", "a file with a secret", "slack"]);
}
