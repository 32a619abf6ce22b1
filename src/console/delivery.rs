//! The page of one delivery: its attempts, its payload, and a button to resend it.

use askama::Template;
use http::StatusCode;

use super::attempts::{AttemptRow, MAX_ATTEMPTS};
use super::context::RequestContext;
use super::display::{Pill, Time, name_of};
use super::error::PageError;
use super::i18n::{DeliveryWords, OnboardingWords, delivery_words};
use super::layout::Layout;
use super::mapped_fields::MarkedBody;
use super::onboarding::Steps;
use super::payload::Payload;
use super::response::{PageResult, page, redirect_to};
use super::route::in_path;
use crate::asset::AssetKind;
use crate::ledger::{Delivery, DeliveryState, ResendOutcome};

#[derive(Template)]
#[template(path = "delivery.html")]
struct DeliveryPage {
    layout: Layout,
    words: &'static DeliveryWords,
    onboarding: &'static OnboardingWords,
    /// The steps to a first webhook, if the person comes from there.
    steps: Option<Steps>,
    /// The payload of a test with the fields to use.
    marked: Option<MarkedBody>,
    path: String,
    delivery: Delivery,
    pill: Pill,
    at: Time,
    ended_at: Option<Time>,
    due_at: Option<Time>,
    webhook: Option<(String, String)>,
    caption: Option<String>,
    attempts: Vec<AttemptRow>,
    /// The number of earlier attempts that the page omits.
    earlier: Option<u32>,
    recording: Option<Fetched>,
    transcript: Option<Fetched>,
    links_expire: Option<Time>,
    links_live: bool,
    payload: Option<Payload>,
    live: bool,
    done: Option<&'static str>,
    can_resend: bool,
    /// Whether the page shows the signed links, because the person requested them.
    with_links: bool,
}

/// When the receiver downloaded an asset through its link, if it did.
struct Fetched(Option<Time>);

impl RequestContext<'_> {
    /// Redirects to the page that shows the signed links.
    pub(super) async fn reveal_links(&self, id: &str) -> PageResult {
        if !self.session.may_listen() {
            return Err(PageError::NotAllowed);
        }
        self.ledger().delivery(self.workspace, id).await?.ok_or(PageError::NotFound)?;
        self.record("links.shown", id).await?;
        self.redirect_revealing(&self.path(&format!("/deliveries/{}", in_path(id))), "", &links_pass(id))
    }

    pub(super) async fn show_delivery(&self, id: &str) -> PageResult {
        let with_links = self.session.may_listen() && self.shows(&links_pass(id));
        let t = self.lang.messages();
        let found = self.ledger().delivery(self.workspace, id).await?;
        let (delivery, attempts) = found.ok_or(PageError::NotFound)?;
        let call = self.ledger().call_of(self.workspace, id).await?;
        let endpoint = self.ledger().endpoint(self.workspace, &delivery.endpoint).await?;
        let payload = match &call {
            Some(call) => Some(self.payload(&delivery, call, endpoint.as_ref(), with_links).await?),
            None => None,
        };
        let now = self.sender.now();
        let pending = !matches!(delivery.state, DeliveryState::Delivered | DeliveryState::Failed);
        let done = match self.query.get("done") {
            "resent" => Some(t.done_resent),
            "under-way" => Some(t.done_under_way),
            "no-webhook" => Some(t.done_no_webhook),
            _ => None,
        };
        let title = delivery.call.clone().unwrap_or_else(|| t.test_event.to_owned());
        let path = self.path(&format!("/deliveries/{}", in_path(id)));
        let delivery_page = DeliveryPage {
            words: delivery_words(self.lang),
            onboarding: self.onboarding_words(),
            steps: self.steps_to_test(&delivery),
            marked: self.marked_test(&delivery, payload.as_ref(), endpoint.as_ref()),
            layout: self.layout(&title, "deliveries", &format!("{path}{}", self.platform_query("?"))),
            pill: Pill::of_delivery(&delivery, t),
            at: Time(delivery.created_at),
            ended_at: delivery.ended_at.map(Time),
            due_at: delivery.due_at.filter(|_| delivery.state == DeliveryState::Waiting).map(Time),
            can_resend: !pending && endpoint.is_some(),
            webhook: endpoint.map(|endpoint| {
                (self.path(&format!("/webhooks/{}", in_path(&endpoint.id))), name_of(&endpoint.listed()))
            }),
            caption: payload.as_ref().and_then(|payload| payload.caption.clone()),
            earlier: u32::try_from(attempts.len().saturating_sub(MAX_ATTEMPTS)).ok().filter(|more| *more > 0),
            attempts: self.attempt_rows(&attempts),
            recording: delivery.recording.as_ref().map(|_| Fetched(delivery.recording_fetched_at.map(Time))),
            transcript: delivery
                .transcript
                .as_ref()
                .map(|_| Fetched(delivery.transcript_fetched_at.map(Time))),
            links_expire: delivery.links_expire.map(|expires| Time(expires.into())),
            links_live: delivery.links_expire.is_some_and(|expires| now.seconds() < expires),
            live: pending && !with_links,
            path,
            delivery,
            payload,
            done,
            with_links,
        };
        if with_links {
            let Delivery { call, event, endpoint, .. } = &delivery_page.delivery;
            tracing::info!(target: "webhook_assets::audit", workspace = self.workspace, call, event, delivery = id, endpoint, "a delivery's links were shown");
        }
        page(StatusCode::OK, &delivery_page)
    }

    pub(super) async fn resend(&self, id: &str) -> PageResult {
        let done = match self.sender.resend(self.workspace, id).await? {
            ResendOutcome::Queued => "resent",
            ResendOutcome::InFlight => "under-way",
            ResendOutcome::NoEndpoint => "no-webhook",
            ResendOutcome::Unknown => return Err(PageError::NotFound),
        };
        Ok(redirect_to(&self.path(&format!("/deliveries/{}?done={done}", in_path(id)))))
    }
}

/// The content of the pass that reveals a delivery's links.
fn links_pass(id: &str) -> String {
    format!("links {id}")
}
