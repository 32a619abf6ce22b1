//! The webhooks' database: what the program refuses, what it waits for, who may read the files, and what remains of
//! erased calls.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use super::{Home, Ran, Running, Server, eventually, request_head};
use crate::support::Answer;

const PASSWORD: &str = "hunter2secret";

/// The program on a database, with webhooks that may go to this machine.
fn program(home: &Home, arguments: &[&str], database: &str) -> Command {
    let mut command = home.program(arguments);
    command.envs(home.sending()).env("WEBHOOK_ASSETS_DATABASE", database);
    command
}

fn serve(home: &Home) -> Server {
    Server::start(program(home, &["serve"], "sqlite:calls.db"))
}

/// Asks the admin listener.
pub(super) fn ask(server: &Server, method: &str, path: &str, body: &Value) -> Answer {
    use std::io::{Read, Write};

    let text = if body.is_null() { String::new() } else { body.to_string() };
    let fields = [("Content-Type", "application/json")];
    let mut stream = std::net::TcpStream::connect(server.admin).unwrap();
    stream.write_all(request_head(method, path, &fields, text.as_bytes()).as_bytes()).unwrap();
    stream.write_all(text.as_bytes()).unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    Answer::parse(&bytes, false).0
}

pub(super) fn hand_in(server: &Server, id: &str, summary: &str) -> Answer {
    let body = json!({
        "workspace": "acme", "call_id": id, "recording": null, "transcript": null,
        "call": {
            "ended_at": "2025-12-17T14:30:00.000Z", "status": "connected", "direction": "outgoing",
            "duration_seconds": 180, "from_number": "+33100000000", "to_number": "+33600000000", "summary": summary,
        },
        "prospect": {"first_name": "John", "last_name": "Doe", "email": "john.doe@example.com", "company": "Acme Inc"},
        "user": {"name": "Jane Smith", "email": "jane@yourcompany.com"},
        "list": {"list_name": "Q1 Outbound Campaign", "list_id": "123"},
    });
    ask(server, "POST", "/v1/calls", &body)
}

/// What `/readyz` says about the webhooks.
fn readiness(server: &Server) -> String {
    let answer = ask(server, "GET", "/readyz", &Value::Null);
    assert_eq!(answer.status, 200, "links open without the database");
    answer.json()["webhooks"].as_str().unwrap().to_owned()
}

/// Waits until the program accepts a call; each try uses another id.
#[track_caller]
fn accepts_again(server: &Server) {
    let mut tries = 0;
    eventually(
        || {
            tries += 1;
            (hand_in(server, &format!("again-{tries}"), "x").status == 202).then_some(())
        },
        || format!("no call is accepted: {}", server.err()),
    );
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).permissions().mode()
        & 0o777
}

fn files(home: &Home) -> Vec<PathBuf> {
    ["calls.db", "calls.db-wal", "calls.db-shm", "calls.db.lock", "calls.db.key"]
        .map(|name| home.path(name))
        .to_vec()
}

