//! Log lines: sentences on a terminal, JSON for machines. They go to standard error; standard output belongs to
//! results.

use std::io::IsTerminal;
use std::str::FromStr;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::time::SystemTime;

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

/// How much is logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

/// Sends events to standard error from now on. `colour` is what the user's terminal settings allow. A second call
/// changes nothing.
pub fn start_logging(format: LogFormat, level: LogLevel, colour: bool) {
    let terminal = std::io::stderr().is_terminal();
    let human = match format {
        LogFormat::Auto => terminal,
        LogFormat::Human => true,
        LogFormat::Json => false,
    };
    let builder = tracing_subscriber::fmt()
        .with_env_filter(level.filter())
        .with_writer(std::io::stderr)
        .with_timer(SystemTime)
        .with_target(false);
    // Err: somebody (a test) has set up logging already.
    let _ = if human {
        tracing::subscriber::set_global_default(builder.with_ansi(terminal && colour).compact().finish())
    } else {
        tracing::subscriber::set_global_default(builder.json().flatten_event(true).finish())
    };
}
