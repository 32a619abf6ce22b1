//! The rows of the list of deliveries: what was sent, what came of it and why.

use super::context::RequestContext;
use super::display::{Pill, Time, name_of};
use super::error::PageError;
use super::i18n::{delivery_words, explain};
use super::payload::cut_markup;
use crate::ledger::{Delivery, DeliveryContent, DeliveryState, ListedEndpoint};
use crate::webhook::{Explanation, Facts};

/// The most bytes of markup of texts from outside, so that a page stays below 100 KB.
const MAX_PERSON: usize = 120;
const MAX_RESULT: usize = 300;
const MAX_NOTE: usize = 200;

/// A row of the list.
pub(super) struct ListedRow {
    pub(super) id: String,
    pub(super) href: String,
    pub(super) pill: Pill,
    /// The call's id; `None` for test events.
    pub(super) call: Option<String>,
    /// Whether it reports late assets.
    pub(super) is_update: bool,
    /// The prospect and the company.
    pub(super) person: Option<String>,
    pub(super) webhook: String,
    /// What came of the last attempt, in words.
    pub(super) result: Option<String>,
    pub(super) note: Option<String>,
    /// Whether its links were followed; `None` if it has not delivered any.
    pub(super) pick_up: Option<&'static str>,
    pub(super) attempts: u32,
    pub(super) at: Time,
}

impl RequestContext<'_> {
    pub(super) async fn listed_rows(
        &self,
        deliveries: &[Delivery],
        endpoints: &[ListedEndpoint],
    ) -> Result<Vec<ListedRow>, PageError> {
        let contents = self.ledger().contents_of(deliveries).await?;
        let row = |delivery: &Delivery| self.listed_row(delivery, contents.get(&delivery.id), endpoints);
        Ok(deliveries.iter().map(row).collect())
    }

    fn listed_row(
        &self,
        delivery: &Delivery,
        content: Option<&DeliveryContent>,
        endpoints: &[ListedEndpoint],
    ) -> ListedRow {
        let t = self.lang.messages();
        let webhook = endpoints.iter().find(|endpoint| endpoint.id == delivery.endpoint);
        let cut = |text: String, longest| cut_markup(&text, longest).0;
        ListedRow {
            id: delivery.id.clone(),
            href: self.path(&format!("/deliveries/{}", delivery.id)),
            pill: Pill::of_delivery(delivery, t),
            call: delivery.call.clone(),
            is_update: !delivery.arrived.is_empty(),
            person: content.and_then(person_of).map(|person| cut(person, MAX_PERSON)),
            webhook: webhook.map_or_else(|| t.removed_webhook.to_owned(), name_of),
            result: self.result_of(delivery, content).map(|result| cut(result, MAX_RESULT)),
            note: delivery.note.clone().map(|note| cut(note, MAX_NOTE)),
            pick_up: self.pick_up_of(delivery),
            attempts: delivery.attempts,
            at: Time(delivery.active_at),
        }
    }

    /// What came of the last attempt, in a sentence.
    pub(super) fn result_of(&self, delivery: &Delivery, content: Option<&DeliveryContent>) -> Option<String> {
        let content = content?;
        let facts =
            Facts::of_stored(content.code.as_deref()?, delivery.last_status, content.excerpt.as_deref());
        let summary = delivery.last_summary.clone().unwrap_or_default();
        Some(explain(self.lang, &facts, Explanation { summary, advice: None }).summary)
    }

    fn pick_up_of(&self, delivery: &Delivery) -> Option<&'static str> {
        let words = delivery_words(self.lang);
        is_picked_up(delivery).map(|fetched| if fetched { words.fetched } else { words.not_fetched })
    }
}

/// Whether the links of a delivered event were followed; `None` if it has none, or is not delivered.
pub(super) fn is_picked_up(delivery: &Delivery) -> Option<bool> {
    (delivery.state == DeliveryState::Delivered && delivery.links_expire.is_some())
        .then(|| delivery.recording_fetched_at.or(delivery.transcript_fetched_at).is_some())
}

fn person_of(content: &DeliveryContent) -> Option<String> {
    let call = content.call.as_ref()?;
    let parts: Vec<String> =
        [call.person(), call.company().map(str::to_owned)].into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join(" · "))
}
