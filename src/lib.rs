//! Signed links to call recordings and transcripts: mint them, check them, stream the objects behind them.
#![doc = ""]
//! A guided tour, in reading order; each room may use only those above it:
//!
//! - [`clock`] tells the time, [`SecretKey`] signs without ever being seen, [`asset`] knows what a link opens.
//! - [`signed_url`] mints and verifies links. With `default-features = false` the crate ends here, free of tokio,
//!   hyper and `object_store`.
#![cfg_attr(feature = "gateway", doc = "- [`store`] opens the object that a [`Grant`] allows.")]
#![cfg_attr(
    feature = "gateway",
    doc = "- [`telemetry`] says what happened, [`problem`] what went wrong (RFC 9457)."
)]
#![cfg_attr(
    feature = "sender",
    doc = "- [`webhook`] is what receivers get, [`ledger`] remembers it, [`sender`] sends it until it has arrived."
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

pub mod asset;
pub mod clock;
pub mod secret;
pub mod signed_url;

pub use asset::{AssetKind, AssetRef};
pub use secret::{KeyError, SecretKey};
pub use signed_url::{Denial, Grant, Keyring, KeyringError, MintError, Minter, SignedUrl, Verifier};

#[cfg(feature = "gateway")]
pub mod admin;
#[cfg(feature = "gateway")]
pub mod cli;
#[cfg(feature = "gateway")]
pub mod config;
#[cfg(feature = "console")]
pub mod console;
#[cfg(feature = "gateway")]
pub mod gateway;
#[cfg(feature = "gateway")]
pub mod keys;
#[cfg(feature = "sender")]
pub mod ledger;
#[cfg(feature = "gateway")]
pub mod problem;
#[cfg(feature = "sender")]
pub mod sender;
#[cfg(feature = "gateway")]
pub mod server;
#[cfg(feature = "gateway")]
pub mod store;
#[cfg(feature = "gateway")]
mod tasks;
#[cfg(feature = "gateway")]
pub mod telemetry;
#[cfg(feature = "gateway")]
mod text;
#[cfg(feature = "sender")]
pub mod webhook;
