//! Serves the delivery history, and resends deliveries.

use http::{Request, StatusCode};
use serde_json::{Value, json};

use super::api::{Api, NAME, read_json};
use super::fields::Fields;
use super::json::{attempt_to_json, delivery_to_json};
use crate::admin::response::{Answer, invalid, json_answer, not_found};
use crate::admin::upload::Upload;
use crate::clock::UnixMillis;
use crate::ledger::{
    BackfillOutcome, DeliveryFilter, DeliveryState, PickUp, RecoverRange, RecoverWhich, ResendOutcome,
    is_name,
};
use crate::problem::Problem;
use crate::webhook::{TIME_TAKES, format_span, parse_time};

/// The default and maximum number of deliveries per page.
pub(super) const DEFAULT_LIMIT: usize = 50;
const MAX_LIMIT: usize = 200;

/// What a recovery takes, as the end of the sentence "… takes …".
const WHICH: &str = "failed, not-fetched or all";

impl Api<'_> {
    pub(super) async fn list_deliveries(&self, workspace: &str, query: &str) -> Result<Answer, Problem> {
        let (filter, limit) = read_query(query)?;
        let page = self.call(self.sender.ledger().deliveries(workspace, &filter, limit)).await?;
        let page = page.ok_or_else(|| {
            invalid_parameter("cursor", "what `next` of the page before says, without a change")
        })?;
        let now = self.sender.now().seconds();
        let deliveries: Vec<Value> =
            page.deliveries.iter().map(|delivery| delivery_to_json(delivery, now)).collect();
        Ok(json_answer(StatusCode::OK, &json!({"deliveries": deliveries, "next": page.next})))
    }

    pub(super) async fn show_delivery(&self, workspace: &str, id: &str) -> Result<Answer, Problem> {
        let found = self.call(self.sender.ledger().delivery(workspace, id)).await?;
        let (delivery, attempts) = found.ok_or_else(no_delivery)?;
        let mut answer = delivery_to_json(&delivery, self.sender.now().seconds());
        if let Value::Object(fields) = &mut answer {
            fields.insert("attempts".into(), attempts.iter().map(attempt_to_json).collect());
        }
        Ok(json_answer(StatusCode::OK, &answer))
    }

    pub(super) async fn resend(&self, workspace: &str, id: &str) -> Result<Answer, Problem> {
        let conflict =
            |code, detail| Err(Problem::new(StatusCode::CONFLICT, code, "Cannot be sent again now", detail));
        match self.call(self.sender.resend(workspace, id)).await? {
            ResendOutcome::Queued => Ok(json_answer(StatusCode::ACCEPTED, &json!({"delivery": id}))),
            ResendOutcome::Unknown => Err(no_delivery()),
            ResendOutcome::InFlight => conflict("under_way", "It is on its way already; its attempts go on."),
            ResendOutcome::NoEndpoint => conflict(
                "no_endpoint",
                "Its endpoint is removed or disabled. One that is disabled is made active with PATCH and \
                 {\"state\": \"active\"}; then resend.",
            ),
        }
    }

    pub(super) async fn recover(&self, workspace: &str, request: Request<Upload>) -> Result<Answer, Problem> {
        let known = ["from", "to", "endpoint", "which", "dry_run"];
        let mut fields = Fields::of(read_json(request).await?, &known)?;
        let (from, to) = (fields.time("from")?, fields.time("to")?);
        if from >= to {
            return Err(invalid("/to", "/to takes a time after /from"));
        }
        let endpoint = fields.optional("endpoint", "an endpoint's id", |value| {
            value.as_str().filter(|id| is_name(id)).map(str::to_owned)
        })?;
        let which =
            fields.optional("which", WHICH, |value| RecoverWhich::of(value.as_str()?))?.unwrap_or_default();
        let range = RecoverRange { which, endpoint, from, to };
        if fields.optional("dry_run", "true or false", Value::as_bool)? == Some(true) {
            let count = self.call(self.sender.ledger().count_recoverable(workspace, &range)).await?;
            return Ok(json_answer(StatusCode::OK, &json!({"would_recover": count})));
        }
        let recovered = self.call(self.sender.recover(workspace, &range)).await?;
        Ok(json_answer(StatusCode::ACCEPTED, &json!({"recovered": recovered})))
    }

    pub(super) async fn backfill(
        &self,
        workspace: &str,
        endpoint: &str,
        request: Request<Upload>,
    ) -> Result<Answer, Problem> {
        let mut fields = Fields::of(read_json(request).await?, &["from", "dry_run"])?;
        let from = fields.time("from")?;
        let dry_run = fields.optional("dry_run", "true or false", Value::as_bool)? == Some(true);
        let retention = self.sender.config().retention;
        if from < self.sender.now().minus(retention) {
            let kept = format_span(retention);
            return Err(invalid(
                "/from",
                &format!(
                    "/from takes a time within webhooks.retention ({kept}); earlier calls are forgotten"
                ),
            ));
        }
        match self.call(self.sender.backfill(workspace, endpoint, from, dry_run)).await? {
            BackfillOutcome::Calls(count) if dry_run => {
                Ok(json_answer(StatusCode::OK, &json!({"would_send": count})))
            }
            BackfillOutcome::Calls(count) => Ok(json_answer(StatusCode::ACCEPTED, &json!({"queued": count}))),
            BackfillOutcome::Disabled => Err(Problem::new(
                StatusCode::CONFLICT,
                "endpoint_disabled",
                "The endpoint is disabled",
                "Resume the endpoint before; nothing is sent to it.",
            )),
            BackfillOutcome::NoEndpoint => Err(not_found("This workspace has no endpoint of this id.")),
        }
    }
}

