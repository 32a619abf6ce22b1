//! The attempts of a delivery on a page.

use std::time::Duration;

use super::context::RequestContext;
use super::display::{Time, format_duration};
use super::i18n::{Lang, delivery_words, explain};
use super::payload::{cut_markup, markup_length};
use crate::ledger::Attempt;
use crate::webhook::{Explanation, Facts, HeaderFields, Phases};

/// The most attempts on a page, newest first.
pub(super) const MAX_ATTEMPTS: usize = 8;
/// The longest excerpt of each response, and the header fields of all attempts together, in bytes of markup.
const MAX_EXCERPT: usize = 2 * 1024;
const MAX_FIELDS: usize = 20 * 1024;
/// The bytes of markup around a header field.
const AROUND_FIELD: usize = 32;

/// One attempt in a list.
pub(super) struct AttemptRow {
    pub(super) number: u32,
    pub(super) resent: bool,
    pub(super) at: Time,
    pub(super) took: String,
    pub(super) status: Option<u16>,
    pub(super) good: bool,
    /// The advice is that of the newest attempt that has it.
    pub(super) explanation: Explanation,
    /// How long its phases took, in words.
    pub(super) phases: Option<String>,
    pub(super) sent: Vec<(String, String)>,
    pub(super) answered: Vec<(String, String)>,
    pub(super) excerpt: Option<String>,
}

impl RequestContext<'_> {
    /// The newest attempts.
    pub(super) fn attempt_rows(&self, attempts: &[Attempt]) -> Vec<AttemptRow> {
        let (mut advised, mut room) = (Vec::new(), MAX_FIELDS);
        let newest = attempts.iter().rev().take(MAX_ATTEMPTS);
        newest.map(|attempt| self.attempt(attempt, &mut advised, &mut room)).collect()
    }

    fn attempt(&self, attempt: &Attempt, advised: &mut Vec<String>, room: &mut usize) -> AttemptRow {
        let facts = Facts::of_stored(&attempt.code, attempt.status, attempt.excerpt.as_deref());
        let english = Explanation { summary: attempt.summary.clone(), advice: attempt.advice.clone() };
        let mut explanation = explain(self.lang, &facts, english);
        match &explanation.advice {
            Some(advice) if advised.contains(advice) => explanation.advice = None,
            Some(advice) => advised.push(advice.clone()),
            None => {}
        }
        AttemptRow {
            number: attempt.number,
            resent: attempt.resend > 0,
            at: Time(attempt.started_at),
            took: format_duration(attempt.took, self.lang.messages()),
            status: attempt.status,
            good: attempt.status.is_some_and(|status| (200..300).contains(&status)),
            explanation,
            phases: phases_in_words(&attempt.phases, self.lang),
            sent: fields_within(&attempt.sent, room),
            answered: fields_within(&attempt.answered, room),
            excerpt: attempt
                .excerpt
                .as_ref()
                .filter(|excerpt| !excerpt.trim().is_empty())
                .map(|excerpt| cut_markup(excerpt, MAX_EXCERPT).0),
        }
    }
}

/// The header fields for which there is room.
fn fields_within(fields: &HeaderFields, room: &mut usize) -> Vec<(String, String)> {
    let markup = |text: &str| text.chars().map(markup_length).sum::<usize>();
    let mut shown = Vec::new();
    for (name, value) in fields.iter() {
        let length = markup(name) + markup(value) + AROUND_FIELD;
        let Some(left) = room.checked_sub(length) else { break };
        *room = left;
        shown.push((name.to_owned(), value.to_owned()));
    }
    shown
}

/// How long the phases took; `None` if nothing is known of them.
fn phases_in_words(phases: &Phases, lang: Lang) -> Option<String> {
    let words = delivery_words(lang);
    let Phases { lookup, connect, tls, first_byte } = *phases;
    let named =
        [(words.lookup, lookup), (words.connect, connect), (words.tls, tls), (words.first_byte, first_byte)];
    let word = |(name, took): (&str, Option<Duration>)| {
        took.map(|took| format!("{name} {}", format_duration(took, lang.messages())))
    };
    let reused = phases.is_reused().then(|| words.reused.to_owned());
    let parts: Vec<String> = reused.into_iter().chain(named.into_iter().filter_map(word)).collect();
    (!parts.is_empty()).then(|| parts.join(" · "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_are_told_in_words() {
        let millis = |number| Some(Duration::from_millis(number));
        let phases =
            Phases { lookup: millis(3), connect: millis(12), tls: millis(25), first_byte: millis(1_400) };
        assert_eq!(
            phases_in_words(&phases, Lang::En).unwrap(),
            "name lookup 3 ms · connection 12 ms · TLS 25 ms · first byte 1.4 s"
        );
        let reused = Phases { first_byte: millis(14), ..Phases::default() };
        assert_eq!(phases_in_words(&reused, Lang::Fr).unwrap(), "connexion réutilisée · premier octet 14 ms");
        assert_eq!(phases_in_words(&Phases::default(), Lang::En), None);
    }
}
