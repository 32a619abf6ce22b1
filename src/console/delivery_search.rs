//! The search form of deliveries: its fields become a filter of the history.

use super::choice::Choice;
use super::context::RequestContext;
use super::display::{name_of, state_label};
use super::form::Form;
use super::time_range::{read_time, relative_range};
use crate::ledger::{DeliveryFilter, DeliveryState, HistoryOrder, ListedEndpoint, PickUp, is_name};

/// The most webhooks that the search form offers; the page of each webhook also links to its deliveries.
const CHOICES: usize = 100;

/// The field names of the search form.
pub(super) const FIELDS: [&str; 7] = ["webhook", "status", "pick_up", "call", "within", "from", "to"];

impl RequestContext<'_> {
    /// The filter from the fields of the search form, or an error message about one of them. The newest activity comes first.
    pub(super) fn delivery_filter(&self, fields: &Form) -> Result<DeliveryFilter, &'static str> {
        let t = self.lang.messages();
        let named = |name| {
            let text = fields.get(name);
            is_name(text).then(|| text.to_owned())
        };
        let time = |name: &str| match fields.get(name) {
            "" => Ok(None),
            text => read_time(text).map(Some).ok_or(t.wrong_time),
        };
        if fields.has("call") && named("call").is_none() {
            return Err(t.wrong_call);
        }
        let from = match relative_range(fields.get("within")) {
            Some(within) => Some(self.sender.now().minus(within)),
            None => time("from")?,
        };
        Ok(DeliveryFilter {
            order: HistoryOrder::Activity,
            endpoint: named("webhook"),
            state: DeliveryState::of(fields.get("status")),
            pick_up: PickUp::of(fields.get("pick_up")),
            call: named("call"),
            from,
            to: time("to")?,
            cursor: named("cursor"),
        })
    }

    pub(super) fn choices_of_webhooks(&self, endpoints: &[ListedEndpoint], chosen: &str) -> Vec<Choice> {
        let all = Choice {
            value: String::new(),
            word: self.lang.messages().all_webhooks.to_owned(),
            chosen: false,
        };
        let each = endpoints.iter().take(CHOICES).map(|endpoint| Choice {
            value: endpoint.id.clone(),
            word: name_of(endpoint),
            chosen: endpoint.id == chosen,
        });
        std::iter::once(all).chain(each).collect()
    }

    pub(super) fn choices_of_states(&self) -> Vec<Choice> {
        let t = self.lang.messages();
        let chosen = DeliveryState::of(self.query.get("status"));
        let all = Choice { value: String::new(), word: t.any_status.to_owned(), chosen: false };
        let each = DeliveryState::ALL.into_iter().map(|state| Choice {
            value: state.name().to_owned(),
            word: state_label(state, t).to_owned(),
            chosen: chosen == Some(state),
        });
        std::iter::once(all).chain(each).collect()
    }

    pub(super) fn choices_of_pick_ups(&self) -> Vec<Choice> {
        let t = self.lang.messages();
        let choices = [
            ("", t.any_pick_up),
            (PickUp::Fetched.name(), t.fetched_links),
            (PickUp::NotFetched.name(), t.links_not_fetched),
        ];
        Choice::list(&choices, self.query.get("pick_up"))
    }

    pub(super) fn choices_of_times(&self, chosen: &str) -> Vec<Choice> {
        let t = self.lang.messages();
        let choices = [("", t.any_time), ("1h", t.last_hour), ("24h", t.last_day), ("7d", t.last_week)];
        Choice::list(&choices, chosen)
    }
}

/// A path with the parts of a query that are not empty.
pub(super) fn with_search(path: String, parts: &[&str]) -> String {
    let parts: Vec<&str> = parts.iter().copied().filter(|part| !part.is_empty()).collect();
    if parts.is_empty() { path } else { format!("{path}?{}", parts.join("&")) }
}
