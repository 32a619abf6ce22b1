//! Signed links to call recordings and transcripts: mint links, verify them, and stream the objects behind them.
#![doc = ""]
//! The modules ("rooms") in reading order; each uses only those above it:
//!
//! - [`clock`] reads the time, [`secret`] holds key bytes and never prints them, [`asset`] names the assets of a call.
//! - [`signed_url`] mints and verifies links. With `default-features = false` the crate ends here, without tokio, hyper
//!   and `object_store`.
#![cfg_attr(
    feature = "gateway",
    doc = "- [`problem`] writes error documents (RFC 9457), `tasks` spawns tasks, `text` shows invisible characters,"
)]
#![cfg_attr(feature = "gateway", doc = "  [`telemetry`] logs, traces and counts.")]
#![cfg_attr(
    feature = "gateway",
    doc = "- [`keys`] holds the keyring in force, [`store`] opens the object that a [`Grant`] allows."
)]
#![cfg_attr(
    feature = "sender",
    doc = "- [`webhook`] makes and posts an event, [`ledger`] is the database, [`sender`] sends until an event has arrived."
)]
#![cfg_attr(feature = "gateway", doc = "- [`server`] accepts connections, [`gateway`] answers links.")]
#![cfg_attr(feature = "console", doc = "- [`console`] is the settings page for people.")]
#![cfg_attr(
    feature = "gateway",
    doc = "- [`admin`] answers operators, [`config`] reads the settings, [`cli`] puts everything together."
)]

#[cfg(all(feature = "gateway", not(target_os = "linux")))]
compile_error!(
    "the gateway runs on Linux only (epoll, sendfile, splice, inotify); the signed-URL library alone, built with \
     `--no-default-features`, is portable"
);

pub mod clock;

pub mod secret;

pub mod asset;

pub mod signed_url;

#[cfg(feature = "gateway")]
pub mod problem;

#[cfg(feature = "gateway")]
mod tasks;

#[cfg(feature = "gateway")]
mod text;

#[cfg(feature = "gateway")]
pub mod telemetry;

#[cfg(feature = "gateway")]
pub mod keys;

#[cfg(feature = "gateway")]
pub mod store;

#[cfg(feature = "sender")]
pub mod webhook;

#[cfg(feature = "sender")]
pub mod ledger;

#[cfg(feature = "sender")]
pub mod sender;

#[cfg(feature = "gateway")]
pub mod server;

#[cfg(feature = "gateway")]
pub mod gateway;

#[cfg(feature = "console")]
pub mod console;

#[cfg(feature = "gateway")]
pub mod admin;

#[cfg(feature = "gateway")]
pub mod config;

#[cfg(feature = "gateway")]
pub mod cli;

pub use asset::{AssetKind, AssetRef};
pub use secret::{KeyError, SecretKey};
pub use signed_url::{Denial, Grant, Keyring, KeyringError, MintError, Minter, SignedUrl, Verifier};
