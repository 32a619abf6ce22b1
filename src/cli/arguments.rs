//! Arguments that several commands share.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::exit::{Exit, print, print_json};
use crate::clock::{Clock, SystemClock, UnixMillis, UnixSeconds};
use crate::config::{LONGEST_DURATION, Sources};

/// Parses a duration argument.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text).ok().filter(|duration| *duration <= LONGEST_DURATION);
    duration.ok_or_else(|| "takes a duration such as 30m, 24h or 1h 30m, up to 10 years".to_owned())
}

/// Parses a time argument: a time in UTC, or how long ago it was.
pub(crate) fn moment(text: &str) -> Result<UnixSeconds, String> {
    let at = humantime::parse_rfc3339_weak(text).map(UnixSeconds::from_system_time).ok();
    let before_now = |ago| UnixMillis::from(SystemClock.now()).minus(ago).seconds();
    at.or_else(|| duration(text).ok().map(before_now)).ok_or_else(|| {
        "takes a UTC time such as 2026-11-23T09:30:00Z, or how long ago it was: 24h, 7d".to_owned()
    })
}

/// How a command prints its result.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Output {
    /// Print a JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

impl Output {
    /// Prints the result as JSON or as text.
    pub(crate) fn print(self, object: impl FnOnce() -> Value, text: impl FnOnce() -> String) -> Exit {
        if self.json { print_json(&object()) } else { print(&text()) }
    }
}

/// Sets a setting from a command-line flag, which overrides the environment.
pub(crate) fn with_flag(sources: Sources, variable: &str, value: Option<String>) -> Sources {
    match value {
        Some(value) => sources.with(variable, value),
        None => sources,
    }
}

#[derive(Debug, Clone, Args)]
pub(crate) struct KeyringPath {
    /// The keyring file (WEBHOOK_ASSETS_KEYS)
    #[arg(long, value_name = "FILE")]
    keys: Option<PathBuf>,
}

impl KeyringPath {
    /// Overrides the keyring path of the settings.
    pub(crate) fn over(self, sources: Sources) -> Sources {
        with_flag(sources, "WEBHOOK_ASSETS_KEYS", self.keys.map(|path| path.to_string_lossy().into_owned()))
    }
}
