//! How many attempts an endpoint takes at once, as its answers show: more with each success, half with each failure
//! (AIMD, as TCP does it with packets). Pure: what came of an attempt in, a number out.

use std::time::Duration;

/// How many attempts an endpoint gets at once that nothing is known of yet.
const INITIAL: usize = 4;

/// So many any endpoint may work its way up to. Beyond that its attempts have to end within a quarter of their deadline: a
/// receiver that works through its requests one after the other would be brought to where the last ones time out, and one
/// that is slow anyway would hold many places.
const SLOW_LIMIT: usize = 16;

/// Above half of the size at which it failed last, so many successes make room for one more; below, each does.
const INCREASE_EVERY: usize = 4;

/// The number of attempts that an endpoint may have under way.
#[derive(Debug, Clone)]
pub(crate) struct Window {
    size: usize,
    /// Up to here each success makes room for one more.
    threshold: usize,
    /// Successes above the threshold that have not made room yet.
    successes: usize,
    last_failed: bool,
}

impl Default for Window {
    fn default() -> Self {
        Self { size: INITIAL, threshold: usize::MAX, successes: 0, last_failed: false }
    }
}

impl Window {
    /// The most attempts at once.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// An attempt succeeded that took so long. `in_use` says whether the window stood in the way of more; it grows up to
    /// `bound`. No attempt may take longer than `deadline`.
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

    /// The failures were another receiver's, or their cause was mended.
    pub(crate) fn reset(&mut self) {
        self.size = self.size.max(INITIAL);
        self.last_failed = false;
    }

    /// An attempt failed.
    pub(crate) fn failed(&mut self) {
        // Where the trouble began, not what it comes to while everything fails.
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
    fn each_success_makes_room_for_one_more_up_to_the_bound() {
        let mut window = Window::default();
        assert_eq!(window.size(), INITIAL);
        succeed(&mut window, ms(100), 36);
        assert_eq!(window.size(), 40);
        succeed(&mut window, ms(100), 1_000);
        assert_eq!(window.size(), BOUND);
    }

    #[test]
    fn a_window_that_stands_in_nobodys_way_does_not_grow() {
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
    fn a_receiver_that_takes_one_request_after_the_other_stays_at_a_few() {
        let mut window = Window::default();
        for _ in 0..1_000 {
            let took = ms(100 * window.size() as u64);
            window.succeeded(took, true, BOUND, DEADLINE);
        }
        assert_eq!(window.size(), 26, "the last of them takes a quarter of the deadline");
    }

    #[test]
    fn a_slow_receiver_holds_few_places() {
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
