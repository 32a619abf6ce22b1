//! Databases of tests: fresh ones, and that of the last release.

use std::os::unix::fs::PermissionsExt;

use webhook_assets::ledger::{self, DatabaseUrl, Ledger};

/// A fresh database: on the PostgreSQL server that `tests/run sender` names, else a SQLite file in `folder`.
pub async fn database(folder: &std::path::Path) -> ledger::Config {
    use sqlx::Connection;

    let Some(server) = server() else {
        return ledger::Config {
            database: DatabaseUrl::Sqlite(folder.join("calls.db")),
            secret_key_file: None,
        };
    };
    let name = format!("t{}", hex::encode(random()));
    let mut connection = sqlx::PgConnection::connect(&server).await.unwrap();
    let create = sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"));
    sqlx::query(create).execute(&mut connection).await.unwrap();
    let key = folder.join("secrets.key");
    std::fs::write(&key, "5a".repeat(32)).unwrap();
    let (server, _) = server.rsplit_once('/').unwrap();
    ledger::Config { database: format!("{server}/{name}").parse().unwrap(), secret_key_file: Some(key) }
}

/// Opens a database for sending: a fresh one, or that of the last release.
pub(super) async fn open_ledger(folder: &std::path::Path, last_release: bool) -> (Ledger, DatabaseUrl) {
    let config = database(folder).await;
    if last_release {
        restore_last_release(&config.database).await;
    }
    let ledger = Ledger::open(&config).await.unwrap();
    ledger.lock_for_sending().await.unwrap();
    (ledger, config.database)
}

/// Fills a fresh database with what the last release wrote: `fixtures/databases`.
async fn restore_last_release(url: &DatabaseUrl) {
    use sqlx::Connection;

    match url {
        DatabaseUrl::Sqlite(path) => {
            let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path).create_if_missing(true);
            // The dump has its tables in the order of their names.
            let options = options.foreign_keys(false);
            let mut connection = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
            let dump = include_str!("../../../fixtures/databases/sqlite.sql");
            sqlx::raw_sql(dump).execute(&mut connection).await.unwrap();
            connection.close().await.unwrap();
            std::fs::write(path.with_extension("db.key"), "5a".repeat(32)).unwrap();
            std::fs::set_permissions(path.with_extension("db.key"), PermissionsExt::from_mode(0o600))
                .unwrap();
        }
        DatabaseUrl::Postgres(url) => {
            let mut connection = sqlx::PgConnection::connect(url).await.unwrap();
            let dump = include_str!("../../../fixtures/databases/postgres.sql");
            sqlx::raw_sql(dump).execute(&mut connection).await.unwrap();
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the program reads its settings elsewhere; this is for the suite"
)]
fn server() -> Option<String> {
    std::env::var("WEBHOOK_ASSETS_TEST_POSTGRES").ok()
}

fn random() -> [u8; 12] {
    let mut bytes = [0; 12];
    getrandom::fill(&mut bytes).unwrap();
    bytes
}
