//! Connects to a PostgreSQL server that several replicas share, directly or through a pooler such as PgBouncer.

use std::borrow::Cow;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::{PgArguments, PgConnectOptions, PgPoolOptions};
use sqlx::{Connection, PgConnection, PgPool, Postgres, Row as _, Transaction};

use super::eviction::Eviction;
use super::options::{READERS, TIMEOUT, WRITERS};
use super::statement::Row;
use super::warm::{UNTESTED, Warm};
use crate::clock::running;
use crate::ledger::error::{LedgerError, Result, breaks_connections, one_line};

/// The statement timeout. Without it, a caller would wait for an unreachable server until the kernel gives up, after
/// about 15 minutes.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(30);

/// A parameter that servers ignore and poolers do not pass on: a session that has it is direct.
const SESSION_MARKER: (&str, &str) = ("webhook_assets.own_session", "on");

/// How the sessions for transactions plan. Each of their statements touches few rows and finds them by index. A plan is
/// made once for each session, maybe while the tables are empty and statistics are missing, and has to stay good as they
/// grow: a table that was empty would be read from beginning to end. (Rows *hundred* and *stored-10k* of the sender's
/// benchmark.)
const WRITER_OPTIONS: [(&str, &str); 3] =
    [("plan_cache_mode", "force_generic_plan"), ("enable_seqscan", "off"), ("jit", "off")];

/// Reads in a new session whether the marker arrived, and whether the session may write.
const INSPECT: &str =
    "SELECT current_setting('webhook_assets.own_session', true), current_setting('transaction_read_only')";

/// An open server. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Server {
    /// For searches and other reads outside a transaction.
    pub(super) readers: PgPool,
    /// For transactions.
    pub(super) writers: PgPool,
    warm: Warm,
    /// Whether a pooler may run each transaction in a different session. Then nothing may outlive a transaction, so
    /// prepared statements cannot be reused. Outside a transaction block, even preparing and executing a statement may
    /// use two sessions.
    pub(super) pooled: bool,
    options: Box<PgConnectOptions>,
    address: String,
    eviction: Eviction,
}

impl Server {
    /// Connects once, to detect a pooler.
    pub(super) async fn open(url: &str) -> Result<Self> {
        check_files(url)?;
        let options = PgConnectOptions::from_str(url)
            .map_err(|_| LedgerError::CannotOpen("its URL cannot be read".to_owned()))?
            // PgBouncer refuses this parameter, which only affects the text form of floating-point numbers.
            .extra_float_digits(None);
        let address = format!("PostgreSQL at {}:{}", options.get_host(), options.get_port());
        let pooled = inspect(&options, &address).await?;
        if pooled {
            tracing::info!(
                "{address} stands behind a pooler (PgBouncer or the like): no prepared statements are used"
            );
        }
        let eviction = Eviction::default();
        let for_writing = if pooled { options.clone() } else { options.clone().options(WRITER_OPTIONS) };
        Ok(Self {
            readers: pool(READERS, &eviction).connect_lazy_with(options.clone()),
            writers: pool(2 * WRITERS, &eviction).connect_lazy_with(for_writing),
            warm: Warm::default(),
            pooled,
            options: Box::new(options),
            address,
            eviction,
        })
    }

    /// Closes every connection.
    pub(super) async fn close(&self) {
        self.warm.clear();
        self.writers.close().await;
        self.readers.close().await;
    }

    pub(super) async fn begin(&self) -> Result<Transaction<'static, Postgres>> {
        self.within(self.writers.begin()).await
    }

    /// Waits for a statement, up to [`STATEMENT_TIMEOUT`]. Evicts connections if the error means that they are broken.
    pub(super) async fn within<T>(
        &self,
        statement: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<T> {
        match running::timeout(STATEMENT_TIMEOUT, statement).await {
            Ok(Ok(done)) => Ok(done),
            Ok(Err(error)) => {
                if breaks_connections(&error) {
                    self.eviction.evict_all();
                }
                Err(LedgerError::from(&error))
            }
            Err(_) => {
                self.eviction.evict_all();
                let limit = STATEMENT_TIMEOUT.as_secs();
                Err(LedgerError::Unavailable(format!("a statement took longer than {limit} s")))
            }
        }
    }

    /// Runs one statement, which the server commits by itself, and returns its rows.
    pub(super) async fn write<T: Row>(&self, statement: &'static str, values: PgArguments) -> Result<Vec<T>> {
        let query = sqlx::query_as_with::<Postgres, T, _>(statement, values);
        self.within(async {
            let mut warm = self.warm.acquire(&self.writers, &self.eviction).await?;
            let rows = query.fetch_all(&mut *warm.connection).await?;
            self.warm.keep(warm);
            Ok(rows)
        })
        .await
    }

    /// Checks that the server answers and accepts writes. If the pool times out, a connection outside the pool finds
    /// the reason.
    pub(super) async fn probe(&self) -> Result<()> {
        const READ_ONLY: &str = "SELECT current_setting('transaction_read_only')";
        let inspected = self.within(async {
            let mut tx = self.writers.begin().await?;
            let row = sqlx::raw_sql(READ_ONLY).fetch_one(&mut *tx).await?;
            tx.commit().await?;
            row.try_get::<String, _>(0)
        });
        let read_only = match running::timeout(TIMEOUT / 5, inspected).await {
            Ok(inspected) => inspected? == "on",
            Err(_) => {
                inspect(&self.options, &self.address).await?;
                return Err(LedgerError::Unavailable("its connections are all in use".to_owned()));
            }
        };
        if read_only {
            self.eviction.evict_all();
            return Err(read_only_server());
        }
        Ok(())
    }
}

