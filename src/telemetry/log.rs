//! Log lines: sentences on a terminal, JSON for machines. They go to standard error, by way of a [`LogWriter`]; standard
//! output belongs to results.

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::time::SystemTime;

use super::access::AccessLog;
use super::log_line::LineFormat;
use super::log_metrics::LogMetrics;
use super::log_writer::{Lines, LogWriter, Sink, WriterConfig};
use crate::text::{self, Escape};

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Human on a terminal, JSON otherwise.
    Auto,
    /// Sentences, coloured on a terminal unless `NO_COLOR` is set.
    Human,
    /// One JSON object a line.
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

/// How much is logged; what is greater logs more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Only what somebody must act on.
    Error,
    /// And what may become that.
    Warn,
    /// And what happened: starts, stops, each request.
    Info,
    /// And why.
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
    /// Whether each request is told.
    fn has_accesses(self) -> bool {
        matches!(self, Self::Info | Self::Debug)
    }

    /// The level holds for this program alone: at `debug` the HTTP libraries would write whole targets, signatures
    /// included, so they stay at `warn`. The verifier of certificates is silent: it logs each bad one of a receiver at
    /// `error`, which is the receiver's matter and stands in the delivery history.
    fn filter(self) -> EnvFilter {
        let ours = match self {
            Self::Error => return EnvFilter::new("error,rustls_platform_verifier=off"),
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
        };
        EnvFilter::new(format!("warn,rustls_platform_verifier=off,webhook_assets={ours}"))
    }
}

/// The log of this process: events, and access records beside them. Clones are the same log.
#[derive(Clone)]
pub struct Logging {
    form: LineFormat,
    writer: LogWriter,
    accesses: Arc<AtomicBool>,
    filter: Arc<dyn Fn(EnvFilter) + Send + Sync>,
}

impl std::fmt::Debug for Logging {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Logging").field("form", &self.form).finish_non_exhaustive()
    }
}

impl Logging {
    /// Logs so much from now on.
    pub fn set_level(&self, level: LogLevel) {
        (self.filter)(level.filter());
        self.accesses.store(level.has_accesses(), Ordering::Relaxed);
    }

    /// The access log, among the events and in their form.
    #[must_use]
    pub fn access_log(&self) -> AccessLog {
        AccessLog::new(self.writer.clone(), self.form, Arc::clone(&self.accesses))
    }

    /// Waits until everything is written that was logged, but no longer than `timeout`, and not if that cannot be.
    pub fn flush(&self, timeout: Duration) {
        self.writer.flush(timeout);
    }
}

/// Standard error past the standard library's lock: a pipe that is full must not hold it.
struct StandardError(File);

impl Sink for StandardError {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match self.0.write(bytes) {
                // A program that shares the terminal has made it so; it will take more in a moment.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    std::thread::sleep(Duration::from_millis(10));
                }
                written => return written,
            }
        }
    }
}

/// Where an event's line is written to.
struct Events(LogWriter);

impl Write for Events {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        // Control characters are escaped already, but for those that colour the line.
        let shown = std::str::from_utf8(line)
            .map(|line| text::escape_invisible(line, Escape::Json, char::is_control));
        self.0.push(Lines::Events, shown.as_deref().map_or(line, str::as_bytes), None);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Sends events to standard error from now on, panics among them. `colour` is what the user's terminal settings allow.
///
/// # Errors
/// If the system has no thread or no descriptor left.
pub fn start_logging(
    format: LogFormat,
    level: LogLevel,
    colour: bool,
    metrics: &LogMetrics,
) -> io::Result<Logging> {
    let form = LineFormat::on_stderr(format, colour);
    let stderr = StandardError(io::stderr().as_fd().try_clone_to_owned()?.into());
    let config = WriterConfig { lines: Lines::Events, at_once: io::stderr().is_terminal() };
    let writer = LogWriter::start(stderr, config, metrics.clone())?;
    let filter = subscribe(form, level, writer.clone());
    log_panics();
    let accesses = Arc::new(AtomicBool::new(level.has_accesses()));
    Ok(Logging { form, writer, accesses, filter })
}

/// Has events written by `writer`; returns what changes their filter.
fn subscribe(form: LineFormat, level: LogLevel, writer: LogWriter) -> Arc<dyn Fn(EnvFilter) + Send + Sync> {
    let builder = tracing_subscriber::fmt()
        .with_env_filter(level.filter())
        .with_writer(move || Events(writer.clone()))
        .with_timer(SystemTime)
        .with_target(false)
        // It would print them on standard error, and panic if it cannot.
        .log_internal_errors(false);
    // Err: a test has set up logging already.
    if let LineFormat::Human { colour } = form {
        let builder = builder.with_ansi(colour).compact().with_filter_reloading();
        let handle = builder.reload_handle();
        let _ = tracing::subscriber::set_global_default(builder.finish());
        Arc::new(move |filter| drop(handle.reload(filter)))
    } else {
        let builder = builder.json().flatten_event(true).with_filter_reloading();
        let handle = builder.reload_handle();
        let _ = tracing::subscriber::set_global_default(builder.finish());
        Arc::new(move |filter| drop(handle.reload(filter)))
    }
}

/// Logs panics as events: where, never with what words, which may have a secret in them.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let thread = std::thread::current();
        let place = panic.location().map(tracing::field::display);
        tracing::error!(place, thread = thread.name(), "webhook-assets panicked");
    }));
}
