//! Defines the ledger's errors, and classifies those of the databases.

use std::fmt;
use std::io;
use std::path::Path;

use crate::webhook::HeaderError;

/// The result of a call of the ledger.
pub type Result<T, E = LedgerError> = std::result::Result<T, E>;

/// Why a call of the ledger failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LedgerError {
    /// The database cannot be opened with these settings.
    CannotOpen(String),
    /// The database's disk is full: no event can be accepted until space is free.
    Full,
    /// The file system or the server is read-only.
    ReadOnly(String),
    /// The database does not answer, or the connection was lost. It may recover.
    Unavailable(String),
    /// The connection or the transaction was lost. An immediate retry may succeed.
    Interrupted(String),
    /// The database's file was replaced, moved or removed while it was open.
    Replaced(String),
    /// The database rejects a statement: a bug in this program, or a damaged database.
    Refused(String),
    /// The current key file does not open a secret.
    Sealed,
    /// The endpoint already has the maximum number of valid earlier secrets, which is this.
    TooManySecrets(usize),
    /// Another endpoint of the workspace has the same URL: this one.
    DuplicateUrl(String),
    /// The custom header fields of an endpoint are refused.
    Header(HeaderError),
    /// The key file of the secrets cannot be read or created, or did not seal them.
    KeyFile(String),
    /// Another process sends from the SQLite file.
    InUse(String),
}

impl LedgerError {
    /// The label for logs and metrics.
    #[must_use]
    pub fn label(&self) -> &'static str {
        match self {
            Self::CannotOpen(_) => "opening",
            Self::Full => "full",
            Self::ReadOnly(_) => "read_only",
            Self::Unavailable(_) | Self::Interrupted(_) => "unavailable",
            Self::Replaced(_) => "replaced",
            Self::Refused(_) => "refused",
            Self::Sealed => "sealed",
            Self::TooManySecrets(_) => "too_many_secrets",
            Self::DuplicateUrl(_) => "duplicate_url",
            Self::Header(_) => "header",
            Self::KeyFile(_) => "key_file",
            Self::InUse(_) => "in_use",
        }
    }

    /// Whether a later retry may succeed.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Full
            | Self::ReadOnly(_)
            | Self::Unavailable(_)
            | Self::Interrupted(_)
            | Self::Replaced(_)
            | Self::InUse(_) => true,
            Self::CannotOpen(_)
            | Self::Refused(_)
            | Self::Sealed
            | Self::TooManySecrets(_)
            | Self::DuplicateUrl(_)
            | Self::Header(_)
            | Self::KeyFile(_) => false,
        }
    }

    /// Describes the problem with the webhooks' database, without file or server names.
    #[must_use]
    pub fn summary(&self) -> &'static str {
        match self {
            Self::CannotOpen(_) => "their database cannot be opened",
            Self::Full => "their database's disk is full",
            Self::ReadOnly(_) => "their database is read-only",
            Self::Unavailable(_) | Self::Interrupted(_) => "their database does not answer",
            Self::Replaced(_) => "their database's file was replaced or removed",
            Self::Refused(_) | Self::TooManySecrets(_) | Self::DuplicateUrl(_) | Self::Header(_) => {
                "their database refuses"
            }
            Self::Sealed | Self::KeyFile(_) => "the key file of their secrets is missing or another",
            Self::InUse(_) => "another process sends from their database",
        }
    }

    /// Classifies a driver error while opening `what`: a rejection now is final.
    pub(super) fn opening(what: &str, error: &sqlx::Error) -> Self {
        if let Some(why) = denied(error) {
            return Self::CannotOpen(format!("{what} {why}"));
        }
        match Self::from(error) {
            Self::Unavailable(why) | Self::Interrupted(why) => Self::Unavailable(format!("{what}: {why}")),
            Self::ReadOnly(why) => Self::ReadOnly(format!("{what}: {why}")),
            Self::Refused(why) => Self::CannotOpen(format!("{what} cannot be opened: {why}")),
            other => other,
        }
    }

    /// Classifies a file system error at `path`: a wrong setting, or a fault that an operator may repair.
    pub(super) fn at_path(path: &Path, error: &io::Error) -> Self {
        use io::ErrorKind as Kind;

        let path = path.display();
        match error.kind() {
            Kind::StorageFull | Kind::QuotaExceeded => Self::Full,
            Kind::ReadOnlyFilesystem => Self::ReadOnly(format!("{path}: {error}")),
            Kind::NotFound => Self::Unavailable(format!(
                "{path}: {error}; its folder has to exist (is its file system mounted?)"
            )),
            Kind::PermissionDenied => {
                Self::Unavailable(format!("{path}: {error}; let this user write to it and to its folder"))
            }
            Kind::IsADirectory | Kind::NotADirectory | Kind::InvalidFilename => {
                Self::CannotOpen(format!("{path}: {error}; it has to be the path of a file"))
            }
            _ => Self::Unavailable(format!("{path}: {error}")),
        }
    }
}

