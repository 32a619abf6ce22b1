//! Checks of requests that hyper leaves to the server, responses to invalid requests, and reading of request bodies.

pub(super) mod body;
pub(super) mod checked_heads;
pub(super) mod rejection;
pub(super) mod validate;

pub use body::BodyError;
pub use validate::Bodies;
