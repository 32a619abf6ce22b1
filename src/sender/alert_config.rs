//! Defines the settings for alerts.

use std::path::PathBuf;
use std::time::Duration;

use crate::webhook::{AlertEndpoint, AlertFormat, AlertKind, EndpointUrl, WebhookSecret};

/// The settings for alerts.
#[derive(Debug, Clone)]
pub struct AlertConfig {
    /// The URL.
    pub url: EndpointUrl,
    /// The form of the body.
    pub format: AlertFormat,
    /// The secret that signs; a receiver of the Slack form knows no signature.
    pub secret: Option<WebhookSecret>,
    /// The file of the secret.
    pub secret_file: Option<PathBuf>,
    /// The wanted kinds.
    pub kinds: Vec<AlertKind>,
    /// The least time between two alerts of an endpoint and kind.
    pub interval: Duration,
    /// The URL of the settings page, if people reach it.
    pub page: Option<String>,
}

impl AlertConfig {
    /// The page of an endpoint.
    pub(super) fn page_of(&self, endpoint: &AlertEndpoint) -> Option<String> {
        let page = self.page.as_ref()?;
        let mut url = url::Url::parse(page).ok()?;
        let names = ["console", "w", &endpoint.workspace, "webhooks", &endpoint.id];
        url.path_segments_mut().ok()?.clear().extend(names);
        Some(url.into())
    }
}
