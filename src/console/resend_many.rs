//! Sends chosen deliveries again: those that are ticked, or all that match a search.

use serde_json::{Value, json};

use super::context::RequestContext;
use super::delivery_search::{FIELDS, with_search};
use super::error::PageError;
use super::form::Form;
use super::i18n::delivery_words;
use super::response::{PageResponse, PageResult, redirect_to};
use crate::ledger::{DeliveryFilter, Lane, ResendMany, ResentMany, is_name};

/// The most deliveries that one form sends again.
const MAX_RESENT: usize = 10_000;

/// The form around the list.
pub(super) struct ResendForm {
    /// The search, for all that match.
    pub(super) search: Vec<(&'static str, String)>,
    /// If all that match are selected, how many they are, in words.
    pub(super) all: Option<String>,
}

/// What came of a form, in words.
pub(super) struct Resent {
    pub(super) good: bool,
    pub(super) text: String,
}

impl RequestContext<'_> {
    pub(super) async fn resend_form(&self, filter: &DeliveryFilter) -> Result<ResendForm, PageError> {
        let fields = FIELDS.into_iter().filter(|name| self.query.has(name));
        let all = if self.query.has("all") { Some(self.count_in_words(filter).await?) } else { None };
        Ok(ResendForm { search: fields.map(|name| (name, self.query.get(name).to_owned())).collect(), all })
    }

    async fn count_in_words(&self, filter: &DeliveryFilter) -> Result<String, PageError> {
        let (words, t) = (delivery_words(self.lang), self.lang.messages());
        let (ids, more) = self.matching(filter).await?;
        let count = ids.len() as u64;
        Ok(if more {
            t.fill(words.newest_of_all, count)
        } else {
            self.lang.counted(count, words.all_one, words.all_many)
        })
    }

    /// The newest deliveries that match, and whether there are more.
    async fn matching(&self, filter: &DeliveryFilter) -> Result<(Vec<String>, bool), PageError> {
        let filter = DeliveryFilter { cursor: None, ..filter.clone() };
        let found = self.ledger().deliveries(self.workspace, &filter, MAX_RESENT).await?;
        let found = found.ok_or(PageError::NotFound)?;
        Ok((found.deliveries.into_iter().map(|delivery| delivery.id).collect(), found.next.is_some()))
    }

    /// Sends what the form names again, and redirects to the list with the outcome.
    pub(super) async fn resend_many(&self) -> PageResult {
        let all = self.form.has("all");
        let (ids, endpoint, lane) = if all {
            let filter = self.delivery_filter(&self.form).map_err(|_| PageError::BadForm)?;
            (self.matching(&filter).await?.0, filter.endpoint, Lane::Retry)
        } else {
            let ids = self.form.all("id").filter(|id| is_name(id)).map(str::to_owned).collect();
            (ids, None, Lane::Resend)
        };
        if ids.is_empty() {
            return Ok(self.redirect_to_list("resent=none"));
        }
        let what = if all { search_to_json(&self.form) } else { json!({"chosen": ids.len()}) };
        let chosen = ResendMany { ids: &ids, lane, endpoint: endpoint.as_deref() };
        let ResentMany { queued, in_flight, no_endpoint, unknown } =
            self.sender.resend_many(self.workspace, chosen, what).await?;
        Ok(self.redirect_to_list(&format!(
            "resent={queued}&under_way={in_flight}&no_webhook={no_endpoint}&unknown={unknown}"
        )))
    }

    fn redirect_to_list(&self, outcome: &str) -> PageResponse {
        let search = self.form.query(&FIELDS);
        redirect_to(&with_search(self.path("/deliveries"), &[&search, outcome]))
    }

    /// What came of the form that led to this page.
    pub(super) fn resent(&self) -> Option<Resent> {
        let words = delivery_words(self.lang);
        let queued = match self.query.get("resent") {
            "" => return None,
            "none" => return Some(Resent { good: false, text: words.none_chosen.to_owned() }),
            number => number.parse().ok()?,
        };
        let others = [
            ("under_way", words.under_way_one, words.under_way_many),
            ("no_webhook", words.no_webhook_one, words.no_webhook_many),
            ("unknown", words.unknown_one, words.unknown_many),
        ];
        let mut sentences = vec![self.lang.counted(queued, words.resent_one, words.resent_many)];
        for (name, one, many) in others {
            match self.query.get(name).parse() {
                Ok(0) | Err(_) => {}
                Ok(number) => sentences.push(self.lang.counted(number, one, many)),
            }
        }
        Some(Resent { good: sentences.len() == 1 && queued > 0, text: sentences.join(" ") })
    }
}

/// A search, for the audit trail.
fn search_to_json(form: &Form) -> Value {
    let fields = FIELDS.into_iter().filter(|name| form.has(name));
    let fields = fields.map(|name| (name.to_owned(), Value::from(form.get(name))));
    fields.chain([("all".to_owned(), true.into())]).collect()
}
