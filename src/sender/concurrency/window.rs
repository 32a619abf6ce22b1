//! Adapts the concurrency window of an endpoint: it grows with successes and halves with each failure (AIMD, like TCP's
//! congestion window).

use std::time::Duration;

/// The window of a new endpoint.
const INITIAL: usize = 4;

/// Above this size, the window grows only after attempts that take at most a quarter of their deadline. Otherwise it
/// would grow until the last requests to a serial receiver time out, and a slow receiver would occupy many slots.
const SLOW_LIMIT: usize = 16;

/// Above half of its size at the last failure, the window grows by one after this many successes; below, after each.
const INCREASE_EVERY: usize = 4;

/// The number of attempts that an endpoint may have in flight.
#[derive(Debug, Clone)]
pub(crate) struct Window {
    size: usize,
    /// Up to this size, each success grows the window by one.
    threshold: usize,
    /// Successes above the threshold since the window grew.
    successes: usize,
    last_failed: bool,
}

impl Default for Window {
    fn default() -> Self {
        Self { size: INITIAL, threshold: usize::MAX, successes: 0, last_failed: false }
    }
}

impl Window {
    /// The maximum number of concurrent attempts.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// Records a successful attempt. The window grows up to `bound`, and only if it was `in_use`, that is, limited the
    /// attempts. `deadline` is the timeout of attempts.
    pub(crate) fn succeeded(&mut self, took: Duration, in_use: bool, bound: usize, deadline: Duration) {
        self.last_failed = false;
        if !in_use || self.size >= bound || (self.size >= SLOW_LIMIT && took > deadline / 4) {
            return;
        }
        self.successes += 1;
        if self.size < self.threshold || self.successes >= INCREASE_EVERY {
            self.successes = 0;
            self.size += 1;
        }
    }

    /// Resets the window after the endpoint got a new URL or a user reset its health.
    pub(crate) fn reset(&mut self) {
        self.size = self.size.max(INITIAL);
        self.last_failed = false;
    }

    /// Records a failed attempt.
    pub(crate) fn failed(&mut self) {
        // Only the first of several consecutive failures sets the threshold.
        if !self.last_failed {
            self.threshold = (self.size / 2).max(INITIAL);
        }
        self.last_failed = true;
        self.successes = 0;
        self.size = (self.size / 2).max(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEADLINE: Duration = Duration::from_secs(10);
    const BOUND: usize = 128;

    fn ms(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    fn succeed(window: &mut Window, took: Duration, times: usize) {
        for _ in 0..times {
            window.succeeded(took, true, BOUND, DEADLINE);
        }
    }

    #[test]
    fn each_success_grows_the_window_by_one_up_to_the_bound() {
        let mut window = Window::default();
        assert_eq!(window.size(), INITIAL);
        succeed(&mut window, ms(100), 36);
        assert_eq!(window.size(), 40);
        succeed(&mut window, ms(100), 1_000);
        assert_eq!(window.size(), BOUND);
    }

    #[test]
    fn a_window_that_limits_no_attempts_does_not_grow() {
        let mut window = Window::default();
        for _ in 0..1_000 {
            window.succeeded(ms(100), false, BOUND, DEADLINE);
        }
        assert_eq!(window.size(), INITIAL);
    }

    #[test]
    fn a_failure_halves_it_and_failures_in_a_row_leave_one() {
        let mut window = Window::default();
        succeed(&mut window, ms(100), 60);
        window.failed();
        assert_eq!(window.size(), 32);
        for _ in 0..10 {
            window.failed();
        }
        assert_eq!(window.size(), 1);
    }

    #[test]
    fn after_an_outage_it_is_soon_at_half_of_what_it_was_and_goes_on_slowly() {
        let mut window = Window::default();
        succeed(&mut window, ms(100), 60);
        (0..10).for_each(|_| window.failed());
        succeed(&mut window, ms(100), 31);
        assert_eq!(window.size(), 32);
        succeed(&mut window, ms(100), 4 * 8);
        assert_eq!(window.size(), 40);
    }

    #[test]
    fn a_serial_receiver_gets_a_small_window() {
        let mut window = Window::default();
        for _ in 0..1_000 {
            let took = ms(100 * window.size() as u64);
            window.succeeded(took, true, BOUND, DEADLINE);
        }
        assert_eq!(window.size(), 26, "the last of them takes a quarter of the deadline");
    }

    #[test]
    fn a_slow_receiver_uses_few_slots() {
        let mut window = Window::default();
        succeed(&mut window, ms(9_500), 1_000);
        assert_eq!(window.size(), SLOW_LIMIT);
    }

    #[test]
    fn one_failure_in_a_hundred_leaves_a_receiver_room_for_two_hundred_a_second() {
        let mut window = Window::default();
        let mut least = usize::MAX;
        for at in 1..10_000 {
            if at % 100 == 0 {
                window.failed();
            } else {
                succeed(&mut window, ms(100), 1);
            }
            least = if at > 1_000 { least.min(window.size()) } else { least };
        }
        assert!(least >= 20, "{least}");
    }
}
