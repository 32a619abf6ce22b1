//! Signed URLs: pure functions of bytes and `now`. Only reading a keyring file does I/O.
//!
//! ```text
//! {base}/webhook-assets/{recording|transcript}/{uuid}?expires={unix seconds}&sig={64 lower-case hex digits}
//! ```
//!
//! - [`Minter`] makes links, signed with the newest key of a [`Keyring`] that has started.
//! - [`Verifier`] checks links and returns a [`Grant`], which the store requires.
//! - [`diagnose`] explains what is wrong with a pasted link.

mod diagnose;
mod format;
mod key_source;
mod keyring;
mod keyring_error;
mod keyring_file;
mod keyring_json;
mod mint;
mod verify;

pub use diagnose::{Diagnosis, Finding, diagnose};
pub use format::{BaseUrl, BaseUrlError, requested_format, split_route};
pub use key_source::{KeySource, ReloadingKeyring};
pub use keyring::{KeyId, Keyring, SigningKey};
pub use keyring_error::KeyringError;
pub use keyring_file::{KeyEntry, KeyringFile};
pub use mint::{Fault, MintError, Minter, SignedUrl};
pub use verify::{CLOCK_SKEW, DEFAULT_LONGEST_LIFETIME, Denial, Grant, Refusal, Verifier};
