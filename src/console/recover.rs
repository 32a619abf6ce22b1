//! The recovery page: resends all deliveries that failed in a time range, and shows the progress.

use askama::Template;
use http::StatusCode;

use super::context::RequestContext;
use super::deliveries::{Choice, read_time, relative_range};
use super::display::Time;
use super::error::PageError;
use super::layout::Layout;
use super::response::{PageResult, page, redirect_to};
use super::route::in_path;
use crate::clock::UnixMillis;
use crate::ledger::{RecoverRange, RecoveryProgress, is_name};

#[derive(Template)]
#[template(path = "recover.html")]
struct Recover {
    layout: Layout,
    webhooks: Vec<Choice>,
    times: Vec<Choice>,
    from: String,
    to: String,
    wrong: Option<&'static str>,
    run: Option<Run>,
}

/// A recovery in progress.
struct Run {
    total: u64,
    done: u64,
    progress: RecoveryProgress,
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
        wrong: Option<&'static str>,
        run: Option<Run>,
    ) -> PageResult {
        let endpoints = self.ledger().endpoints(self.workspace).await?;
        let recover = Recover {
            layout: self.layout(self.lang.messages().recover, "recover", &self.path("/recover")),
            webhooks: self.choices_of_webhooks(&endpoints),
            times: self.choices_of_times(),
            from: self.form.get("from").to_owned(),
            to: self.form.get("to").to_owned(),
            wrong,
            run,
        };
        page(status, &recover)
    }

    /// The recovery that the query describes.
    async fn run(&self) -> Result<Option<Run>, PageError> {
        let moment = |name| self.query.get(name).parse().ok().map(UnixMillis);
        let (Some(from), Some(to), Some(began)) = (moment("from"), moment("to"), moment("began")) else {
            return Ok(None);
        };
        let range = RecoverRange { endpoint: self.chosen(self.query.get("webhook")), from, to };
        let progress = self.ledger().progress(self.workspace, &range, began).await?;
        let done = progress.delivered.saturating_add(progress.failed);
        let recovered: u64 = self.query.get("count").parse().unwrap_or_default();
        // Counts new deliveries too, so that the progress never exceeds 100 %.
        let total = done.saturating_add(progress.pending).max(recovered);
        let done = if progress.pending == 0 { total } else { done };
        let failed = self.path("/deliveries?status=failed");
        let (began, from, to) = (Time(began), Time(from), Time(to));
        Ok(Some(Run { total, done, progress, began, from, to, failed }))
    }

    pub(super) async fn recover(&self) -> PageResult {
        let t = self.lang.messages();
        let now = self.sender.now();
        let range = match relative_range(self.form.get("within")) {
            // Up to and including the current millisecond.
            Some(within) => Some((now.minus(within), UnixMillis(now.0.saturating_add(1)))),
            None => read_time(self.form.get("from")).zip(read_time(self.form.get("to"))),
        };
        let Some((from, to)) = range else {
            return self.recovery_page(StatusCode::UNPROCESSABLE_ENTITY, Some(t.wrong_range), None).await;
        };
        if from >= to {
            return self.recovery_page(StatusCode::UNPROCESSABLE_ENTITY, Some(t.wrong_order), None).await;
        }
        let endpoint = self.chosen(self.form.get("webhook"));
        let webhook = endpoint.as_deref().map(|id| format!("&webhook={}", in_path(id))).unwrap_or_default();
        let count = self.sender.recover(self.workspace, &RecoverRange { endpoint, from, to }).await?;
        let query = format!("from={}&to={}&began={}&count={count}{webhook}", from.0, to.0, now.0);
        Ok(redirect_to(&self.path(&format!("/recover?{query}"))))
    }

    fn chosen(&self, webhook: &str) -> Option<String> {
        is_name(webhook).then(|| webhook.to_owned())
    }
}
