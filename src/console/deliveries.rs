//! The pages of deliveries: the list with its search form, and one delivery with its attempts and a button to resend
//! it.

use std::time::Duration;

use askama::Template;
use http::StatusCode;

use super::context::RequestContext;
use super::display::{Pill, Time, format_duration, name_of, state_label};
use super::error::PageError;
use super::i18n::explain;
use super::layout::Layout;
use super::payload::{Payload, cut_markup};
use super::response::{PageResult, page, redirect_to};
use super::route::in_path;
use crate::asset::AssetKind;
use crate::clock::UnixMillis;
use crate::ledger::{
    Attempt, Delivery, DeliveryFilter, DeliveryState, Endpoint, PickUp, ResendOutcome, is_name,
};
use crate::webhook::{Explanation, Facts, parse_time};

/// The number of deliveries on a page.
const LIMIT: usize = 25;

/// The most webhooks that the search form offers; the page of each webhook also links to its deliveries.
const CHOICES: usize = 100;

/// The most attempts on a page, newest first, and the longest excerpt of each response, in bytes of markup.
const ATTEMPTS: usize = 8;
const MAX_EXCERPT: usize = 2 * 1024;

/// The field names of the search form.
const FIELDS: [&str; 7] = ["webhook", "status", "pick_up", "call", "within", "from", "to"];

/// One row of a list.
pub(super) struct Row {
    pub(super) href: String,
    pub(super) pill: Pill,
    /// The call's id; `None` for test events.
    pub(super) call: Option<String>,
    /// Whether it reports late assets.
    pub(super) is_update: bool,
    pub(super) webhook: String,
    pub(super) at: Time,
    pub(super) attempts: u32,
    pub(super) answer: Option<u16>,
}

#[derive(Template)]
#[template(path = "deliveries.html")]
struct Deliveries {
    layout: Layout,
    rows: Vec<Row>,
    live: bool,
    searched: bool,
    first: Option<String>,
    next: Option<String>,
    webhooks: Vec<Choice>,
    states: Vec<Choice>,
    pick_ups: Vec<Choice>,
    times: Vec<Choice>,
    call: String,
    from: String,
    to: String,
    wrong: Option<&'static str>,
}

/// An option of a `<select>`.
pub(super) struct Choice {
    pub(super) value: String,
    pub(super) word: String,
    pub(super) chosen: bool,
}

impl Choice {
    /// Options of values and words.
    pub(super) fn list(choices: &[(&str, &str)], chosen: &str) -> Vec<Self> {
        let choice = |(value, word): &(&str, &str)| Self {
            value: (*value).to_owned(),
            word: (*word).to_owned(),
            chosen: *value == chosen,
        };
        choices.iter().map(choice).collect()
    }
}

#[derive(Template)]
#[template(path = "delivery.html")]
struct DeliveryPage {
    layout: Layout,
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

/// One attempt in a list.
pub(super) struct AttemptRow {
    pub(super) number: u32,
    pub(super) resent: bool,
    pub(super) at: Time,
    pub(super) took: String,
    pub(super) status: Option<u16>,
    pub(super) good: bool,
    pub(super) explanation: Explanation,
    excerpt: Option<String>,
}

/// When the receiver downloaded an asset through its link, if it did.
struct Fetched(Option<Time>);

impl RequestContext<'_> {
    pub(super) fn row(&self, delivery: &Delivery, endpoints: &[Endpoint]) -> Row {
        let t = self.lang.messages();
        let webhook = endpoints.iter().find(|endpoint| endpoint.id == delivery.endpoint);
        Row {
            href: self.path(&format!("/deliveries/{}", delivery.id)),
            pill: Pill::of_delivery(delivery, t),
            call: delivery.call.clone(),
            is_update: !delivery.arrived.is_empty(),
            webhook: webhook.map_or_else(|| t.removed_webhook.to_owned(), name_of),
            at: Time(delivery.created_at),
            attempts: delivery.attempts,
            answer: delivery.last_status,
        }
    }

