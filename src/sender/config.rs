//! Defines the sender's settings.

use std::path::PathBuf;
use std::time::Duration;

use super::alert_config::AlertConfig;
use crate::webhook::{AllowedNetworks, PosterConfig, ProxyConfig};

/// The settings for sending webhooks.
#[derive(Debug, Clone)]
pub struct Config {
    /// How long a whole attempt may take.
    pub attempt_timeout: Duration,
    /// The lifetime of links that are minted for an attempt.
    pub link_lifetime: Duration,
    /// How long an event waits for a missing asset.
    pub asset_wait: Duration,
    /// How long events and their history are kept.
    pub retention: Duration,
    /// How long the audit trail is kept.
    pub audit_retention: Duration,
    /// How long an endpoint may fail before it is disabled.
    pub disable_after: Duration,
    /// The maximum number of attempts in flight in this process. Retries take at most half of them.
    pub attempts_in_flight: usize,
    /// The maximum number of attempts in flight for one endpoint, if the receiver handles them well.
    pub attempts_per_endpoint: usize,
    /// Whether `http://` URLs are allowed.
    pub allow_http: bool,
    /// Non-public networks that endpoints may be in.
    pub networks: AllowedNetworks,
    /// Certificate authorities that are trusted in addition to the machine's.
    pub ca_file: Option<PathBuf>,
    /// The proxy that webhooks are sent through, if there is one.
    pub proxy: Option<ProxyConfig>,
    /// Where alerts go, if the operator wants them.
    pub alerts: Option<AlertConfig>,
}

impl Config {
    /// The settings of the poster.
    #[must_use]
    pub fn poster(&self) -> PosterConfig {
        PosterConfig {
            networks: self.networks.clone(),
            allow_http: self.allow_http,
            deadline: self.attempt_timeout,
            ca_file: self.ca_file.clone(),
            proxy: self.proxy.clone(),
        }
    }
}
