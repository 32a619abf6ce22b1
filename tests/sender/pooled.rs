//! Behind PgBouncer, where each transaction may run in another session.

use http::StatusCode;

use crate::killed::all_end;
use crate::program::{Caller, Database, Home, call, variable};
use crate::receivers::Receivers;

/// How many clients post at once, and how many calls each.
const CALLERS: usize = 8;
const CALLS: usize = 40;

/// A fresh database, reached through PgBouncer; `None` where `tests/run sender` has not started one.
async fn pooled_home() -> Option<Home> {
    let Some(pooler) = variable("PGBOUNCER") else {
        println!("skipped PgBouncer: `bash tests/run sender` starts one");
        return None;
    };
    let mut home = Home::new(Database::Postgres).await;
    let name = home.database.rsplit_once('/').unwrap().1.to_owned();
    home.database = format!("{}/{name}", pooler.rsplit_once('/').unwrap().0);
    Some(home)
}

/// What `check` prints.
fn check(home: &Home) -> String {
    String::from_utf8(home.other(&["check"]).output().unwrap().stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_call_is_accepted_once_behind_a_transaction_pooler() {
    let Some(home) = pooled_home().await else { return };
    let receivers = Receivers::start().await;
    let program = home.start("127.0.0.1:0");
    for workspace in 0..10 {
        let url = receivers.url(&format!("/{workspace}"));
        Caller::new().add_endpoint(&program.admin, &format!("w{workspace}"), &url).await;
    }
    let callers = (0..CALLERS).map(|caller| {
        let admin = program.admin.clone();
        tokio::spawn(async move {
            let (client, mut answers) = (Caller::new(), Vec::new());
            for at in 0..CALLS {
                let number = caller * CALLS + at;
                let (workspace, id) = (format!("w{}", number % 10), format!("call-{number}"));
                let url = format!("{admin}/v1/calls");
                let (status, answer) = client.try_ask("POST", &url, &call(&workspace, &id)).await.unwrap();
                answers.push((status, id, answer));
            }
            answers
        })
    });
    let mut accepted = std::collections::HashMap::new();
    for caller in callers.collect::<Vec<_>>() {
        for (status, id, answer) in caller.await.unwrap() {
            assert_eq!(status, StatusCode::ACCEPTED, "{answer}\n{}", home.log());
            accepted.insert(answer["event"].as_str().unwrap().to_owned(), id);
        }
    }
    assert_eq!(accepted.len(), CALLERS * CALLS);
    all_end(&program.admin, &accepted, &receivers).await;
    assert!(home.log().contains("stands behind a pooler"), "{}", home.log());
    let checked = check(&home);
    assert!(checked.contains("note  webhooks    a pooler") && !checked.contains("FAIL"), "{checked}");
    println!(
        "PgBouncer in transaction mode: {} of {} calls accepted, all ended",
        accepted.len(),
        CALLERS * CALLS
    );
}

#[tokio::test]
async fn a_direct_server_is_not_taken_for_a_pooler() {
    if !Database::all().contains(&Database::Postgres) {
        return;
    }
    let home = Home::new(Database::Postgres).await;
    let _program = home.start("127.0.0.1:0");
    assert!(!home.log().contains("pooler"), "{}", home.log());
    assert!(!check(&home).contains("pooler"));
}

#[tokio::test]
async fn a_pooler_that_allows_no_transactions_is_refused_by_name() {
    let Some(mut home) = pooled_home().await else { return };
    home.database = format!("{}/by_statement", home.database.rsplit_once('/').unwrap().0);
    let ended = home.command("127.0.0.1:0").output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(64), "{said}");
    assert!(said.contains("PgBouncer") && said.contains("pool_mode"), "{said}");
}
