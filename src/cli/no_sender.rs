//! Replaces the sender in a build without it: `serve`, `check` and `demo` omit it, and `webhooks` is an error.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::app::{App, Only};
use super::check_result::CheckResult;
use super::exit::{Exit, Failure};
use crate::config::{Config, Sources};
use crate::gateway::Gateway;
use crate::signed_url::Keyring;

const NO_SENDER: &str =
    "this build has no sender; build it with the feature `sender`, e.g. `cargo install --path .`";

#[derive(Debug, Subcommand)]
pub(super) enum Webhooks {
    #[command(external_subcommand)]
    Any(Vec<OsString>),
}

impl Webhooks {
    pub(super) fn run(self, _sources: &Sources) -> Exit {
        let Self::Any(_arguments) = self;
        Err(Failure::Usage(NO_SENDER.to_owned()))
    }
}

/// A command on the sender's database, which this build refuses.
#[derive(Debug, Args)]
pub(super) struct NoCommand {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    arguments: Vec<OsString>,
}

impl NoCommand {
    pub(super) fn run(&self, _sources: &Sources) -> Exit {
        let Self { arguments: _ } = self;
        Err(Failure::Usage(NO_SENDER.to_owned()))
    }
}

pub(super) use NoCommand as Backup;
pub(super) use NoCommand as Restore;
pub(super) use NoCommand as Reseal;

/// The workspace of the demo.
pub(super) const DEMO_WORKSPACE: &str = "demo";

pub(super) struct SenderPart;

impl SenderPart {
    pub(super) fn check(_config: &Config, only: Option<Only>) -> Result<(), Failure> {
        if only == Some(Only::Sender) { Err(Failure::Usage(NO_SENDER.to_owned())) } else { Ok(()) }
    }

    #[expect(clippy::unused_async, reason = "as the sender's")]
    pub(super) async fn open(_app: &App, _only: Option<Only>) -> Result<Self, Failure> {
        Ok(Self)
    }

    pub(super) fn database(&self, _config: &Config) -> Option<&'static str> {
        None
    }

    pub(super) fn record_downloads(&self, _app: &App, gateway: Gateway) -> Gateway {
        gateway
    }

    pub(super) fn start(&mut self) {}

    pub(super) async fn stop(&mut self, _deadline: Duration) {}

    pub(super) async fn close(&self) {}
}

pub(super) fn check_webhooks(_config: &Config) -> Vec<CheckResult> {
    Vec::new()
}

pub(super) fn demo_settings(_folder: &Path) -> Vec<(&'static str, String)> {
    Vec::new()
}

pub(super) async fn send_sample(_part: &SenderPart) -> Result<Option<String>, Failure> {
    Ok(None)
}

#[expect(clippy::unnecessary_wraps, reason = "as the settings page's")]
pub(super) fn sign_in_link(
    _admin: SocketAddr,
    _keyring: &Keyring,
    _workspace: &str,
) -> Result<Option<String>, Failure> {
    Ok(None)
}
