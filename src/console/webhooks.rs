//! The webhooks of a workspace, and the form that adds one.

use askama::Template;
use http::StatusCode;

use super::call_filter::{self, FilterFields};
use super::context::RequestContext;
use super::display::{Pill, Time, name_of};
use super::header_fields::{self, HeaderFields};
use super::i18n::header_error_in;
use super::layout::Layout;
use super::payload::cut_markup;
use super::response::{PageResult, page, redirect_to};
use super::route::in_path;
use super::url_check::UrlCheck;
use crate::ledger::{CallFilter, DeliveryFilter, LedgerError, NewEndpoint, is_description};
use crate::webhook::Explanation;

#[derive(Template)]
#[template(path = "webhooks.html")]
struct Webhooks {
    layout: Layout,
    rows: Vec<Row>,
    next: Option<String>,
    recent: Vec<super::deliveries::Row>,
    /// The action that restores the webhook that was just removed.
    removed: Option<String>,
    notice: Option<&'static str>,
}

struct Row {
    href: String,
    name: String,
    url: String,
    pill: Pill,
    since: Time,
}

#[derive(Template)]
#[template(path = "new_webhook.html")]
struct NewWebhook<'n> {
    layout: Layout,
    url: &'n str,
    description: &'n str,
    long_tail: bool,
    late_assets: bool,
    filter: FilterFields,
    headers: HeaderFields,
    refused: Option<String>,
    warned: Option<Explanation>,
    bad_description: bool,
}

/// The number of webhooks on a page.
const LIMIT: usize = 50;

/// The number of deliveries on the first page.
const RECENT: usize = 5;

impl RequestContext<'_> {
    pub(super) async fn list_webhooks(&self) -> PageResult {
        let t = self.lang.messages();
        let endpoints = self.ledger().endpoints(self.workspace).await?;
        let page_of_recent =
            self.ledger().deliveries(self.workspace, &DeliveryFilter::default(), RECENT).await?;
        let recent = page_of_recent.map(|page| page.deliveries).unwrap_or_default();
        let recent = recent.iter().map(|delivery| self.row(delivery, &endpoints)).collect();
        let first = self.query.get("first").parse::<usize>().unwrap_or_default().min(endpoints.len());
        let behind = first.saturating_add(LIMIT);
        let next = (behind < endpoints.len()).then(|| self.path(&format!("?first={behind}")));
        let rows = endpoints.iter().skip(first).take(LIMIT).map(|endpoint| Row {
            href: self.path(&format!("/webhooks/{}", endpoint.id)),
            name: name_of(endpoint),
            url: cut_markup(&endpoint.url, 100).0,
            pill: Pill::of_endpoint(endpoint, t),
            since: Time(endpoint.created_at),
        });
        let removed = self.query.get("removed");
        let removed = crate::ledger::is_name(removed)
            .then(|| self.path(&format!("/webhooks/{}/take-back", in_path(removed))));
        let notice = (self.query.get("done") == "late").then_some(t.too_late);
        let rows = rows.collect();
        let layout = self.layout(t.webhooks, "webhooks", &self.path(""));
        page(StatusCode::OK, &Webhooks { layout, rows, next, recent, removed, notice })
    }

    pub(super) fn show_new_webhook(&self) -> PageResult {
        let new = NewWebhook {
            layout: self.layout_of_new(),
            url: "",
            description: "",
            long_tail: false,
            late_assets: false,
            filter: FilterFields::of(&CallFilter::default(), self.lang.messages()),
            headers: HeaderFields::default(),
            refused: None,
            warned: None,
            bad_description: false,
        };
        page(StatusCode::OK, &new)
    }

    fn layout_of_new(&self) -> Layout {
        self.layout(self.lang.messages().add_webhook, "webhooks", &self.path("/webhooks/new"))
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
        let refuse = |check: UrlCheck, headers_refused| {
            let new = NewWebhook {
                layout: self.layout_of_new(),
                url,
                description,
                long_tail,
                late_assets,
                filter: FilterFields::of(&filter, self.lang.messages()),
                headers: HeaderFields::posted(&self.form, &[], headers_refused),
                refused: check.refused,
                warned: check.warned,
                bad_description,
            };
            page(StatusCode::UNPROCESSABLE_ENTITY, &new)
        };
        let (Some(checked), None, false, Ok(headers)) =
            (&check.url, &check.warned, bad_description, headers.clone())
        else {
            return refuse(check, headers.err());
        };
        let new = NewEndpoint {
            workspace: self.workspace.to_owned(),
            url: checked.as_str().to_owned(),
            description: description.to_owned(),
            long_tail,
            late_assets,
            concurrency: None,
            per_second: None,
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
        Ok(redirect_to(&self.path(&format!("/webhooks/{id}?done=added"))))
    }
}
