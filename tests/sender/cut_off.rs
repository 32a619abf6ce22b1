//! The database goes away and comes back while calls come in.

use std::process::Command;

use http::StatusCode;

use crate::killed::{Load, all_end};
use crate::program::{Caller, Database, Home, call, variable};
use crate::receivers::Receivers;

/// How often the test restarts the database.
const RESTARTS: usize = 5;

/// How many events the program accepts before each restart, and after the last.
const BETWEEN_RESTARTS: usize = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_accepted_call_is_lost_when_the_database_goes_away() {
    let Some(restart) = variable("POSTGRES_RESTART") else {
        println!("skipped the database that goes away: `bash tests/run sender` starts one and can stop it");
        return;
    };
    let receivers = Receivers::start().await;
    let home = Home::new(Database::Postgres).await;
    let program = home.start("127.0.0.1:0");
    for workspace in 0..10 {
        let url = receivers.url(&format!("/{workspace}"));
        Caller::new().add_endpoint(&program.admin, &format!("w{workspace}"), &url).await;
    }
    let load = Load::start(std::slice::from_ref(&program.admin));
    for _ in 0..RESTARTS {
        load.more(BETWEEN_RESTARTS).await;
        let restart = restart.clone();
        let restarted =
            tokio::task::spawn_blocking(move || Command::new("sh").arg("-c").arg(restart).output());
        let output = restarted.await.unwrap().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    load.more(BETWEEN_RESTARTS).await;
    let accepted = load.stop().await;
    all_end(&program.admin, &accepted, &receivers).await;
    println!("PostgreSQL restarted {RESTARTS} times: {} calls accepted, all ended", accepted.len());
}

#[tokio::test]
async fn the_program_starts_although_its_database_does_not_answer_and_accepts_nothing() {
    let mut home = Home::new(Database::Sqlite).await;
    home.database = "postgres://nobody@127.0.0.1:9/nothing".to_owned();
    let program = home.start("127.0.0.1:0");
    let url = format!("{}/v1/calls", program.admin);
    let (status, answer) = Caller::new().try_ask("POST", &url, &call("acme", "call-1")).await.unwrap();
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{answer}");
    assert!(home.log().contains("until the database answers"), "{}", home.log());
}
