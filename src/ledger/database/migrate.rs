//! Migrates the tables. `sqlx::Migrator` cannot run the migrations in one transaction: its lock and its prepared
//! statements outlive a transaction, and a pooler would pass them to another client.

use sqlx::SqlStr;
use sqlx::migrate::{Migration, MigrationType};

use super::options::OpenMode;
use super::statement::{Statement, values};
use super::transaction::Tx;
use crate::ledger::error::{LedgerError, Result};

/// The migrations of one engine, from the first on: the number in a file's name, the rest of the name, and its statements.
macro_rules! migrations {
    ($engine:literal) => {
        migrations!(
            $engine:
            "0001" "webhooks",
            "0002" "settings_page",
            "0003" "lines",
            "0004" "holds_and_clocks",
            "0005" "secrets",
            "0006" "scheduled_by",
            "0007" "resends",
            "0008" "pick_up",
            "0009" "call_filter",
            "0010" "late_assets",
            "0011" "backfill",
            "0012" "headers",
            "0013" "alerts",
            "0014" "audit_trail",
            "0015" "find",
            "0016" "figures",
            "0017" "activity",
            "0018" "audit_subjects",
            "0019" "form_answers",
            "0020" "activity_by_condition",
            "0021" "attempts_by_index",
            "0022" "pending_without_sending",
        )
    };
    ($engine:literal: $($number:literal $name:literal),* $(,)?) => {
        &[$(($number, $name, include_str!(concat!("../migrations/", $engine, "/", $number, "_", $name, ".sql")))),*]
    };
}

type Source = (&'static str, &'static str, &'static str);

const SQLITE: &[Source] = migrations!("sqlite");
const POSTGRES: &[Source] = migrations!("postgres");

fn known_migrations(is_postgres: bool) -> Vec<Migration> {
    let sources = if is_postgres { POSTGRES } else { SQLITE };
    let migration = |(version, (_, name, sql)): (i64, &Source)| {
        let description = name.replace('_', " ").into();
        Migration::new(version, description, MigrationType::Simple, SqlStr::from_static(sql), false)
    };
    (1..).zip(sources).map(migration).collect()
}

/// Serializes processes that migrate at the same time; the number is arbitrary.
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

/// Changes nothing, but forces a write.
pub(super) const NO_OP_WRITE: Statement =
    Statement::same("UPDATE _sqlx_migrations SET execution_time = execution_time WHERE version = 1");

type Applied = (i64, Vec<u8>, bool);

/// The number of the last applied migration, if there are tables, and the migrations that are missing.
pub(crate) type State = (Option<i64>, Vec<(i64, String)>);

/// Applies all missing migrations, or none. In inspect mode, only checks that this program can use the tables.
pub(super) async fn migrate(mut tx: Tx, is_postgres: bool, mode: OpenMode) -> Result<()> {
    let known = &known_migrations(is_postgres);
    if mode == OpenMode::ReadWrite && is_postgres {
        tx.run_script(SqlStr::from_static(LOCK)).await?;
    }
    let applied = applied(&mut tx).await?;
    check(known, &applied)?;
    if mode == OpenMode::Inspect {
        return Ok(());
    }
    announce(&state(known, &applied));
    if applied.is_empty() {
        tx.execute(CREATE, Vec::new()).await?;
    }
    for migration in missing(known, &applied) {
        apply(&mut tx, migration).await?;
    }
    // Fails now, rather than at the first call, if the disk is full or the file system is read-only.
    tx.execute(NO_OP_WRITE, Vec::new()).await?;
    tx.commit().await
}

/// The state of the tables, which this program can use.
pub(super) async fn look(mut tx: Tx, is_postgres: bool) -> Result<State> {
    Ok(state(&known_migrations(is_postgres), &applied(&mut tx).await?))
}

async fn applied(tx: &mut Tx) -> Result<Vec<Applied>> {
    let exists = tx.fetch::<(i64,)>(EXISTS, Vec::new()).await?.iter().any(|(count,)| *count > 0);
    if exists { tx.fetch::<Applied>(APPLIED, Vec::new()).await } else { Ok(Vec::new()) }
}

fn missing<'k>(known: &'k [Migration], applied: &[Applied]) -> impl Iterator<Item = &'k Migration> {
    known.iter().filter(move |it| !applied.iter().any(|(version, ..)| *version == it.version))
}

fn state(known: &[Migration], applied: &[Applied]) -> State {
    let name = |it: &Migration| (it.version, it.description.to_string());
    (applied.last().map(|(version, ..)| *version), missing(known, applied).map(name).collect())
}

/// Logs an upgrade of existing tables before it begins.
fn announce((tables, missing): &State) {
    let (Some(from), Some((to, _))) = (tables, missing.last()) else { return };
    let names: Vec<_> = missing.iter().map(|(_, name)| name.as_str()).collect();
    tracing::info!(
        from,
        to,
        migrations = names.join(", "),
        "the database's tables are older than this program and are upgraded now; an older program refuses them afterwards, and \
         the way back is a backup from before"
    );
}

async fn apply(tx: &mut Tx, migration: &Migration) -> Result<()> {
    tx.run_script(migration.sql.clone()).await?;
    let (description, checksum) = (migration.description.to_string(), migration.checksum.to_vec());
    tx.execute(RECORD, values![migration.version, description, checksum]).await.map(|_| ())
}

/// Checks that this program knows every applied migration.
fn check(known: &[Migration], applied: &[Applied]) -> Result<()> {
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn every_migration_of_both_engines_is_known_by_its_number() {
        for (is_postgres, engine) in [(false, "sqlite"), (true, "postgres")] {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/ledger/migrations").join(engine);
            let mut files: Vec<String> = folder
                .read_dir()
                .unwrap()
                .map(|file| file.unwrap().file_name().into_string().unwrap())
                .collect();
            files.sort();
            let known = known_migrations(is_postgres);
            let names =
                known.iter().map(|it| format!("{:04}_{}.sql", it.version, it.description.replace(' ', "_")));
            assert_eq!(names.collect::<Vec<_>>(), files);
        }
    }
}
