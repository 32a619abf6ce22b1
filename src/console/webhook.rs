//! The page of one webhook: its secret, state, tests and settings, and instructions for the receiver.

use std::time::Duration;

use askama::Template;
use http::StatusCode;
use http::header::{HeaderValue, RETRY_AFTER};

use super::backfill::BackfillForm;
use super::call_filter::FilterFields;
use super::condition::Condition;
use super::context::RequestContext;
use super::display::{Pill, Time, name_of};
use super::error::PageError;
use super::guides::Guide;
use super::header_fields::HeaderFields;
use super::i18n::{FigureWords, Lang, OnboardingWords, explain, figure_words, span};
use super::layout::Layout;
use super::limit_fields::LimitFields;
use super::onboarding::TestStep;
use super::response::{PageResult, page, redirect_to};
use super::route::{Action, in_path};
use super::time_range::relative_range;
use super::webhook_figures::WebhookFigures;
use crate::clock::UnixMillis;
use crate::ledger::{
    BackfillOutcome, CallFilter, DEFAULT_OVERLAP, Delivery, DeliveryFilter, Endpoint, EndpointChange,
    EndpointState, Failure, Health, LedgerError, TestOutcome, TryOutcome,
};
use crate::webhook::{Explanation, Facts};

/// The page's state after a form: the secret on request, or the errors of a change.
#[derive(Default)]
pub(super) struct FormState {
    pub(super) secret: Option<String>,
    pub(super) previous: Vec<(String, Time)>,
    pub(super) url: Option<String>,
    pub(super) description: Option<String>,
    pub(super) refused: Option<String>,
    pub(super) warned: Option<Explanation>,
    pub(super) bad_description: bool,
    pub(super) filter: Option<CallFilter>,
    pub(super) headers: Option<HeaderFields>,
    pub(super) limits: Option<LimitFields>,
    /// Why a test event was not sent.
    pub(super) too_many_tests: Option<String>,
}

impl FormState {
    fn is_refused(&self) -> bool {
        let headers_refused = self.headers.as_ref().is_some_and(|headers| headers.refused.is_some());
        let limits_refused = self.limits.as_ref().is_some_and(|limits| limits.refused.is_some());
        let url_refused = self.refused.is_some() || self.warned.is_some();
        url_refused || self.bad_description || headers_refused || limits_refused
    }
}

#[derive(Template)]
#[template(path = "webhook.html")]
struct Webhook {
    layout: Layout,
    path: String,
    name: String,
    endpoint: Endpoint,
    pill: Pill,
    since: Time,
    failing: Option<Failing>,
    previous_until: Option<Time>,
    onboarding: &'static OnboardingWords,
    guides: Vec<Guide>,
    test_step: Option<TestStep>,
    filter: FilterFields,
    backfill: BackfillForm,
    headers: HeaderFields,
    limits: LimitFields,
    words: &'static FigureWords,
    figures: WebhookFigures,
    changes: Vec<super::activity::Row>,
    recent: Vec<super::recent_rows::Row>,
    all: String,
    done: Option<Done>,
    added: bool,
    rotated: bool,
    form_state: FormState,
}

/// What came of an action: the kind of message, and the message.
type Done = (&'static str, &'static str);

/// The failure of an endpoint: its start, its reason, and the next attempt.
struct Failing {
    since: Time,
    why: Option<Explanation>,
    held_since: Option<Time>,
    next: Option<Time>,
}

impl Failing {
    fn of(endpoint: &Endpoint, why: Option<Explanation>, now: UnixMillis) -> Option<Self> {
        let Health { failing_since, held_since, held_until, .. } = endpoint.health;
        let since = failing_since.filter(|_| endpoint.state != EndpointState::Paused)?;
        // A disabled webhook has no next attempt.
        let held_since = held_since.filter(|_| endpoint.state == EndpointState::Active);
        Some(Self {
            since: Time(since),
            why,
            held_since: held_since.map(Time),
            next: held_until.filter(|until| *until > now).map(Time),
        })
    }
}