#[test]
fn a_url_that_names_no_database_is_refused_before_anything_is_created() {
    let home = Home::ready();
    fs::create_dir(home.path("folder")).unwrap();
    let before = fs::read_dir(home.path("")).unwrap().count();
    for (database, words) in [
        ("dbname=wa password=hunter2secret", &["URL"][..]),
        ("host=127.0.0.1 user=wa", &["URL"]),
        ("sqlite:wa.db?mode=rwc", &["no parameters"]),
        ("sqlite:wa.db?", &["no parameters"]),
        ("wa.db?cache=shared", &["no parameters"]),
        ("sqlite:wa%2Edb", &["no parameters"]),
        ("sqlite:", &["sqlite:PATH"]),
        ("sqlite://", &["sqlite:PATH"]),
        ("sqlite:////tmp/wa.db", &["not a folder"]),
        ("sqlite:folder/", &["not a folder"]),
        ("sqlite:folder", &["folder", "is no file"]),
        ("sqlite:.", &["not a folder"]),
        ("sqlite:/dev/null", &["/dev/null", "is no file"]),
        ("sqlite:keys.json/wa.db", &["keys.json"]),
        (" sqlite:wa.db", &["white space"]),
        ("sqlite:wa.db\n", &["white space"]),
        ("sqlite: wa.db", &["white space"]),
        ("my calls.db", &["white space"]),
        ("mysql://127.0.0.1/wa", &["postgres://"]),
        ("file:wa.db", &["sqlite:PATH"]),
        ("sqlite::memory:", &["sqlite:PATH"]),
        ("postgresql://127.0.0.1/wa?user=wa&password=hunter2secret&sslmode=bogus", &["sslmode"]),
        ("postgres://wa:hunter2secret@127.0.0.1/wa?connect_timeout=3", &["parameters are"]),
        ("postgres://wa:hunter2secret@127.0.0.1/wa?hunter2secret", &["parameters are"]),
        ("postgres://wa:hunter2secret@127.0.0.1:port/wa", &["host and port"]),
        ("postgres://wa:hunter2secret#1@127.0.0.1/wa", &["percent-encode the password"]),
        ("postgres://wa:hunter2secret/1@127.0.0.1/wa", &["percent-encode the password"]),
        ("postgres://wa:1/hunter2secret@127.0.0.1/wa", &["percent-encode the password"]),
        ("postgres://wa:1?hunter2secret@127.0.0.1/wa", &["percent-encode the password"]),
        ("postgres://wa:1@hunter2secret@127.0.0.1/wa", &["percent-encode the password"]),
        ("postgres://wa:%hunter2secret@127.0.0.1/wa", &["percent-encode the password"]),
        ("postgres://wa:hunter2secret%FF@127.0.0.1/wa", &["percent-encode"]),
        (
            "postgres://wa:hunter2secret@127.0.0.1/wa?sslrootcert=/nowhere/ca.pem",
            &["sslrootcert", "/nowhere/ca.pem"],
        ),
    ] {
        let mut command = program(&home, &["serve"], database);
        command.env("WEBHOOK_ASSETS_WEBHOOKS_SECRET_KEY_FILE", home.write("secrets.key", &"5a".repeat(32)));
        let ran = Ran::of(&mut command);
        assert!(!format!("{ran:?}").contains(PASSWORD), "{database}: {ran:?}");
        assert_eq!(ran.code, Some(64), "{database}: {ran:?}");
        let said = ran.says(&["webhooks.database"]).says(words);
        assert_eq!(said.out, "", "{database}");
        let made = fs::read_dir(home.path("")).unwrap().count();
        assert_eq!(made, before + 1, "{database} made a file");

        let checked = Ran::of(&mut program(&home, &["check"], database));
        assert!(
            checked.code != Some(0) && !format!("{checked:?}").contains(PASSWORD),
            "{database}: {checked:?}"
        );
    }
}

#[test]
fn no_command_shows_a_password() {
    let home = Home::ready();
    home.write("secrets.key", &"5a".repeat(32));
    for database in [
        format!("postgres://wa:{PASSWORD}@127.0.0.1:9/wa"),
        format!("postgres://127.0.0.1:9/wa?user=wa&password={PASSWORD}"),
        format!("postgres://127.0.0.1:9/wa?user=wa&password={PASSWORD}&application_name=x"),
    ] {
        let with = |arguments: &[&str]| {
            let mut command = program(&home, arguments, &database);
            command.env("WEBHOOK_ASSETS_WEBHOOKS_SECRET_KEY_FILE", "secrets.key");
            command.env("WEBHOOK_ASSETS_LOG_LEVEL", "debug");
            command
        };
        for arguments in [&["check"][..], &["config"], &["webhooks", "list", "--workspace", "acme"]] {
            Ran::of(&mut with(arguments)).hides(&[PASSWORD.to_owned()]);
        }
        let server = Server::start(with(&["serve"]));
        server.logs("until the database answers");
        assert!(!server.err().contains(PASSWORD) && !server.out().contains(PASSWORD), "{}", server.err());
    }
}

