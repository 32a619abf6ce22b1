//! Which deliveries to list, and in which order.

use super::delivery::{Delivery, DeliveryState};
use super::pick_up::PickUp;
use crate::clock::UnixMillis;

/// The time by which deliveries are listed, newest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HistoryOrder {
    /// When the event was accepted, or the arrival was reported: it never changes, so that pages can be walked.
    #[default]
    Accepted,
    /// When something last happened to the delivery.
    Activity,
}

impl HistoryOrder {
    pub(super) fn time_of(self, delivery: &Delivery) -> UnixMillis {
        match self {
            Self::Accepted => delivery.created_at,
            Self::Activity => delivery.active_at,
        }
    }
}

/// The deliveries to list.
#[derive(Debug, Clone, Default)]
pub struct DeliveryFilter {
    /// The order, and the time that `from` and `to` are about.
    pub order: HistoryOrder,
    /// Of this endpoint only.
    pub endpoint: Option<String>,
    /// In this state only.
    pub state: Option<DeliveryState>,
    /// Delivered, with links that were followed, or that were not.
    pub pick_up: Option<PickUp>,
    /// Of this call only.
    pub call: Option<String>,
    /// At this time or later.
    pub from: Option<UnixMillis>,
    /// Before this time.
    pub to: Option<UnixMillis>,
    /// After this cursor, from the previous page.
    pub cursor: Option<String>,
}
