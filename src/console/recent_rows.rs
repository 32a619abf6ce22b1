//! The short lists of a webhook's deliveries.

use super::context::RequestContext;
use super::display::{Pill, Time, name_of};
use crate::ledger::{Delivery, ListedEndpoint};

/// One row of a list.
pub(super) struct Row {
    pub(super) href: String,
    pub(super) pill: Pill,
    /// The call's id; `None` for test events.
    pub(super) call: Option<String>,
    /// Whether it reports late assets.
    pub(super) is_update: bool,
    pub(super) webhook: String,
    pub(super) at: Time,
    pub(super) attempts: u32,
    pub(super) answer: Option<u16>,
}

impl RequestContext<'_> {
    pub(super) fn row(&self, delivery: &Delivery, endpoints: &[ListedEndpoint]) -> Row {
        let t = self.lang.messages();
        let webhook = endpoints.iter().find(|endpoint| endpoint.id == delivery.endpoint);
        Row {
            href: self.path(&format!("/deliveries/{}", delivery.id)),
            pill: Pill::of_delivery(delivery, t),
            call: delivery.call.clone(),
            is_update: !delivery.arrived.is_empty(),
            webhook: webhook.map_or_else(|| t.removed_webhook.to_owned(), name_of),
            at: Time(delivery.created_at),
            attempts: delivery.attempts,
            answer: delivery.last_status,
        }
    }
}
