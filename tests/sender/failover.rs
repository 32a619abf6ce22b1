//! PostgreSQL that answers, but not as it should: read-only after a failover, out of connections, of a newer schema
//! version.

use std::time::{Duration, Instant};

use http::StatusCode;
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::program::{Caller, Database, Home, Process, call, variable};

/// How long a test waits for an event that must happen.
const WAIT_LIMIT: Duration = Duration::from_secs(30);

/// A fresh database owned by a separate role, and an administrator's connection.
struct Owned {
    home: Home,
    role: String,
    administrator: PgConnection,
}

impl Owned {
    /// `None` where there is no PostgreSQL.
    async fn new() -> Option<Self> {
        if !Database::all().contains(&Database::Postgres) {
            return None;
        }
        let mut home = Home::new(Database::Postgres).await;
        let (server, name) = home.database.rsplit_once('/').unwrap();
        let role = format!("owner_of_{name}");
        let mut administrator = PgConnection::connect(&variable("POSTGRES").unwrap()).await.unwrap();
        for statement in
            [format!("CREATE ROLE {role} LOGIN"), format!("ALTER DATABASE {name} OWNER TO {role}")]
        {
            sqlx::query(AssertSqlSafe(statement)).execute(&mut administrator).await.unwrap();
        }
        home.database = format!("{}/{name}", server.replace("tester@", &format!("{role}@")));
        Some(Self { home, role, administrator })
    }

    async fn alter(&mut self, how: &str) {
        let statement = format!("ALTER ROLE {} {how}", self.role);
        sqlx::query(AssertSqlSafe(statement)).execute(&mut self.administrator).await.unwrap();
    }

    /// Ends every session of the role.
    async fn end_sessions(&mut self) {
        let ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1";
        sqlx::query(ended).bind(&self.role).execute(&mut self.administrator).await.unwrap();
    }
}

async fn hand_in(program: &Process, id: &str) -> (StatusCode, Value) {
    let url = format!("{}/v1/calls", program.admin);
    Caller::new().try_ask("POST", &url, &call("acme", id)).await.unwrap()
}

/// Posts calls until the sender accepts one; returns how long that took.
async fn accepts_again(program: &Process, home: &Home) -> Duration {
    let began = Instant::now();
    for at in 0.. {
        let (status, answer) = hand_in(program, &format!("again-{at}")).await;
        if status == StatusCode::ACCEPTED {
            break;
        }
        assert!(began.elapsed() < WAIT_LIMIT, "{status} {answer}\n{}", home.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    began.elapsed()
}

/// Waits until `/readyz` says these words about the webhooks.
async fn readiness_says(program: &Process, words: &str) {
    let (began, url) = (Instant::now(), format!("{}/readyz", program.admin));
    loop {
        let (status, answer) = Caller::new().try_ask("GET", &url, &Value::Null).await.unwrap();
        assert_eq!(status, StatusCode::OK, "links open without the database: {answer}");
        if answer["webhooks"].as_str().unwrap().contains(words) {
            return;
        }
        assert!(began.elapsed() < WAIT_LIMIT, "{words:?} is not in {answer}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn connections_to_a_server_that_became_read_only_are_closed_at_once() {
    let Some(mut owned) = Owned::new().await else { return };
    let program = owned.home.start("127.0.0.1:0");
    assert_eq!(hand_in(&program, "before").await.0, StatusCode::ACCEPTED);
    readiness_says(&program, "ok").await;

    owned.alter("SET default_transaction_read_only = on").await;
    owned.end_sessions().await;
    let (status, answer) = hand_in(&program, "meanwhile").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{answer}");
    readiness_says(&program, "their database is read-only").await;
    owned.alter("RESET default_transaction_read_only").await;
    let took = accepts_again(&program, &owned.home).await;
    println!("accepted again {took:?} after the server takes writes");
    assert!(took < Duration::from_secs(5), "{took:?}");
    readiness_says(&program, "ok").await;
}

#[tokio::test]
async fn sessions_that_the_server_ends_cost_no_call() {
    let Some(mut owned) = Owned::new().await else { return };
    let program = owned.home.start("127.0.0.1:0");
    for round in 0..5 {
        assert_eq!(hand_in(&program, &format!("round-{round}")).await.0, StatusCode::ACCEPTED);
        owned.end_sessions().await;
    }
    // Another version of the program has changed the tables under the prepared statements.
    let (server, _) = owned.home.database.split_once("owner_of").unwrap();
    let administrator = format!("{server}tester@{}", owned.home.database.rsplit_once('@').unwrap().1);
    let mut connection = PgConnection::connect(&administrator).await.unwrap();
    for kind in ["varchar", "text"] {
        assert_eq!(hand_in(&program, "round-1").await.0, StatusCode::OK);
        let change = format!("ALTER TABLE events ALTER COLUMN content TYPE {kind}");
        sqlx::query(AssertSqlSafe(change)).execute(&mut connection).await.unwrap();
        for _ in 0..4 {
            let (status, answer) = hand_in(&program, "round-1").await;
            assert_eq!(status, StatusCode::OK, "{answer}\n{}", owned.home.log());
        }
    }
}

#[tokio::test]
async fn an_unusable_server_at_the_start_is_waited_for() {
    for (trouble, end, words) in [
        ("SET default_transaction_read_only = on", "RESET default_transaction_read_only", "is read-only"),
        ("CONNECTION LIMIT 0", "CONNECTION LIMIT -1", "does not answer"),
    ] {
        let Some(mut owned) = Owned::new().await else { return };
        owned.alter(trouble).await;
        let program = owned.home.start("127.0.0.1:0");
        let (status, answer) = hand_in(&program, "early").await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{answer}");
        readiness_says(&program, words).await;
        owned.alter(end).await;
        let took = accepts_again(&program, &owned.home).await;
        println!("{trouble}: accepted {took:?} after its end, without a restart");
    }
}

#[tokio::test]
async fn impossible_settings_are_refused_with_their_cause() {
    let Some(mut owned) = Owned::new().await else { return };
    let good = owned.home.database.clone();
    let (server, name) = good.rsplit_once('/').unwrap();
    drop(owned.home.start("127.0.0.1:0"));
    let mut refused = |database: String, words: &[&str]| {
        owned.home.database = database;
        let ended = owned.home.command("127.0.0.1:0").output().unwrap();
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert_eq!(ended.status.code(), Some(64), "{said}");
        assert!(words.iter().all(|word| said.contains(word)), "{words:?}: {said}");
        assert!(!said.contains("hunter2secret"), "{said}");
    };
    refused(format!("{server}/nowhere"), &["nowhere", "create it"]);

    let make = "CREATE ROLE with_password LOGIN PASSWORD 'hunter2secret#1'";
    sqlx::query(make).execute(&mut owned.administrator).await.unwrap();
    let place = server.rsplit_once('@').unwrap().1;
    let wrong = format!("postgres://with_password:hunter2secret%231x@{place}/{name}");
    refused(wrong, &["password", "percent-encode the password"]);

    let mut connection = PgConnection::connect(&good).await.unwrap();
    let note = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
                VALUES (9999, 'the future', TRUE, '', 1)";
    sqlx::query(note).execute(&mut connection).await.unwrap();
    refused(good.clone(), &["newer version", "restore the backup"]);
}
