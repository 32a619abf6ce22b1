//! `webhooks test`: sends a test event and prints its attempts.

use std::process::ExitCode;
use std::time::Duration;

use super::context::{CommandContext, EndpointId, OneEndpoint, Workspace, no_delivery};
use super::deliveries::{attempt_as_text, with_attempts_to_json};
use crate::cli::exit::{EXIT_NO, Exit, Failure, print, print_json};
use crate::cli::terminal::escaped;
use crate::clock::{Clock, SystemClock, format_exact};
use crate::ledger::{
    Delivery, DeliveryState, EndpointState, MAX_TESTS_PER_ENDPOINT, MAX_TESTS_PER_WORKSPACE, TestOutcome,
};
use crate::store::SAMPLE;

/// How often the delivery is read.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// If no attempt has been made after this time, most likely no sender runs.
const NO_SENDER_AFTER: Duration = Duration::from_secs(5);

/// The longest wait for the next attempt.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

pub(super) async fn send(context: &CommandContext, one: &OneEndpoint) -> Exit {
    let OneEndpoint { endpoint, output } = one;
    let EndpointId { of: Workspace { workspace }, id } = endpoint;
    let found = context.ledger.endpoint(workspace, id).await?.ok_or_else(|| endpoint.missing())?;
    if found.state == EndpointState::Paused {
        return Err(Failure::Failed(format!("{id} is paused; `webhooks resume` it before")));
    }
    let delivery = match context.ledger.accept_test(workspace, id, SAMPLE, context.now).await? {
        TestOutcome::Accepted(accepted) => accepted.deliveries.into_iter().next(),
        TestOutcome::RateLimited(pause) => return Err(too_many(pause)),
        // The endpoint has been removed in the meantime.
        TestOutcome::NoEndpoint => None,
    };
    let delivery = delivery.ok_or_else(|| endpoint.missing())?;
    if !output.json {
        print(&format!("test event for {}, delivery {delivery}\n", escaped(&found.url)))?;
    }
    follow(context, workspace, &delivery, output.json).await
}

fn too_many(pause: Duration) -> Failure {
    let pause = format_exact(Duration::from_secs(pause.as_secs().saturating_add(1)));
    Failure::Failed(format!(
        "too many test events: an endpoint gets {MAX_TESTS_PER_ENDPOINT} a minute, and all endpoints of a workspace \
         {MAX_TESTS_PER_WORKSPACE}; try again in {pause}"
    ))
}

/// Prints each attempt once it is recorded, or the delivery as JSON at the end, until it ends or its next attempt is far
/// off.
async fn follow(context: &CommandContext, workspace: &str, id: &str, as_json: bool) -> Exit {
    let mut printed = 0;
    loop {
        let found = context.ledger.delivery(workspace, id).await?;
        let (delivery, attempts) = found.ok_or_else(|| no_delivery(workspace, id))?;
        for (at, attempt) in attempts.iter().enumerate().skip(printed).filter(|_| !as_json) {
            let before = at.checked_sub(1).and_then(|before| attempts.get(before));
            print(&attempt_as_text(attempt, before))?;
        }
        printed = attempts.len();
        if let Some(ended) = outcome(&delivery) {
            let Ended { text, good } = ended?;
            match as_json {
                true => print_json(&with_attempts_to_json(&delivery, &attempts, SystemClock.now_millis()))?,
                false => print(&text)?,
            };
            return Ok(if good { ExitCode::SUCCESS } else { ExitCode::from(EXIT_NO) });
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    }
}

/// How a test event ended.
struct Ended {
    text: String,
    good: bool,
}

fn outcome(delivery: &Delivery) -> Option<Result<Ended, Failure>> {
    let now = SystemClock.now_millis();
    match delivery.state {
        DeliveryState::Delivered => Some(Ok(Ended { text: "delivered\n".to_owned(), good: true })),
        DeliveryState::Failed => {
            let why = delivery.note.as_ref().map(|note| format!(": {}", escaped(note))).unwrap_or_default();
            Some(Ok(Ended { text: format!("failed{why}\n"), good: false }))
        }
        DeliveryState::Sending => None,
        DeliveryState::Waiting | DeliveryState::Queued if delivery.attempts == 0 => {
            let waited = now.since(delivery.created_at) >= NO_SENDER_AFTER;
            let why = match &delivery.note {
                Some(note) => format!("it waits: {}", escaped(note)),
                None => "nobody has sent it for 5 s; it waits. Is `webhook-assets serve` running on this database?"
                    .to_owned(),
            };
            waited.then_some(Err(Failure::Failed(why)))
        }
        DeliveryState::Waiting | DeliveryState::Queued => {
            let due = delivery.due_at.filter(|due| due.since(now) > LONGEST_WAIT)?;
            Some(Ok(Ended {
                text: format!("not delivered yet; the next attempt is at {due}\n"),
                good: false,
            }))
        }
    }
}
