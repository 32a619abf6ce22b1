//! The first page of a workspace: its webhooks, those that fail first, with the figures of 24 hours.

use std::collections::HashMap;

use askama::Template;
use http::StatusCode;

use super::chart::Bars;
use super::condition::Condition;
use super::context::RequestContext;
use super::display::{Pill, Time, host_of, name_of};
use super::error::PageError;
use super::figures::AttemptWords;
use super::i18n::{FigureWords, figure_words};
use super::layout::Layout;
use super::onboarding::{Offer, Steps};
use super::payload::cut_markup;
use super::response::{PageResult, page};
use super::route::in_path;
use crate::ledger::{DeliveryFilter, EndpointFigures, FigureSpan, ListedEndpoint};

#[derive(Template)]
#[template(path = "webhooks.html")]
struct WebhookList {
    layout: Layout,
    words: &'static FigureWords,
    /// How many webhooks are in which condition.
    conditions: Vec<(Pill, usize)>,
    /// The search, and how many it found; `None` for a few webhooks, which need no search.
    search: Option<Search>,
    rows: Vec<Row>,
    previous: Option<String>,
    next: Option<String>,
    /// The steps to a first webhook, and the platforms to choose from.
    steps: Steps,
    offers: Vec<Offer>,
    /// The last deliveries, on the first page.
    recent: Option<Vec<super::recent_rows::Row>>,
    /// The action that restores the webhook that was just removed.
    removed: Option<String>,
    notice: Option<&'static str>,
}

struct Search {
    text: String,
    /// In words; `None` without a text.
    found: Option<String>,
}

struct Row {
    href: String,
    name: String,
    /// Its host and path, unless the name is its host.
    place: String,
    pill: Pill,
    bars: Bars,
    attempts: AttemptWords,
    last_success: Option<Time>,
    pending: u64,
    failed: u64,
}

/// The number of webhooks on a page, which fits on a screen.
const LIMIT: usize = 20;

/// The number of webhooks from which on a search is offered.
const SEARCH_FROM: usize = 6;

/// The number of deliveries on the first page.
const RECENT: usize = 5;

/// The longest text to search for, in characters.
const MAX_TEXT: usize = 100;

impl RequestContext<'_> {
    pub(super) async fn list_webhooks(&self) -> PageResult {
        let (t, words) = (self.lang.messages(), figure_words(self.lang));
        let endpoints = self.ledger().listed_endpoints(self.workspace).await?;
        let text: String = self.query.get("q").chars().take(MAX_TEXT).collect();
        let found = in_order(endpoints.iter().filter(|endpoint| matches(endpoint, &text)));
        let first = self.query.get("first").parse::<usize>().unwrap_or_default().min(found.len());
        let behind = first.saturating_add(LIMIT);
        let shown: Vec<&ListedEndpoint> = found.iter().skip(first).take(LIMIT).copied().collect();
        let is_first = first == 0 && text.is_empty();
        let removed = self.query.get("removed");
        let list = WebhookList {
            layout: self.layout(t.webhooks, "webhooks", &self.page_of_list(first, &text)),
            words,
            conditions: Condition::counts(endpoints.iter())
                .into_iter()
                .map(|(condition, count)| (condition.pill(t), count))
                .collect(),
            search: (endpoints.len() >= SEARCH_FROM || !text.is_empty()).then(|| Search {
                found: (!text.is_empty()).then(|| self.found(&text, found.len(), endpoints.len())),
                text: text.clone(),
            }),
            rows: self.rows_of(&shown).await?,
            previous: (first > 0).then(|| self.page_of_list(first.saturating_sub(LIMIT), &text)),
            next: (behind < found.len()).then(|| self.page_of_list(behind, &text)),
            steps: self.steps(1, None),
            offers: self.offers(),
            recent: if is_first { Some(self.recent_deliveries(&endpoints).await?) } else { None },
            removed: crate::ledger::is_name(removed)
                .then(|| self.path(&format!("/webhooks/{}/take-back", in_path(removed)))),
            notice: (self.query.get("done") == "late").then_some(t.too_late),
        };
        page(StatusCode::OK, &list)
    }

    /// The path of a page of the list, which keeps the search.
    fn page_of_list(&self, first: usize, text: &str) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        if !text.is_empty() {
            query.append_pair("q", text);
        }
        if first > 0 {
            query.append_pair("first", &first.to_string());
        }
        let query = query.finish();
        if query.is_empty() { self.path("") } else { self.path(&format!("?{query}")) }
    }

    fn found(&self, text: &str, found: usize, all: usize) -> String {
        let (t, words) = (self.lang.messages(), figure_words(self.lang));
        match found {
            0 => t.fill(words.nothing_found, text),
            found => t.fill(&t.fill(words.matching, found), all),
        }
    }

    async fn rows_of(&self, endpoints: &[&ListedEndpoint]) -> Result<Vec<Row>, PageError> {
        let ids: Vec<String> = endpoints.iter().map(|endpoint| endpoint.id.clone()).collect();
        let mut figures = self.ledger().figures(&ids, FigureSpan::Day, self.sender.now()).await?;
        Ok(endpoints.iter().map(|endpoint| self.row_of(endpoint, &mut figures)).collect())
    }

    fn row_of(&self, endpoint: &ListedEndpoint, figures: &mut HashMap<String, EndpointFigures>) -> Row {
        let t = self.lang.messages();
        let figures = figures.remove(&endpoint.id).unwrap_or_default();
        let name = name_of(endpoint);
        let place = endpoint.url.split_once("://").map_or(endpoint.url.as_str(), |(_, place)| place);
        Row {
            href: self.path(&format!("/webhooks/{}", in_path(&endpoint.id))),
            // Without a description, the name is the host, which the place begins with.
            place: cut_markup(place.strip_prefix(name.as_str()).unwrap_or(place), 100).0,
            name,
            pill: Condition::of(endpoint).pill(t),
            bars: Bars::of(&figures.parts),
            attempts: AttemptWords::of(&figures.attempts, t.last_day, self.lang),
            last_success: figures.last_success.map(Time),
            pending: figures.pending,
            failed: figures.failed,
        }
    }

    async fn recent_deliveries(
        &self,
        endpoints: &[ListedEndpoint],
    ) -> Result<Vec<super::recent_rows::Row>, PageError> {
        let found = self.ledger().deliveries(self.workspace, &DeliveryFilter::default(), RECENT).await?;
        let recent = found.map(|page| page.deliveries).unwrap_or_default();
        Ok(recent.iter().map(|delivery| self.row(delivery, endpoints)).collect())
    }
}

/// Endpoints by condition, then by name.
fn in_order<'e>(endpoints: impl Iterator<Item = &'e ListedEndpoint>) -> Vec<&'e ListedEndpoint> {
    let mut endpoints: Vec<&ListedEndpoint> = endpoints.collect();
    endpoints.sort_by_cached_key(|endpoint| (Condition::of(endpoint), name_of(endpoint).to_lowercase()));
    endpoints
}

/// Whether a text occurs in the description or the host of an endpoint, in any case; or is its id.
fn matches(endpoint: &ListedEndpoint, text: &str) -> bool {
    let text = text.to_lowercase();
    let has = |field: &str| field.to_lowercase().contains(&text);
    has(&endpoint.description) || has(&host_of(&endpoint.url)) || endpoint.id == text
}