    pub(super) async fn list_deliveries(&self) -> PageResult {
        let t = self.lang.messages();
        let endpoints = self.ledger().endpoints(self.workspace).await?;
        let read = self.filter();
        let filter = read.clone().unwrap_or_default();
        let found =
            self.ledger().deliveries(self.workspace, &filter, LIMIT).await?.ok_or(PageError::NotFound)?;
        let searched = FIELDS.iter().any(|name| self.query.has(name));
        let search = self.query.query(&FIELDS);
        let here = self.path("/deliveries");
        let with = |more: &str| {
            let parts: Vec<&str> =
                [search.as_str(), more].into_iter().filter(|part| !part.is_empty()).collect();
            if parts.is_empty() { here.clone() } else { format!("{here}?{}", parts.join("&")) }
        };
        let deliveries = Deliveries {
            rows: found.deliveries.iter().map(|delivery| self.row(delivery, &endpoints)).collect(),
            // Only the newest page changes.
            live: filter.cursor.is_none() && read.is_ok(),
            searched,
            first: filter.cursor.is_some().then(|| with("")),
            next: found.next.map(|next| with(&format!("cursor={}", in_path(&next)))),
            webhooks: self.choices_of_webhooks(&endpoints, self.query.get("webhook")),
            states: self.choices_of_states(),
            pick_ups: self.choices_of_pick_ups(),
            times: self.choices_of_times(self.query.get("within")),
            call: self.query.get("call").to_owned(),
            from: self.query.get("from").to_owned(),
            to: self.query.get("to").to_owned(),
            wrong: read.err(),
            layout: self.layout(t.deliveries, "deliveries", &with("")),
        };
        let status =
            if deliveries.wrong.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
        page(status, &deliveries)
    }

