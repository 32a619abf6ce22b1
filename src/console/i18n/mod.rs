//! Translations: the messages of the pages, and the texts of diagnoses and refused URLs.

mod fr_diagnosis;
mod lang;
mod messages;

pub(super) use lang::Lang;
pub(super) use messages::Messages;

use crate::webhook::{Explanation, Facts, UrlError};

/// Explains a diagnosis in a language. The diagnosis includes its English text; French is formed from its facts.
pub(super) fn explain(lang: Lang, facts: &Facts<'_>, english: Explanation) -> Explanation {
    match lang {
        Lang::En => english,
        Lang::Fr => fr_diagnosis::explain(facts).unwrap_or(english),
    }
}

/// Explains in a sentence why a URL is refused.
pub(super) fn url_error_in(lang: Lang, error: &UrlError) -> String {
    let text = match lang {
        Lang::En => error.to_string(),
        Lang::Fr => fr_diagnosis::url_error(error),
    };
    let mut letters = text.chars();
    // A scheme or an address keeps its spelling at the start of a sentence.
    let is_word = text.starts_with("the ")
        || text.starts_with("character ")
        || text.starts_with("this ")
        || lang == Lang::Fr;
    let first = letters
        .next()
        .map(|first| if is_word { first.to_uppercase().to_string() } else { first.to_string() });
    format!("{}{}.", first.unwrap_or_default(), letters.as_str().trim_end_matches('.'))
}
