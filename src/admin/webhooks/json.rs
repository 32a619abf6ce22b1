//! Formats endpoints, deliveries and attempts as JSON, for the API and the command line.

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::clock::{UnixMillis, UnixSeconds};
use crate::ledger::{
    Attempt, CallFilter, CallLife, Delivery, DeliveryLife, Endpoint, FoundCall, Secrets, StoredAlert,
};
use crate::signed_url::{self, Finding};
use crate::webhook::{Diagnosis, Direction, Exchange, HeaderFields, Phases};

/// An endpoint, without its secrets.
#[must_use]
pub fn endpoint_to_json(endpoint: &Endpoint) -> Value {
    json!({
        "id": endpoint.id,
        "workspace": endpoint.workspace,
        "url": endpoint.url,
        "description": endpoint.description,
        "state": endpoint.state.name(),
        "reason": endpoint.reason,
        "long_tail": endpoint.long_tail,
        "late_assets": endpoint.late_assets,
        "concurrency": endpoint.concurrency,
        "per_second": endpoint.per_second,
        "filter": filter_to_json(&endpoint.filter),
        // Only that a value is set.
        "headers": endpoint.headers.iter().map(|name| (name.clone(), true.into())).collect::<Map<_, _>>(),
        "health": {
            "failures": endpoint.health.failures,
            "failing_since": text(endpoint.health.failing_since),
            "held_since": text(endpoint.health.held_since),
            "held_until": text(endpoint.health.held_until),
            "last_failure": endpoint.failure.as_ref().map(|failure| &failure.summary),
        },
        "previous_secret_until": text(endpoint.previous_secret_until),
        "created_at": endpoint.created_at.to_string(),
    })
}

/// Which calls an endpoint gets; null where a condition is not set.
fn filter_to_json(filter: &CallFilter) -> Value {
    let status: Vec<_> = filter.status.iter().map(|status| status.name()).collect();
    json!({
        "status": (!status.is_empty()).then_some(status),
        "direction": filter.direction.map(Direction::name),
        "has_recording": filter.has_recording,
    })
}

/// An endpoint's secrets.
#[must_use]
pub fn secrets_to_json(secrets: &Secrets) -> Value {
    let mut previous = secrets
        .previous
        .iter()
        .map(|(secret, until)| json!({"secret": secret.reveal(), "until": until.to_string()}));
    let mut shown = json!({"secret": secrets.current.reveal()});
    if let (Value::Object(fields), Some(newest)) = (&mut shown, previous.next()) {
        fields.insert("previous".into(), newest);
        let earlier: Vec<Value> = previous.collect();
        if !earlier.is_empty() {
            fields.insert("earlier".into(), earlier.into());
        }
    }
    shown
}

/// One delivery of the history, as of `now`.
#[must_use]
pub fn delivery_to_json(delivery: &Delivery, now: UnixSeconds) -> Value {
    json!({
        "id": delivery.id,
        "event": delivery.event,
        "event_type": delivery.message().event_type.name(),
        "endpoint": delivery.endpoint,
        "call_id": delivery.call,
        "test": delivery.test,
        "status": delivery.state.name(),
        "attempt_count": delivery.attempts,
        "resends": delivery.resends,
        "due_at": text(delivery.due_at),
        "note": delivery.note,
        "last_status": delivery.last_status,
        "last_summary": delivery.last_summary,
        "recording": delivery.recording,
        "transcript": delivery.transcript,
        "links_expire_at": text(delivery.links_expire.map(UnixMillis::from)),
        "recording_fetched_at": text(delivery.recording_fetched_at),
        "transcript_fetched_at": text(delivery.transcript_fetched_at),
        "pick_up": delivery.link_status(now),
        "created_at": delivery.created_at.to_string(),
        "ended_at": text(delivery.ended_at),
        "active_at": delivery.active_at.to_string(),
    })
}

/// One attempt of a delivery.
#[must_use]
pub fn attempt_to_json(attempt: &Attempt) -> Value {
    json!({
        "number": attempt.number,
        "resend": attempt.resend,
        "started_at": attempt.started_at.to_string(),
        "duration_ms": millis(attempt.took),
        "status": attempt.status,
        "code": attempt.code,
        "summary": attempt.summary,
        "advice": attempt.advice,
        "excerpt": attempt.excerpt,
        "request_fields": fields_to_json(&attempt.sent),
        "response_fields": fields_to_json(&attempt.answered),
        "phases": phases_to_json(&attempt.phases),
        "links_expire_at": text(attempt.links_expire.map(UnixMillis::from)),
    })
}

/// Header fields, each with its name and its value, which is masked if it is a secret.
fn fields_to_json(fields: &HeaderFields) -> Vec<Value> {
    fields.iter().map(|(name, value)| json!({"name": name, "value": value})).collect()
}

/// The phases of an attempt in milliseconds; null for one that it did not need or complete.
fn phases_to_json(phases: &Phases) -> Value {
    json!({
        "lookup_ms": phases.lookup.map(millis),
        "connect_ms": phases.connect.map(millis),
        "tls_ms": phases.tls.map(millis),
        "first_byte_ms": phases.first_byte.map(millis),
        "connection_reused": phases.is_reused(),
    })
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// An alert, and how far its sending is.
#[must_use]
pub fn alert_to_json(stored: &StoredAlert) -> Value {
    let mut shown = stored.alert.to_json(None);
    if let Value::Object(fields) = &mut shown {
        fields.insert("status".into(), stored.state.name().into());
        fields.insert("attempt_count".into(), stored.tries.into());
        fields.insert("due_at".into(), text(stored.due_at).into());
        fields.insert("last_summary".into(), stored.last_summary.clone().into());
        fields.insert("ended_at".into(), text(stored.ended_at).into());
    }
    shown
}

/// What came of a test alert.
#[must_use]
pub fn tested_alert_to_json(exchange: &Exchange, diagnosis: &Diagnosis) -> Value {
    json!({
        "delivered": exchange.is_success(),
        "code": diagnosis.facts.code,
        "summary": diagnosis.english.summary,
        "advice": diagnosis.english.advice,
    })
}

/// A call that was found.
#[must_use]
pub fn found_call_to_json(call: &FoundCall) -> Value {
    json!({
        "workspace": call.workspace,
        "call_id": call.call,
        "event": call.event,
        "recording": call.recording,
        "transcript": call.transcript,
        "accepted_at": call.accepted_at.to_string(),
    })
}

/// What `verify` says of a link that was looked for.
#[must_use]
pub fn link_to_json(link: &signed_url::Diagnosis) -> Value {
    let finding = |finding: &Finding| json!({"code": finding.code, "text": finding.text});
    let findings: Vec<Value> = link.findings.iter().map(finding).collect();
    json!({"good": link.grant.is_some(), "findings": findings})
}

/// A call with its deliveries and their attempts.
#[must_use]
pub fn call_life_to_json(life: &CallLife, now: UnixSeconds) -> Value {
    let delivery_to_json = |DeliveryLife { delivery, url, attempts }: &DeliveryLife| {
        let mut object = delivery_to_json(delivery, now);
        if let Value::Object(fields) = &mut object {
            fields.insert("url".to_owned(), url.clone().into());
            fields.insert("attempts".to_owned(), attempts.iter().map(attempt_to_json).collect());
        }
        object
    };
    let mut object = found_call_to_json(&life.call);
    if let Value::Object(fields) = &mut object {
        fields.insert("deliveries".to_owned(), life.deliveries.iter().map(delivery_to_json).collect());
    }
    object
}

fn text(moment: Option<UnixMillis>) -> Option<String> {
    moment.map(|moment| moment.to_string())
}
