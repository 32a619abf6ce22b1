//! `backup`, `restore` and `keys reseal`, and what an upgrade says.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::database::{hand_in, on_database};
use super::{Home, Ran, Server};

/// A key that sealed nothing.
const FOREIGN: &str = "3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c";

fn program(home: &Home, arguments: &[&str]) -> Command {
    let mut command = home.program(arguments);
    command.envs(home.sending());
    command
}

fn run(home: &Home, arguments: &[&str]) -> Ran {
    Ran::of(&mut program(home, arguments))
}

/// Adds an endpoint with a header field and an earlier secret; returns its id.
fn add(home: &Home) -> String {
    let add =
        ["webhooks", "add", "--workspace", "acme", "--json", "--allow-duplicate", "http://127.0.0.1:9/"];
    let ran = run(home, &add).succeeded();
    let id = serde_json::from_str::<Value>(&ran.out).unwrap()["id"].as_str().unwrap().to_owned();
    run(home, &["webhooks", "secret", "--workspace", "acme", &id, "--rotate"]).succeeded();
    home.write("value.txt", "k3y-of-acme");
    let set = ["webhooks", "headers", "--workspace", "acme", &id, "--header-file", "X-Api-Key=value.txt"];
    run(home, &set).succeeded();
    id
}

/// The secrets of an endpoint, the newest first.
fn secrets(home: &Home, id: &str) -> String {
    run(home, &["webhooks", "secret", "--workspace", "acme", id]).succeeded().out
}

/// An empty place for a restore, with the path of a backup in another home.
fn elsewhere() -> Home {
    Home::without_keys()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn keys_in(home: &Home) -> Vec<String> {
    home.read("calls.db.key").lines().map(str::to_owned).collect()
}

#[test]
fn a_backup_of_a_running_server_opens_elsewhere_with_its_calls_and_secrets() {
    let home = Home::ready();
    let id = add(&home);
    let server = Server::start(program(&home, &["serve"]));
    assert_eq!(hand_in(&server, "c1", "x").status, 202);
    let backup = home.path("backup");
    run(&home, &["backup", "--with-keys", "backup"]).succeeded().says(&["secrets.key", "like a password"]);
    assert_eq!(mode(&backup), 0o700);
    for name in ["webhook-assets.db", "secrets.key", "keyring.json", "manifest.json"] {
        assert_eq!(mode(&backup.join(name)), 0o600, "{name}");
    }
    assert_eq!(hand_in(&server, "c2", "x").status, 202);
    drop(server);

    let place = elsewhere();
    run(&place, &["restore", text(&backup)]).succeeded().says(&["1 endpoints have secrets, 1 of them open"]);
    for name in ["calls.db", "calls.db.key", "keys.json"] {
        assert_eq!(mode(&place.path(name)), 0o600, "{name}");
    }
    assert_eq!(secrets(&place, &id), secrets(&home, &id));
    run(&place, &["check"]).succeeded();
    let server = Server::start(program(&place, &["serve"]));
    // The call of the backup is known, and the one after it is new.
    assert_eq!(hand_in(&server, "c1", "x").status, 200);
    assert_eq!(hand_in(&server, "c2", "x").status, 202);
}

#[test]
fn a_backup_without_keys_needs_the_key_file_of_its_time() {
    let home = Home::ready();
    let id = add(&home);
    run(&home, &["backup", "backup"]).succeeded().says(&["It has no keys"]);
    let backup = home.path("backup");
    assert!(!backup.join("secrets.key").exists() && !backup.join("keyring.json").exists());

    let place = elsewhere();
    run(&place, &["restore", text(&backup)]).refused(1, &["calls.db.key is missing", "put it there first"]);
    place.write("calls.db.key", FOREIGN);
    run(&place, &["restore", text(&backup)]).refused(1, &["opens none of the 1 secrets"]);
    assert!(!place.path("calls.db").exists());
    fs::copy(home.path("calls.db.key"), place.path("calls.db.key")).unwrap();
    run(&place, &["restore", text(&backup)]).succeeded();
    assert_eq!(secrets(&place, &id), secrets(&home, &id));
    let left: Vec<_> = fs::read_dir(place.path("")).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !text(Path::new(name)).starts_with('.')), "{left:?}");
}

