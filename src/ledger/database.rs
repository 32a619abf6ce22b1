//! SQLite and PostgreSQL behind one small face: statements in two dialects, values, rows, transactions.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions, PgRow};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteRow, SqliteSynchronous,
};
use sqlx::{Connection, FromRow, PgConnection, PgPool, Postgres, Sqlite, SqlitePool, Transaction};

use super::error::LedgerError;

/// Where the database is: `sqlite:PATH` (or a path alone), or `postgres://user:password@host/name`.
#[derive(Clone, PartialEq, Eq)]
pub enum DatabaseUrl {
    /// One file on this machine.
    Sqlite(PathBuf),
    /// A server that several replicas share.
    Postgres(String),
}

impl DatabaseUrl {
    /// What it takes, as the end of the sentence "takes …".
    pub const TAKES: &'static str = "sqlite:PATH or postgres://user:password@host/database";

    /// The file's path, if it is one.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Sqlite(path) => Some(path),
            Self::Postgres(_) => None,
        }
    }
}

impl FromStr for DatabaseUrl {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            PgConnectOptions::from_str(text).map_err(|_| ())?;
            return Ok(Self::Postgres(text.to_owned()));
        }
        let path = text.strip_prefix("sqlite:").unwrap_or(text);
        let path = path.strip_prefix("//").unwrap_or(path);
        // `mysql://…`, `:memory:` and the like are no files.
        (!path.is_empty() && !path.contains(':')).then(|| Self::Sqlite(path.into())).ok_or(())
    }
}

/// Shows no password.
impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Self::Postgres(url) => match PgConnectOptions::from_str(url) {
                Ok(options) => write!(
                    f,
                    "postgres://{}:{}/{}",
                    options.get_host(),
                    options.get_port(),
                    options.get_database().unwrap_or_default()
                ),
                Err(_) => f.write_str("postgres://[redacted]"),
            },
        }
    }
}

static SQLITE: Migrator = sqlx::migrate!("src/ledger/migrations/sqlite");
static POSTGRES: Migrator = sqlx::migrate!("src/ledger/migrations/postgres");

/// A query is not waited for longer than this; a lock that is held longer means trouble.
const PATIENCE: Duration = Duration::from_secs(5);

/// How many connections read at once.
const READERS: u32 = 4;

/// An open database.
#[derive(Debug, Clone)]
pub(super) enum Database {
    /// SQLite has one writer at a time, so there is one connection for it, and queueing happens here.
    Sqlite {
        writer: SqlitePool,
        readers: SqlitePool,
    },
    Postgres {
        pool: PgPool,
        options: Box<PgConnectOptions>,
    },
}

/// One statement as both engines want it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Statement {
    pub(super) sqlite: &'static str,
    pub(super) postgres: &'static str,
}

impl Statement {
    /// For statements that both understand. Placeholders are `$1`, `$2` …
    pub(super) const fn same(text: &'static str) -> Self {
        Self { sqlite: text, postgres: text }
    }
}

/// A value bound to a placeholder.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Text(Option<String>),
    Int(Option<i64>),
    Bytes(Option<Vec<u8>>),
    Bool(bool),
}

macro_rules! value_from {
    ($($type:ty => |$it:ident| $value:expr;)*) => {$(
        impl From<$type> for Value {
            fn from($it: $type) -> Self {
                $value
            }
        }
    )*};
}

value_from! {
    String => |it| Self::Text(Some(it));
    &str => |it| Self::Text(Some(it.to_owned()));
    Option<String> => |it| Self::Text(it);
    i64 => |it| Self::Int(Some(it));
    u32 => |it| Self::Int(Some(i64::from(it)));
    Option<i64> => |it| Self::Int(it);
    Vec<u8> => |it| Self::Bytes(Some(it));
    Option<Vec<u8>> => |it| Self::Bytes(it);
    bool => |it| Self::Bool(it);
}

/// The values of a statement, in the order of its placeholders.
macro_rules! values {
    ($($value:expr),* $(,)?) => { vec![$($crate::ledger::database::Value::from($value)),*] };
}
pub(super) use values;

/// A row that both engines can fill.
pub(super) trait Row:
    for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin
{
}

