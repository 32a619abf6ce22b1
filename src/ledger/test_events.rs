//! Limits the rate of test events, because each click sends a request to someone else's server.

use std::time::Duration;

use uuid::Uuid;

use super::audit_entry::Action;
use super::database::{Statement, values};
use super::error::Result;
use super::event::{Accepted, NewEvent};
use super::handle::Ledger;
use crate::clock::UnixMillis;

/// How many test events per minute an endpoint may get.
pub const MAX_TESTS_PER_ENDPOINT: usize = 10;

/// How many test events per minute all endpoints of a workspace may get together.
pub const MAX_TESTS_PER_WORKSPACE: usize = 60;

/// The period over which test events are counted.
const WINDOW: Duration = Duration::from_secs(60);

/// The result of sending a test event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TestOutcome {
    /// It is accepted.
    Accepted(Accepted),
    /// There were too many. Another is accepted after this time.
    RateLimited(Duration),
    /// The endpoint no longer exists.
    NoEndpoint,
}

impl Ledger {
    /// Accepts a test event for one endpoint within the rate limits. They are counted in the database, so the limits
    /// apply across all processes.
    ///
    /// # Errors
    /// If it could not be written. Then it is not accepted.
    pub async fn accept_test(
        &self,
        workspace: &str,
        endpoint: &str,
        assets: Uuid,
        now: UnixMillis,
    ) -> Result<TestOutcome> {
        // Rejects most excess events without taking the lock.
        if let Some(pause) = self.pause_before_test(workspace, endpoint, now).await? {
            return Ok(TestOutcome::RateLimited(pause));
        }
        // Concurrent callers that got this far count and write one at a time.
        let _guard = self.test_lock.lock().await;
        if let Some(pause) = self.pause_before_test(workspace, endpoint, now).await? {
            return Ok(TestOutcome::RateLimited(pause));
        }
        let accepted = self.accept(NewEvent::test(workspace, endpoint, assets, now)?).await?;
        let made = accepted.filter(|accepted| !accepted.deliveries.is_empty());
        if made.is_some() {
            self.record(Action::of("endpoint.tested", workspace, endpoint)).await?;
        }
        Ok(made.map_or(TestOutcome::NoEndpoint, TestOutcome::Accepted))
    }

    async fn pause_before_test(
        &self,
        workspace: &str,
        endpoint: &str,
        now: UnixMillis,
    ) -> Result<Option<Duration>> {
        const LATELY: Statement = Statement::same(
            "SELECT endpoint_id, created_at FROM deliveries WHERE workspace = $1 AND test AND created_at > $2 \
             AND created_at <= $3 ORDER BY created_at DESC LIMIT $4",
        );
        let values = values![workspace, now.minus(WINDOW), now, 2 * MAX_TESTS_PER_WORKSPACE];
        let sent: Vec<(String, UnixMillis)> = self.database.fetch(LATELY, values).await?;
        Ok(pause_before(&sent, endpoint, now))
    }
}

/// How long to wait before another test event, if there were too many. `sent` starts with the newest.
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
