//! The figures on the page of one webhook: results and answering times of 24 hours and 30 days, and what waits or failed.

use super::chart::{Bars, Line};
use super::context::RequestContext;
use super::display::{Time, format_duration};
use super::error::PageError;
use super::figures::AttemptWords;
use super::i18n::{FigureWords, figure_words};
use crate::clock::UnixMillis;
use crate::ledger::{AttemptFigures, EndpointFigures, FigureSpan};

/// The figures, as the page shows them.
pub(super) struct WebhookFigures {
    pub(super) pending: u64,
    pub(super) failed: u64,
    pub(super) last_success: Option<Time>,
    /// How many deliveries failed, in words.
    pub(super) failed_text: String,
    /// The button that sends them again.
    pub(super) send_failed: String,
    /// The end of the time whose failed deliveries are counted.
    pub(super) until: UnixMillis,
    pub(super) spans: Vec<Span>,
}

/// A time span with its charts.
pub(super) struct Span {
    pub(super) title: &'static str,
    /// How many attempts there were.
    pub(super) attempts: String,
    pub(super) words: AttemptWords,
    pub(super) bars: Bars,
    pub(super) line: Line,
    /// What the line shows, in words.
    pub(super) line_text: String,
    pub(super) begins: Option<Time>,
    pub(super) parts: Vec<Part>,
}

/// A part of a span: a row of its table.
pub(super) struct Part {
    pub(super) begins: Time,
    pub(super) succeeded: u64,
    pub(super) failed: u64,
    pub(super) median: Option<String>,
}

impl RequestContext<'_> {
    pub(super) async fn figures_of(&self, id: &str) -> Result<WebhookFigures, PageError> {
        let (t, words, now) = (self.lang.messages(), figure_words(self.lang), self.sender.now());
        let ids = [id.to_owned()];
        let day = self.ledger().figures(&ids, FigureSpan::Day, now).await?.remove(id).unwrap_or_default();
        let month = self.ledger().figures(&ids, FigureSpan::Month, now).await?.remove(id).unwrap_or_default();
        let EndpointFigures { pending, failed, last_success, .. } = day;
        Ok(WebhookFigures {
            pending,
            failed,
            last_success: last_success.map(Time),
            failed_text: self.lang.counted(failed, words.failed_one, words.failed_many),
            send_failed: self.lang.counted(failed, words.send_failed_one, words.send_failed_many),
            // Up to and including the current millisecond.
            until: UnixMillis(now.0.saturating_add(1)),
            spans: vec![
                self.span(t.last_day, &day, &FigureSpan::Day.begins(now)),
                self.span(words.last_month, &month, &FigureSpan::Month.begins(now)),
            ],
        })
    }

    fn span(&self, title: &'static str, figures: &EndpointFigures, begins: &[UnixMillis]) -> Span {
        let (t, words) = (self.lang.messages(), figure_words(self.lang));
        let parts = begins.iter().zip(&figures.parts).map(|(begins, part)| Part {
            begins: Time(*begins),
            succeeded: part.succeeded,
            failed: part.failed,
            median: part.median().map(|median| format_duration(median, t)),
        });
        Span {
            title,
            attempts: match figures.attempts.total() {
                0 => words.attempts_none.to_owned(),
                total => self.lang.counted(total, words.attempts_one, words.attempts_many),
            },
            words: AttemptWords::of(&figures.attempts, title, self.lang),
            bars: Bars::of(&figures.parts),
            line: Line::of(&figures.parts),
            line_text: self.medians_in_words(&figures.parts, words),
            parts: parts.collect(),
            begins: begins.first().copied().map(Time),
        }
    }

    /// Between which times the medians lie.
    fn medians_in_words(&self, parts: &[AttemptFigures], words: &FigureWords) -> String {
        let t = self.lang.messages();
        let medians = || parts.iter().filter_map(AttemptFigures::median);
        let ends = medians().min().zip(medians().max());
        match ends.map(|(least, most)| (format_duration(least, t), format_duration(most, t))) {
            Some((least, most)) if least == most => t.fill(words.medians_equal, least),
            Some((least, most)) => t.fill(&t.fill(words.medians, least), most),
            None => words.no_answers.to_owned(),
        }
    }
}
