//! Makes one attempt for a claimed delivery, and records its result.

use std::time::Duration;

use super::attempt::{self, Attempt, AttemptOutcome};
use super::concurrency::Feedback;
use super::delivery_log::log_delivery;
use super::handle::Sender;
use super::late_assets::awaited;
use super::links::Wait;
use super::permit::Permit;
use super::schedule::{self, jitter};
use crate::clock::UnixMillis;
use crate::ledger::{Claimed, Disposition, Failure, FinishedAttempt, Requeue};
use crate::tasks::{self, Task};
use crate::webhook::AlertKind;

/// The pause between two write attempts while the database does not answer.
const WRITE_RETRY: Duration = Duration::from_secs(1);

/// How long a delivery waits after its attempt panicked. The bug is ours, so it does not count as an attempt.
const PANIC_DELAY: Duration = Duration::from_secs(60);

/// Makes one attempt and records its result.
pub(super) async fn deliver(sender: Sender, claimed: Claimed, failing: bool, mut permit: Permit) {
    let outcome = tasks::catch_panic(Task::Delivery, attempt::attempt(&sender, &claimed)).await;
    let outcome = outcome.unwrap_or_else(|| {
        let (from, asset_waited) = (sender.now(), claimed.asset_waited);
        let why = "the attempt ended by a fault of the sender, and is made again".to_owned();
        AttemptOutcome::Postponed(Wait { from, until: from.plus(PANIC_DELAY), why, asset_waited })
    });
    match outcome {
        AttemptOutcome::Attempted(attempt) => {
            let (succeeded, took, at) = (attempt.succeeded, attempt.result.took, sender.now());
            let failure = (!succeeded).then(|| Failure {
                code: attempt.result.code.to_owned(),
                summary: attempt.result.summary.clone(),
            });
            if attempt.is_of_receiver {
                permit.attempted(Feedback { succeeded, took }, at, failure);
            }
            let finished = finished(&sender, &claimed, *attempt, at);
            if let Disposition::RetryAt(due) = finished.disposition {
                permit.due_again(due);
            }
            record(&sender, &claimed, finished).await;
            if succeeded {
                sender.alert_to_success(&claimed).await;
            }
            // Without this, the log would not show that a dead endpoint works again.
            if succeeded && failing {
                log_delivery!(info, claimed, "an endpoint takes events again");
            }
        }
        AttemptOutcome::Postponed(wait) => {
            permit.due_again(wait.until);
            requeue(&sender, &claimed, wait).await;
        }
        AttemptOutcome::LeaseLost => {}
    }
}

fn finished(sender: &Sender, claimed: &Claimed, attempt: Attempt, at: UnixMillis) -> FinishedAttempt {
    let disposition = if attempt.succeeded {
        Disposition::Delivered
    } else {
        let failed = schedule::Failed {
            tries: claimed.tries.saturating_add(1),
            long_tail: claimed.target.long_tail,
            retry_after: attempt.retry_after,
            at,
            jitter: jitter(),
        };
        schedule::next_attempt(failed).map_or(Disposition::Failed, Disposition::RetryAt)
    };
    let metrics = sender.metrics();
    metrics.attempt_ended(attempt.result.code, attempt.result.took);
    match disposition {
        Disposition::Delivered => metrics.delivery_ended("delivered", at.since(claimed.accepted_at)),
        Disposition::Failed => metrics.delivery_ended("failed", at.since(claimed.accepted_at)),
        Disposition::RetryAt(_) => {}
    }
    FinishedAttempt {
        delivery: claimed.delivery.clone(),
        holder: sender.0.holder.clone(),
        number: claimed.attempts.saturating_add(1),
        resend: claimed.resends,
        awaited: awaited(claimed, attempt.result.nulls, at),
        result: attempt.result,
        disposition,
        at,
        alert_interval: sender.alert_interval(AlertKind::Exhausted),
    }
}

/// Writes the result, and retries until that succeeds. If the program ends earlier, the lease expires and the attempt
/// is repeated.
async fn record(sender: &Sender, claimed: &Claimed, finished: FinishedAttempt) {
    loop {
        match sender.ledger().finish(finished.clone()).await {
            Ok(()) => return,
            Err(error) if error.is_transient() && !sender.0.stop.is_cancelled() => {
                sender.metrics().database_failed(error.label());
                tokio::time::sleep(WRITE_RETRY).await;
            }
            Err(error) => {
                log_delivery!(error, claimed, %error, "an attempt could not be written down; it will be made again");
                return;
            }
        }
    }
}

async fn requeue(sender: &Sender, claimed: &Claimed, wait: Wait) {
    let Wait { from, until, why, asset_waited } = wait;
    let requeue = [(claimed.delivery.clone(), Requeue::After { from, until, note: why, asset_waited })];
    if let Err(error) = sender.ledger().requeue(&sender.0.holder, &requeue).await {
        log_delivery!(warn, claimed, %error, "a delivery that has to wait could not be put back; its lease will end");
    }
}
