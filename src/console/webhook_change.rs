//! The form that changes a webhook: its URL, name, filter, headers, limits and options.

use super::call_filter;
use super::context::RequestContext;
use super::error::PageError;
use super::header_fields::{self, HeaderFields};
use super::i18n::{figure_words, header_error_in};
use super::limit_fields::{self, LimitFields};
use super::response::{PageResult, redirect_to};
use super::url_check::UrlCheck;
use super::webhook::FormState;
use crate::ledger::{EndpointChange, LedgerError, is_description};

impl RequestContext<'_> {
    pub(super) async fn change(&self, id: &str, back: &str) -> PageResult {
        let endpoint = self.endpoint(id).await?;
        let (url, description) = (self.form.get("url"), self.form.get("description"));
        let look = self.form.get("anyway") != "1" && url != endpoint.url;
        let check = self.check_receiver(id, url, look).await?;
        let bad_description = !is_description(description);
        let headers = header_fields::posted(&self.form, &endpoint.headers, self.lang);
        let limits = limit_fields::posted(&self.form, figure_words(self.lang));
        let limits_refused = limits.as_ref().err().copied();
        let refuse = |check: UrlCheck, headers_refused| FormState {
            url: Some(url.to_owned()),
            description: Some(description.to_owned()),
            refused: check.refused,
            warned: check.warned,
            bad_description,
            filter: Some(call_filter::posted(&self.form)),
            headers: Some(HeaderFields::posted(&self.form, &endpoint.headers, headers_refused)),
            limits: Some(LimitFields::posted(&self.form, limits_refused)),
            ..FormState::default()
        };
        let (Some(checked), None, false, Ok(headers), Ok(limits)) =
            (&check.url, &check.warned, bad_description, headers.clone(), limits)
        else {
            return self.show_webhook(id, refuse(check, headers.err())).await;
        };
        let are_dropped =
            checked.as_str() != endpoint.url && !endpoint.headers.is_empty() && headers.is_empty();
        let names: Vec<String> = headers.names().map(str::to_owned).collect();
        let change = EndpointChange {
            // An unchanged URL keeps its failure history.
            url: (checked.as_str() != endpoint.url).then(|| checked.as_str().to_owned()),
            description: Some(description.to_owned()),
            long_tail: Some(self.form.get("long_tail") == "1"),
            late_assets: Some(self.form.get("late_assets") == "1"),
            concurrency: limits.concurrency,
            per_second: limits.per_second,
            filter: Some(call_filter::posted(&self.form)),
            // The form has asked for confirmation.
            allow_duplicate: true,
            headers,
            ..EndpointChange::default()
        };
        match self.ledger().change_endpoint(self.workspace, id, change).await {
            Ok(changed) => changed.ok_or(PageError::NotFound)?,
            Err(LedgerError::Header(error)) => {
                let refused = header_error_in(self.lang, &error);
                return self.show_webhook(id, refuse(check, Some(refused))).await;
            }
            Err(error) => return Err(error.into()),
        };
        self.sender.wake();
        if !names.is_empty() {
            let headers = names.join(", ");
            tracing::info!(target: "webhook_assets::audit", workspace = self.workspace, endpoint = id, headers, "an endpoint's headers were changed");
        }
        let done = if are_dropped { "without-headers" } else { "changed" };
        Ok(redirect_to(&format!("{back}?done={done}")))
    }
}
