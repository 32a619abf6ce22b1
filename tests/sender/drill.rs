//! The drill of docs/operations.md: a backup is made under load, the program is killed, the backup is restored elsewhere, and the
//! key of the secrets is replaced. Every call that was accepted before the backup arrives, and every secret opens.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::Value;

use crate::killed::{Load, all_end};
use crate::program::{Caller, Database, Home, PROGRAM, call, server};
use crate::receivers::Receivers;

const WORKSPACES: usize = 10;

/// How often `keys reseal` is killed.
const KILLS: u64 = 10;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_of_sqlite_brings_every_call_and_every_secret_back() {
    let receivers = Receivers::start().await;
    let home = Home::new(Database::Sqlite).await;
    let place = Home::empty(Database::Sqlite, None);
    let backup = home.path("backup");
    let backed_up = drill(&home, &receivers, || {
        succeed(home.other(&["backup", "--with-keys", &backup]));
    });
    let backed_up = backed_up.await;
    succeed(place.other(&["restore", &backup]));
    restored(&place, &receivers, backed_up).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dump_of_postgresql_brings_every_call_and_every_secret_back() {
    if !Database::all().contains(&Database::Postgres) {
        return;
    }
    let receivers = Receivers::start().await;
    let home = Home::new(Database::Postgres).await;
    let [dump, restore] = ["pg_dump ", "createdb "].map(block);
    let backed_up = drill(&home, &receivers, || {
        succeed(in_shell(&home, &dump));
    });
    let backed_up = backed_up.await;
    let name = format!("{}_restored", home.database.rsplit_once('/').unwrap().1);
    let database = format!("{}/{name}", home.database.rsplit_once('/').unwrap().0);
    let place = Home::empty(Database::Postgres, Some(database));
    for file in fs::read_dir(home.path("backup")).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), place.path(file.file_name().to_str().unwrap())).unwrap();
    }
    succeed(in_shell(&place, &restore.replace("webhooks_restored", &name)));
    restored(&place, &receivers, backed_up).await;
}

/// What has to be there after the restore: accepted calls with their events, and secrets by endpoint.
struct BackedUp {
    accepted: HashMap<String, String>,
    secrets: BTreeMap<String, String>,
}

/// Makes a backup while calls come in, and kills the program.
async fn drill(home: &Home, receivers: &Receivers, back_up: impl FnOnce()) -> BackedUp {
    let mut process = home.start("127.0.0.1:0");
    let mut endpoints = Vec::new();
    for workspace in 0..WORKSPACES {
        let url = receivers.url(&format!("/{workspace}"));
        endpoints.push(Caller::new().add_endpoint(&process.admin, &format!("w{workspace}"), &url).await);
    }
    let load = Load::start(std::slice::from_ref(&process.admin));
    load.more(20).await;
    let accepted = load.accepted();
    back_up();
    load.more(1).await;
    process.child.kill().unwrap();
    process.child.wait().unwrap();
    load.abandon();
    let secrets = endpoints.iter().enumerate().map(|(at, id)| (id.clone(), secret(home, at, id)));
    BackedUp { accepted, secrets: secrets.collect() }
}

/// Checks what came back, and replaces the key while calls come in.
async fn restored(place: &Home, receivers: &Receivers, BackedUp { accepted, secrets }: BackedUp) {
    succeed(place.other(&["check"]));
    let process = place.start("127.0.0.1:0");
    let caller = Caller::new();
    for (event, id) in &accepted {
        let number: usize = id.strip_prefix("call-").unwrap().parse().unwrap();
        let url = format!("{}/v1/workspaces/w{}/deliveries?call_id={id}", process.admin, number % WORKSPACES);
        let answer = caller.ask("GET", &url, &Value::Null).await;
        let mut deliveries = answer["deliveries"].as_array().unwrap().iter();
        let call = event.trim_end_matches("_recording");
        assert!(deliveries.any(|delivery| delivery["event"] == call), "{id}: {answer}");
    }
    all_end(&process.admin, &accepted, receivers).await;
    every_secret_opens(place, &secrets);

    let (old, came_back) = (keys_of(place), accepted.len());
    let load = Load::start(std::slice::from_ref(&process.admin));
    for kill in 0..KILLS {
        let mut reseal = place.other(&["keys", "reseal"]).spawn().unwrap();
        tokio::time::sleep(Duration::from_millis(4 * kill)).await;
        let _ = reseal.kill();
        reseal.wait().unwrap();
        every_secret_opens(place, &secrets);
    }
    succeed(place.other(&["keys", "reseal"]));
    load.more(1).await;
    let accepted = load.stop().await;
    all_end(&process.admin, &accepted, receivers).await;
    let new = keys_of(place);
    assert!(new.len() == 1 && !old.contains(&new[0]), "{} keys", new.len());
    drop(process);
    every_secret_opens(place, &secrets);
    let process = place.start("127.0.0.1:0");
    let (last, body) = ("call-9999990", call("w0", "call-9999990"));
    let answer = caller.ask("POST", &format!("{}/v1/calls", process.admin), &body).await;
    let event = answer["event"].as_str().unwrap().to_owned();
    all_end(&process.admin, &HashMap::from([(event, last.to_owned())]), receivers).await;
    println!("{came_back} calls came back, {} were accepted while the key was replaced", accepted.len());
}

fn every_secret_opens(home: &Home, secrets: &BTreeMap<String, String>) {
    for (at, (id, expected)) in secrets.iter().enumerate() {
        assert_eq!(&secret(home, at, id), expected, "{id}");
    }
}

/// The secret of an endpoint. Endpoints are in the order of their ids, as they were added.
fn secret(home: &Home, workspace: usize, id: &str) -> String {
    let show = ["webhooks", "secret", "--workspace", &format!("w{workspace}"), id];
    String::from_utf8(succeed(home.other(&show)).stdout).unwrap()
}

fn keys_of(home: &Home) -> Vec<String> {
    fs::read_to_string(home.path("secrets.key")).unwrap().lines().map(str::to_owned).collect()
}

fn succeed(mut command: Command) -> Output {
    let ended = command.output().unwrap();
    let said = String::from_utf8_lossy(&ended.stdout).into_owned() + &String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{command:?}: {said}");
    ended
}

/// The shell block of docs/operations.md that begins with these words.
fn block(begin: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(root.join("docs/operations.md")).unwrap();
    let start = format!("```sh\n{begin}");
    let after = text.split_once(&start).unwrap_or_else(|| panic!("no block begins with {begin:?}")).1;
    format!("{begin}{}", after.split_once("```").unwrap().0)
}

/// The commands of a block, with the settings of a home.
fn in_shell(home: &Home, commands: &str) -> Command {
    let mut command = home.with_settings(Command::new("sh"), &["-euxc", commands]);
    let programs = Path::new(PROGRAM).parent().unwrap().display();
    // Debian keeps PostgreSQL's programs in the path, and cargo's are elsewhere.
    let path = format!("{programs}:/usr/local/bin:/usr/bin:/bin");
    command.env("PATH", path).env("SERVER", server().unwrap_or_default());
    command
}
