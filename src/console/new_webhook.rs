//! The form that adds a webhook.

use askama::Template;
use http::StatusCode;

use super::call_filter::{self, FilterFields};
use super::context::RequestContext;
use super::guides::Guide;
use super::header_fields::{self, HeaderFields};
use super::i18n::{OnboardingWords, figure_words, header_error_in};
use super::layout::Layout;
use super::limit_fields::{self, LimitFields};
use super::onboarding::{Offer, Steps};
use super::platform::Platform;
use super::response::{PageResult, page, redirect_to};
use super::url_check::UrlCheck;
use crate::ledger::{CallFilter, LedgerError, NewEndpoint, is_description};
use crate::webhook::Explanation;

#[derive(Template)]
#[template(path = "new_webhook.html")]
struct NewWebhook<'n> {
    layout: Layout,
    onboarding: &'static OnboardingWords,
    steps: Steps,
    offers: Vec<Offer>,
    guides: Vec<Guide>,
    /// The name of the chosen platform.
    platform: Option<&'static str>,
    url: &'n str,
    description: &'n str,
    long_tail: bool,
    late_assets: bool,
    filter: FilterFields,
    headers: HeaderFields,
    limits: LimitFields,
    refused: Option<String>,
    warned: Option<Explanation>,
    bad_description: bool,
}

impl RequestContext<'_> {
    pub(super) fn show_new_webhook(&self) -> PageResult {
        page(StatusCode::OK, &self.empty_form())
    }

    fn empty_form(&self) -> NewWebhook<'_> {
        NewWebhook {
            layout: self.layout_of_new(),
            onboarding: self.onboarding_words(),
            steps: self.steps_of_new(),
            offers: self.offers(),
            guides: self.guides_of_new(),
            platform: self.chosen_platform().map(Platform::name),
            url: "",
            description: "",
            long_tail: false,
            late_assets: false,
            filter: FilterFields::of(&CallFilter::default(), self.lang),
            headers: HeaderFields::default(),
            limits: LimitFields::default(),
            refused: None,
            warned: None,
            bad_description: false,
        }
    }

    fn layout_of_new(&self) -> Layout {
        self.layout(
            self.lang.messages().add_webhook,
            "webhooks",
            &self.path(&format!("/webhooks/new{}", self.platform_query("?"))),
        )
    }

    fn steps_of_new(&self) -> Steps {
        self.steps(if self.chosen_platform().is_some() { 2 } else { 1 }, None)
    }

    /// Adds a webhook. The form asks for confirmation if another webhook has its URL, and if the probe of its receiver
    /// fails, because the receiver may not run yet.
    pub(super) async fn add_webhook(&self) -> PageResult {
        let (url, description) = (self.form.get("url"), self.form.get("description"));
        let anyway = self.form.get("anyway") == "1";
        let check = self.check_receiver("", url, !anyway).await?;
        let bad_description = !is_description(description);
        let long_tail = self.form.get("long_tail") == "1";
        let late_assets = self.form.get("late_assets") == "1";
        let filter = call_filter::posted(&self.form);
        let headers = header_fields::posted(&self.form, &[], self.lang);
        let limits = limit_fields::posted(&self.form, figure_words(self.lang));
        let limits_refused = limits.as_ref().err().copied();
        let refuse = |check: UrlCheck, headers_refused| {
            let new = NewWebhook {
                url,
                description,
                long_tail,
                late_assets,
                filter: FilterFields::of(&filter, self.lang),
                headers: HeaderFields::posted(&self.form, &[], headers_refused),
                limits: LimitFields::posted(&self.form, limits_refused),
                refused: check.refused,
                warned: check.warned,
                bad_description,
                ..self.empty_form()
            };
            page(StatusCode::UNPROCESSABLE_ENTITY, &new)
        };
        let (Some(checked), None, false, Ok(headers), Ok(limits)) =
            (&check.url, &check.warned, bad_description, headers.clone(), limits)
        else {
            return refuse(check, headers.err());
        };
        let new = NewEndpoint {
            workspace: self.workspace.to_owned(),
            url: checked.as_str().to_owned(),
            description: description.to_owned(),
            long_tail,
            late_assets,
            concurrency: limits.concurrency.flatten(),
            per_second: limits.per_second.flatten(),
            filter: filter.clone(),
            allow_duplicate: anyway,
            headers,
        };
        let id = match self.ledger().add_endpoint(new, self.sender.now()).await {
            Ok((endpoint, _)) => endpoint.id,
            // The first click of a double click has just added it.
            Err(LedgerError::DuplicateUrl(id)) => id,
            Err(LedgerError::Header(error)) => {
                return refuse(check, Some(header_error_in(self.lang, &error)));
            }
            Err(error) => return Err(error.into()),
        };
        Ok(redirect_to(&self.path(&format!("/webhooks/{id}?done=added{}", self.platform_query("&")))))
    }
}