#[test]
fn the_databases_files_are_private_whatever_the_umask() {
    let home = Home::ready();
    // As an earlier version created them.
    for name in ["calls.db", "calls.db.lock"] {
        home.write(name, "");
        fs::set_permissions(home.path(name), PermissionsExt::from_mode(0o644)).unwrap();
    }
    let program = program(&home, &["serve"], "sqlite:calls.db");
    let mut command = Command::new("sh");
    command
        .args(["-c", "umask 022; exec \"$0\" serve"])
        .arg(program.get_program())
        .current_dir(home.path(""));
    command.env_clear().envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let server = Server::start(command);
    assert_eq!(hand_in(&server, "c1", "x").status, 202);
    for file in files(&home) {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
    server.logs("its mode is 600 now");

    let fresh = Home::ready();
    let server = serve(&fresh);
    assert_eq!(hand_in(&server, "c1", "x").status, 202);
    for file in files(&fresh) {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
    let check = || Ran::of(&mut self::program(&fresh, &["check"], "sqlite:calls.db")).succeeded();
    assert!(!check().out.contains("chmod"));
    for name in ["calls.db", "calls.db-wal", "calls.db-shm", "calls.db.key"] {
        fs::set_permissions(fresh.path(name), PermissionsExt::from_mode(0o640)).unwrap();
        check().says(&["chmod 600", name]);
        fs::set_permissions(fresh.path(name), PermissionsExt::from_mode(0o600)).unwrap();
    }
}

/// Whether any file of the database holds these bytes.
fn is_there(home: &Home, marker: &str) -> bool {
    files(home).iter().filter(|file| file.exists()).any(|file| {
        let bytes = fs::read(file).unwrap();
        bytes.windows(marker.len()).any(|window| window == marker.as_bytes())
    })
}

#[test]
fn erased_calls_are_gone_from_the_files_within_seconds() {
    let home = Home::ready();
    let server = serve(&home);
    let receiver = Running::start(home.bare(&["webhooks", "listen", "--listen", "127.0.0.1:0"]));
    let url = format!("http://{}/hook", receiver.address("receiver"));
    let endpoints = "/v1/workspaces/acme/endpoints";
    assert_eq!(
        ask(&server, "POST", endpoints, &json!({"url": url, "description": "marker-endpoint"})).status,
        201
    );
    for call in 0..20 {
        assert_eq!(
            hand_in(&server, &format!("c{call}"), &format!("marker-of-{call}-").repeat(9)).status,
            202
        );
    }
    let delivered = || {
        let path = "/v1/workspaces/acme/deliveries?status=delivered";
        let answer = ask(&server, "GET", path, &Value::Null).json();
        (answer["deliveries"].as_array().unwrap().len() == 20).then_some(())
    };
    eventually(delivered, || "not everything was delivered".to_owned());
    assert!(is_there(&home, "marker-of-7-"));

    let gone = |marker: &str| {
        let marker = marker.to_owned();
        eventually(|| (!is_there(&home, &marker)).then_some(()), || format!("{marker} is in the files"));
    };
    let began = std::time::Instant::now();
    assert_eq!(ask(&server, "DELETE", "/v1/workspaces/acme/calls/c7", &Value::Null).status, 204);
    gone("marker-of-7-");
    println!("gone after {:?}", began.elapsed());
    assert!(is_there(&home, "marker-of-8-"), "others are kept");
    assert_eq!(ask(&server, "DELETE", "/v1/workspaces/acme", &Value::Null).status, 200);
    gone("marker-of-8-");
    gone("marker-endpoint");
    accepts_again(&server);
}

#[test]
fn a_replaced_or_removed_database_file_accepts_nothing_and_says_so() {
    let home = Home::ready();
    fs::create_dir(home.path("d")).unwrap();
    let path = |name: &str| home.path("d").join(name);
    let server = Server::start(program(&home, &["serve"], "sqlite:d/calls.db"));
    assert_eq!(hand_in(&server, "c0", "x").status, 202);
    assert_eq!(readiness(&server), "ok");

    let refused = |what: &str, id: &str| {
        let answer = hand_in(&server, id, "x");
        assert_eq!(answer.status, 503, "{what}: {}", server.err());
        eventually(
            || readiness(&server).contains("replaced or removed").then_some(()),
            || format!("{what}: /readyz says {}", readiness(&server)),
        );
    };
    for (name, id) in [("calls.db", "c1"), ("calls.db-wal", "c2"), ("calls.db-shm", "c3")] {
        fs::rename(path(name), path("aside")).unwrap();
        refused(&format!("{name} is gone"), id);
        fs::copy(path("aside"), path(name)).unwrap();
        refused(&format!("{name} is another"), id);
        fs::rename(path("aside"), path(name)).unwrap();
        // The file is the one that is open: nothing was lost, and the program accepts the call that it refused.
        assert_eq!(hand_in(&server, id, "x").status, 202, "{name} is back");
    }
    fs::rename(home.path("d"), home.path("e")).unwrap();
    refused("the folder is gone", "c4");
    fs::rename(home.path("e"), home.path("d")).unwrap();
    assert_eq!(hand_in(&server, "c4", "x").status, 202, "the folder is back");

    fs::copy(path("calls.db"), path("n")).unwrap();
    fs::rename(path("n"), path("calls.db")).unwrap();
    refused("cp and mv", "c5");
    assert_eq!(ask(&server, "DELETE", "/v1/workspaces/acme/calls/c1", &Value::Null).status, 503);
    assert_eq!(
        ask(&server, "POST", "/v1/workspaces/acme/endpoints", &json!({"url": "http://127.0.0.1:9/"})).status,
        503
    );
    server.logs("was replaced, moved or removed while it was open");
    let metrics = ask(&server, "GET", "/metrics", &Value::Null);
    let metrics = String::from_utf8(metrics.body).unwrap();
    assert!(
        metrics.contains("webhook_assets_webhook_database_errors_total{reason=\"replaced\"}"),
        "{metrics}"
    );
}

#[test]
fn a_database_without_its_key_file_is_refused() {
    let home = Home::ready();
    let add = ["webhooks", "add", "--workspace", "acme", "http://127.0.0.1:9/"];
    let run = |arguments: &[&str]| Ran::of(&mut program(&home, arguments, "sqlite:calls.db"));
    run(&add).succeeded();
    let key = home.read("calls.db.key");
    fs::remove_file(home.path("calls.db.key")).unwrap();
    for arguments in [&["serve"][..], &add] {
        run(arguments).refused(64, &["calls.db.key is missing", "put the file back"]);
    }
    let checked = run(&["check"]);
    assert_eq!(checked.code, Some(1));
    checked.says(&["FAIL", "calls.db.key is missing"]);
    assert!(!home.path("calls.db.key").exists(), "a key was made that opens nothing");

    home.write("calls.db.key", &"5a".repeat(32));
    fs::set_permissions(home.path("calls.db.key"), PermissionsExt::from_mode(0o600)).unwrap();
    run(&["serve"]).refused(64, &["calls.db.key does not open 1 of 1 secrets"]);
    run(&["check"]).says(&["FAIL", "calls.db.key does not open 1 of 1 secrets"]);
    home.write("calls.db.key", &format!("{}\n{key}", "5a".repeat(32)));
    run(&["check"]).succeeded();
    assert_eq!(hand_in(&serve(&home), "c1", "x").status, 202);
}

#[test]
fn a_database_of_a_newer_version_is_not_touched() {
    let home = Home::ready();
    let run = |arguments: &[&str]| Ran::of(&mut program(&home, arguments, "sqlite:calls.db"));
    run(&["webhooks", "add", "--workspace", "acme", "http://127.0.0.1:9/"]).succeeded();
    let note = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
                VALUES (9999, 'the future', TRUE, x'00', 1)";
    on_database(&home.path("calls.db"), note);
    for arguments in [&["serve"][..], &["webhooks", "list", "--workspace", "acme"]] {
        run(arguments).refused(64, &["newer version", "9999", "restore the backup"]);
    }
    run(&["check"]).says(&["FAIL", "newer version"]);
}

/// Runs a statement on a SQLite file.
pub(super) fn on_database(path: &Path, statement: &'static str) {
    use sqlx::Connection;

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let options = sqlx::sqlite::SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .foreign_keys(false);
        let mut connection = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
        sqlx::raw_sql(statement).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    });
}

