//! The clients of the clouds' stores: their settings, and whether they can be used.

pub(crate) mod dry_run;
pub(crate) mod settings;
