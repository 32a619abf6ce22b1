//! Shifts or corrects stored times after the wall clock was set.

use std::time::Duration;

use super::database::{Statement, int, values};
use super::error::Result;
use super::handle::Ledger;
use crate::clock::UnixMillis;

/// A stored time that is further in the future was written by a clock that has since been set back.
const TOLERANCE: Duration = Duration::from_secs(1);

impl Ledger {
    /// Shifts stored times after the wall clock was set from `from` to `to`: the leases and schedules of `holder`, or
    /// all of them on SQLite, which has one sender and one clock. (The clocks of other replicas may be right.)
    ///
    /// # Errors
    /// If it could not be written. Then nothing has changed.
    pub async fn apply_clock_step(&self, holder: &str, from: UnixMillis, to: UnixMillis) -> Result<()> {
        const LEASES: Statement = Statement::same(
            "UPDATE deliveries SET lease_until = lease_until + $1 WHERE state = 'sending' AND lease = $2",
        );
        const OWN_PAUSES: Statement = Statement::same(
            "UPDATE deliveries SET due_at = due_at + $1, scheduled_at = scheduled_at + $1 \
             WHERE state = 'waiting' AND scheduled_at IS NOT NULL AND scheduled_by = $2",
        );
        const ALL_PAUSES: Statement = Statement::same(
            "UPDATE deliveries SET due_at = due_at + $1, scheduled_at = scheduled_at + $1 \
             WHERE state = 'queued' OR state = 'waiting' AND scheduled_at IS NOT NULL",
        );
        const HEALTH: Statement = Statement::same(
            "UPDATE endpoints SET failing_since = failing_since + $1, held_since = held_since + $1, \
             held_until = held_until + $1 WHERE failing_since IS NOT NULL OR held_until IS NOT NULL",
        );
        const LOOKS: Statement =
            Statement::same("UPDATE deliveries SET look_at = look_at + $1 WHERE look_at IS NOT NULL");
        const ALERTS: Statement = Statement::same(
            "UPDATE alerts SET due_at = due_at + $1, lease_until = lease_until + $1 WHERE state = 'pending'",
        );
        let by = int(to.0).saturating_sub(int(from.0));
        let mut tx = self.database.begin_unchecked().await?;
        tx.execute(LEASES, values![by, holder]).await?;
        if self.database.is_shared() {
            tx.execute(OWN_PAUSES, values![by, holder]).await?;
        } else {
            tx.execute(ALL_PAUSES, values![by]).await?;
            tx.execute(HEALTH, values![by]).await?;
            tx.execute(LOOKS, values![by]).await?;
            tx.execute(ALERTS, values![by]).await?;
        }
        tx.commit().await
    }

    /// Corrects times in the future after the wall clock was set back: a pause that began in the future begins now, and
    /// a delivery that was queued in the future counts as queued now.
    ///
    /// # Errors
    /// If it could not be written.
    pub async fn correct_future_times(&self, now: UnixMillis) -> Result<u64> {
        const CORRECT: Statement = Statement::same(
            "UPDATE deliveries SET due_at = CASE WHEN scheduled_at IS NULL THEN $1 \
             ELSE $1 + due_at - scheduled_at END, scheduled_at = CASE WHEN scheduled_at IS NULL THEN NULL ELSE $1 END \
             WHERE state IN ('waiting', 'queued') AND coalesce(scheduled_at, due_at) > $2",
        );
        self.database.execute_unchecked(CORRECT, values![now, now.plus(TOLERANCE)]).await
    }
}
