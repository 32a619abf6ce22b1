//! Posts alerts to the operator's URL.

use std::time::Duration;

use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};

use super::alert_config::AlertConfig;
use super::config::Config;
use crate::clock::{UnixMillis, UnixSeconds};
use crate::webhook::{
    Alert, AllowedNetworks, Diagnosis, Exchange, Poster, PosterConfig, PosterError, Signing, diagnose,
    diagnose_probe,
};

/// Posts alerts. It shares no connection with webhooks to endpoints.
#[derive(Debug, Clone)]
pub struct AlertPoster {
    config: AlertConfig,
    poster: Poster,
    deadline: Duration,
}

impl AlertPoster {
    /// A poster; `None` if the operator wants no alerts. The operator's URL may lead to a private address.
    ///
    /// # Errors
    /// [`PosterError`] if TLS cannot be set up.
    pub fn new(config: &Config) -> Result<Option<Self>, PosterError> {
        let Some(alerts) = config.alerts.clone() else { return Ok(None) };
        let poster = PosterConfig { networks: AllowedNetworks::all(), allow_http: true, ..config.poster() };
        let poster = Poster::new(&poster)?;
        Ok(Some(Self { config: alerts, poster, deadline: config.attempt_timeout }))
    }

    /// The settings.
    #[must_use]
    pub fn config(&self) -> &AlertConfig {
        &self.config
    }

    /// Posts an alert once. Returns what came of it, and what that means.
    pub async fn post(&self, alert: &Alert, now: UnixSeconds) -> (Exchange, Diagnosis) {
        let page = alert.endpoint.as_ref().and_then(|endpoint| self.config.page_of(endpoint));
        let body = alert.body(self.config.format, page.as_deref());
        let signing = self.config.secret.clone().map(Signing::with);
        let mut headers =
            signing.map_or_else(HeaderMap::new, |signing| signing.headers(&alert.id, now, &body));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let exchange = self.poster.post("", &self.config.url, headers, body).await;
        let diagnosis = diagnose(&self.config.url, &exchange, self.deadline);
        (exchange, diagnosis)
    }

    /// Posts a test.
    pub async fn test(&self, now: UnixMillis) -> (Exchange, Diagnosis) {
        let id = format!(
            "alt_{}",
            uuid::Builder::from_unix_timestamp_millis(now.0, &random()).into_uuid().simple()
        );
        self.post(&Alert::test(id, now), now.seconds()).await
    }

    /// Connects to the receiver without an alert. Returns a diagnosis if it finds a problem.
    pub async fn probe(&self) -> Option<Diagnosis> {
        diagnose_probe(&self.config.url, &self.poster.probe("", &self.config.url).await)
            .filter(|diagnosis| diagnosis.facts.code != "method_not_allowed")
    }
}

/// Ten random bytes; zeros if the system has none. A test needs no more than the time.
fn random() -> [u8; 10] {
    let mut bytes = [0; 10];
    let _ = getrandom::fill(&mut bytes);
    bytes
}
