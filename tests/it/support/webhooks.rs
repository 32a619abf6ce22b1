//! Settings of the sender, and waiting for it.

use std::time::Duration;

use webhook_assets::sender::{self, AlertConfig, Sender};
use webhook_assets::webhook::{
    AlertFormat, AlertKind, AllowedNetworks, EndpointUrl, UrlRules, WebhookSecret,
};

use super::DAY;
use super::waiting::until;

/// Webhook settings for tests: to this machine, over plain HTTP.
pub fn sending() -> sender::Config {
    sender::Config {
        attempt_timeout: Duration::from_secs(20),
        link_lifetime: DAY,
        asset_wait: Duration::from_secs(60),
        retention: 30 * DAY,
        audit_retention: 365 * DAY,
        disable_after: 5 * DAY,
        attempts_in_flight: 100,
        attempts_per_endpoint: 128,
        allow_http: true,
        networks: AllowedNetworks::parse(["127.0.0.0/8"]).unwrap(),
        ca_file: None,
        proxy: None,
        alerts: None,
    }
}

/// All alerts go to this URL, at most one of an endpoint and kind in 15 minutes.
pub fn alerts_to(url: &str, format: AlertFormat, secret: Option<WebhookSecret>) -> AlertConfig {
    let rules = UrlRules { allow_http: true, networks: &AllowedNetworks::all() };
    AlertConfig {
        url: EndpointUrl::parse(url, &rules).unwrap(),
        format,
        secret,
        secret_file: None,
        kinds: AlertKind::ALL.iter().copied().filter(|kind| *kind != AlertKind::Test).collect(),
        interval: Duration::from_secs(15 * 60),
        page: Some("https://hooks.example.com".to_owned()),
    }
}

/// Waits until the sender has nothing to do before the clock moves.
pub async fn settle(sender: &Sender) {
    let (mut last, mut same) = (None, 0);
    let is_idle = async || {
        sender.wake();
        let now = sender.now();
        let pending = sender.ledger().backlog(now).await.unwrap();
        let idle = pending.sending == 0 && pending.oldest_due.is_none_or(|due| due > now);
        same = if idle && last == Some(pending) { same + 1 } else { 0 };
        last = Some(pending);
        (same == 3).then_some(())
    };
    until(is_idle, || "there is always something to do".to_owned()).await;
}
