//! Settings of the sender.

use std::path::PathBuf;
use std::time::Duration;

use crate::webhook::{AllowedNetworks, PosterConfig};

/// How webhooks are sent.
#[derive(Debug, Clone)]
pub struct Config {
    /// How long a whole attempt may take.
    pub attempt_timeout: Duration,
    /// How long a link lives that is minted for an attempt.
    pub link_lifetime: Duration,
    /// How long an event waits for a missing asset.
    pub asset_wait: Duration,
    /// How long events and their history are kept.
    pub retention: Duration,
    /// How long an endpoint may fail before it is disabled.
    pub disable_after: Duration,
    /// Attempts under way at once, in this process; retries take half of them at most.
    pub attempts_in_flight: usize,
    /// The most of them for one endpoint, if it handles them well.
    pub attempts_per_endpoint: usize,
    /// Whether `http://` URLs are allowed.
    pub allow_http: bool,
    /// Networks that are allowed although they are not public.
    pub networks: AllowedNetworks,
    /// Certificate authorities that are trusted in addition to the machine's.
    pub ca_file: Option<PathBuf>,
}

impl Config {
    /// What the poster needs of it.
    #[must_use]
    pub fn poster(&self) -> PosterConfig {
        PosterConfig {
            networks: self.networks.clone(),
            allow_http: self.allow_http,
            deadline: self.attempt_timeout,
            ca_file: self.ca_file.clone(),
        }
    }
}