#[test]
fn what_does_not_fit_together_is_not_restored() {
    let home = Home::ready();
    add(&home);
    run(&home, &["backup", "--with-keys", "backup"]).succeeded();
    run(&home, &["backup", "backup"]).refused(1, &["backup", "exists"]);
    let copy_of_backup = |name: &str| {
        let copied = Command::new("cp").arg("-r").arg(home.path("backup")).arg(home.path(name)).status();
        assert!(copied.unwrap().success());
        home.path(name)
    };
    let refused = |folder: &Path, words: &[&str]| {
        let place = elsewhere();
        run(&place, &["restore", text(folder)]).refused(1, words);
        assert!(
            !place.path("calls.db").exists() && !place.path("keys.json").exists(),
            "{}",
            folder.display()
        );
    };
    refused(&home.path("store"), &["no backup", "manifest.json"]);

    let changed = copy_of_backup("changed");
    on_database(&changed.join("webhook-assets.db"), "UPDATE endpoints SET url = 'http://127.0.0.1:8/'");
    refused(&changed, &["webhook-assets.db has changed", "another copy"]);
    let shorter = copy_of_backup("shorter");
    fs::write(shorter.join("keyring.json"), "{}").unwrap();
    refused(&shorter, &["keyring.json has changed"]);
    fs::remove_file(shorter.join("keyring.json")).unwrap();
    refused(&shorter, &["keyring.json", "No such file"]);

    // A program of the future has written this one: its tables, and the list with their hash.
    let note = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
                VALUES (9999, 'the future', TRUE, x'00', 1)";
    on_database(&home.path("calls.db"), note);
    run(&home, &["backup", "newer"]).refused(1, &["newer version"]);
    let newer = copy_of_backup("newer");
    on_database(&newer.join("webhook-assets.db"), note);
    let hash = Command::new("sha256sum").arg(newer.join("webhook-assets.db")).output().unwrap().stdout;
    let mut manifest: Value =
        serde_json::from_str(&fs::read_to_string(newer.join("manifest.json")).unwrap()).unwrap();
    manifest["files"][0]["sha256"] = String::from_utf8(hash).unwrap()[..64].into();
    manifest["files"][0]["bytes"] = fs::metadata(newer.join("webhook-assets.db")).unwrap().len().into();
    fs::write(newer.join("manifest.json"), manifest.to_string()).unwrap();
    refused(&newer, &["newer version", "9999"]);
}

#[test]
fn an_existing_database_is_replaced_only_on_request_and_only_when_nothing_sends_from_it() {
    let home = Home::ready();
    let id = add(&home);
    run(&home, &["backup", "--with-keys", "backup"]).succeeded();
    let (old, backup) = (secrets(&home, &id), home.path("backup"));
    let server = Server::start(program(&home, &["serve"]));
    assert_eq!(hand_in(&server, "late", "x").status, 202);
    run(&home, &["restore", "backup"]).refused(1, &["calls.db exists", "--replace"]);
    run(&home, &["restore", "--replace", "backup"]).refused(1, &["another process", "stop `serve`"]);
    // Killed, so that the write-ahead log stays behind, which belongs to the database that is replaced.
    drop(server);
    assert!(home.path("calls.db-wal").exists());
    run(&home, &["restore", "--replace", text(&backup)]).succeeded().says(&["kept", "calls.db.replaced-"]);
    assert!(!home.path("calls.db-wal").exists());
    assert_eq!(secrets(&home, &id), old);
    let kept = |ending: &str| {
        let names = fs::read_dir(home.path("")).unwrap().map(|file| file.unwrap().path());
        names.into_iter().find(|path| text(path).contains(".replaced-") && text(path).ends_with(ending))
    };
    let aside = kept("Z").unwrap();
    assert!(kept("Z-wal").is_some());
    let deliveries = ["webhooks", "deliveries", "--workspace", "acme"];
    assert!(!run(&home, &deliveries).succeeded().out.contains("late"));
    let mut before = program(&home, &deliveries);
    before.env("WEBHOOK_ASSETS_DATABASE", &aside);
    before.env("WEBHOOK_ASSETS_WEBHOOKS_SECRET_KEY_FILE", home.path("calls.db.key"));
    Ran::of(&mut before).succeeded().says(&["late"]);
}

#[test]
fn postgresql_is_left_to_its_own_tools() {
    let home = Home::ready();
    for arguments in [&["backup", "there"][..], &["restore", "there"]] {
        let mut command = program(&home, arguments);
        command.env("WEBHOOK_ASSETS_DATABASE", "postgres://user:hunter2@127.0.0.1:1/calls");
        let ran = Ran::of(&mut command).hides(&["hunter2".to_owned()]);
        ran.refused(2, &["pg_dump", "docs/operations.md"]);
    }
    assert!(!home.path("there").exists());
}

