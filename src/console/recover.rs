//! The recovery page: resends the deliveries of a time range that failed or were not fetched, or all, and shows the
//! progress.

use askama::Template;
use http::StatusCode;

use super::choice::Choice;
use super::context::RequestContext;
use super::display::Time;
use super::error::PageError;
use super::layout::Layout;
use super::response::{PageResult, page, redirect_to};
use super::route::in_path;
use super::time_range::{read_time, relative_range};
use crate::clock::UnixMillis;
use crate::ledger::{RecoverRange, RecoverWhich, RecoveryProgress, is_name};

#[derive(Template)]
#[template(path = "recover.html")]
struct Recover {
    layout: Layout,
    which: Vec<Choice>,
    webhooks: Vec<Choice>,
    times: Vec<Choice>,
    from: String,
    to: String,
    /// How many deliveries there are, in words.
    counted: Option<String>,
    wrong: Option<&'static str>,
    run: Option<Run>,
}

/// A recovery in progress.
struct Run {
    total: u64,
    done: u64,
    progress: RecoveryProgress,
    /// How many are in which state, in words.
    parts: [(&'static str, String); 3],
    began: Time,
    from: Time,
    to: Time,
    failed: String,
}

impl RequestContext<'_> {
    pub(super) async fn show_recovery(&self) -> PageResult {
        let run = self.run().await?;
        self.recovery_page(StatusCode::OK, None, run).await
    }

    async fn recovery_page(
        &self,
        status: StatusCode,
        message: Option<Result<String, &'static str>>,
        run: Option<Run>,
    ) -> PageResult {
        let endpoints = self.ledger().listed_endpoints(self.workspace).await?;
        // A form that is shown again keeps what was chosen.
        let within = if message.is_some() { self.form.get("within") } else { "24h" };
        let (counted, wrong) = match message {
            Some(Ok(counted)) => (Some(counted), None),
            Some(Err(wrong)) => (None, Some(wrong)),
            None => (None, None),
        };
        let recover = Recover {
            layout: self.layout(self.lang.messages().recover, "recover", &self.path("/recover")),
            which: self.choices_of_which(),
            webhooks: self.choices_of_webhooks(&endpoints, self.form.get("webhook")),
            times: self.choices_of_times(within),
            from: self.form.get("from").to_owned(),
            to: self.form.get("to").to_owned(),
            counted,
            wrong,
            run,
        };
        page(status, &recover)
    }

    fn choices_of_which(&self) -> Vec<Choice> {
        let t = self.lang.messages();
        let word = |which| match which {
            RecoverWhich::Failed => t.which_failed,
            RecoverWhich::NotFetched => t.which_not_fetched,
            RecoverWhich::All => t.which_all,
        };
        let choices = RecoverWhich::ALL.map(|which| (which.name(), word(which)));
        Choice::list(&choices, self.form.get("which"))
    }

    /// The recovery that the query describes.
    async fn run(&self) -> Result<Option<Run>, PageError> {
        let moment = |name| self.query.get(name).parse().ok().map(UnixMillis);
        let (Some(from), Some(to), Some(began)) = (moment("from"), moment("to"), moment("began")) else {
            return Ok(None);
        };
        let which = RecoverWhich::of(self.query.get("which")).unwrap_or_default();
        let range = RecoverRange { which, endpoint: self.chosen(self.query.get("webhook")), from, to };
        let recovered: u64 = self.query.get("count").parse().unwrap_or_default();
        let progress = self.ledger().progress(self.workspace, &range, began, recovered).await?;
        let done = progress.delivered.saturating_add(progress.failed);
        // Counts new deliveries too, so that the progress never exceeds 100 %.
        let total = done.saturating_add(progress.pending).max(recovered);
        let done = if progress.pending == 0 { total } else { done };
        let failed = self.path("/deliveries?status=failed");
        let (began, from, to) = (Time(began), Time(from), Time(to));
        let (lang, t) = (self.lang, self.lang.messages());
        let RecoveryProgress { delivered, pending, failed: again } = progress;
        let parts = [
            ("good", lang.counted(delivered, t.arrived_one, t.arrived_many)),
            ("wait", t.fill(t.on_their_way, pending)),
            ("bad", lang.counted(again, t.failed_again_one, t.failed_again_many)),
        ];
        Ok(Some(Run { total, done, progress, parts, began, from, to, failed }))
    }

    pub(super) async fn recover(&self) -> PageResult {
        let now = self.sender.now();
        let range = match self.posted_range(now) {
            Ok(range) => range,
            Err(wrong) => {
                return self.recovery_page(StatusCode::UNPROCESSABLE_ENTITY, Some(Err(wrong)), None).await;
            }
        };
        if self.form.has("count") {
            return self.count_recoverable(&range).await;
        }
        let RecoverRange { which, from, to, .. } = range;
        let webhook =
            range.endpoint.as_deref().map(|id| format!("&webhook={}", in_path(id))).unwrap_or_default();
        let count = self.sender.recover(self.workspace, &range).await?;
        let which = which.name();
        let query =
            format!("from={}&to={}&began={}&count={count}&which={which}{webhook}", from.0, to.0, now.0);
        Ok(redirect_to(&self.path(&format!("/recover?{query}"))))
    }

    /// The page with how many there are. Sends nothing.
    async fn count_recoverable(&self, range: &RecoverRange) -> PageResult {
        let t = self.lang.messages();
        let counted = match self.ledger().count_recoverable(self.workspace, range).await? {
            0 => t.nothing_to_recover.to_owned(),
            count => self.lang.counted(count, t.would_recover_one, t.would_recover_many),
        };
        self.recovery_page(StatusCode::OK, Some(Ok(counted)), None).await
    }

    /// The range of the form, or an error message.
    fn posted_range(&self, now: UnixMillis) -> Result<RecoverRange, &'static str> {
        let t = self.lang.messages();
        let range = match relative_range(self.form.get("within")) {
            // Up to and including the current millisecond.
            Some(within) => Some((now.minus(within), UnixMillis(now.0.saturating_add(1)))),
            None => read_time(self.form.get("from")).zip(read_time(self.form.get("to"))),
        };
        let (from, to) = range.ok_or(t.wrong_range)?;
        if from >= to {
            return Err(t.wrong_order);
        }
        let which = RecoverWhich::of(self.form.get("which")).unwrap_or_default();
        Ok(RecoverRange { which, endpoint: self.chosen(self.form.get("webhook")), from, to })
    }

    fn chosen(&self, webhook: &str) -> Option<String> {
        is_name(webhook).then(|| webhook.to_owned())
    }
}
