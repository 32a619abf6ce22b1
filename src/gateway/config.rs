//! The settings of the gateway.

use std::time::Duration;

use super::cors::AllowedOrigins;

/// The settings of the gateway. `defaults.toml` has their defaults.
#[derive(Debug, Clone)]
pub struct Config {
    /// The path prefix of the public URL (`/api`, or empty). Links are accepted with and without it.
    pub prefix: String,
    /// The longest lifetime that a link may have.
    pub longest_lifetime: Duration,
    /// The web pages that may read responses.
    pub allowed_origins: AllowedOrigins,
    /// The maximum number of requests with a valid link in flight. Further requests get 503.
    pub requests_in_flight: usize,
    /// The maximum number of these per client address (IPv6: per /64). `None`: no limit per address.
    pub requests_per_address: Option<usize>,
    /// The value of `Retry-After` in a 503.
    pub retry_after: Duration,
}
