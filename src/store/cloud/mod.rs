//! Builds object_store's clients for the clouds.
//!
//! In reading order, each file imports only from those above it.

mod settings;

mod dry_run;

pub(super) mod client;
