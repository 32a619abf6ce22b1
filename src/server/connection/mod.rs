//! One connection, from its first byte to its end.

pub(super) mod protocol;
pub(super) mod requests;
pub(super) mod resting;
pub(super) mod speaking;
pub(super) mod streams;
