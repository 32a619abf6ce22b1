//! SQLite and PostgreSQL behind one small face: statements in two dialects, values, rows, transactions.

mod eviction;
mod files;
mod migrate;
mod postgres;
mod sqlite;
mod url;

pub use url::{DatabaseUrl, DatabaseUrlError};

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{FromRow, Postgres, SqlStr, Sqlite, Transaction};

use super::error::LedgerError;
use files::OpenFiles;

/// A query is not waited for longer than this; a lock that is held longer means trouble.
const TIMEOUT: Duration = Duration::from_secs(5);

/// How many connections read at once.
const READERS: u32 = 4;

/// What a database is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OpenMode {
    /// To work with it: it is made if it is missing, and brought up to date.
    ReadWrite,
    /// To say whether it could be worked with: nothing is changed.
    Inspect,
}

/// The database of a ledger: open, or not yet. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Database(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    is_shared: bool,
    backend: OnceLock<Backend>,
    /// Why it is not open yet.
    open_error: Mutex<LedgerError>,
}

impl Database {
    /// A database that is not open yet.
    pub(super) fn unopened(url: &DatabaseUrl) -> Self {
        let not_yet = LedgerError::Unavailable("it is not open yet".to_owned());
        Self(Arc::new(Shared {
            is_shared: url.path().is_none(),
            backend: OnceLock::new(),
            open_error: Mutex::new(not_yet),
        }))
    }

    /// Gives the database out from now on.
    pub(super) fn set_open(&self, open: Backend) {
        let _ = self.0.backend.set(open);
    }

    /// Tells every caller from now on why it could not be opened.
    pub(super) fn set_open_error(&self, error: &LedgerError) {
        *self.0.open_error.lock().unwrap_or_else(PoisonError::into_inner) = error.clone();
    }

    pub(super) fn is_open(&self) -> bool {
        self.0.backend.get().is_some()
    }