impl Webhook {
    /// Whether parts of the page update live. They do not while the page shows a secret or an edited URL.
    fn is_live(&self) -> bool {
        let FormState { secret, url, too_many_tests, .. } = &self.form_state;
        secret.is_none() && url.is_none() && too_many_tests.is_none()
    }
}

/// The content of the pass that reveals an endpoint's secret.
fn secret_pass(id: &str) -> String {
    format!("secret {id}")
}

/// How many of the webhook's deliveries the page shows.
const RECENT: usize = 5;

impl RequestContext<'_> {
    pub(super) async fn endpoint(&self, id: &str) -> Result<Endpoint, PageError> {
        self.ledger().endpoint(self.workspace, id).await?.ok_or(PageError::NotFound)
    }

    pub(super) async fn show_webhook(&self, id: &str, form_state: FormState) -> PageResult {
        let t = self.lang.messages();
        let endpoint = self.endpoint(id).await?;
        let filter = DeliveryFilter { endpoint: Some(id.to_owned()), ..DeliveryFilter::default() };
        let recent = self.ledger().deliveries(self.workspace, &filter, RECENT).await?;
        let recent = recent.map(|page| page.deliveries).unwrap_or_default();
        let why = match &endpoint.failure {
            Some(failure) => Some(self.explain_failure(failure, &recent).await?),
            None => None,
        };
        let listed = endpoint.listed();
        let known = std::slice::from_ref(&listed);
        let recent = recent.iter().map(|delivery| self.row(delivery, known)).collect();
        let path = self.path(&format!("/webhooks/{}", in_path(id)));
        let status = if form_state.is_refused() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
        let name = name_of(&listed);
        let platform = self.platform_of(&endpoint);
        let secret = form_state.secret.as_deref().unwrap_or(t.your_secret);
        let webhook = Webhook {
            layout: self.layout(&name, "webhooks", &path),
            pill: Condition::of(&listed).pill(t),
            since: Time(endpoint.created_at),
            failing: Failing::of(&endpoint, why, self.sender.now()),
            previous_until: endpoint
                .previous_secret_until
                .filter(|until| *until > self.sender.now())
                .map(Time),
            all: self.path(&format!("/deliveries?webhook={}", in_path(id))),
            added: self.query.get("done") == "added",
            rotated: self.query.get("done") == "rotated",
            filter: FilterFields::of(form_state.filter.as_ref().unwrap_or(&endpoint.filter), self.lang),
            backfill: self.backfill_form(),
            headers: form_state.headers.clone().unwrap_or_else(|| HeaderFields::of(&endpoint.headers)),
            limits: form_state.limits.clone().unwrap_or_else(|| LimitFields::of(&endpoint)),
            words: figure_words(self.lang),
            figures: self.figures_of(id).await?,
            changes: self.changes_of(&endpoint).await?,
            onboarding: self.onboarding_words(),
            guides: self.guides(Some(platform), &path, secret),
            test_step: self.test_step(id),
            path,
            name,
            endpoint,
            recent,
            done: self.done(),
            form_state,
        };
        page(status, &webhook)
    }

    /// What came of the action that led to this page.
    fn done(&self) -> Option<Done> {
        let (t, words) = (self.lang.messages(), figure_words(self.lang));
        Some(match self.query.get("done") {
            "paused" => ("good", t.done_paused),
            "resumed" => ("good", t.done_resumed),
            "changed" => ("good", t.done_changed),
            "without-headers" => ("good", t.done_without_headers),
            "taken-back" => ("good", t.done_taken_back),
            "tried" => ("good", words.done_tried),
            "recovered" => ("good", words.not_tried_recovered),
            "not-active" => ("warn", words.not_tried_inactive),
            "reset" => ("warn", words.not_tried_reset),
            "too-many-secrets" => ("bad", t.too_many_secrets),
            _ => return None,
        })
    }

    /// Explains why an endpoint fails. The ledger stores the code and the English summary of the failure; other
    /// languages need the facts of the failed delivery.
    async fn explain_failure(
        &self,
        failure: &Failure,
        recent: &[Delivery],
    ) -> Result<Explanation, PageError> {
        let failed = recent.iter().find(|delivery| delivery.last_summary.as_ref() == Some(&failure.summary));
        let found = match failed.filter(|_| self.lang != Lang::En) {
            Some(delivery) => self.ledger().delivery(self.workspace, &delivery.id).await?,
            None => None,
        };
        let last = found.as_ref().and_then(|(_, attempts)| attempts.last());
        let (status, excerpt) = last.map_or((None, None), |last| (last.status, last.excerpt.as_deref()));
        let facts = Facts::of_stored(&failure.code, status, excerpt);
        let english = Explanation { summary: failure.summary.clone(), advice: None };
        Ok(explain(self.lang, &facts, english))
    }

    pub(super) async fn run_action(&self, id: &str, action: Action) -> PageResult {
        let now = self.sender.now();
        let back = self.path(&format!("/webhooks/{}", in_path(id)));
        match action {
            Action::Secret => {
                self.endpoint(id).await?;
                self.redirect_revealing(&back, "", &secret_pass(id))
            }
            Action::Rotate => self.rotate(id, &back).await,
            Action::Pause => self.set_state(id, EndpointState::Paused, &format!("{back}?done=paused")).await,
            Action::Resume => {
                self.set_state(id, EndpointState::Active, &format!("{back}?done=resumed")).await
            }
            Action::Change => self.change(id, &back).await,
            Action::Backfill => self.backfill(id, &back).await,
            Action::Test => self.test(&self.endpoint(id).await?).await,
            Action::Try => self.try_now(id, &back).await,
            Action::Remove => {
                if !self.ledger().soft_remove_endpoint(self.workspace, id, now).await? {
                    return Err(PageError::NotFound);
                }
                tracing::info!(target: "webhook_assets::audit", workspace = self.workspace, endpoint = id, "an endpoint was removed");
                Ok(redirect_to(&self.path(&format!("?removed={}", in_path(id)))))
            }
            Action::TakeBack => {
                // After a double click, the endpoint is already restored.
                let there = self.ledger().endpoint(self.workspace, id).await?.is_some();
                if !there && !self.ledger().restore_endpoint(self.workspace, id, now).await? {
                    return Err(PageError::NotFound);
                }
                self.sender.wake();
                Ok(redirect_to(&format!("{back}?done=taken-back")))
            }
        }
    }

    async fn test(&self, endpoint: &Endpoint) -> PageResult {
        match self.sender.test(endpoint).await? {
            TestOutcome::Accepted(accepted) => {
                let delivery = accepted.deliveries.first().ok_or(PageError::NotFound)?;
                let platform = self.platform_query("?");
                Ok(redirect_to(&self.path(&format!("/deliveries/{delivery}{platform}"))))
            }
            TestOutcome::RateLimited(pause) => self.too_many_tests(&endpoint.id, pause).await,
            TestOutcome::NoEndpoint => Err(PageError::NotFound),
        }
    }

    /// Tries a failing webhook now: with a delivery that is pending, otherwise with a test event. The form carries the epoch
    /// of the health that it was shown for, so a double click tries once.
    async fn try_now(&self, id: &str, back: &str) -> PageResult {
        let endpoint = self.endpoint(id).await?;
        let epoch = self.form.get("epoch").parse().map_err(|_| PageError::BadForm)?;
        match self.ledger().try_now(self.workspace, id, epoch, self.sender.now()).await? {
            TryOutcome::NothingPending => return self.test(&endpoint).await,
            TryOutcome::Unchanged => {
                return Ok(redirect_to(&format!("{back}?done={}", why_not_tried(&self.endpoint(id).await?))));
            }
            TryOutcome::Tried => self.sender.wake(),
        }
        Ok(redirect_to(&format!("{back}?done=tried")))
    }

    async fn too_many_tests(&self, id: &str, pause: Duration) -> PageResult {
        let t = self.lang.messages();
        let seconds = pause.as_secs().saturating_add(1);
        let too_many_tests = Some(t.fill(t.too_many_tests, span(self.lang, Duration::from_secs(seconds))));
        let mut answer = self.show_webhook(id, FormState { too_many_tests, ..FormState::default() }).await?;
        *answer.status_mut() = StatusCode::TOO_MANY_REQUESTS;
        answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        Ok(answer)
    }

    /// The page, including the secret if the query has a pass for it.
    pub(super) async fn show_webhook_or_secret(&self, id: &str) -> PageResult {
        if !self.shows(&secret_pass(id)) {
            return self.show_webhook(id, FormState::default()).await;
        }
        let secrets = self.ledger().secrets(self.workspace, id, self.sender.now()).await?;
        let secrets = secrets.ok_or(PageError::NotFound)?;
        self.record("secret.shown", id).await?;
        tracing::info!(target: "webhook_assets::audit", workspace = self.workspace, endpoint = id, "an endpoint's secret was shown");
        let previous = secrets.previous.into_iter();
        let form_state = FormState {
            secret: Some(secrets.current.reveal().to_owned()),
            previous: previous.map(|(secret, until)| (secret.reveal().to_owned(), Time(until))).collect(),
            ..FormState::default()
        };
        self.show_webhook(id, form_state).await
    }

    async fn rotate(&self, id: &str, back: &str) -> PageResult {
        let (ledger, now) = (self.ledger(), self.sender.now());
        match ledger.rotate_secret(self.workspace, id, DEFAULT_OVERLAP, now).await {
            Ok(rotated) => rotated.ok_or(PageError::NotFound)?,
            Err(LedgerError::TooManySecrets(_)) => {
                return Ok(redirect_to(&format!("{back}?done=too-many-secrets")));
            }
            Err(error) => return Err(error.into()),
        };
        tracing::info!(target: "webhook_assets::audit", workspace = self.workspace, endpoint = id, "an endpoint's secret was rotated");
        self.redirect_revealing(back, "done=rotated&", &secret_pass(id))
    }

    async fn set_state(&self, id: &str, state: EndpointState, then: &str) -> PageResult {
        let change = EndpointChange { state: Some(state), ..EndpointChange::default() };
        self.ledger().change_endpoint(self.workspace, id, change).await?.ok_or(PageError::NotFound)?;
        self.sender.wake();
        Ok(redirect_to(then))
    }

    async fn backfill(&self, id: &str, back: &str) -> PageResult {
        let (dry_run, retention) = (self.form.has("count"), self.sender.config().retention);
        let within = relative_range(self.form.get("within")).map_or(retention, |time| time.min(retention));
        let from = self.sender.now().minus(within);
        match self.sender.backfill(self.workspace, id, from, dry_run).await? {
            BackfillOutcome::Calls(count) if count > 0 && !dry_run => {
                Ok(redirect_to(&format!("{back}?queued={count}#backfill")))
            }
            BackfillOutcome::Calls(count) => {
                let within = in_path(self.form.get("within"));
                Ok(redirect_to(&format!("{back}?counted={count}&within={within}#backfill")))
            }
            // Its page says so.
            BackfillOutcome::Disabled => Ok(redirect_to(back)),
            BackfillOutcome::NoEndpoint => Err(PageError::NotFound),
        }
    }
}

/// Why an endpoint was not tried, as the page names it.
fn why_not_tried(endpoint: &Endpoint) -> &'static str {
    match endpoint.state {
        EndpointState::Paused | EndpointState::Disabled => "not-active",
        EndpointState::Active if endpoint.health.failing_since.is_none() => "recovered",
        // Another person has tried or changed it since, or its receiver has accepted something and fails again.
        EndpointState::Active => "reset",
    }
}