#[test]
fn a_new_key_seals_everything_and_a_running_server_follows_it() {
    let home = Home::ready();
    let id = add(&home);
    let server = Server::start(program(&home, &["serve"]));
    let (before, old) = (secrets(&home, &id), keys_in(&home));
    run(&home, &["backup", "earlier"]).succeeded();
    let ran = run(&home, &["keys", "reseal"]).succeeded().hides(&old);
    ran.says(&["sealed the secrets of 1 endpoints", "make another backup"]).hides(&keys_in(&home));
    let new = keys_in(&home);
    assert_eq!((new.len(), new == old, mode(&home.path("calls.db.key"))), (1, false, 0o600));
    assert_eq!(secrets(&home, &id), before);
    let raw = fs::read(home.path("calls.db")).unwrap();
    assert!(!raw.windows(11).any(|window| window == b"k3y-of-acme"));

    // The server has the old key in memory. What it seals from now on has to open with the new one.
    let body = serde_json::json!({"url": "http://127.0.0.1:9/new"});
    let added = super::database::ask(&server, "POST", "/v1/workspaces/acme/endpoints", &body);
    assert_eq!(added.status, 201, "{}", server.err());
    let shown = format!("/v1/workspaces/acme/endpoints/{id}/secret");
    let shown = super::database::ask(&server, "GET", &shown, &Value::Null);
    assert!(before.starts_with(shown.json()["secret"].as_str().unwrap()), "{}", server.err());
    drop(server);
    run(&home, &["check"]).succeeded();
    let place = elsewhere();
    fs::copy(home.path("calls.db.key"), place.path("calls.db.key")).unwrap();
    run(&place, &["restore", text(&home.path("earlier"))]).refused(1, &["opens none of the 1 secrets"]);
}

#[test]
fn resealing_can_be_repeated_after_any_interruption() {
    let home = Home::ready();
    let id = add(&home);
    let (before, old) = (secrets(&home, &id), home.read("calls.db.key"));
    // Killed before the database was changed: the file has a new key above the old one.
    home.write("calls.db.key", &format!("{FOREIGN}\n# the old one\n{old}"));
    run(&home, &["check"]).succeeded();
    // Killed afterwards: everything is sealed with the first key, and the old one is still there.
    run(&home, &["keys", "reseal", "--use-first"]).succeeded().says(&["still has its other keys"]);
    assert_eq!(home.read("calls.db.key"), format!("{FOREIGN}\n# the old one\n{old}"));
    home.write("first.key", FOREIGN);
    let mut alone = program(&home, &["webhooks", "secret", "--workspace", "acme", &id]);
    alone.env("WEBHOOK_ASSETS_WEBHOOKS_SECRET_KEY_FILE", home.path("first.key"));
    assert_eq!(Ran::of(&mut alone).succeeded().out, before);

    run(&home, &["keys", "reseal", "--keep-old"]).succeeded();
    assert_eq!(keys_in(&home).len(), 4);
    run(&home, &["keys", "reseal"]).succeeded();
    let (keys, comments): (Vec<_>, Vec<_>) =
        keys_in(&home).into_iter().partition(|line| !line.starts_with('#'));
    assert_eq!((keys.len(), comments), (1, vec!["# the old one".to_owned()]));
    assert_eq!(secrets(&home, &id), before);
}

#[test]
fn nothing_is_sealed_anew_while_a_secret_does_not_open() {
    let home = Home::ready();
    let id = add(&home);
    let (old, before) = (home.read("calls.db.key"), secrets(&home, &id));
    home.write("calls.db.key", FOREIGN);
    run(&home, &["keys", "reseal"]).refused(1, &["does not open 1 of 1", "nothing was changed"]);
    assert_eq!(home.read("calls.db.key"), FOREIGN);
    home.write("calls.db.key", &old);
    assert_eq!(secrets(&home, &id), before);
    let empty = elsewhere();
    run(&empty, &["keys", "reseal"]).refused(1, &["there is no database", "nothing to seal"]);
}

/// A database that the last release wrote.
fn last_release() -> Home {
    let home = Home::ready();
    on_database(&home.path("calls.db"), include_str!("../../../fixtures/databases/sqlite.sql"));
    home.write("calls.db.key", &"5a".repeat(32));
    home
}

#[test]
fn an_upgrade_is_announced_before_it_happens() {
    let home = last_release();
    let ran = run(&home, &["check"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    ran.says(&["the next start upgrades them", "late assets, backfill, headers", "make a backup before"]);
    // A backup of the old tables does not upgrade them.
    let unrecorded = "note: this is missing in the audit trail: its tables are older";
    let ran = run(&home, &["backup", "--with-keys", "before"]);
    assert_eq!((ran.code, ran.err.lines().count()), (Some(0), 1), "{ran:?}");
    ran.says(&[unrecorded]);
    run(&home, &["check"]).says(&["the next start upgrades them"]);
    let server = Server::start(program(&home, &["serve"]));
    server.logs("late assets, backfill, headers");
    server.logs("a backup from before");
    drop(server);
    assert!(!run(&home, &["check"]).out.contains("upgrades"));

    // The way back: the backup, which says what happens to it under this program.
    let place = elsewhere();
    let ran = run(&place, &["restore", text(&home.path("before"))]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    ran.says(&["The next `serve` upgrades", unrecorded]);
    let ran = run(&place, &["webhooks", "list", "--workspace", "acme"]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.err.starts_with("note: the tables") && ran.err.lines().count() == 1, "{ran:?}");
    assert_eq!(run(&place, &["webhooks", "list", "--workspace", "acme"]).err, "");
}
