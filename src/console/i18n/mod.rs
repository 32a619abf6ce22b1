//! Translations: the messages of the pages, and the texts of diagnoses and refused URLs.

mod activity;
mod call_words;
mod deliveries;
mod figures;
mod fr_diagnosis;
mod fr_headers;
mod fr_links;
mod fr_notes;
mod lang;
mod messages;
mod moments;
mod onboarding;
mod player_words;
mod session_words;
mod url_words;
mod words;

pub(super) use activity::{
    ActivityWords, action_label, activity_words, actor_label, field_label, value_label,
};
pub(super) use call_words::{direction_label, fetched_label, status_label};
pub(super) use deliveries::{DeliveryWords, delivery_words};
pub(super) use figures::{FigureWords, figure_words};
pub(super) use lang::Lang;
pub(super) use messages::Messages;
pub(super) use moments::{exact, near, relative, span};
pub(super) use onboarding::{OnboardingWords, onboarding_words};
pub(super) use player_words::{PlayerWords, player_words};
pub(super) use session_words::{SessionWords, session_words};
pub(super) use url_words::{not_probed, unchecked};

use crate::clock::UnixSeconds;
use crate::signed_url::Finding;
use crate::webhook::{Explanation, Facts, HeaderError, UrlError};

/// Explains a diagnosis in a language. The diagnosis includes its English text; French is formed from its facts.
pub(super) fn explain(lang: Lang, facts: &Facts<'_>, english: Explanation) -> Explanation {
    match lang {
        Lang::En => english,
        Lang::Fr => fr_diagnosis::explain(facts).unwrap_or(english),
    }
}

/// The note of a delivery in a language.
pub(super) fn note_in(lang: Lang, english: &str) -> String {
    match lang {
        Lang::En => english.to_owned(),
        Lang::Fr => fr_notes::note(english),
    }
}

/// Explains in a sentence why a URL is refused.
pub(super) fn url_error_in(lang: Lang, error: &UrlError) -> String {
    sentence(
        lang,
        &match lang {
            Lang::En => error.to_string(),
            Lang::Fr => fr_diagnosis::url_error(error),
        },
    )
}

/// Says a finding about a pasted link in a sentence. Where the sentence leaves the time of the finding out, the time follows.
pub(super) fn link_finding_in(lang: Lang, finding: Finding) -> (String, Option<UnixSeconds>) {
    match lang {
        Lang::En => (sentence(lang, &finding.text.replace('`', "")), None),
        Lang::Fr => match fr_links::link_finding(finding.code) {
            Some(french) => (french.to_owned(), finding.at),
            None => (finding.text, None),
        },
    }
}

/// Explains in a sentence why a header is refused.
pub(super) fn header_error_in(lang: Lang, error: &HeaderError) -> String {
    sentence(
        lang,
        &match lang {
            Lang::En => error.to_string(),
            Lang::Fr => fr_headers::header_error(error),
        },
    )
}

fn sentence(lang: Lang, text: &str) -> String {
    let mut letters = text.chars();
    // A scheme or an address keeps its spelling at the start of a sentence.
    let words = ["the ", "this ", "an ", "it ", "key ", "wrong ", "brackets ", "character "];
    let is_word = lang == Lang::Fr || words.iter().any(|word| text.starts_with(word));
    let first = letters
        .next()
        .map(|first| if is_word { first.to_uppercase().to_string() } else { first.to_string() });
    format!("{}{}.", first.unwrap_or_default(), letters.as_str().trim_end_matches('.'))
}
