//! What the log says when the webhooks' database is slow: in this program's words, counted, and without the data.

use std::time::Duration;

use serde_json::{Value, json};
use sqlx::Connection;

use super::database::{ask, hand_in};
use super::{Home, Server, eventually};

/// Holds the write lock of a SQLite file while `meanwhile` runs.
fn while_locked(home: &Home, meanwhile: impl FnOnce()) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(home.path("calls.db"));
    let mut connection = runtime.block_on(sqlx::SqliteConnection::connect_with(&options)).unwrap();
    runtime.block_on(sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut connection)).unwrap();
    meanwhile();
    runtime.block_on(sqlx::raw_sql("ROLLBACK").execute(&mut connection)).unwrap();
}

/// The JSON lines of a program with this kind.
fn warnings(server: &Server, kind: &str) -> Vec<Value> {
    let err = server.err();
    let lines = err.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|line| line["kind"] == kind).collect()
}

#[test]
fn a_slow_database_is_named_in_words_with_its_statement_and_without_its_data() {
    let home = Home::ready();
    let mut command = home.program(&["serve"]);
    command.envs(home.sending());
    let server = Server::start(command);
    // On a busy machine not every call waits that long from the first time on.
    let (server, mut calls) = (&server, 0);
    let both_are_slow = || {
        while_locked(&home, || {
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    calls += 1;
                    let call = format!("secret-call-{calls}");
                    scope.spawn(move || hand_in(server, &call, "a secret summary"));
                    std::thread::sleep(Duration::from_millis(50));
                }
                std::thread::sleep(Duration::from_millis(2_800));
            });
        });
        // The log is a moment behind.
        std::thread::sleep(Duration::from_millis(300));
        let said = server.err();
        let words = ["took longer than a second", "waited longer than two seconds for a connection"];
        words.iter().all(|words| said.contains(words)).then_some(())
    };
    eventually(both_are_slow, || server.err());
    let slow = &warnings(server, "slow_statement")[0];
    assert_eq!(slow["level"], "WARN", "{slow}");
    assert!(!slow["statement"].as_str().unwrap().is_empty(), "{slow}");
    assert!(slow["took_ms"].as_u64().unwrap() >= 1_000, "{slow}");
    let waited = warnings(server, "slow_connection");
    assert!(waited[0]["took_ms"].as_u64().unwrap() >= 2_000, "{waited:?}");
    let err = server.err();
    for data in ["secret-call", "a secret summary", "John", "sqlx", "slow statement:", "slow threshold"] {
        assert!(!err.contains(data), "{data}: {err}");
    }
    let metrics = String::from_utf8(ask(server, "GET", "/metrics", &json!(null)).body).unwrap();
    for kind in ["slow_statement", "slow_connection"] {
        let series = format!("webhook_assets_webhook_database_warnings_total{{kind=\"{kind}\"}} ");
        let value = metrics.lines().find_map(|line| line.strip_prefix(series.as_str())).unwrap();
        assert!(value.parse::<f64>().unwrap() >= 1.0, "{kind}: {value}");
    }
}
