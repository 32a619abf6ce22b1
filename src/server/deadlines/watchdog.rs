//! The watchdog of a connection's task, or of a stream's task. It reports an expired deadline.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::time::Sleep;

use super::activity::Activity;
use super::timeouts::{Phase, Timeout};
use crate::clock::running::RunningInstant;

/// Waits until a deadline has passed. It sees new activity only when polled, so poll it in the same task, after the
/// code that causes the activity.
pub(crate) struct Watchdog {
    activity: Arc<Activity>,
    /// Created when there is a deadline: most requests end before one is needed.
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Watchdog {
    pub(crate) fn new(activity: Arc<Activity>) -> Self {
        Self { activity, sleep: None }
    }

    /// Waits until a deadline has passed.
    pub(crate) async fn expired(&mut self) -> Timeout {
        std::future::poll_fn(|cx| self.poll(cx)).await
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Timeout> {
        // The timer is not reset when a deadline moves further away: on a busy connection it moves all the time.
        while let Some((deadline, _)) = self.activity.deadline() {
            let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
            if sleep.is_elapsed() || sleep.deadline() > deadline {
                sleep.as_mut().reset(deadline);
            }
            ready!(sleep.as_mut().poll(cx));
            // If the timer is late, the process was frozen; the client was not slow. Running time moves the deadline
            // then.
            let now = RunningInstant::now().instant();
            if let Some((_, timeout)) = self.activity.deadline().filter(|(deadline, _)| now >= *deadline) {
                match timeout {
                    Timeout::Stall => self.activity.set_stalled(),
                    // Leaves time for a graceful close.
                    Timeout::Idle => self.activity.enter(Phase::Head),
                    Timeout::Handshake | Timeout::Header => {}
                }
                return Poll::Ready(timeout);
            }
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::*;
    use crate::server::deadlines::timeouts::Timeouts;

    const TIMEOUTS: Timeouts = Timeouts {
        handshake: Duration::MAX,
        header: Duration::from_secs(15),
        idle: Duration::from_secs(60),
        stall: Duration::from_secs(60),
        quota: 61_440,
        slowest: 1_024,
    };

    async fn after(activity: &Arc<Activity>) -> (Timeout, Duration) {
        let began = Instant::now();
        let timeout = Watchdog::new(Arc::clone(activity)).expired().await;
        (timeout, began.elapsed())
    }

    fn about(found: (Timeout, Duration), timeout: Timeout, seconds: u64) {
        assert_eq!((found.0, found.1.as_secs()), (timeout, seconds), "{found:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn the_header_timeout_is_shorter_than_the_idle_timeout() {
        let activity = Activity::of_connection(TIMEOUTS, None);
        about(after(&activity).await, Timeout::Header, 15);
        drop(activity.begin_request());
        about(after(&activity).await, Timeout::Idle, 60);
        drop(activity.begin_request());
        activity.on_read();
        about(after(&activity).await, Timeout::Header, 15);
    }

    #[tokio::test(start_paused = true)]
    async fn only_time_in_which_the_client_reads_nothing_counts() {
        let activity = Activity::of_connection(TIMEOUTS, None);
        let _request = activity.begin_request();
        for _ in 0..100 {
            // The store is slow, not the client.
            tokio::time::sleep(Duration::from_secs(30)).await;
            activity.on_write_blocked();
            tokio::time::sleep(Duration::from_millis(500)).await;
            activity.on_written(1);
        }
        activity.on_write_blocked();
        about(after(&activity).await, Timeout::Stall, 10);
        assert!(activity.is_stalled());
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_client_that_reads_its_quota_is_never_disconnected() {
        let activity = Activity::of_connection(TIMEOUTS, None);
        let _request = activity.begin_request();
        let mut watchdog = Watchdog::new(Arc::clone(&activity));
        for _ in 0..100 {
            activity.on_write_blocked();
            tokio::select! {
                biased;
                timeout = watchdog.expired() => panic!("{timeout:?}"),
                () = tokio::time::sleep(Duration::from_secs(19)) => activity.on_written(20 * 1_024),
            }
        }
        // The round that began with the hundredth piece.
        activity.on_write_blocked();
        about(after(&activity).await, Timeout::Stall, 41);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_still_reads_the_end_of_an_answer_is_not_idle() {
        let activity = Activity::of_connection(TIMEOUTS, None);
        let request = activity.begin_request();
        activity.on_write_blocked();
        drop(request);
        tokio::time::sleep(Duration::from_secs(55)).await;
        activity.on_written(100);
        about(after(&activity).await, Timeout::Idle, 60);
    }
}
