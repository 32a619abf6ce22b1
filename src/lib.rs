//! The program `webhook-assets`: it serves signed links to private call recordings and transcripts, mints them, and sends
//! webhooks with them.
//!
//! ```text
//! {base}/webhook-assets/{recording|transcript}/{uuid}
//!     ?expires={seconds since 1970}&sig={64 hexadecimal digits}
//! ```
//!
//! A service that only makes or checks links depends on the links library, the crate [`webhook_assets_links`], which runs on any
//! system. This crate is for the program, for its tests, and for programs that contain a gateway; it runs on Linux. What the
//! links library has is here too: [`Minter`], [`Keyring`], [`Verifier`].
//!
//! # Features
//!
//! | feature | adds |
//! |---|---|
//! | none (`default-features = false`), `gateway` | the gateway: it serves links, and mints and checks them on the command line and over HTTP |
//! | `sender` | webhooks, with their database |
//! | `console`, the default | the settings page |
//!
//! Each feature contains those above it. `examples/` in the repository has a receiver and a proxy.
//!
//! # Modules
//!
//! In reading order; each uses only those above it.
//!
//! - Of the links library: [`secret`] holds key bytes and never prints them, [`asset`] names the assets of a call,
//!   [`signed_url`] mints and verifies links.
//! - [`clock`] reads the time, [`transcript`] reads a transcript and renders it as captions or text, [`problem`] writes error
//!   documents (RFC 9457), `tasks` spawns tasks, `text` shows invisible characters, `private_file` writes the files of keys and
//!   tokens, [`telemetry`] logs, traces and counts.
//! - [`keys`] holds the keyring in force, [`tokens`] says what a bearer may do, [`store`] opens the object that a [`Grant`]
//!   allows.
#![cfg_attr(
    feature = "sender",
    doc = "- [`webhook`] makes and posts an event, [`ledger`] is the database, [`sender`] sends until an event has arrived."
)]
//! - [`server`] accepts connections, [`gateway`] answers links.
#![cfg_attr(feature = "console", doc = "- [`console`] is the settings page for people.")]
//! - [`admin`] answers operators, [`config`] reads the settings, [`cli`] puts everything together.

#[cfg(not(target_os = "linux"))]
compile_error!(
    "the gateway runs on Linux only (epoll, sendfile, splice, inotify); the links library, webhook-assets-links, is portable"
);

pub use webhook_assets_links::{asset, secret, signed_url};

pub mod clock;

pub mod transcript;

pub mod problem;

mod tasks;

mod text;

mod private_file;

pub mod telemetry;

pub mod keys;

pub mod tokens;

pub mod store;

#[cfg(feature = "sender")]
pub mod webhook;

#[cfg(feature = "sender")]
pub mod ledger;

#[cfg(feature = "sender")]
pub mod sender;

pub mod server;

pub mod gateway;

#[cfg(feature = "console")]
pub mod console;

pub mod admin;

pub mod config;

pub mod cli;

pub use asset::{AssetKind, AssetRef, TranscriptFormat};
pub use secret::{KeyError, SecretKey};
pub use signed_url::{
    Denial, Grant, Keyring, KeyringError, MintError, Minter, ReloadingKeyring, SignedUrl, Verifier,
};
pub use uuid::Uuid;

/// Compiles the Rust of the guide.
#[cfg(doctest)]
#[doc = include_str!("../docs/minting.md")]
struct MintingGuide;
