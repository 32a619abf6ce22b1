//! Serves the private listener: health, metrics, the minting API for senders in any language, and the webhook sender's
//! API.

mod access;
mod erase;
mod links;
mod listener;
mod part_state;
mod probe;
mod readiness;
mod refusals;
mod response;
mod router;
mod tokens;
mod upload;
#[cfg(feature = "sender")]
mod webhooks;

pub use crate::tokens::Token;
pub use listener::{Admin, Config, Services};
pub use refusals::RefusalMetrics;
pub use router::OPENAPI;
pub use tokens::token_to_json;
#[cfg(feature = "sender")]
pub use webhooks::{
    alert_to_json, attempt_to_json, call_life_to_json, delivery_to_json, endpoint_to_json,
    found_call_to_json, link_to_json, secrets_to_json, tested_alert_to_json,
};
