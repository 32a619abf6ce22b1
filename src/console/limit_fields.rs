//! The form fields of a webhook's limits: how many requests at once, and how many a second.

use std::ops::RangeInclusive;

use super::form::Form;
use super::i18n::FigureWords;
use crate::ledger::Endpoint;

/// The limits that a form takes, as the API does.
const TAKES: RangeInclusive<u32> = 1..=1_000;

/// The fields, as a page shows them. Empty is no limit.
#[derive(Debug, Clone, Default)]
pub(super) struct LimitFields {
    pub(super) concurrency: String,
    pub(super) per_second: String,
    /// Why the form's limits are refused.
    pub(super) refused: Option<&'static str>,
}

/// The limits of a posted form; `None` for a field that it does not have.
pub(super) struct Limits {
    pub(super) concurrency: Option<Option<u32>>,
    pub(super) per_second: Option<Option<u32>>,
}

impl LimitFields {
    pub(super) fn of(endpoint: &Endpoint) -> Self {
        let text = |limit: Option<u32>| limit.map(|limit| limit.to_string()).unwrap_or_default();
        Self { concurrency: text(endpoint.concurrency), per_second: text(endpoint.per_second), refused: None }
    }

    /// The fields of a posted form that was refused.
    pub(super) fn posted(form: &Form, refused: Option<&'static str>) -> Self {
        Self {
            concurrency: form.get("concurrency").to_owned(),
            per_second: form.get("per_second").to_owned(),
            refused,
        }
    }

    /// Whether the page shows them unfolded.
    pub(super) fn is_open(&self) -> bool {
        !self.concurrency.is_empty() || !self.per_second.is_empty() || self.refused.is_some()
    }
}

/// Reads the limits of a posted form; or why they are refused.
pub(super) fn posted(form: &Form, words: &FigureWords) -> Result<Limits, &'static str> {
    let read = |name| match form.get(name) {
        "" => Ok(form.includes(name).then_some(None)),
        text => {
            let limit = text.parse().ok().filter(|limit| TAKES.contains(limit));
            limit.map(|limit| Some(Some(limit))).ok_or(words.wrong_limit)
        }
    };
    Ok(Limits { concurrency: read("concurrency")?, per_second: read("per_second")? })
}
