//! The sender's settings.

use std::path::PathBuf;
use std::time::Duration;

use super::alerts;
use super::layers::Layers;
use super::setting::{Setting, SettingError};
use super::sources::Sources;
use crate::ledger::{DatabaseUrl, DatabaseUrlError};
use crate::webhook::{AllowedNetworks, ProxyConfig, ProxyUrl};
use crate::{ledger, sender};

impl Sources {
    /// Reads the settings for the `webhooks` commands: the database and the sender.
    pub(crate) fn read_for_webhooks(&self) -> Result<(ledger::Config, sender::Config), SettingError> {
        let layers = self.layers()?;
        Ok((read_ledger(&layers)?, read_sender(&layers, layers.get("longest_lifetime")?)?))
    }
}

pub(super) fn read_ledger(layers: &Layers) -> Result<ledger::Config, SettingError> {
    Ok(ledger::Config {
        database: layers.get("webhooks.database")?,
        secret_key_file: layers.optional("webhooks.secret_key_file")?,
    })
}

/// The file with the key that encrypts the endpoints' secrets.
pub(super) fn key_file(config: &ledger::Config) -> Option<PathBuf> {
    config.secret_key_file.clone().or_else(|| config.database.path().map(ledger::default_key_file))
}

pub(super) fn read_sender(layers: &Layers, link_lifetime: Duration) -> Result<sender::Config, SettingError> {
    Ok(sender::Config {
        attempt_timeout: layers.get("webhooks.attempt_timeout")?,
        link_lifetime,
        asset_wait: layers.get("webhooks.asset_wait")?,
        retention: layers.get("webhooks.retention")?,
        audit_retention: layers.get("audit.retention")?,
        disable_after: layers.get("webhooks.disable_after")?,
        attempts_in_flight: layers.get("webhooks.attempts_in_flight")?,
        attempts_per_endpoint: layers.get("webhooks.attempts_per_endpoint")?,
        allow_http: layers.get("webhooks.allow_http")?,
        networks: layers.get("webhooks.allowed_networks")?,
        ca_file: layers.optional("webhooks.ca_file")?,
        proxy: read_proxy(layers)?,
        alerts: alerts::read(layers)?,
    })
}

fn read_proxy(layers: &Layers) -> Result<Option<ProxyConfig>, SettingError> {
    let credentials_file: Option<PathBuf> = layers.optional("webhooks.proxy_credentials_file")?;
    let resolves_names = layers.get("webhooks.proxy_resolves_names")?;
    let url: Option<ProxyUrl> = layers.optional("webhooks.proxy")?;
    if credentials_file.is_some() && url.is_none() {
        return Err(layers.refuse("webhooks.proxy_credentials_file", "a file only beside webhooks.proxy"));
    }
    Ok(url.map(|url| ProxyConfig { url, credentials_file, resolves_names }))
}

impl Setting for ProxyUrl {
    const TAKES: &'static str = Self::TAKES;

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

impl Setting for DatabaseUrl {
    const TAKES: &'static str = Self::TAKES;

    /// A file name may begin or end with spaces.
    const TRIMMED: bool = false;

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok()
    }

    fn takes(text: &str) -> &'static str {
        text.parse::<Self>().err().map_or(Self::TAKES, DatabaseUrlError::takes)
    }

    fn shown(text: &str) -> String {
        Self::shown(text)
    }
}

impl Setting for AllowedNetworks {
    const TAKES: &'static str = "networks in CIDR notation such as 10.1.0.0/16 or fd00:1::/64";

    fn parse(text: &str) -> Option<Self> {
        Self::parse(text.split(',').map(str::trim).filter(|entry| !entry.is_empty())).ok()
    }
}
