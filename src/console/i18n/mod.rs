//! The messages of the pages in each language, and the words of diagnoses and refused URLs.

mod explanation;
mod fr_diagnosis;
mod lang;
mod messages;

pub(super) use explanation::Explanation;
pub(super) use lang::Lang;
pub(super) use messages::Messages;

use crate::webhook::{Facts, UrlError};

/// Explains a diagnosis in a language. English words come with the diagnosis; French ones follow from its facts.
pub(super) fn explain(lang: Lang, facts: &Facts<'_>, summary: &str, advice: Option<&str>) -> Explanation {
    let english = || Explanation { summary: summary.to_owned(), advice: advice.map(str::to_owned) };
    match lang {
        Lang::En => english(),
        Lang::Fr => fr_diagnosis::explain(facts).unwrap_or_else(english),
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