    /// The filter from the search form, or an error message about one of its fields.
    fn filter(&self) -> Result<DeliveryFilter, &'static str> {
        let t = self.lang.messages();
        let named = |name| {
            let text = self.query.get(name);
            is_name(text).then(|| text.to_owned())
        };
        let time = |name: &str| match self.query.get(name) {
            "" => Ok(None),
            text => read_time(text).map(Some).ok_or(t.wrong_time),
        };
        if self.query.has("call") && named("call").is_none() {
            return Err(t.wrong_call);
        }
        let from = match relative_range(self.query.get("within")) {
            Some(within) => Some(self.sender.now().minus(within)),
            None => time("from")?,
        };
        Ok(DeliveryFilter {
            endpoint: named("webhook"),
            state: DeliveryState::of(self.query.get("status")),
            pick_up: PickUp::of(self.query.get("pick_up")),
            call: named("call"),
            from,
            to: time("to")?,
            cursor: named("cursor"),
        })
    }

    pub(super) fn choices_of_webhooks(&self, endpoints: &[Endpoint], chosen: &str) -> Vec<Choice> {
        let all = Choice {
            value: String::new(),
            word: self.lang.messages().all_webhooks.to_owned(),
            chosen: false,
        };
        let each = endpoints.iter().take(CHOICES).map(|endpoint| Choice {
            value: endpoint.id.clone(),
            word: name_of(endpoint),
            chosen: endpoint.id == chosen,
        });
        std::iter::once(all).chain(each).collect()
    }

    fn choices_of_states(&self) -> Vec<Choice> {
        let t = self.lang.messages();
        let chosen = DeliveryState::of(self.query.get("status"));
        let all = Choice { value: String::new(), word: t.any_status.to_owned(), chosen: false };
        let each = DeliveryState::ALL.into_iter().map(|state| Choice {
            value: state.name().to_owned(),
            word: state_label(state, t).to_owned(),
            chosen: chosen == Some(state),
        });
        std::iter::once(all).chain(each).collect()
    }

    fn choices_of_pick_ups(&self) -> Vec<Choice> {
        let t = self.lang.messages();
        let choices = [
            ("", t.any_pick_up),
            (PickUp::Fetched.name(), t.fetched_links),
            (PickUp::NotFetched.name(), t.links_not_fetched),
        ];
        Choice::list(&choices, self.query.get("pick_up"))
    }

    pub(super) fn choices_of_times(&self, chosen: &str) -> Vec<Choice> {
        let t = self.lang.messages();
        let choices = [("", t.any_time), ("1h", t.last_hour), ("24h", t.last_day), ("7d", t.last_week)];
        Choice::list(&choices, chosen)
    }

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
            layout: self.layout(&title, "deliveries", &path),
            pill: Pill::of_delivery(&delivery, t),
            at: Time(delivery.created_at),
            ended_at: delivery.ended_at.map(Time),
            due_at: delivery.due_at.filter(|_| delivery.state == DeliveryState::Waiting).map(Time),
            can_resend: !pending && endpoint.is_some(),
            webhook: endpoint.map(|endpoint| {
                (self.path(&format!("/webhooks/{}", in_path(&endpoint.id))), name_of(&endpoint))
            }),
            caption: payload.as_ref().and_then(|payload| payload.caption.clone()),
            earlier: u32::try_from(attempts.len().saturating_sub(ATTEMPTS)).ok().filter(|more| *more > 0),
            attempts: self.attempt_rows(&attempts),
            recording: delivery.recording.as_ref().map(|_| Fetched(delivery.recording_fetched_at.map(Time))),
            transcript: delivery
                .transcript
                .as_ref()
                .map(|_| Fetched(delivery.transcript_fetched_at.map(Time))),
            links_expire: delivery.links_expire.map(|expires| Time(expires.into())),
            links_live: delivery.links_expire.is_some_and(|expires| now.seconds() < expires),
            live: !with_links,
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

    /// The newest attempts.
    pub(super) fn attempt_rows(&self, attempts: &[Attempt]) -> Vec<AttemptRow> {
        attempts.iter().rev().take(ATTEMPTS).map(|attempt| self.attempt(attempt)).collect()
    }

    fn attempt(&self, attempt: &Attempt) -> AttemptRow {
        let facts = Facts::of_stored(&attempt.code, attempt.status, attempt.excerpt.as_deref());
        let english = Explanation { summary: attempt.summary.clone(), advice: attempt.advice.clone() };
        AttemptRow {
            number: attempt.number,
            resent: attempt.resend > 0,
            at: Time(attempt.started_at),
            took: format_duration(attempt.took, self.lang.messages()),
            status: attempt.status,
            good: attempt.status.is_some_and(|status| (200..300).contains(&status)),
            explanation: explain(self.lang, &facts, english),
            excerpt: attempt
                .excerpt
                .as_ref()
                .filter(|excerpt| !excerpt.trim().is_empty())
                .map(|excerpt| cut_markup(excerpt, MAX_EXCERPT).0),
        }
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

/// The length of a relative time range: `1h`, `24h` or `7d`.
pub(super) fn relative_range(text: &str) -> Option<Duration> {
    const HOUR: u64 = 60 * 60;
    let hours = match text {
        "1h" => 1,
        "24h" => 24,
        "7d" => 7 * 24,
        _ => return None,
    };
    Some(Duration::from_secs(hours * HOUR))
}

/// Parses a time as the script sends it, or as a `datetime-local` field sends it without the script, in UTC.
pub(super) fn read_time(text: &str) -> Option<UnixMillis> {
    let utc = |form: &str| parse_time(&format!("{text}{form}"));
    parse_time(text).or_else(|| utc("Z")).or_else(|| utc(":00Z"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_without_an_offset_is_utc() {
        let moment = UnixMillis(1_765_981_800_000);
        for text in
            ["2025-12-17T14:30", "2025-12-17T14:30:00", "2025-12-17T14:30:00Z", "2025-12-17T15:30:00+01:00"]
        {
            assert_eq!(read_time(text), Some(moment), "{text}");
        }
        assert_eq!(read_time("yesterday"), None);
        assert_eq!(read_time(""), None);
    }
}
