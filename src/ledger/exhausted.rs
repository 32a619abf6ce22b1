//! Alerts the operator to deliveries that no attempts are left for, in the transaction that records their last attempts.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use super::alerts::{Cause, add_alert};
use super::attempt::{Disposition, FinishedAttempt};
use super::database::{Statement, Tx, column, from_row, over_ids, values};
use super::error::Result;
use crate::clock::UnixMillis;
use crate::webhook::{AlertEndpoint, AlertKind};

/// A delivery whose last attempt has failed, and its endpoint.
struct Exhausted {
    delivery: String,
    holder: String,
    endpoint: AlertEndpoint,
}

from_row!(row => Exhausted {
    delivery: column(row, "delivery")?,
    holder: column(row, "lease")?,
    endpoint: AlertEndpoint {
        workspace: column(row, "workspace")?,
        id: column(row, "id")?,
        description: column(row, "description")?,
        host: AlertEndpoint::host_of(&column::<String, _>(row, "url")?),
    },
});

/// Whether an attempt is the last one of its delivery, and the operator wants to know.
pub(super) fn alerts(finished: &FinishedAttempt) -> bool {
    finished.alert_interval.is_some() && finished.disposition == Disposition::Failed
}

/// Adds the alerts to these attempts, before they are written. Test events are looked at by the person who sends them.
pub(super) async fn add_alerts(tx: &mut Tx, finished: &[FinishedAttempt]) -> Result<()> {
    const READ: Statement = over_ids!(
        "SELECT d.id AS delivery, d.lease, e.workspace, e.id, e.description, e.url FROM deliveries d \
         JOIN endpoints e ON e.id = d.endpoint_id WHERE d.id",
        " AND d.lease IS NOT NULL AND NOT d.test AND e.removed_at IS NULL",
    );
    let last: HashMap<&str, &FinishedAttempt> = finished
        .iter()
        .filter(|finished| alerts(finished))
        .map(|finished| (finished.delivery.as_str(), finished))
        .collect();
    let ids: Vec<String> = last.keys().map(|id| (*id).to_owned()).collect();
    let mut causes: BTreeMap<String, (Cause, Duration, UnixMillis)> = BTreeMap::new();
    for Exhausted { delivery, holder, endpoint } in tx.fetch(READ, values![ids]).await? {
        // If the lease has ended, the attempt is made again.
        let Some(attempt) = last.get(delivery.as_str()).filter(|attempt| attempt.holder == holder) else {
            continue;
        };
        let Some(interval) = attempt.alert_interval else { continue };
        let (cause, ..) = causes
            .entry(endpoint.id.clone())
            .or_insert_with(|| (cause(endpoint, attempt), interval, attempt.at));
        cause.count = cause.count.saturating_add(1);
    }
    for (cause, interval, at) in causes.into_values() {
        add_alert(tx, cause, interval, at).await?;
    }
    Ok(())
}

fn cause(endpoint: AlertEndpoint, attempt: &FinishedAttempt) -> Cause {
    Cause {
        kind: AlertKind::Exhausted,
        endpoint,
        since: None,
        count: 0,
        code: Some(attempt.result.code.to_owned()),
        reason: Some(attempt.result.summary.clone()),
    }
}
