//! The command line: parses the arguments and runs the command.

mod app;
mod check;
mod check_result;
mod demo;
mod erase;
mod fd_limit;
mod health;
mod keys;
mod links;
mod listeners;
mod malloc_trim;
mod metrics;
mod reload;
mod sample_call;
#[cfg(feature = "sender")]
mod sender;
#[cfg(not(feature = "sender"))]
#[path = "no_sender.rs"]
mod sender;
mod serve;
mod terminal;
#[cfg(feature = "sender")]
mod webhooks;

pub use metrics::Metrics;

use std::fmt;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use clap::{CommandFactory, Parser, Subcommand};

use crate::config::{LONGEST_DURATION, SettingError, Sources};

/// Exit codes: 0 done; 1 the answer is no, or the command failed; 2 wrong command line (clap's); 64 wrong setting.
const EXIT_NO: u8 = 1;
const EXIT_USAGE: u8 = 2;
const EXIT_SETTING: u8 = 64;

/// How long the program waits at its end for standard error and for blocking work.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);

const AFTER_HELP: &str = "\
Settings come from --config FILE and from the environment (WEBHOOK_ASSETS_…), which goes first. These are enough:
  WEBHOOK_ASSETS_PUBLIC_URL    base URL of links, e.g. https://app.example.com/api
  WEBHOOK_ASSETS_STORE         where the objects are, e.g. file:///srv/assets or s3://bucket/prefix
  WEBHOOK_ASSETS_KEYS          the keyring file
  WEBHOOK_ASSETS_DATABASE      the webhooks' database, sqlite:webhook-assets.db by default
  WEBHOOK_ASSETS_LISTEN        where to listen, 127.0.0.1:8080 by default
  WEBHOOK_ASSETS_ADMIN_LISTEN  the private listener, 127.0.0.1:8081 by default

Exit codes: 0 done · 1 the answer is no, or it failed · 2 wrong command line · 64 wrong setting";

/// Mints, checks and serves signed links to call recordings and transcripts, and sends webhooks with them.
#[derive(Debug, Parser)]
#[command(name = "webhook-assets", version, after_help = AFTER_HELP, max_term_width = 110)]
struct Arguments {
    /// A settings file (TOML); `webhook-assets config` prints one with every default
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,

    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve signed links, send webhooks, and answer on the private listener
    Serve(serve::Serve),
    /// Print a signed link to a recording or a transcript
    Mint(links::Mint),
    /// Check a link: show until when it is valid, or why it is refused
    Verify(links::Verify),
    /// Create and change the keyring
    #[command(subcommand)]
    Keys(keys::Keys),
    /// Delete the recording and the transcript of a call for good
    Erase(erase::Erase),
    /// Manage endpoints, show and resend deliveries, and receive webhooks for tests
    #[command(subcommand)]
    Webhooks(sender::Webhooks),
    /// Check settings, keyring, store and public URL, and suggest a fix for each problem
    Check,
    /// Serve the sample call of fixtures/ with a temporary key and print links to it
    Demo(demo::Demo),
    /// Print a settings file with every default and its reason
    Config,
    /// Check that a running server is healthy (for container health checks)
    Health,
    /// Print the completion script of a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// Runs the program with the process's arguments and returns its exit code.
#[must_use]
pub fn run() -> ExitCode {
    report_panics();
    let Arguments { config, command } = Arguments::parse();
    let sources = Sources::of_process(config);
    let ended = match command {
        Command::Serve(serve) => serve.run(&sources),
        Command::Mint(mint) => mint.run(sources),
        Command::Verify(verify) => verify.run(sources),
        Command::Keys(keys) => keys.run(sources),
        Command::Erase(erase) => erase.run(&sources),
        Command::Webhooks(webhooks) => webhooks.run(&sources),
        Command::Check => check::run(&sources),
        Command::Demo(demo) => demo.run(),
        Command::Config => print(crate::config::DEFAULTS),
        Command::Health => health::run(&sources),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "webhook-assets", &mut script);
            print(&String::from_utf8_lossy(&script))
        }
    };
    ended.unwrap_or_else(|failure| failure.report())
}

/// Why a command failed.
#[derive(Debug)]
enum Failure {
    /// A setting is wrong; exit code 64.
    Setting(String),
    /// The command line is wrong; exit code 2.
    Usage(String),
    /// The command failed; exit code 1.
    Failed(String),
    /// The reader of standard output closed it. Not reported.
    OutputClosed,
}

impl Failure {
    fn setting(error: impl fmt::Display) -> Self {
        Self::Setting(error.to_string())
    }

    fn failed(error: impl fmt::Display) -> Self {
        Self::Failed(error.to_string())
    }

    fn report(&self) -> ExitCode {
        let (text, code) = match self {
            Self::Setting(text) => (text, EXIT_SETTING),
            Self::Usage(text) => (text, EXIT_USAGE),
            Self::Failed(text) => (text, EXIT_NO),
            Self::OutputClosed => return ExitCode::from(EXIT_NO),
        };
        let style = anstyle::Style::new().bold().fg_color(Some(anstyle::AnsiColor::Red.into()));
        write_stderr(format!("{style}error:{style:#} {}\n", terminal::escaped(text)));
        ExitCode::from(code)
    }
}

/// Writes to standard error. A pipe that is full and not read delays the end by [`FLUSH_TIMEOUT`] at most.
fn write_stderr(line: String) {
    let (done, written) = mpsc::channel();
    let write = move || {
        let _ = anstream::stderr().write_all(line.as_bytes());
        let _ = done.send(());
    };
    if thread::Builder::new().spawn(write).is_ok() {
        let _ = written.recv_timeout(FLUSH_TIMEOUT);
    }
}

/// Reports a panic in one line with its source position; its message may contain a secret.
fn report_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        write_stderr(format!(
            "error: webhook-assets panicked at {place}; this is a fault of the program: please report it\n"
        ));
    }));
}

impl From<SettingError> for Failure {
    fn from(error: SettingError) -> Self {
        Self::setting(error)
    }
}

type Exit = Result<ExitCode, Failure>;

/// Writes to standard output.
fn print(text: &str) -> Exit {
    let mut stdout = anstream::stdout();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Failure::OutputClosed),
        Err(error) => Err(Failure::Failed(format!("standard output cannot be written: {error}"))),
    }
}

/// Parses a duration of the command line.
fn duration(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text).ok().filter(|duration| *duration <= LONGEST_DURATION);
    duration.ok_or_else(|| "takes a duration such as 30m, 24h or 1h 30m, up to 10 years".to_owned())
}

/// Parses a time of the command line.
fn moment(text: &str) -> Result<crate::clock::UnixSeconds, String> {
    humantime::parse_rfc3339_weak(text)
        .map(crate::clock::UnixSeconds::from_system_time)
        .map_err(|_| "takes a UTC time such as 2026-11-23T09:30:00Z".to_owned())
}

/// Sets a setting from a command's flag, which takes precedence over the environment.
fn with_flag(sources: Sources, variable: &str, value: Option<String>) -> Sources {
    match value {
        Some(value) => sources.with(variable, value),
        None => sources,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }
}
