//! Alerts: webhooks to the operator about endpoints that need a look.

mod body;
mod kind;
mod message;
mod slack;

pub use kind::{AlertFormat, AlertKind};
pub use message::{Alert, AlertEndpoint};