    pub(super) fn get(&self) -> Result<&Backend, LedgerError> {
        self.0
            .backend
            .get()
            .ok_or_else(|| self.0.open_error.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    /// Whether several processes may share it.
    pub(super) fn is_shared(&self) -> bool {
        self.0.is_shared
    }

    /// Runs a statement that reads, outside any transaction.
    pub(super) async fn fetch<T: Row>(
        &self,
        statement: Statement,
        values: Vec<Value>,
    ) -> Result<Vec<T>, LedgerError> {
        self.get()?.fetch(statement, values).await
    }

    /// Runs a statement that writes, in a transaction; says how many rows it touched.
    pub(super) async fn execute(&self, statement: Statement, values: Vec<Value>) -> Result<u64, LedgerError> {
        if self.0.is_shared {
            return self.get()?.execute(statement, values).await;
        }
        let mut tx = self.begin().await?;
        let touched = tx.execute(statement, values).await?;
        tx.commit().await.map(|()| touched)
    }

    /// The same for what the sender notes about what was accepted before: see [`Database::begin_unchecked`].
    pub(super) async fn execute_unchecked(
        &self,
        statement: Statement,
        values: Vec<Value>,
    ) -> Result<u64, LedgerError> {
        self.get()?.execute(statement, values).await
    }

    /// Begins a transaction that will write what somebody relies upon: it is refused if the file that is open is no longer
    /// the one at the database's path, because what is written then is gone with the next start.
    pub(super) async fn begin(&self) -> Result<Tx, LedgerError> {
        let open = self.get()?;
        open.check_files()?;
        let tx = open.begin_unchecked().await?;
        Ok(Tx { guard: open.files(), ..tx })
    }

    /// Begins a transaction of the sender's own. It works on the file that is open, whatever stands at its path since: what
    /// was accepted has to arrive.
    pub(super) async fn begin_unchecked(&self) -> Result<Tx, LedgerError> {
        self.get()?.begin_unchecked().await
    }

    /// Has the traces of what was forgotten removed from the files soon. (PostgreSQL's VACUUM does that in its own time.)
    pub(super) fn scrub_files(&self) {
        if let Some(Backend::Sqlite(file)) = self.0.backend.get() {
            file.scrub_files();
        }
    }

    /// Ends every connection.
    pub(super) async fn close(&self) {
        if let Some(open) = self.0.backend.get() {
            open.close().await;
        }
    }
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

/// An open database. Clones share it.
#[derive(Debug, Clone)]
pub(super) enum Backend {
    Sqlite(sqlite::File),
    Postgres(postgres::Server),
}

/// The full path of a database's file; makes the file if it is missing and may be made.
pub(super) fn prepare_file(path: &Path, mode: OpenMode) -> Result<PathBuf, LedgerError> {
    files::prepare(path, mode == OpenMode::ReadWrite)
}

/// The files of a database that others than their owner may use, with their modes.
pub(super) fn exposed_files(path: &Path) -> Vec<(PathBuf, u32)> {
    files::all(path)
        .into_iter()
        .filter_map(|file| files::exposed_mode(&file).map(|mode| (file, mode)))
        .collect()
}

impl Backend {
    /// Opens the database, whose file exists if it is one, and brings its tables up to date.
    pub(super) async fn open(url: &DatabaseUrl, mode: OpenMode) -> Result<Self, LedgerError> {
        let open = match url {
            DatabaseUrl::Sqlite(path) => {
                let path = files::prepare(path, false)?;
                Self::Sqlite(sqlite::File::open(&path, mode).await?)
            }
            DatabaseUrl::Postgres(url) => Self::Postgres(postgres::Server::open(url).await?),
        };
        if let Err(error) = migrate::migrate(&open, mode).await {
            open.close().await;
            return Err(match error {
                LedgerError::Refused(why) => {
                    LedgerError::CannotOpen(format!("its tables cannot be brought up to date: {why}"))
                }
                other => other,
            });
        }
        // Only now it is known to be a database of this program.
        if let (Self::Sqlite(file), OpenMode::ReadWrite) = (&open, mode) {
            file.files.make_private();
        }
        Ok(open)
    }

    /// Whether several processes may share it.
    pub(super) fn is_shared(&self) -> bool {
        matches!(self, Self::Postgres(_))
    }

    fn files(&self) -> Option<Arc<OpenFiles>> {
        match self {
            Self::Sqlite(file) => Some(Arc::clone(&file.files)),
            Self::Postgres(_) => None,
        }
    }

    /// Whether the files that are open still stand at their paths.
    pub(super) fn check_files(&self) -> Result<(), LedgerError> {
        match self {
            // The last connection takes the write-ahead log away.
            Self::Sqlite(file) if file.writer.is_closed() => Ok(()),
            Self::Sqlite(file) => file.files.check(),
            Self::Postgres(_) => Ok(()),
        }
    }

    /// Whether it can be read and written now.
    pub(super) async fn probe(&self) -> Result<(), LedgerError> {
        self.check_files()?;
        match self {
            // A file on a disk that is full can be read, and a transaction that writes nothing succeeds.
            Self::Sqlite(_) => {
                let mut tx = self.begin_unchecked().await?;
                tx.execute(migrate::NO_OP_WRITE, Vec::new()).await?;
                tx.commit().await
            }
            Self::Postgres(server) => server.probe().await,
        }
    }

    pub(super) async fn fetch<T: Row>(
        &self,
        statement: Statement,
        values: Vec<Value>,
    ) -> Result<Vec<T>, LedgerError> {
        match self {
            Self::Sqlite(file) => {
                let query = bound!(sqlx::query_as::<Sqlite, T>(statement.sqlite), values);
                query.fetch_all(&file.readers).await.map_err(|error| file.classify(&error))
            }
            Self::Postgres(server) if !server.pooled => {
                let query = bound!(sqlx::query_as::<Postgres, T>(statement.postgres), values);
                server.within(query.fetch_all(&server.pool)).await
            }
            Self::Postgres(_) => {
                let mut tx = self.begin_unchecked().await?;
                let rows = tx.fetch(statement, values).await?;
                tx.commit().await.map(|()| rows)
            }
        }
    }

    pub(super) async fn execute(&self, statement: Statement, values: Vec<Value>) -> Result<u64, LedgerError> {
        match self {
            Self::Sqlite(file) => {
                let query = bound!(sqlx::query::<Sqlite>(statement.sqlite), values);
                let done = query.execute(&file.writer).await;
                done.map(|done| done.rows_affected()).map_err(|error| file.classify(&error))
            }
            Self::Postgres(server) if !server.pooled => {
                let query = bound!(sqlx::query::<Postgres>(statement.postgres), values);
                let done = server.within(query.execute(&server.pool)).await;
                done.map(|done| done.rows_affected())
            }
            Self::Postgres(_) => {
                let mut tx = self.begin_unchecked().await?;
                let touched = tx.execute(statement, values).await?;
                tx.commit().await.map(|()| touched)
            }
        }
    }

    async fn begin_unchecked(&self) -> Result<Tx, LedgerError> {
        let engine = match self {
            Self::Sqlite(file) => Engine::Sqlite(file.begin().await?, file.clone()),
            Self::Postgres(server) => Engine::Postgres(server.begin().await?, server.clone()),
        };
        Ok(Tx { engine, guard: None })
    }

    /// Ends every connection.
    pub(super) async fn close(&self) {
        match self {
            Self::Sqlite(file) => file.close().await,
            Self::Postgres(server) => server.pool.close().await,
        }
    }
}

/// A transaction; dropped without [`Tx::commit`], it never was.
#[derive(Debug)]
pub(super) struct Tx {
    engine: Engine,
    /// The files that have to be in their place when this is committed.
    guard: Option<Arc<OpenFiles>>,
}

#[derive(Debug)]
enum Engine {
    Sqlite(Transaction<'static, Sqlite>, sqlite::File),
    Postgres(Transaction<'static, Postgres>, postgres::Server),
}

impl Tx {
    /// Runs a statement and returns its rows.
    pub(super) async fn fetch<T: Row>(
        &mut self,
        statement: Statement,
        values: Vec<Value>,
    ) -> Result<Vec<T>, LedgerError> {
        match &mut self.engine {
            Engine::Sqlite(tx, file) => {
                let query = bound!(sqlx::query_as::<Sqlite, T>(statement.sqlite), values);
                query.fetch_all(&mut **tx).await.map_err(|error| file.classify(&error))
            }
            Engine::Postgres(tx, server) => {
                let query = bound!(sqlx::query_as::<Postgres, T>(statement.postgres), values);
                server.within(query.persistent(!server.pooled).fetch_all(&mut **tx)).await
            }
        }
    }

    /// Runs a statement and says how many rows it touched.
    pub(super) async fn execute(
        &mut self,
        statement: Statement,
        values: Vec<Value>,
    ) -> Result<u64, LedgerError> {
        match &mut self.engine {
            Engine::Sqlite(tx, file) => {
                let query = bound!(sqlx::query::<Sqlite>(statement.sqlite), values);
                let done = query.execute(&mut **tx).await;
                done.map(|done| done.rows_affected()).map_err(|error| file.classify(&error))
            }
            Engine::Postgres(tx, server) => {
                let query = bound!(sqlx::query::<Postgres>(statement.postgres), values);
                let done = server.within(query.persistent(!server.pooled).execute(&mut **tx)).await;
                done.map(|done| done.rows_affected())
            }
        }
    }

    /// Runs a text of several statements.
    async fn run_script(&mut self, script: SqlStr) -> Result<(), LedgerError> {
        match &mut self.engine {
            Engine::Sqlite(tx, file) => sqlx::raw_sql(script)
                .execute(&mut **tx)
                .await
                .map(|_| ())
                .map_err(|error| file.classify(&error)),
            Engine::Postgres(tx, server) => {
                server.within(sqlx::raw_sql(script).execute(&mut **tx)).await.map(|_| ())
            }
        }
    }

    /// Waits for a lock that only PostgreSQL needs.
    async fn run_if_postgres(&mut self, statement: &'static str) -> Result<(), LedgerError> {
        match &mut self.engine {
            Engine::Sqlite(..) => Ok(()),
            Engine::Postgres(tx, server) => {
                server.within(sqlx::raw_sql(statement).execute(&mut **tx)).await.map(|_| ())
            }
        }
    }

    /// Makes it so. On disk when this returns.
    pub(super) async fn commit(self) -> Result<(), LedgerError> {
        let Self { engine, guard } = self;
        let check = || guard.as_ref().map_or(Ok(()), |files| files.check());
        check()?;
        match engine {
            Engine::Sqlite(tx, file) => tx.commit().await.map_err(|error| file.classify(&error))?,
            Engine::Postgres(tx, server) => server.within(tx.commit()).await?,
        }
        // It could have been replaced while it was written.
        check()
    }
}
