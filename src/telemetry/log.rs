//! Writes events as log lines to standard error: text on a terminal, JSON for machines. `tracing-subscriber` formats
//! them and passes them to a [`LogWriter`], so that a full disk or a closed pipe makes no task block or panic.

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tracing::Metadata;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::time::SystemTime;
use tracing_subscriber::fmt::{self, MakeWriter};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::{Registry, reload};

use super::access::{AccessLog, EVENT_TARGET};
#[cfg(feature = "sender")]
use super::driver_warnings::DriverWarnings;
use super::log_metrics::LogMetrics;
use super::log_writer::{LogKind, LogWriter, Sink, WriterConfig};
use crate::text::{self, Escape};

/// The format of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Human-readable on a terminal, JSON otherwise.
    Auto,
    /// Human-readable, coloured on a terminal unless `NO_COLOR` is set.
    Human,
    /// One JSON object per line.
    Json,
}

impl FromStr for LogFormat {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        match word {
            "auto" => Ok(Self::Auto),
            "human" => Ok(Self::Human),
            "json" => Ok(Self::Json),
            _ => Err(()),
        }
    }
}

/// The line format that this process uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LineFormat {
    Human { colour: bool },
    Json,
}

impl LineFormat {
    /// The format for standard error. `colour` says whether the user's terminal settings allow colour.
    fn on_stderr(format: LogFormat, colour: bool) -> Self {
        let terminal = io::stderr().is_terminal();
        match format {
            LogFormat::Auto if terminal => Self::Human { colour },
            LogFormat::Human => Self::Human { colour: terminal && colour },
            LogFormat::Auto | LogFormat::Json => Self::Json,
        }
    }
}

/// How much is logged. A higher level includes the levels below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Failures that an operator must act on.
    Error,
    /// Also conditions that may become failures.
    Warn,
    /// Also normal operation: starts, stops, each request.
    Info,
    /// Also details for debugging.
    Debug,
}

impl FromStr for LogLevel {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        match word {
            "error" => Ok(Self::Error),
            "warn" => Ok(Self::Warn),
            "info" => Ok(Self::Info),
            "debug" => Ok(Self::Debug),
            _ => Err(()),
        }
    }
}

impl LogLevel {
    /// Whether this level includes access records.
    fn has_accesses(self) -> bool {
        matches!(self, Self::Info | Self::Debug)
    }

    /// The level applies to this program only. At `debug`, the HTTP libraries would log whole targets with their
    /// signatures, so they stay at `warn`. The certificate verifier is silent: it logs a receiver's bad certificate at
    /// `error`, but that concerns the receiver and appears in the delivery history.
    fn filter(self) -> Targets {
        let (ours, others) = match self {
            Self::Error => (LevelFilter::ERROR, LevelFilter::ERROR),
            Self::Warn => (LevelFilter::WARN, LevelFilter::WARN),
            Self::Info => (LevelFilter::INFO, LevelFilter::WARN),
            Self::Debug => (LevelFilter::DEBUG, LevelFilter::WARN),
        };
        Targets::new()
            .with_default(others)
            .with_target("webhook_assets", ours)
            .with_target("rustls_platform_verifier", LevelFilter::OFF)
            // Its warnings become events of this program: see `driver_warnings`.
            .with_target("sqlx", LevelFilter::OFF)
    }
}

/// The log of this process: events and access records. Clones share it.
#[derive(Clone)]
pub struct Logging {
    format: LineFormat,
    writer: LogWriter,
    accesses: Arc<AtomicBool>,
    filter: reload::Handle<Targets, Registry>,
}

impl std::fmt::Debug for Logging {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Logging").field("format", &self.format).finish_non_exhaustive()
    }
}

impl Logging {
    /// Changes the level.
    pub fn set_level(&self, level: LogLevel) {
        drop(self.filter.reload(level.filter()));
        self.accesses.store(level.has_accesses(), Ordering::Relaxed);
    }

