//! Test events have a rate limit: each is a request to somebody's server that a click makes.

use std::time::Duration;

use uuid::Uuid;

use super::accept::{Accepted, NewEvent};
use super::database::{Statement, values};
use super::{Ledger, LedgerError, moment, stored};
use crate::clock::UnixMillis;

/// How many test events an endpoint gets a minute: a person who tries things out needs less.
pub const MAX_TESTS_PER_ENDPOINT: usize = 10;

/// How many all endpoints of a workspace get together.
pub const MAX_TESTS_PER_WORKSPACE: usize = 60;

/// Over which time they are counted.
const WINDOW: Duration = Duration::from_secs(60);

/// What became of the wish to send a test event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TestOutcome {
    /// It is accepted.
    Accepted(Accepted),
    /// There were too many; the next is accepted after this time.
    RateLimited(Duration),
    /// There is no such endpoint any more.
    NoEndpoint,
}

impl Ledger {
    /// Accepts a test event for one endpoint, unless it or its workspace had too many lately. They are counted in the
    /// database, so the limit holds over all processes.
    ///
    /// # Errors
    /// [`LedgerError`] if it is not on disk: it is not accepted.
    pub async fn accept_test(
        &self,
        workspace: &str,
        endpoint: &str,
        assets: Uuid,
        now: UnixMillis,
    ) -> Result<TestOutcome, LedgerError> {
        // Most that are too many are refused here, without waiting for anybody.
        if let Some(pause) = self.pause_before_test(workspace, endpoint, now).await? {
            return Ok(TestOutcome::RateLimited(pause));
        }
        // Others may have found room in the same moment: one at a time is counted and written.
        let _guard = self.test_lock.lock().await;
        if let Some(pause) = self.pause_before_test(workspace, endpoint, now).await? {
            return Ok(TestOutcome::RateLimited(pause));
        }
        let accepted = self.accept(NewEvent::test(workspace, endpoint, assets, now)?).await?;
        let made = accepted.filter(|accepted| !accepted.deliveries.is_empty());
        Ok(made.map_or(TestOutcome::NoEndpoint, TestOutcome::Accepted))
    }

    async fn pause_before_test(
        &self,
        workspace: &str,
        endpoint: &str,
        now: UnixMillis,
    ) -> Result<Option<Duration>, LedgerError> {
        const LATELY: Statement = Statement::same(
            "SELECT endpoint_id, created_at FROM deliveries WHERE workspace = $1 AND test AND created_at > $2 \
             AND created_at <= $3 ORDER BY created_at DESC LIMIT $4",
        );
        let limit = i64::try_from(2 * MAX_TESTS_PER_WORKSPACE).unwrap_or(i64::MAX);
        let values = values![workspace, stored(now.minus(WINDOW)), stored(now), limit];
        let rows = self.database.fetch::<(String, i64)>(LATELY, values).await?;
        let sent: Vec<(String, UnixMillis)> = rows.into_iter().map(|(id, at)| (id, moment(at))).collect();
        Ok(pause_before(&sent, endpoint, now))
    }
}

/// How long to wait before another test event, if there were too many; `sent` has the newest first.
fn pause_before(sent: &[(String, UnixMillis)], endpoint: &str, now: UnixMillis) -> Option<Duration> {
    let of_endpoint = sent.iter().filter(|(id, _)| id == endpoint).nth(MAX_TESTS_PER_ENDPOINT - 1);
    let of_workspace = sent.get(MAX_TESTS_PER_WORKSPACE - 1);
    let free_at = [of_endpoint, of_workspace].into_iter().flatten().map(|(_, at)| at.plus(WINDOW)).max()?;
    Some(free_at.since(now)).filter(|pause| !pause.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: UnixMillis = UnixMillis(1_000_000);

    fn sent(endpoint: &str, count: u64) -> Vec<(String, UnixMillis)> {
        (0..count).map(|at| (endpoint.to_owned(), UnixMillis(NOW.0 - 1_000 * at))).collect()
    }

    #[test]
    fn an_endpoint_gets_ten_tests_a_minute_and_then_waits_until_the_first_of_them_is_a_minute_old() {
        assert_eq!(pause_before(&sent("ep_1", 9), "ep_1", NOW), None);
        let pause = pause_before(&sent("ep_1", 10), "ep_1", NOW);
        assert_eq!(pause, Some(Duration::from_secs(51)));
        assert_eq!(pause_before(&sent("ep_1", 10), "ep_2", NOW), None);
    }

    #[test]
    fn a_workspace_gets_sixty_for_all_its_endpoints() {
        let mut all: Vec<_> = (0..7).flat_map(|endpoint| sent(&format!("ep_{endpoint}"), 9)).collect();
        all.sort_by_key(|(_, at)| std::cmp::Reverse(*at));
        assert!(pause_before(&all, "ep_new", NOW).is_some());
        all.truncate(59);
        assert_eq!(pause_before(&all, "ep_new", NOW), None);
    }
}
