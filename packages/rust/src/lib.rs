#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]

pub mod time;

pub mod secret;

pub mod asset;

pub mod signed_url;

pub use asset::{AssetKind, AssetRef, TranscriptFormat};
pub use secret::{KeyError, SecretKey};
pub use signed_url::{
    BaseUrlError, Denial, Fault, Grant, Keyring, KeyringError, MintError, Minter, ReloadingKeyring,
    SignedUrl, Verifier,
};
pub use time::UnixSeconds;
pub use uuid::Uuid;
