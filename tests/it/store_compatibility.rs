//! Stores that answer unlike S3, and unusual objects: over plain HTTP and over TLS.

mod circuit_breaker;
mod heads;
mod stored_encodings;
mod versions;

use uuid::Uuid;
use webhook_assets::AssetRef;

use crate::support::{Answer, Site, request_head};

/// A recording other than the call's.
fn recording_of(call: u128) -> AssetRef {
    AssetRef::recording(Uuid::from_u128(0x550e_8400_e29b_41d4_a716_0000_0000_0000 + call))
}

/// The answer to a GET, which may be cut short.
async fn download(site: &Site, link: &str, fields: &[(&str, &str)]) -> Answer {
    let request = request_head("GET", link, fields, b"");
    Answer::parse_loosely(&site.client().exchange(request.as_bytes()).await, false).0
}

/// Whether requests reach the store.
fn finds_the_store_up(site: &Site) -> bool {
    site.metrics.render().lines().any(|line| line == "webhook_assets_store_up 1")
}
