//! Signed URLs: the pure heart. Bytes and `now` in, a link or a decision out; no I/O but reading a keyring file.
//!
//! ```text
//! {base}/webhook-assets/{recording|transcript}/{uuid}?expires={unix seconds}&sig={64 lower-case hex digits}
//! ```
//!
//! - [`Minter`] makes links, with the newest key of a [`Keyring`] whose start has come.
//! - [`Verifier`] checks them and hands out a [`Grant`], the one thing that opens the store.
//! - [`diagnose`] says in words what is wrong with a link that somebody pasted.

mod diagnose;
mod format;
mod keyring;
mod keyring_file;
mod mint;
#[cfg(feature = "console")]
mod pass;
mod verify;

pub use diagnose::{Diagnosis, Finding, diagnose};
pub use format::{BaseUrl, BaseUrlError, split_route};
pub use keyring::{KeyId, Keyring, SigningKey};
pub use keyring_file::{KeyEntry, KeyringError, KeyringFile};
pub use mint::{MintError, Minter, SignedUrl};
#[cfg(feature = "console")]
pub use pass::{PassError, Purpose};
pub use verify::{Denial, Grant, Refusal, Verifier};

use std::time::Duration;

/// The longest lifetime a link may have unless set otherwise: 24 hours, as the public help page promises.
pub const DEFAULT_LONGEST_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// How far the clocks of a minter and a gateway may disagree before a fresh full-length link is refused.
pub const CLOCK_SKEW: Duration = Duration::from_secs(5 * 60);