impl fmt::Display for LedgerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CannotOpen(why) => write!(f, "the database: {why}"),
            Self::Full => f.write_str("the database's disk is full; make room on it"),
            Self::ReadOnly(why) => write!(f, "the database is read-only: {why}"),
            Self::Unavailable(why) | Self::Interrupted(why) => {
                write!(f, "the database does not answer: {why}")
            }
            Self::Replaced(path) => write!(
                f,
                "the database file {path} was replaced, moved or removed while it was open: nothing new is accepted until \
                 it is put back, or this program is started again on the file that is to be used"
            ),
            Self::Refused(why) => write!(f, "the database refuses: {why}"),
            Self::Sealed => f.write_str(
                "an endpoint's secret does not open with the key file in use; is it the one that sealed it?",
            ),
            Self::TooManySecrets(most) => write!(
                f,
                "{most} earlier secrets of this endpoint are still valid; wait until one expires, or rotate without an overlap, \
                 which ends them all"
            ),
            Self::DuplicateUrl(id) => {
                write!(
                    f,
                    "the endpoint {id} of this workspace has this URL already: each call would arrive there twice"
                )
            }
            Self::Header(error) => error.fmt(f),
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
        Self::from(&error)
    }
}

impl From<&sqlx::Error> for LedgerError {
    fn from(error: &sqlx::Error) -> Self {
        use sqlx::Error;

        let text = one_line(error);
        match error {
            Error::Database(database) => {
                let code = database.code().unwrap_or_default();
                match code.parse::<u32>() {
                    Ok(number) if code.len() < 5 => of_sqlite(number, text),
                    _ => of_postgres(&code, text),
                }
            }
            Error::Io(_) | Error::Tls(_) | Error::Protocol(_) | Error::WorkerCrashed | Error::BeginFailed => {
                Self::Interrupted(text)
            }
            Error::PoolTimedOut | Error::PoolClosed => Self::Unavailable(text),
            _ => Self::Refused(text),
        }
    }
}

/// Maps SQLite's result codes (<https://www.sqlite.org/rescode.html>). The low byte is the primary code.
fn of_sqlite(code: u32, text: String) -> LedgerError {
    match code & 0xff {
        // SQLITE_BUSY, SQLITE_LOCKED.
        5 | 6 => LedgerError::Unavailable(format!("another process keeps it locked: {text}")),
        // SQLITE_READONLY.
        8 => LedgerError::ReadOnly(text),
        13 => LedgerError::Full,
        // SQLITE_PERM, SQLITE_NOMEM, SQLITE_IOERR (a file-size limit, a broken disk), SQLITE_CANTOPEN, SQLITE_PROTOCOL.
        3 | 7 | 10 | 14 | 15 => LedgerError::Unavailable(text),
        // SQLITE_CORRUPT, SQLITE_NOTADB.
        11 => LedgerError::Refused(format!("the file is damaged, restore a backup: {text}")),
        26 => LedgerError::Refused(format!("the file is no SQLite database: {text}")),
        _ => LedgerError::Refused(text),
    }
}

/// Maps PostgreSQL's error codes (appendix A of its manual) by class.
fn of_postgres(code: &str, text: String) -> LedgerError {
    match code {
        "53100" => LedgerError::Full,
        // read_only_sql_transaction: the server is a standby.
        "25006" => LedgerError::ReadOnly(text),
        // "cached plan must not change result type". Other errors with this code are bugs.
        "0A000" if text.contains("cached plan") => LedgerError::Interrupted(text),
        // A prepared statement is missing or belongs to another client: the session was replaced.
        "26000" | "42P05" => LedgerError::Interrupted(text),
        // lock_not_available, query_canceled.
        "55P03" | "57014" => LedgerError::Unavailable(text),
        code => match code.get(..2).unwrap_or_default() {
            // Connection; transaction state; serialization failure and deadlock; server shutdown, startup or a
            // terminated session.
            "08" | "25" | "40" | "57" => LedgerError::Interrupted(text),
            // Login and database name (the operator may be changing them); resources; system errors of the server.
            "28" | "3D" | "53" | "58" => LedgerError::Unavailable(text),
            _ => LedgerError::Refused(text),
        },
    }
}

/// Whether an error means that this connection, and those opened before it, must not be reused: they are broken, or
/// their server is stopping or became read-only.
pub(super) fn breaks_connections(error: &sqlx::Error) -> bool {
    use sqlx::Error;

    match error {
        Error::Io(_) | Error::Tls(_) | Error::Protocol(_) | Error::WorkerCrashed | Error::BeginFailed => true,
        Error::Database(database) => {
            let code = database.code().unwrap_or_default();
            match LedgerError::from(error) {
                LedgerError::ReadOnly(_) => true,
                // After a deadlock or a serialization failure, the connection still works.
                LedgerError::Interrupted(_) => !code.starts_with("40"),
                _ => false,
            }
        }
        _ => false,
    }
}

/// The reason of a rejection that lasts until a setting changes.
fn denied(error: &sqlx::Error) -> Option<String> {
    let sqlx::Error::Database(database) = error else { return None };
    let text = one_line(error);
    match database.code()?.as_ref() {
        "28P01" => Some(format!(
            "refuses the password: {text}; if it has one of # / ? @ %, percent-encode the password in the URL"
        )),
        "28000" => Some(format!("refuses the login: {text}")),
        "3D000" => Some(format!("has no such database: {text}; create it, or name another")),
        _ => None,
    }
}

pub(super) fn one_line(error: &dyn fmt::Display) -> String {
    error.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}