#[test]
fn a_file_that_is_no_database_is_refused_by_name() {
    let home = Home::ready();
    home.write("calls.db", "this is no database, however long it is".repeat(100).as_str());
    let ran = Ran::of(&mut program(&home, &["serve"], "sqlite:calls.db"));
    ran.refused(64, &["webhooks.database", "calls.db", "no SQLite database"]);
    assert_eq!(mode(&home.path("calls.db")), 0o644, "a foreign file was changed");
    assert!(!home.path("calls.db.lock").exists());
}

#[test]
fn a_missing_folder_is_waited_for_while_links_are_served() {
    let home = Home::ready();
    let server = Server::start(program(&home, &["serve"], "sqlite:later/calls.db"));
    assert_eq!(server.get(&home.link()).status, 200);
    assert_eq!(hand_in(&server, "c1", "x").status, 503);
    assert_eq!(readiness(&server), "their database does not answer");
    server.logs("is its file system mounted?");
    fs::create_dir(home.path("later")).unwrap();
    accepts_again(&server);
    eventually(|| (readiness(&server) == "ok").then_some(()), || readiness(&server));
}

#[test]
fn a_second_sender_on_a_file_serves_links_and_takes_over_when_the_first_ends() {
    let home = Home::ready();
    let first = serve(&home);
    assert_eq!(hand_in(&first, "c1", "x").status, 202);
    let second = serve(&home);
    assert_eq!(second.get(&home.link()).status, 200);
    assert_eq!(hand_in(&second, "c2", "x").status, 503);
    assert_eq!(readiness(&second), "another process sends from their database");
    second.logs("several replicas need PostgreSQL");
    drop(first);
    accepts_again(&second);
}

