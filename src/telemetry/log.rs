//! Log lines: sentences on a terminal, JSON for machines. They go to standard error; standard output belongs to
//! results.

use std::io::{self, IsTerminal, Write};
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::time::SystemTime;

use super::access::AccessLog;
use super::line::Form;
use super::metrics::Metrics;
use super::spool::Sink;

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
    form: Form,
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

    /// The access log on standard error, in the form of the events.
    ///
    /// # Errors
    /// If the system has no thread left.
    pub fn access_log(&self, metrics: &Metrics) -> io::Result<AccessLog> {
        let looked_at = io::stderr().is_terminal();
        AccessLog::start(StandardError, self.form, looked_at, Arc::clone(&self.accesses), metrics)
    }
}

/// Where the events go, too: whole lines of both stand one after the other.
struct StandardError;

impl Sink for StandardError {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut stream = io::stderr().lock();
        let mut rest = bytes;
        while !rest.is_empty() {
            match stream.write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => rest = rest.get(written..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Somebody who shares the terminal has made it so; it will take more in a moment.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    std::thread::sleep(Duration::from_millis(10));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(bytes.len())
    }
}

/// Sends events to standard error from now on. `colour` is what the user's terminal settings allow. A second call
/// changes nothing.
pub fn start_logging(format: LogFormat, level: LogLevel, colour: bool) -> Logging {
    let form = Form::on_stderr(format, colour);
    let builder = tracing_subscriber::fmt()
        .with_env_filter(level.filter())
        .with_writer(std::io::stderr)
        .with_timer(SystemTime)
        .with_target(false);
    // Err: somebody (a test) has set up logging already.
    let filter: Arc<dyn Fn(EnvFilter) + Send + Sync> = if let Form::Human { colour } = form {
        let builder = builder.with_ansi(colour).compact().with_filter_reloading();
        let handle = builder.reload_handle();
        let _ = tracing::subscriber::set_global_default(builder.finish());
        Arc::new(move |filter| drop(handle.reload(filter)))
    } else {
        let builder = builder.json().flatten_event(true).with_filter_reloading();
        let handle = builder.reload_handle();
        let _ = tracing::subscriber::set_global_default(builder.finish());
        Arc::new(move |filter| drop(handle.reload(filter)))
    };
    Logging { form, accesses: Arc::new(AtomicBool::new(level.has_accesses())), filter }
}
