//! The settings of alerts.

use std::path::{Path, PathBuf};

use super::layers::Layers;
use super::setting::{Setting, SettingError};
use crate::sender::AlertConfig;
use crate::webhook::{AlertFormat, AlertKind, AllowedNetworks, EndpointUrl, UrlRules, WebhookSecret};

/// The URL of alerts. Its path may be secret, so errors do not show it.
struct AlertUrl(EndpointUrl);

struct Kinds(Vec<AlertKind>);

pub(super) fn read(layers: &Layers) -> Result<Option<AlertConfig>, SettingError> {
    let format: AlertFormat = layers.get("alerts.format")?;
    let secret_file: Option<PathBuf> = layers.optional("alerts.secret_file")?;
    let Kinds(kinds) = layers.get("alerts.kinds")?;
    let interval = layers.get("alerts.interval")?;
    let secret = secret_file.as_deref().map(|path| read_secret(layers, path)).transpose()?;
    let Some(AlertUrl(url)) = layers.optional("alerts.url")? else { return Ok(None) };
    if format == AlertFormat::Json && secret_file.is_none() {
        return Err(
            layers.refuse("alerts.secret_file", "a file with a secret, unless alerts.format is slack")
        );
    }
    Ok(Some(AlertConfig { url, format, secret, secret_file, kinds, interval, page: read_page(layers)? }))
}

fn read_secret(layers: &Layers, path: &Path) -> Result<WebhookSecret, SettingError> {
    let takes = "the path of a readable file whose first line is a secret: whsec_ and standard base64 of 24 to 64 bytes";
    let refuse = || layers.refuse("alerts.secret_file", takes);
    let text = zeroize::Zeroizing::new(std::fs::read_to_string(path).map_err(|_| refuse())?);
    WebhookSecret::parse(text.lines().next().unwrap_or_default().trim()).map_err(|_| refuse())
}

/// The URL of the settings page, if people reach it elsewhere than at this machine.
#[cfg(feature = "console")]
fn read_page(layers: &Layers) -> Result<Option<String>, SettingError> {
    let url: Option<crate::signed_url::BaseUrl> = layers.optional("console.url")?;
    Ok(url.map(|url| url.as_str().to_owned()))
}

#[cfg(not(feature = "console"))]
#[expect(clippy::unnecessary_wraps, reason = "as with the settings page")]
fn read_page(_layers: &Layers) -> Result<Option<String>, SettingError> {
    Ok(None)
}

impl Setting for AlertUrl {
    const TAKES: &'static str =
        "a URL such as https://hooks.slack.com/services/... or http://mattermost.internal/hooks/...";

    fn parse(text: &str) -> Option<Self> {
        let rules = UrlRules { allow_http: true, networks: &AllowedNetworks::all() };
        EndpointUrl::parse_entered(text, &rules).ok().map(Self)
    }

    fn shown(text: &str) -> String {
        let scheme = text.split_once("://").map(|(scheme, _)| format!("{scheme}://"));
        format!("{}[redacted]", scheme.unwrap_or_default())
    }
}

impl Setting for AlertFormat {
    const TAKES: &'static str = "json or slack";

    fn parse(text: &str) -> Option<Self> {
        match text {
            "json" => Some(Self::Json),
            "slack" => Some(Self::Slack),
            _ => None,
        }
    }
}

impl Setting for Kinds {
    const TAKES: &'static str = "a list of endpoint.failing, endpoint.held, endpoint.disabled, endpoint.recovered, delivery.exhausted and \
         links.unfetched";

    fn parse(text: &str) -> Option<Self> {
        let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
        let kinds = names.map(|name| AlertKind::of(name).filter(|kind| *kind != AlertKind::Test));
        kinds.collect::<Option<Vec<_>>>().map(Self)
    }
}