#[test]
fn a_read_only_file_is_waited_for() {
    let home = Home::ready();
    assert_eq!(hand_in(&serve(&home), "c0", "x").status, 202);
    let Some(user) = another_user(&home) else {
        println!("skipped: becoming another user needs root and setpriv");
        return;
    };
    // The folder belongs to the other user, the database still to root.
    let serving = program(&home, &["serve"], "sqlite:calls.db");
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid", &user, "--regid", &user, "--clear-groups"])
        .arg(serving.get_program())
        .arg("serve");
    command.env_clear().envs(serving.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.current_dir(home.path(""));
    let server = Server::start(command);
    assert_eq!(hand_in(&server, "c1", "x").status, 503, "{}", server.err());
    assert_ne!(readiness(&server), "ok");
    give_to(&home, &user);
    accepts_again(&server);
}

/// The user id of another user, who gets the folder, the keys and access to the program; `None` if that is not
/// possible.
fn another_user(home: &Home) -> Option<String> {
    let user = "65534";
    let works = Command::new("setpriv").args(["--reuid", user, "--clear-groups", "true"]).status();
    if !works.is_ok_and(|status| status.success()) {
        return None;
    }
    let reaches = Command::new("setpriv")
        .args(["--reuid", user, "--clear-groups", env!("CARGO_BIN_EXE_webhook-assets"), "--version"])
        .output();
    if !reaches.is_ok_and(|output| output.status.success()) {
        return None;
    }
    let id = Some(65534);
    std::os::unix::fs::chown(home.path(""), id, id).ok()?;
    std::os::unix::fs::chown(home.path("keys.json"), id, id).ok()?;
    Some(user.to_owned())
}

fn give_to(home: &Home, user: &str) {
    let id = user.parse().ok();
    for entry in fs::read_dir(home.path("")).unwrap() {
        std::os::unix::fs::chown(entry.unwrap().path(), id, id).unwrap();
    }
}