    /// The access log, which shares this log's writer and format.
    #[must_use]
    pub fn access_log(&self) -> AccessLog {
        let json = (self.format == LineFormat::Json).then(|| self.writer.clone());
        AccessLog::new(json, Arc::clone(&self.accesses))
    }

    /// Waits up to `timeout` until every line is written; does not wait while standard error fails.
    pub fn flush(&self, timeout: Duration) {
        self.writer.flush(timeout);
    }
}

/// Standard error without the standard library's lock, which a full pipe would keep locked.
struct StandardError(File);

impl Sink for StandardError {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match self.0.write(bytes) {
                // Another program that shares the terminal has made it non-blocking; a retry soon succeeds.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    std::thread::sleep(Duration::from_millis(10));
                }
                written => return written,
            }
        }
    }
}

/// Passes each event's line to the log writer.
struct EventWriter(LogWriter);

impl<'w> MakeWriter<'w> for EventWriter {
    type Writer = EventLine<'w>;

    fn make_writer(&'w self) -> EventLine<'w> {
        EventLine(&self.0, LogKind::Events)
    }

    fn make_writer_for(&'w self, event: &Metadata<'_>) -> EventLine<'w> {
        EventLine(&self.0, if event.target() == EVENT_TARGET { LogKind::Access } else { LogKind::Events })
    }
}

struct EventLine<'w>(&'w LogWriter, LogKind);

impl Write for EventLine<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        // `tracing-subscriber` has escaped the control characters of values; the others are the line's colours and its
        // end.
        let shown = std::str::from_utf8(line)
            .map(|line| text::escape_invisible(line, Escape::Json, char::is_control));
        self.0.push(self.1, shown.as_deref().map_or(line, str::as_bytes), None);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Starts logging events and panics to standard error. `colour` says whether the user's terminal settings allow colour.
///
/// # Errors
/// If the system cannot start a thread or open a descriptor.
pub fn start_logging(
    format: LogFormat,
    level: LogLevel,
    colour: bool,
    metrics: &LogMetrics,
) -> io::Result<Logging> {
    let format = LineFormat::on_stderr(format, colour);
    let stderr = StandardError(io::stderr().as_fd().try_clone_to_owned()?.into());
    let config = WriterConfig { kind: LogKind::Events, immediate: io::stderr().is_terminal() };
    let writer = LogWriter::start(stderr, config, metrics.clone())?;
    let filter = subscribe(format, level, writer.clone(), metrics);
    log_panics();
    let accesses = Arc::new(AtomicBool::new(level.has_accesses()));
    Ok(Logging { format, writer, accesses, filter })
}

/// Sets `writer` as the output of events; returns what changes their filter.
fn subscribe(
    format: LineFormat,
    level: LogLevel,
    writer: LogWriter,
    metrics: &LogMetrics,
) -> reload::Handle<Targets, Registry> {
    let (filter, handle) = reload::Layer::new(level.filter());
    let lines = fmt::layer()
        .with_writer(EventWriter(writer))
        .with_timer(SystemTime)
        .with_target(false)
        // Otherwise the subscriber prints its own errors to standard error, and panics if that fails.
        .log_internal_errors(false);
    let lines = match format {
        LineFormat::Human { colour } => lines.with_ansi(colour).compact().boxed(),
        LineFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    let subscriber = Registry::default().with(lines.with_filter(filter));
    #[cfg(feature = "sender")]
    let subscriber = {
        let warnings = DriverWarnings::new(metrics.clone());
        subscriber.with(warnings.with_filter(DriverWarnings::filter()))
    };
    #[cfg(not(feature = "sender"))]
    let _ = metrics;
    // An error means that a test has set up logging before.
    let _ = tracing::subscriber::set_global_default(subscriber);
    handle
}

/// Logs each panic as an event with its location but without its message, which may contain a secret.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let thread = std::thread::current();
        let place = panic.location().map(tracing::field::display);
        tracing::error!(place, thread = thread.name(), "webhook-assets panicked");
    }));
}
