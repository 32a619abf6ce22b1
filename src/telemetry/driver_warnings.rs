//! Translates the warnings of the database driver (sqlx): each says what happened to the webhooks' database and what to
//! do. The values of statements are left out, since they may be personal data.

use std::fmt;

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::Context;

use super::log_limiter::LogLimiter;
use super::log_metrics::LogMetrics;

/// The beginning of every target of the driver: `sqlx::query`, `sqlx_core::pool` and others.
pub(super) const DRIVER: &str = "sqlx";

/// How much of a statement or of the server's words a line shows, in characters.
const SHOWN: usize = 300;

/// Emits an event in this program's words for each warning of the driver.
pub(super) struct DriverWarnings {
    metrics: LogMetrics,
    limiter: LogLimiter,
}

impl DriverWarnings {
    pub(super) fn new(metrics: LogMetrics) -> Self {
        Self { metrics, limiter: LogLimiter::default() }
    }

    /// Lets the driver's warnings through, whatever the level of the log: they are counted.
    pub(super) fn filter() -> Targets {
        Targets::new().with_target(DRIVER, LevelFilter::WARN)
    }
}

impl<S: Subscriber> Layer<S> for DriverWarnings {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let kind = Kind::of(event.metadata().target());
        self.metrics.driver_warned(kind.name());
        if let Some(more) = self.limiter.admit(kind.name()) {
            kind.log(&fields, (more > 0).then_some(more));
        }
    }
}

/// What the driver warns of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    SlowStatement,
    SlowConnection,
    ServerWarning,
    ConnectionLost,
    PasswordFile,
    Other,
}

impl Kind {
    fn of(target: &str) -> Self {
        match target {
            "sqlx::query" => Self::SlowStatement,
            "sqlx::pool::acquire" => Self::SlowConnection,
            "sqlx::postgres::notice" => Self::ServerWarning,
            _ if target.starts_with("sqlx_core::pool") => Self::ConnectionLost,
            "sqlx_postgres::options::pgpass" => Self::PasswordFile,
            _ => Self::Other,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::SlowStatement => "slow_statement",
            Self::SlowConnection => "slow_connection",
            Self::ServerWarning => "server_warning",
            Self::ConnectionLost => "connection_lost",
            Self::PasswordFile => "password_file",
            Self::Other => "other",
        }
    }

    /// `more`: how many warnings of this kind were left out before.
    fn log(self, fields: &Fields, more: Option<u64>) {
        let (kind, took_ms) = (self.name(), millis(fields.seconds));
        match self {
            Self::SlowStatement => tracing::warn!(
                kind,
                more,
                took_ms,
                statement = shown(fields.statement()),
                "a statement of the webhooks' database took longer than a second: see whether its disk or server is busy, and \
                 what else uses it"
            ),
            Self::SlowConnection => tracing::warn!(
                kind,
                more,
                took_ms,
                "a request waited longer than two seconds for a connection to the webhooks' database: all were in use, so \
                 calls come faster than it works"
            ),
            Self::ServerWarning => tracing::warn!(
                kind,
                more,
                said = shown(&fields.message),
                "the PostgreSQL server of the webhooks' database warns: see its own log"
            ),
            Self::ConnectionLost => tracing::warn!(
                kind,
                more,
                error = shown(&fields.error),
                "a connection to the webhooks' database broke and was closed; the next statement opens another"
            ),
            Self::PasswordFile => tracing::warn!(
                kind,
                more,
                said = shown(&fields.message),
                "the password file of PostgreSQL (~/.pgpass) cannot be used: let its owner alone read it, and mend what is wrong in it"
            ),
            Self::Other => tracing::warn!(
                kind,
                more,
                said = shown(&fields.message),
                error = Some(shown(&fields.error)).filter(|error| !error.is_empty()),
                "the driver of the webhooks' database warns"
            ),
        }
    }
}

/// The fields of the driver's events that are shown. Others are not read.
#[derive(Debug, Default)]
struct Fields {
    message: String,
    summary: String,
    statement: String,
    error: String,
    seconds: f64,
}

impl Fields {
    /// The whole statement, which the driver leaves out if its first words are all.
    fn statement(&self) -> &str {
        if self.statement.is_empty() { &self.summary } else { &self.statement }
    }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        if matches!(field.name(), "elapsed_secs" | "acquired_after_secs") {
            self.seconds = value;
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let shown = match field.name() {
            "message" => &mut self.message,
            "summary" => &mut self.summary,
            "db.statement" => &mut self.statement,
            "error" => &mut self.error,
            _ => return,
        };
        *shown = format!("{value:?}");
    }
}

/// A text in one line of limited length.
fn shown(text: &str) -> String {
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    line.chars().take(SHOWN).collect()
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a duration in milliseconds")]
fn millis(seconds: f64) -> u64 {
    (seconds * 1_000.0) as u64
}