/// Parses the filter and the page size of a query.
fn read_query(query: &str) -> Result<(DeliveryFilter, usize), Problem> {
    let (mut filter, mut limit) = (DeliveryFilter::default(), None);
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        let value = value.as_ref();
        match name.as_ref() {
            "endpoint" => take_once(&mut filter.endpoint, "endpoint", "an endpoint's id", named(value))?,
            "call_id" => take_once(&mut filter.call, "call_id", NAME, named(value))?,
            "status" => {
                let states = "waiting, queued, sending, delivered or failed";
                take_once(&mut filter.state, "status", states, DeliveryState::of(value))?;
            }
            "pick_up" => {
                take_once(&mut filter.pick_up, "pick_up", "fetched or not-fetched", PickUp::of(value))?;
            }
            "from" => take_once(&mut filter.from, "from", TIME_TAKES, time(value))?,
            "to" => take_once(&mut filter.to, "to", TIME_TAKES, time(value))?,
            "cursor" => {
                take_once(&mut filter.cursor, "cursor", "what `next` of the page before says", named(value))?;
            }
            "limit" => take_once(&mut limit, "limit", "a whole number from 1 to 200", count(value))?,
            _ => {
                let detail = "a parameter is not known; there are endpoint, status, pick_up, call_id, from, to, cursor and limit";
                return Err(problem_of_query(name.as_ref(), detail));
            }
        }
    }
    Ok((filter, limit.unwrap_or(DEFAULT_LIMIT)))
}

/// Rejects a repeated parameter, which would be ambiguous.
pub(super) fn take_once<T>(
    into: &mut Option<T>,
    name: &str,
    takes: &str,
    value: Option<T>,
) -> Result<(), Problem> {
    if into.is_some() {
        return Err(problem_of_query(name, &format!("{name} stands twice")));
    }
    *into = Some(value.ok_or_else(|| invalid_parameter(name, takes))?);
    Ok(())
}

pub(super) fn named(value: &str) -> Option<String> {
    is_name(value).then(|| value.to_owned())
}

pub(super) fn time(value: &str) -> Option<UnixMillis> {
    parse_time(value)
}

pub(super) fn count(value: &str) -> Option<usize> {
    value.parse().ok().filter(|limit| (1..=MAX_LIMIT).contains(limit))
}

pub(super) fn invalid_parameter(name: &str, takes: &str) -> Problem {
    problem_of_query(name, &format!("{name} takes {takes}"))
}

pub(super) fn problem_of_query(name: &str, detail: &str) -> Problem {
    let shown: String = name.chars().take(60).collect();
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_request", "Invalid request", detail)
        .with("parameter", &shown)
}

fn no_delivery() -> Problem {
    not_found("This workspace has no delivery of this id; its history is kept for webhooks.retention.")
}
