//! The page with the list of deliveries: its search form, the selection, and what came of sending it again.

use askama::Template;
use http::StatusCode;

use super::choice::Choice;
use super::context::RequestContext;
use super::delivery_rows::ListedRow;
use super::delivery_search::{FIELDS, with_search};
use super::error::PageError;
use super::i18n::{DeliveryWords, delivery_words};
use super::layout::Layout;
use super::resend_many::{ResendForm, Resent};
use super::response::{PageResult, page};
use super::route::in_path;

/// The number of deliveries on a page.
const LIMIT: usize = 25;

#[derive(Template)]
#[template(path = "deliveries.html")]
struct Deliveries {
    layout: Layout,
    words: &'static DeliveryWords,
    rows: Vec<ListedRow>,
    live: bool,
    /// Whether the rows can be ticked: not if all that match are selected.
    selectable: bool,
    searched: bool,
    first: Option<String>,
    next: Option<String>,
    /// The address of all that match as CSV, and of this page with all of them selected.
    csv: String,
    select_all: String,
    here: String,
    form: ResendForm,
    resent: Option<Resent>,
    webhooks: Vec<Choice>,
    states: Vec<Choice>,
    pick_ups: Vec<Choice>,
    times: Vec<Choice>,
    call: String,
    from: String,
    to: String,
    wrong: Option<&'static str>,
}

impl RequestContext<'_> {
    pub(super) async fn list_deliveries(&self) -> PageResult {
        let endpoints = self.ledger().listed_endpoints(self.workspace).await?;
        let read = self.delivery_filter(&self.query);
        let filter = read.clone().unwrap_or_default();
        let found =
            self.ledger().deliveries(self.workspace, &filter, LIMIT).await?.ok_or(PageError::NotFound)?;
        let here = self.list_path("");
        let deliveries = Deliveries {
            words: delivery_words(self.lang),
            rows: self.listed_rows(&found.deliveries, &endpoints).await?,
            // Only the newest page changes.
            live: filter.cursor.is_none() && read.is_ok(),
            selectable: read.is_ok() && !self.query.has("all"),
            searched: FIELDS.iter().any(|name| self.query.has(name)),
            first: filter.cursor.is_some().then(|| here.clone()),
            next: found.next.map(|next| self.list_path(&format!("cursor={}", in_path(&next)))),
            csv: self.csv_path(),
            select_all: self.list_path("all=1"),
            form: self.resend_form(&filter).await?,
            resent: self.resent(),
            webhooks: self.choices_of_webhooks(&endpoints, self.query.get("webhook")),
            states: self.choices_of_states(),
            pick_ups: self.choices_of_pick_ups(),
            times: self.choices_of_times(self.query.get("within")),
            call: self.query.get("call").to_owned(),
            from: self.query.get("from").to_owned(),
            to: self.query.get("to").to_owned(),
            wrong: read.err(),
            layout: self.layout(self.lang.messages().deliveries, "deliveries", &here),
            here,
        };
        page(status_of(&deliveries), &deliveries)
    }

    /// The address of the list with this search, and more parameters.
    fn list_path(&self, more: &str) -> String {
        with_search(self.path("/deliveries"), &[&self.query.query(&FIELDS), more])
    }

    fn csv_path(&self) -> String {
        with_search(self.path("/deliveries.csv"), &[&self.query.query(&FIELDS)])
    }
}

fn status_of(deliveries: &Deliveries) -> StatusCode {
    if deliveries.wrong.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK }
}