fn read_only_server() -> LedgerError {
    LedgerError::ReadOnly(
        "the server takes no writes (a standby, or default_transaction_read_only)".to_owned(),
    )
}

fn pool(connections: u32, eviction: &Eviction) -> PgPoolOptions {
    let (before, after) = (eviction.clone(), eviction.clone());
    PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(TIMEOUT)
        .test_before_acquire(false)
        .before_acquire(move |connection, connected| {
            let evicted = before.includes(connected.age);
            Box::pin(async move {
                // A round trip, which a connection in use does not need.
                if !evicted && connected.idle_for > UNTESTED {
                    connection.ping().await?;
                }
                Ok(!evicted)
            })
        })
        .after_release(move |_, connected| {
            let eviction = after.includes(connected.age);
            Box::pin(async move { Ok(!eviction) })
        })
}

/// Checks that the certificates and keys in the URL exist: the driver would fail only when it connects.
fn check_files(url: &str) -> Result<()> {
    let parameters = url.split_once('?').map_or("", |(_, parameters)| parameters);
    for (name, value) in url::form_urlencoded::parse(parameters.as_bytes()) {
        let is_file = name.starts_with("ssl") && !name.ends_with("mode") && !value.starts_with("-----BEGIN");
        if is_file && !Path::new(&*value).is_file() {
            return Err(LedgerError::CannotOpen(format!("its parameter {name} names no file: {value}")));
        }
    }
    Ok(())
}

/// Connects, and returns whether sessions are pooled.
async fn inspect(options: &PgConnectOptions, address: &str) -> Result<bool> {
    match inspect_with(&options.clone().options([SESSION_MARKER])).await {
        Ok((has_marker, read_only)) => require_writable(read_only).map(|()| !has_marker),
        // PgBouncer accepts few parameters and refuses all others.
        Err(error) if names_startup_parameter(&error) => {
            let (_, read_only) =
                inspect_with(options).await.map_err(|error| connect_error(address, &error))?;
            require_writable(read_only).map(|()| true)
        }
        Err(error) => Err(connect_error(address, &error)),
    }
}

fn require_writable(read_only: bool) -> Result<()> {
    if read_only { Err(read_only_server()) } else { Ok(()) }
}

async fn inspect_with(options: &PgConnectOptions) -> Result<(bool, bool), sqlx::Error> {
    let inspected = async {
        let mut connection = PgConnection::connect_with(options).await?;
        let mut tx = connection.begin().await?;
        let row = sqlx::raw_sql(INSPECT).fetch_one(&mut *tx).await?;
        tx.commit().await?;
        let has_marker = row.try_get::<Option<String>, _>(0)?.is_some_and(|value| value == SESSION_MARKER.1);
        let read_only = row.try_get::<String, _>(1)? == "on";
        // An error while closing does not matter.
        let _ = connection.close().await;
        Ok((has_marker, read_only))
    };
    running::timeout(TIMEOUT, inspected).await.unwrap_or(Err(sqlx::Error::PoolTimedOut))
}

fn code_of(error: &sqlx::Error) -> Cow<'_, str> {
    error.as_database_error().and_then(|error| error.code()).unwrap_or_default()
}

fn names_startup_parameter(error: &sqlx::Error) -> bool {
    code_of(error) == "08P01" && error.to_string().contains("startup parameter")
}

/// Why the server cannot be used; explains the refusals of poolers.
fn connect_error(address: &str, error: &sqlx::Error) -> LedgerError {
    let text = one_line(error);
    if names_startup_parameter(error) {
        return LedgerError::CannotOpen(format!(
            "{address} is a PgBouncer that refuses a parameter ({text}); leave `options` out of the URL and PGOPTIONS unset, \
             or name it in PgBouncer's ignore_startup_parameters"
        ));
    }
    if text.contains("statement pooling") {
        return LedgerError::CannotOpen(format!(
            "{address} is a PgBouncer whose pool_mode is statement, which allows no transactions; set pool_mode to transaction \
             or session"
        ));
    }
    LedgerError::opening(address, error)
}
