//! Opens the database as soon as possible after it could not be opened at startup.

use std::time::Duration;

use super::metrics::SenderMetrics;
use crate::ledger::{Ledger, LedgerError};

/// The pause between two attempts.
const RETRY: Duration = Duration::from_secs(1);

/// Tries to open the ledger until it succeeds, in a process that sends or does not. Logs each cause once.
pub async fn open_with_retry(metrics: &SenderMetrics, ledger: &Ledger, sends: bool) {
    let Some(before) = ledger.open_error() else { return };
    let mut last = Some(before.to_string());
    while let Err(error) = open(ledger, sends).await {
        metrics.database_failed(error.label());
        let text = error.to_string();
        if last.as_ref() != Some(&text) {
            tracing::error!(
                error = text,
                "webhooks are neither accepted nor sent until the database answers"
            );
            last = Some(text);
        }
        tokio::time::sleep(RETRY).await;
    }
    tracing::info!("the webhooks' database answers; calls are accepted");
}

async fn open(ledger: &Ledger, sends: bool) -> Result<(), LedgerError> {
    if sends { ledger.open_for_sending().await } else { ledger.open_now().await }
}
