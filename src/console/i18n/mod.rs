//! The messages of the pages in each language, and the words of diagnoses and refused URLs.

mod fr_diagnosis;
mod lang;
mod messages;

pub(super) use lang::Lang;
pub(super) use messages::Messages;

use crate::webhook::{Explanation, Facts, UrlError};

/// Explains a diagnosis in a language. English comes with the diagnosis; French follows from its facts.
pub(super) fn explain(lang: Lang, facts: &Facts<'_>, english: Explanation) -> Explanation {
    match lang {
        Lang::En => english,
        Lang::Fr => fr_diagnosis::explain(facts).unwrap_or(english),
    }
}

/// Why a URL is refused, in a language: a sentence.
pub(super) fn url_error_in(lang: Lang, error: &UrlError) -> String {
    let text = match lang {
        Lang::En => error.to_string(),
        Lang::Fr => fr_diagnosis::url_error(error),
    };
    let mut letters = text.chars();
    // A scheme or an address keeps its spelling at the start of a sentence.
    let is_word = text.starts_with("the ") || text.starts_with("this ") || lang == Lang::Fr;
    let first = letters
        .next()
        .map(|first| if is_word { first.to_uppercase().to_string() } else { first.to_string() });
    format!("{}{}.", first.unwrap_or_default(), letters.as_str().trim_end_matches('.'))
}
