//! The form that sends earlier calls to a webhook.

use super::choice::Choice;
use super::context::RequestContext;
use super::i18n::Lang;

/// The form, as a page shows it.
pub(super) struct BackfillForm {
    pub(super) times: Vec<Choice>,
    /// How many calls there are, in words.
    pub(super) result: Option<String>,
}

impl RequestContext<'_> {
    pub(super) fn backfill_form(&self) -> BackfillForm {
        let t = self.lang.messages();
        let times = [("1h", t.last_hour), ("24h", t.last_day), ("7d", t.last_week), ("all", t.all_kept)];
        let counted = self.query.get("counted").parse().ok();
        let counted = counted.map(|count| counted_in_words(count, self.lang));
        let queued = self.query.get("queued").parse().ok();
        let queued = queued.map(|count| self.lang.counted(count, t.backfilled_one, t.backfilled_many));
        BackfillForm { times: Choice::list(&times, self.query.get("within")), result: counted.or(queued) }
    }
}

fn counted_in_words(count: u64, lang: Lang) -> String {
    let t = lang.messages();
    match count {
        0 => t.nothing_to_backfill.to_owned(),
        count => lang.counted(count, t.would_backfill_one, t.would_backfill_many),
    }
}
