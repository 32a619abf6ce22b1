//! Follows a recovery until its deliveries have ended.

use std::process::ExitCode;
use std::time::Duration;

use serde_json::json;

use super::context::CommandContext;
use crate::cli::arguments::Output;
use crate::cli::exit::{EXIT_NO, Exit};
use crate::cli::progress_bar::ProgressBar;
use crate::ledger::{RecoverRange, RecoveryProgress};

/// How often the progress is read. It reads two indexes, which may hold a million deliveries.
const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// If nothing has ended after this many looks, most likely no sender runs.
const NO_SENDER_AFTER: u32 = 5;

/// Shows the progress on standard error until all deliveries have ended, then prints the result.
pub(super) async fn follow(
    context: &CommandContext,
    workspace: &str,
    range: &RecoverRange,
    recovered: u64,
    output: Output,
) -> Exit {
    let mut bar = ProgressBar::new(recovered);
    let mut looks = 0;
    let progress = loop {
        let progress = context.ledger.progress(workspace, range, context.now, recovered).await?;
        bar.show(progress.delivered.saturating_add(progress.failed), progress.failed);
        if progress.pending == 0 {
            break progress;
        }
        looks += 1;
        if looks == NO_SENDER_AFTER && progress.delivered == 0 && progress.failed == 0 {
            bar.note("nothing was sent for 5 s. Is `webhook-assets serve` running on this database?");
        }
        tokio::time::sleep(POLL_INTERVAL).await;
    };
    bar.end();
    report(progress, recovered, output)
}

fn report(
    RecoveryProgress { delivered, failed, .. }: RecoveryProgress,
    recovered: u64,
    output: Output,
) -> Exit {
    output.print(
        || json!({"recovered": recovered, "delivered": delivered, "failed": failed}),
        || format!("{recovered} sent again: {delivered} delivered, {failed} failed\n"),
    )?;
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::from(EXIT_NO) })
}
