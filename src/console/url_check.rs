//! Checks a webhook's URL before it is saved: its form, and a probe of the receiver.

use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use serde_json::json;

use super::context::RequestContext;
use super::display::name_of;
use super::error::PageError;
use super::i18n::{explain, not_probed, url_error_in};
use super::platform::Platform;
use super::response::PageResult;
use crate::text::{self, Escape};
use crate::webhook::{EndpointUrl, Explanation, may_probe};

/// The result of a check.
#[derive(Debug, Default)]
pub(super) struct UrlCheck {
    /// Why the URL is refused.
    pub(super) refused: Option<String>,
    /// A problem that the look found; the URL may be saved anyway.
    pub(super) warned: Option<Explanation>,
    /// Whether the receiver was not asked, because it takes every method.
    unprobed: bool,
    /// The URL to save.
    pub(super) url: Option<EndpointUrl>,
}

impl RequestContext<'_> {
    /// Checks the form of the URL of an endpoint, which is empty for a new one. If `look` is set, looks whether another
    /// endpoint has this URL, and probes the receiver.
    pub(super) async fn check_receiver(
        &self,
        endpoint: &str,
        text: &str,
        look: bool,
    ) -> Result<UrlCheck, PageError> {
        let url = match self.sender.parse_entered_url(text) {
            Ok(url) => url,
            Err(error) => {
                return Ok(UrlCheck {
                    refused: Some(url_error_in(self.lang, &error)),
                    ..UrlCheck::default()
                });
            }
        };
        let warned = if look { self.warning_about(endpoint, &url).await? } else { None };
        Ok(UrlCheck { refused: None, warned, unprobed: look && !may_probe(&url), url: Some(url) })
    }

    async fn warning_about(
        &self,
        endpoint: &str,
        url: &EndpointUrl,
    ) -> Result<Option<Explanation>, PageError> {
        let endpoints = self.ledger().listed_endpoints(self.workspace).await?;
        if let Some(other) = endpoints.iter().find(|it| it.url == url.as_str() && it.id != endpoint) {
            let t = self.lang.messages();
            let summary = t.fill(t.duplicate_url, name_of(other));
            return Ok(Some(Explanation { summary, advice: Some(t.duplicate_url_advice.to_owned()) }));
        }
        let found = self.sender.probe_receiver(self.workspace, url).await;
        Ok(found.map(|found| explain(self.lang, &found.facts, found.english)))
    }

    /// Answers the script's check while a person types the URL.
    pub(super) async fn check_url(&self) -> PageResult {
        let t = self.lang.messages();
        let look = self.form.get("look") == "1";
        let check = self.check_receiver("", self.form.get("url"), look).await?;
        let (level, text) = match (&check.refused, &check.warned) {
            (Some(refused), _) => ("bad", refused.clone()),
            (None, Some(warned)) => ("warn", warned.to_string()),
            (None, None) if check.unprobed => ("wait", not_probed(self.lang).to_owned()),
            (None, None) if look => ("good", t.url_reachable.to_owned()),
            (None, None) => ("good", t.url_well_formed.to_owned()),
        };
        let platform = check.url.as_ref().map_or("", |url| Platform::of(url).name());
        let text = text::escape_invisible(&text, Escape::Json, |_| false);
        let body = json!({"level": level, "text": text, "platform": platform}).to_string();
        let mut answer = Response::new(body.into());
        *answer.status_mut() = StatusCode::OK;
        answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ok(answer)
    }
}