impl<T: for<'r> FromRow<'r, SqliteRow> + for<'r> FromRow<'r, PgRow> + Send + Unpin> Row for T {}

macro_rules! bound {
    ($query:expr, $values:expr) => {{
        let mut query = $query;
        for value in $values {
            query = match value {
                Value::Text(text) => query.bind(text),
                Value::Int(number) => query.bind(number),
                Value::Bytes(bytes) => query.bind(bytes),
                Value::Bool(flag) => query.bind(flag),
            };
        }
        query
    }};
}

impl Database {
    /// Connects to the database; makes the file if it is one and is missing. PostgreSQL is not talked to yet.
    pub(super) async fn connect(url: &DatabaseUrl) -> Result<Self, LedgerError> {
        match url {
            DatabaseUrl::Sqlite(path) => Self::open_file(path).await,
            DatabaseUrl::Postgres(url) => {
                let options = PgConnectOptions::from_str(url)
                    .map_err(|error| LedgerError::opening("the URL", error))?;
                let pool = PgPoolOptions::new()
                    .max_connections(READERS + super::writer::POSTGRES_WRITERS)
                    .acquire_timeout(PATIENCE)
                    .connect_lazy_with(options.clone());
                Ok(Self::Postgres { pool, options: Box::new(options) })
            }
        }
    }

    /// Brings the tables up to date.
    pub(super) async fn prepare(&self) -> Result<(), LedgerError> {
        match self {
            Self::Sqlite { writer, .. } => SQLITE.run(writer).await.map_err(LedgerError::migrating),
            Self::Postgres { pool, options } => {
                // Not by the pool at first: it would only say that it waited in vain, not what for.
                let place = format!("PostgreSQL at {}:{}", options.get_host(), options.get_port());
                let connect = tokio::time::timeout(PATIENCE, PgConnection::connect_with(options)).await;
                let connection = connect
                    .unwrap_or(Err(sqlx::Error::PoolTimedOut))
                    .map_err(|error| LedgerError::opening(&place, error))?;
                // It ends whether the server says goodbye or not.
                let _ = connection.close().await;
                POSTGRES.run(pool).await.map_err(LedgerError::migrating)
            }
        }
    }

    async fn open_file(path: &Path) -> Result<Self, LedgerError> {
        // WAL with a full sync: a commit is on disk before it is answered, and readers never wait for the writer.
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            // What is forgotten is overwritten, not left in free pages.
            .pragma("secure_delete", "ON")
            .busy_timeout(PATIENCE);
        let pool = |connections| {
            // A connection of SQLite does not go stale; closing it would only cost its statement cache.
            SqlitePoolOptions::new()
                .max_connections(connections)
                .idle_timeout(None)
                .max_lifetime(None)
                .acquire_timeout(PATIENCE)
        };
        // When the disk is full, SQLite ends the transaction by itself, the driver's own ROLLBACK then fails, and the
        // driver takes the connection for one inside a transaction for ever after: such a connection is given up.
        let writer = pool(1)
            .after_release(|connection, _| {
                Box::pin(async move {
                    connection.ping().await?;
                    Ok(!connection.is_in_transaction())
                })
            })
            .connect_with(options.clone())
            .await
            .map_err(|error| LedgerError::opening(&format!("the file {}", path.display()), error))?;
        let readers = pool(READERS).connect_lazy_with(options);
        Ok(Self::Sqlite { writer, readers })
    }

    /// Whether several processes may share it.
    pub(super) fn is_shared(&self) -> bool {
        matches!(self, Self::Postgres { .. })
    }

    /// Runs a statement that reads, outside any transaction.
    pub(super) async fn fetch<T: Row>(
        &self,
        statement: Statement,
        values: Vec<Value>,
    ) -> Result<Vec<T>, LedgerError> {
        let rows = match self {
            Self::Sqlite { readers, .. } => {
                bound!(sqlx::query_as::<Sqlite, T>(statement.sqlite), values).fetch_all(readers).await
            }
            Self::Postgres { pool, .. } => {
                bound!(sqlx::query_as::<Postgres, T>(statement.postgres), values).fetch_all(pool).await
            }
        };
        rows.map_err(LedgerError::from)
    }

