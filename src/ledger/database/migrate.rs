//! The tables, brought up to date. `sqlx::Migrator` does the same outside of one transaction, with a lock and prepared
//! statements that outlive one: behind a pooler these end up with somebody else.

use sqlx::migrate::{Migration, Migrator};

use super::{Backend, OpenMode, Statement, Tx, values};
use crate::ledger::error::LedgerError;

static SQLITE: Migrator = sqlx::migrate!("src/ledger/migrations/sqlite");
static POSTGRES: Migrator = sqlx::migrate!("src/ledger/migrations/postgres");

/// The lock of those who bring the tables up to date at the same time; any number that nobody else uses.
const LOCK: &str = "SELECT pg_advisory_xact_lock(7305807001)";

const EXISTS: Statement = Statement {
    sqlite: "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = '_sqlx_migrations'",
    postgres: "SELECT count(*) FROM pg_class WHERE oid = to_regclass('_sqlx_migrations')",
};

const CREATE: Statement = Statement {
    sqlite: "CREATE TABLE IF NOT EXISTS _sqlx_migrations (version BIGINT PRIMARY KEY, description TEXT NOT NULL, \
             installed_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, success BOOLEAN NOT NULL, \
             checksum BLOB NOT NULL, execution_time BIGINT NOT NULL)",
    postgres: "CREATE TABLE IF NOT EXISTS _sqlx_migrations (version BIGINT PRIMARY KEY, description TEXT NOT NULL, \
               installed_on TIMESTAMPTZ NOT NULL DEFAULT now(), success BOOLEAN NOT NULL, \
               checksum BYTEA NOT NULL, execution_time BIGINT NOT NULL)",
};

const APPLIED: Statement =
    Statement::same("SELECT version, checksum, success FROM _sqlx_migrations ORDER BY version");

const RECORD: Statement = Statement::same(
    "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
     VALUES ($1, $2, TRUE, $3, -1)",
);

/// Changes nothing, but has to be written.
pub(super) const NO_OP_WRITE: Statement =
    Statement::same("UPDATE _sqlx_migrations SET execution_time = execution_time WHERE version = 1");

type Applied = (i64, Vec<u8>, bool);

/// Brings the tables up to date, all of them or none; on a look, only says whether this program can work with them.
pub(super) async fn migrate(open: &Backend, mode: OpenMode) -> Result<(), LedgerError> {
    let known = if open.is_shared() { &POSTGRES } else { &SQLITE };
    let mut tx = open.begin_unchecked().await?;
    if mode == OpenMode::ReadWrite {
        tx.run_if_postgres(LOCK).await?;
    }
    let exists = tx.fetch::<(i64,)>(EXISTS, Vec::new()).await?.iter().any(|(count,)| *count > 0);
    let applied = if exists { tx.fetch::<Applied>(APPLIED, Vec::new()).await? } else { Vec::new() };
    check(known, &applied)?;
    if mode == OpenMode::Inspect {
        return Ok(());
    }
    if !exists {
        tx.execute(CREATE, Vec::new()).await?;
    }
    for migration in known.iter().filter(|it| !applied.iter().any(|(version, ..)| *version == it.version)) {
        apply(&mut tx, migration).await?;
    }
    // A file system or a disk that takes nothing is noticed now, not at the first call.
    tx.execute(NO_OP_WRITE, Vec::new()).await?;
    tx.commit().await
}

async fn apply(tx: &mut Tx, migration: &Migration) -> Result<(), LedgerError> {
    tx.run_script(migration.sql.clone()).await?;
    let (description, checksum) = (migration.description.to_string(), migration.checksum.to_vec());
    tx.execute(RECORD, values![migration.version, description, checksum]).await.map(|_| ())
}

/// Whether what was applied is what this program knows.
fn check(known: &Migrator, applied: &[Applied]) -> Result<(), LedgerError> {
    let newest = known.iter().map(|migration| migration.version).max().unwrap_or_default();
    if let Some((version, ..)) = applied.iter().rev().find(|(version, ..)| *version > newest) {
        return Err(LedgerError::CannotOpen(format!(
            "its tables are of a newer version of this program (number {version}; this one knows {newest}): run that \
             version, or restore the backup that was made before it"
        )));
    }
    for (version, checksum, success) in applied {
        let same = known.iter().any(|it| it.version == *version && *it.checksum == **checksum);
        if !success || !same {
            return Err(LedgerError::CannotOpen(format!(
                "its tables are not those of this program (number {version} differs): name another database, or restore a \
                 backup"
            )));
        }
    }
    Ok(())
}
