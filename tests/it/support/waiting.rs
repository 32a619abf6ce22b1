//! Waiting for what must happen, on a machine that may be slow.

use std::time::{Duration, Instant};

use super::Site;

/// How long a test waits for an event that must happen. A pass never takes that long, so it costs nothing to be patient.
pub const WAIT_LIMIT: Duration = Duration::from_secs(60);

/// Polls until there is an answer; `what` says what is missing if there never is.
pub async fn until<T>(mut ask: impl AsyncFnMut() -> Option<T>, what: impl Fn() -> String) -> T {
    let started = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(started.elapsed() < WAIT_LIMIT, "{}", what());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The same in a test without a runtime.
#[track_caller]
pub fn eventually<T>(mut ask: impl FnMut() -> Option<T>, what: impl Fn() -> String) -> T {
    let started = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(started.elapsed() < WAIT_LIMIT, "{}", what());
        std::thread::sleep(Duration::from_millis(10));
    }
}

impl Site {
    /// Waits until the metrics page has this line.
    pub async fn counts(&self, line: &str) {
        let is_there = async || self.metrics.render().lines().any(|found| found == line).then_some(());
        until(is_there, || format!("no {line} in {}", self.metrics.render())).await;
    }

    /// Waits until no request is in flight.
    pub async fn is_idle(&self) {
        self.counts("webhook_assets_requests_in_flight 0").await;
    }
}
