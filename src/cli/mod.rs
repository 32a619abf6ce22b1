//! The command line: parses the arguments and runs the command.

mod app;
mod arguments;
mod check;
mod check_result;
mod command_action;
#[cfg(feature = "sender")]
mod command_trail;
#[cfg(not(feature = "sender"))]
#[path = "no_command_trail.rs"]
mod command_trail;
mod demo;
mod demo_report;
mod erase;
mod erase_list;
mod exit;
mod fd_limit;
mod health;
mod keys;
mod links;
mod listeners;
mod malloc_trim;
mod man;
mod metrics;
mod progress_bar;
mod random;
mod reload;
#[cfg(feature = "sender")]
mod sender;
#[cfg(not(feature = "sender"))]
#[path = "no_sender.rs"]
mod sender;
mod serve;
mod terminal;
mod tokens;
#[cfg(feature = "sender")]
mod webhooks;

pub use metrics::Metrics;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::config::Sources;
use exit::{print, write_stderr};

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
    /// Make, list and revoke the tokens of the private listener
    #[command(subcommand)]
    Tokens(tokens::Tokens),
    /// Delete the recordings and transcripts of calls for good
    Erase(erase::Erase),
    /// Manage endpoints, show and resend deliveries, and receive webhooks for tests
    #[command(subcommand)]
    Webhooks(sender::Webhooks),
    /// Copy the webhooks' database into a folder while `serve` runs; with its keys on request
    Backup(sender::Backup),
    /// Put a backup in place, after checking that its parts fit together
    Restore(sender::Restore),
    /// Check settings, keyring, store and public URL, and suggest a fix for each problem
    Check(check::Check),
    /// Send and serve a sample call with a temporary key, and print what to try; needs no files and no settings
    Demo(demo::Demo),
    /// Print a settings file with every default and its reason
    Config,
    /// Check that a running server is healthy (for container health checks)
    Health(health::Health),
    /// Print the completion script of a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page, or write one for each command
    Man(man::Man),
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
        Command::Tokens(tokens) => tokens.run(sources),
        Command::Erase(erase) => erase.run(&sources),
        Command::Webhooks(webhooks) => webhooks.run(&sources),
        Command::Backup(backup) => backup.run(&sources),
        Command::Restore(restore) => restore.run(&sources),
        Command::Check(check) => check.run(&sources),
        Command::Demo(demo) => demo.run(sources),
        Command::Config => print(crate::config::DEFAULTS),
        Command::Health(health) => health.run(&sources),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "webhook-assets", &mut script);
            print(&String::from_utf8_lossy(&script))
        }
        Command::Man(man) => man.run(Arguments::command()),
    };
    ended.unwrap_or_else(|failure| failure.report())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }
}
