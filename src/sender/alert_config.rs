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
        url.path_segments_mut().ok()?.pop_if_empty().extend(names);
        Some(url.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::webhook::{AllowedNetworks, UrlRules};

    #[test]
    fn the_page_of_an_endpoint_is_below_the_url_of_the_settings_page() {
        let rules = UrlRules { allow_http: true, networks: &AllowedNetworks::all() };
        let page_of = |page: &str| {
            let config = AlertConfig {
                url: EndpointUrl::parse_entered("https://chat.example.com/", &rules).unwrap(),
                format: AlertFormat::Slack,
                secret: None,
                secret_file: None,
                kinds: Vec::new(),
                interval: Duration::ZERO,
                page: Some(page.to_owned()),
            };
            let endpoint = AlertEndpoint {
                workspace: "a/b".to_owned(),
                id: "ep_1".to_owned(),
                description: String::new(),
                host: "receiver.example.com".to_owned(),
            };
            config.page_of(&endpoint).unwrap()
        };
        let path = "/console/w/a%2Fb/webhooks/ep_1";
        for page in ["https://hooks.example.com", "https://app.example.com/hooks"] {
            assert_eq!(page_of(page), format!("{page}{path}"));
        }
    }
}
