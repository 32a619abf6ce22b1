//! What can go wrong with the ledger, and what to do about it.

use std::fmt;

/// Why the ledger could not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LedgerError {
    /// The database cannot be opened.
    Opening(String),
    /// The database's disk is full: nothing can be accepted until there is room.
    Full,
    /// The database does not answer, or the connection to it was lost; it may come back.
    Unavailable(String),
    /// The database refuses a statement: a defect of this program, or a damaged database.
    Refused(String),
    /// A secret cannot be opened with the key file in use.
    Sealed,
    /// The key file of the secrets cannot be read or made.
    KeyFile(String),
    /// Another process has the SQLite file.
    InUse(String),
}

impl LedgerError {
    /// The word for logs and metrics.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Opening(_) => "opening",
            Self::Full => "full",
            Self::Unavailable(_) => "unavailable",
            Self::Refused(_) => "refused",
            Self::Sealed => "sealed",
            Self::KeyFile(_) => "key_file",
            Self::InUse(_) => "in_use",
        }
    }

    /// Whether trying again later may help.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Full | Self::Unavailable(_))
    }

    pub(super) fn opening(what: &str, error: sqlx::Error) -> Self {
        match Self::from(error) {
            Self::Unavailable(why) => Self::Unavailable(format!("{what}: {why}")),
            Self::Refused(why) => Self::Opening(format!("{what} cannot be opened: {why}")),
            other => other,
        }
    }

    pub(super) fn migrating(error: sqlx::migrate::MigrateError) -> Self {
        match error {
            sqlx::migrate::MigrateError::Execute(error) => Self::opening("the tables", error),
            error => Self::Opening(format!("its tables cannot be brought up to date: {error}")),
        }
    }
}

impl fmt::Display for LedgerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Opening(why) => write!(f, "the database: {why}"),
            Self::Full => f.write_str("the database's disk is full; make room on it"),
            Self::Unavailable(why) => write!(f, "the database does not answer: {why}"),
            Self::Refused(why) => write!(f, "the database refuses: {why}"),
            Self::Sealed => f.write_str(
                "an endpoint's secret does not open with the key file in use; is it the one that sealed it?",
            ),
            Self::KeyFile(why) => write!(f, "the key file of the endpoints' secrets: {why}"),
            Self::InUse(path) => {
                write!(f, "another process has the database {path}; several replicas need PostgreSQL")
            }
        }
    }
}

impl std::error::Error for LedgerError {}

impl From<sqlx::Error> for LedgerError {
    fn from(error: sqlx::Error) -> Self {
        use sqlx::Error;
        let text = one_line(&error);
        match &error {
            Error::Database(database) => {
                let code = database.code().unwrap_or_default();
                match code.as_ref() {
                    // SQLITE_FULL; PostgreSQL's disk_full.
                    "13" | "53100" => Self::Full,
                    // SQLITE_IOERR in its forms: what a file-size limit or a broken disk looks like.
                    code if is_sqlite_io(code) => Self::Unavailable(text),
                    // SQLITE_BUSY, SQLITE_LOCKED, SQLITE_CANTOPEN; class 08: connection; 57P0x: shutting down; 53: resources;
                    // 40: serialization and deadlock; 25006: the server has become a read-only standby.
                    "5" | "6" | "14" | "261" | "517" | "25006" => Self::Unavailable(text),
                    code if code.starts_with("08")
                        || code.starts_with("57P")
                        || code.starts_with("53")
                        || code.starts_with("40") =>
                    {
                        Self::Unavailable(text)
                    }
                    _ => Self::Refused(text),
                }
            }
            Error::Io(_)
            | Error::Tls(_)
            | Error::Protocol(_)
            | Error::PoolTimedOut
            | Error::PoolClosed
            | Error::WorkerCrashed => Self::Unavailable(text),
            _ => Self::Refused(text),
        }
    }
}

/// The low byte of an extended result code names the kind; 10 is SQLITE_IOERR.
fn is_sqlite_io(code: &str) -> bool {
    code.len() <= 4 && code.parse::<u32>().is_ok_and(|code| code & 0xff == 10)
}

fn one_line(error: &dyn fmt::Display) -> String {
    error.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}
