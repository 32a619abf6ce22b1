//! Signed links to private call recordings and transcripts: this crate mints and verifies them, and its program serves
//! what they open and sends webhooks with them.
//!
//! ```text
//! {base}/webhook-assets/{recording|transcript}/{uuid}
//!     ?expires={seconds since 1970}&sig={64 hexadecimal digits}
//! ```
//!
//! A link, in one line, opens one asset until it expires. Its signature is the HMAC-SHA256 of kind, id and expiry, by one key of a
//! [`Keyring`].
//!
//! # Mint a link
//!
//! ```
//! use std::time::Duration;
//! use webhook_assets::{AssetRef, Keyring, Minter, SecretKey, Uuid};
//!
//! let key = SecretKey::from_hex(&"5e".repeat(32))?; // 32 random bytes
//! let minter = Minter::new("https://app.example.com/api", Keyring::of_one("k1", key))?;
//!
//! let call = Uuid::parse_str("550e8400-e29b-41d4-a716-446655440000")?;
//! let link = minter.mint(AssetRef::recording(call), Duration::from_secs(24 * 60 * 60))?;
//! assert!(link.as_str().starts_with("https://app.example.com/api/webhook-assets/"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Follow the keyring file
//!
//! `webhook-assets keys new` makes the file, `keys rotate` adds a key that takes over at a given second, on every machine
//! that has the file. A process that mints for days reads it again while it runs:
//!
//! ```
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("keys.json");
//! # std::fs::write(&path, format!(r#"{{"version": 1, "keys": [{{"id": "k1", "secret": "{}"}}]}}"#, "0a".repeat(32)))?;
//! use webhook_assets::{Minter, ReloadingKeyring};
//!
//! let keyring = ReloadingKeyring::read(path)?; // "/etc/webhook-assets/keys.json"
//! let minter = Minter::new("https://app.example.com/api", keyring)?;
//! # minter.mint(webhook_assets::AssetRef::recording(webhook_assets::Uuid::nil()), std::time::Duration::from_secs(60))?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Of the keys that have started and outlive the link, the newest signs. All keys verify until they end.
//!
//! # Verify a link
//!
//! The gateway does this for each request, so a service that only mints needs no [`Verifier`]. The time is an argument,
//! and only a good link gives a [`Grant`]:
//!
//! ```
//! use std::time::Duration;
//! use webhook_assets::clock::{Clock, SystemClock};
//! use webhook_assets::signed_url::split_route;
//! use webhook_assets::{AssetRef, Denial, Keyring, Minter, SecretKey, Uuid, Verifier};
//!
//! let keyring = Keyring::of_one("k1", SecretKey::from_bytes(&[7; 32])?);
//! let minter = Minter::new("https://a.example", keyring.clone())?;
//! let asset = AssetRef::transcript(Uuid::from_u128(1));
//! let link = minter.mint(asset, Duration::from_secs(60))?;
//!
//! // What the gateway gets of it:
//! let target = link.as_str().trim_start_matches("https://a.example");
//! let (path, query) = target.split_once('?').unwrap();
//! let (kind, id) = split_route(path).unwrap();
//!
//! let verifier = Verifier::default();
//! let now = SystemClock.now();
//! let grant = verifier.verify(&keyring, kind, id, query, now)?;
//! assert_eq!(grant.asset(), asset);
//!
//! let late = now.plus(Duration::from_secs(61));
//! let refused = verifier.verify(&keyring, kind, id, query, late);
//! assert!(matches!(refused, Err(Denial::Expired { .. })));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`signed_url::diagnose`] explains what is wrong with a link that a customer has pasted.
//!
//! # Features
//!
//! | feature | adds | runs on |
//! |---|---|---|
//! | none (`default-features = false`) | the links: [`clock`], [`secret`], [`asset`], [`signed_url`]; no tokio, no hyper | any system |
//! | `gateway` | the program: it serves links, and mints and checks them on the command line and over HTTP | Linux |
//! | `sender` | webhooks, with their database | Linux |
//! | `console`, the default | the settings page | Linux |
//!
//! Each feature contains those above it. `examples/` in the repository has a service that mints, a receiver and a proxy.
//!
//! # Modules
//!
//! In reading order; each uses only those above it.
//!
//! - [`clock`] reads the time, [`secret`] holds key bytes and never prints them, [`asset`] names the assets of a call.
//! - [`signed_url`] mints and verifies links.
#![cfg_attr(
    feature = "gateway",
    doc = "- [`transcript`] reads a transcript and renders it as captions or text, [`problem`] writes error documents (RFC 9457), `tasks` spawns tasks, `text` shows invisible characters, `private_file` writes the files of keys and tokens,"
)]
#![cfg_attr(feature = "gateway", doc = "  [`telemetry`] logs, traces and counts.")]
#![cfg_attr(
    feature = "gateway",
    doc = "- [`keys`] holds the keyring in force, [`tokens`] says what a bearer may do, [`store`] opens the object that a [`Grant`] allows."
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
pub mod transcript;

#[cfg(feature = "gateway")]
pub mod problem;

#[cfg(feature = "gateway")]
mod tasks;

#[cfg(feature = "gateway")]
mod text;

#[cfg(feature = "gateway")]
mod private_file;

#[cfg(feature = "gateway")]
pub mod telemetry;

#[cfg(feature = "gateway")]
pub mod keys;

#[cfg(feature = "gateway")]
pub mod tokens;

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