    /// Runs a statement that writes, as a transaction of its own; says how many rows it touched.
    pub(super) async fn execute(&self, statement: Statement, values: Vec<Value>) -> Result<u64, LedgerError> {
        let touched = match self {
            Self::Sqlite { writer, .. } => {
                let done = bound!(sqlx::query::<Sqlite>(statement.sqlite), values).execute(writer).await;
                done.map(|done| done.rows_affected())
            }
            Self::Postgres { pool, .. } => {
                let done = bound!(sqlx::query::<Postgres>(statement.postgres), values).execute(pool).await;
                done.map(|done| done.rows_affected())
            }
        };
        touched.map_err(LedgerError::from)
    }

    /// Begins a transaction that will write.
    pub(super) async fn begin(&self) -> Result<Tx, LedgerError> {
        Ok(match self {
            // IMMEDIATE takes the write lock at once: a lock that is upgraded halfway can fail at the end.
            Self::Sqlite { writer, .. } => Tx::Sqlite(writer.begin_with("BEGIN IMMEDIATE").await?),
            Self::Postgres { pool, .. } => Tx::Postgres(pool.begin().await?),
        })
    }

    /// Ends every connection.
    pub(super) async fn close(&self) {
        match self {
            Self::Sqlite { writer, readers } => {
                readers.close().await;
                writer.close().await;
            }
            Self::Postgres { pool, .. } => pool.close().await,
        }
    }
}

/// A transaction; dropped without [`Tx::commit`], it never was.
#[derive(Debug)]
pub(super) enum Tx {
    Sqlite(Transaction<'static, Sqlite>),
    Postgres(Transaction<'static, Postgres>),
}

impl Tx {
    /// Runs a statement and returns its rows.
    pub(super) async fn fetch<T: Row>(
        &mut self,
        statement: Statement,
        values: Vec<Value>,
    ) -> Result<Vec<T>, LedgerError> {
        let rows = match self {
            Self::Sqlite(tx) => {
                bound!(sqlx::query_as::<Sqlite, T>(statement.sqlite), values).fetch_all(&mut **tx).await
            }
            Self::Postgres(tx) => {
                bound!(sqlx::query_as::<Postgres, T>(statement.postgres), values).fetch_all(&mut **tx).await
            }
        };
        rows.map_err(LedgerError::from)
    }

    /// Runs a statement and says how many rows it touched.
    pub(super) async fn execute(
        &mut self,
        statement: Statement,
        values: Vec<Value>,
    ) -> Result<u64, LedgerError> {
        let touched = match self {
            Self::Sqlite(tx) => {
                let done = bound!(sqlx::query::<Sqlite>(statement.sqlite), values).execute(&mut **tx).await;
                done.map(|done| done.rows_affected())
            }
            Self::Postgres(tx) => {
                let done =
                    bound!(sqlx::query::<Postgres>(statement.postgres), values).execute(&mut **tx).await;
                done.map(|done| done.rows_affected())
            }
        };
        touched.map_err(LedgerError::from)
    }

    /// Makes it so. On disk when this returns.
    pub(super) async fn commit(self) -> Result<(), LedgerError> {
        match self {
            Self::Sqlite(tx) => tx.commit().await,
            Self::Postgres(tx) => tx.commit().await,
        }
        .map_err(LedgerError::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_is_a_file_or_postgres() {
        let file = |path: &str| Ok(DatabaseUrl::Sqlite(path.into()));
        assert_eq!("sqlite:a.db".parse(), file("a.db"));
        assert_eq!("sqlite:///var/lib/a.db".parse(), file("/var/lib/a.db"));
        assert_eq!("/var/lib/a.db".parse(), file("/var/lib/a.db"));
        assert!(matches!("postgres://u:p@h/d".parse(), Ok(DatabaseUrl::Postgres(_))));
        for bad in ["", "sqlite:", "mysql://h/d", "sqlite::memory:", "postgres://h:port/d"] {
            assert_eq!(bad.parse::<DatabaseUrl>(), Err(()), "{bad}");
        }
    }

    #[test]
    fn a_password_is_not_shown() {
        let url: DatabaseUrl = "postgres://user:hunter2@db.example/calls".parse().unwrap();
        let shown = format!("{url:?}");
        assert_eq!(shown, "postgres://db.example:5432/calls");
    }
}
