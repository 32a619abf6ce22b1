//! The form fields of a webhook's filter: which calls it gets.

use super::choice::Choice;
use super::form::Form;
use super::i18n::{Lang, status_label};
use crate::ledger::CallFilter;
use crate::webhook::{CallStatus, Direction};

/// The fields, as a page shows them.
pub(super) struct FilterFields {
    pub(super) statuses: Vec<Choice>,
    pub(super) directions: Vec<Choice>,
    pub(super) recordings: Vec<Choice>,
    pub(super) is_set: bool,
}

impl FilterFields {
    pub(super) fn of(filter: &CallFilter, lang: Lang) -> Self {
        let t = lang.messages();
        let status = |status: &CallStatus| Choice {
            value: status.name().to_owned(),
            word: status_label(lang, *status).to_owned(),
            chosen: filter.status.contains(status),
        };
        let directions = [
            ("", t.both_directions),
            (Direction::Incoming.name(), t.only_incoming),
            (Direction::Outgoing.name(), t.only_outgoing),
        ];
        let recordings =
            [("", t.any_recording), ("true", t.only_with_recording), ("false", t.only_without_recording)];
        let recording = filter.has_recording.map_or("", |has| if has { "true" } else { "false" });
        Self {
            statuses: CallStatus::ALL.iter().map(status).collect(),
            directions: Choice::list(&directions, filter.direction.map_or("", Direction::name)),
            recordings: Choice::list(&recordings, recording),
            is_set: !filter.is_all(),
        }
    }
}

/// The filter of a posted form. A field with an unknown value sets no condition.
pub(super) fn posted(form: &Form) -> CallFilter {
    let is_chosen = |status: &&CallStatus| form.get(&format!("status-{}", status.name())) == "1";
    CallFilter {
        status: CallStatus::ALL.iter().filter(is_chosen).copied().collect(),
        direction: Direction::of(form.get("direction")),
        has_recording: form.get("has_recording").parse().ok(),
    }
}
