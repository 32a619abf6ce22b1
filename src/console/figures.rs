//! The figures of a webhook in words, as pages show them.

use super::display::format_duration;
use super::i18n::{FigureWords, Lang, figure_words};
use crate::ledger::AttemptFigures;

/// Attempts in words.
pub(super) struct AttemptWords {
    /// The share of successes: `98.5 %`. `None` without attempts.
    pub(super) rate: Option<String>,
    /// The median answering time.
    pub(super) median: Option<String>,
    /// What a chart shows, for those who do not see it.
    pub(super) text: String,
}

impl AttemptWords {
    pub(super) fn of(attempts: &AttemptFigures, span: &str, lang: Lang) -> Self {
        let (t, words) = (lang.messages(), figure_words(lang));
        let median = attempts.median().map(|median| format_duration(median, t));
        let told = match attempts.total() {
            0 => words.attempts_none.to_owned(),
            _ => in_words(attempts, median.as_deref(), words, lang),
        };
        Self { rate: rate(attempts, t.decimal_mark), median, text: format!("{span}{} {told}", lang.colon()) }
    }
}

fn in_words(attempts: &AttemptFigures, median: Option<&str>, words: &FigureWords, lang: Lang) -> String {
    let t = lang.messages();
    let all = lang.counted(attempts.total(), words.attempts_one, words.attempts_many);
    let succeeded = lang.counted(attempts.succeeded, words.succeeded_one, words.succeeded_many);
    let failed = lang.counted(attempts.failed, words.failures_one, words.failures_many);
    match median {
        Some(median) => format!("{all}, {succeeded}, {failed}; {}", t.fill(words.median_is, median)),
        None => format!("{all}, {succeeded}, {failed}"),
    }
}

/// The share of successes, rounded down: what failed once is never 100 %.
fn rate(attempts: &AttemptFigures, decimal_mark: &str) -> Option<String> {
    let thousandths = attempts.succeeded.saturating_mul(1_000).checked_div(attempts.total())?;
    Some(match (thousandths / 10, thousandths % 10) {
        (whole, 0) => format!("{whole} %"),
        (whole, tenth) => format!("{whole}{decimal_mark}{tenth} %"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(succeeded: u64, failed: u64, lang: Lang) -> AttemptWords {
        AttemptWords::of(&AttemptFigures::of_counts(succeeded, failed), lang.messages().last_day, lang)
    }

    #[test]
    fn a_rate_is_rounded_down() {
        let rate = |succeeded, failed| words(succeeded, failed, Lang::En).rate.unwrap_or_default();
        assert_eq!([rate(0, 0), rate(7, 0), rate(0, 7)], ["", "100 %", "0 %"]);
        assert_eq!([rate(1_999_999, 1), rate(2, 1)], ["99.9 %", "66.6 %"]);
    }

    #[test]
    fn a_chart_is_told_in_words() {
        assert_eq!(words(7, 1, Lang::En).text, "Last 24 hours: 8 attempts, 7 succeeded, 1 failed");
        assert_eq!(words(0, 0, Lang::Fr).text, "Dernières 24 heures : Aucune tentative");
    }
}
