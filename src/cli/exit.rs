//! How a command ends: its output, its exit code, its failure.

use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use super::terminal::escaped;
use crate::config::SettingError;

/// Exit codes: 0 success; 1 negative result or failure; 2 wrong command line (clap's code); 64 wrong setting.
pub(crate) const EXIT_NO: u8 = 1;
const EXIT_USAGE: u8 = 2;
pub(crate) const EXIT_SETTING: u8 = 64;

/// How long the program waits at exit for standard error and for blocking work.
pub(crate) const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

/// The exit code of a command, or why it failed.
pub(crate) type Exit = Result<ExitCode, Failure>;

/// Writes to standard output.
pub(crate) fn print(text: &str) -> Exit {
    let mut stdout = anstream::stdout();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Failure::OutputClosed),
        Err(error) => Err(Failure::Failed(format!("standard output cannot be written: {error}"))),
    }
}

/// Writes a JSON object on one line.
pub(crate) fn print_json(object: &Value) -> Exit {
    print(&format!("{object}\n"))
}

/// Why a command failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// A setting is wrong; exit code 64.
    Setting(String),
    /// The command line is wrong; exit code 2.
    Usage(String),
    /// The command failed; exit code 1.
    Failed(String),
    /// The reader of standard output has closed it. This is not reported.
    OutputClosed,
}

impl Failure {
    pub(crate) fn setting(error: impl fmt::Display) -> Self {
        Self::Setting(error.to_string())
    }

    pub(crate) fn failed(error: impl fmt::Display) -> Self {
        Self::Failed(error.to_string())
    }

    pub(crate) fn report(&self) -> ExitCode {
        let (text, code) = match self {
            Self::Setting(text) => (text, EXIT_SETTING),
            Self::Usage(text) => (text, EXIT_USAGE),
            Self::Failed(text) => (text, EXIT_NO),
            Self::OutputClosed => return ExitCode::from(EXIT_NO),
        };
        let style = anstyle::Style::new().bold().fg_color(Some(anstyle::AnsiColor::Red.into()));
        write_stderr(format!("{style}error:{style:#} {}\n", escaped(text)));
        ExitCode::from(code)
    }
}

/// Writes to standard error. A full pipe without a reader delays the exit by at most [`FLUSH_TIMEOUT`].
pub(crate) fn write_stderr(line: String) {
    let (done, written) = mpsc::channel();
    let write = move || {
        let _ = anstream::stderr().write_all(line.as_bytes());
        let _ = done.send(());
    };
    if thread::Builder::new().spawn(write).is_ok() {
        let _ = written.recv_timeout(FLUSH_TIMEOUT);
    }
}

impl From<SettingError> for Failure {
    fn from(error: SettingError) -> Self {
        Self::setting(error)
    }
}

#[cfg(feature = "sender")]
impl From<crate::ledger::LedgerError> for Failure {
    fn from(error: crate::ledger::LedgerError) -> Self {
        Self::failed(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::failed(error)
    }
}
