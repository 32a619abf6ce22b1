//! The gateway's settings.

use std::time::Duration;

use super::cors::AllowedOrigins;

/// The settings. `defaults.toml` has their defaults.
#[derive(Debug, Clone)]
pub struct Config {
    /// The path prefix of the public URL (`/api`, or empty). Links are answered below it and without it.
    pub prefix: String,
    /// The longest lifetime a link may have.
    pub longest_lifetime: Duration,
    /// Which web pages may read the answers.
    pub allowed_origins: AllowedOrigins,
    /// How many requests with a good link may be in flight; others get 503.
    pub requests_in_flight: usize,
    /// How many of these one address (IPv6: one /64) may have. If not set, as many as are free.
    pub requests_per_address: Option<usize>,
    /// The `Retry-After` of a 503.
    pub retry_after: Duration,
}
