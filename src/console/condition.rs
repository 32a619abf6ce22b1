//! The condition of a webhook: its state and its health in one word.

use super::display::Pill;
use super::i18n::Messages;
use crate::ledger::{EndpointState, ListedEndpoint};

/// The conditions, in the order in which a list shows them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Condition {
    /// Its last attempts failed.
    Failing,
    /// It is held, because no attempt has succeeded for a while.
    Held,
    Disabled,
    Paused,
    Active,
}

impl Condition {
    const ALL: [Self; 5] = [Self::Failing, Self::Held, Self::Disabled, Self::Paused, Self::Active];

    pub(super) fn of(endpoint: &ListedEndpoint) -> Self {
        match endpoint.state {
            EndpointState::Paused => Self::Paused,
            EndpointState::Disabled => Self::Disabled,
            EndpointState::Active if endpoint.held_since.is_some() => Self::Held,
            EndpointState::Active if endpoint.failing_since.is_some() => Self::Failing,
            EndpointState::Active => Self::Active,
        }
    }

    pub(super) fn pill(self, t: &'static Messages) -> Pill {
        let (class, word) = match self {
            Self::Failing => ("bad", t.is_failing),
            Self::Held => ("bad", t.on_hold),
            Self::Disabled => ("bad", t.disabled),
            Self::Paused => ("wait", t.paused),
            Self::Active => ("good", t.active),
        };
        Pill { class, word }
    }

    /// How many of the endpoints are in each condition that occurs.
    pub(super) fn counts<'e>(endpoints: impl Iterator<Item = &'e ListedEndpoint>) -> Vec<(Self, usize)> {
        let conditions: Vec<Self> = endpoints.map(Self::of).collect();
        let count = |condition: Self| (condition, conditions.iter().filter(|it| **it == condition).count());
        Self::ALL.map(count).into_iter().filter(|(_, count)| *count > 0).collect()
    }
}
