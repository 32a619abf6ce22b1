//! The webhooks API of the admin listener: accepts calls, manages endpoints, shows the delivery history and resends
//! deliveries.

mod alerts;
mod api;
mod audit_trail;
mod calls;
mod deliveries;
mod endpoints;
mod erasure;
mod fields;
mod find;
mod headers;
mod json;
mod late_assets;
#[cfg(feature = "console")]
mod portal_links;
mod resource_path;
mod routes;

pub(super) use audit_trail::record;
pub use json::{
    alert_to_json, attempt_to_json, call_life_to_json, delivery_to_json, endpoint_to_json,
    found_call_to_json, link_to_json, secrets_to_json, tested_alert_to_json,
};
pub(super) use resource_path::ResourcePath;
pub(super) use routes::answer;
