//! Who says nothing, asks nothing or takes nothing is left. A connection's [`Activity`] are noted where they show (socket,
//! requests, bodies); a [`Watchdog`] beside it says when they have been missing for too long.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

use crate::clock::running::RunningInstant;
use crate::server::Config;
use crate::server::listener::eviction::Slot;

/// The deadlines.
#[derive(Debug, Clone, Copy)]
pub(in crate::server) struct Limits {
    pub(in crate::server) header: Duration,
    pub(in crate::server) idle: Duration,
    pub(in crate::server) stall: Duration,
    /// The bytes that a client has to take while `stall` passes.
    pub(in crate::server) quota: u64,
    /// The bytes of a request's body that a client has to send in a second.
    pub(in crate::server) slowest: u32,
}

impl From<&Config> for Limits {
    fn from(config: &Config) -> Self {
        let quota = (config.stall_timeout.as_millis() * u128::from(config.slowest_client)).div_ceil(1_000);
        Self {
            header: config.header_timeout,
            idle: config.idle_timeout,
            stall: config.stall_timeout,
            quota: u64::try_from(quota).unwrap_or(u64::MAX),
            slowest: config.slowest_client,
        }
    }
}

/// Why a connection, or one of its streams, is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::server) enum Timeout {
    /// No whole head came in time.
    Header,
    /// Nothing was asked for a long time.
    Idle,
    /// The client took less than it must.
    Stall,
    /// A newcomer had more need of its slot.
    Evicted,
}

impl Timeout {
    pub(in crate::server) fn name(self) -> &'static str {
        match self {
            Self::Header => "no_request",
            Self::Idle => "idle",
            Self::Stall => "stalled",
            Self::Evicted => "evicted",
        }
    }
}

/// What a connection is about.
#[derive(Debug, Clone, Copy)]
enum Phase {
    /// A head is awaited: the first one, or one that has begun.
    Head,
    /// Nothing is asked.
    Idle,
}

/// What a client has done on a connection or one stream.
#[derive(Debug)]
pub(in crate::server) struct Activity {
    limits: Limits,
    began: RunningInstant,
    seen: Mutex<Seen>,
    stalled: AtomicBool,
    /// Whether the connection is closed as soon as what is written now has been.
    last: AtomicBool,
    /// Whether the client may be sending something that nobody reads any more.
    sending: AtomicBool,
    slot: Option<Slot>,
}

#[derive(Debug)]
struct Seen {
    phase: Phase,
    since: RunningInstant,
    /// Requests whose answer has not ended.
    in_flight: usize,
    /// Since when the client has not taken what is ready for it.
    waiting: Option<RunningInstant>,
    /// For how long it has not in this round, and how much it took.
    waited: Duration,
    taken: u64,
}

impl Activity {
    /// A connection that begins.
    pub(in crate::server) fn of_connection(limits: Limits) -> Arc<Self> {
        Self::with(limits, 0, None)
    }

    /// The same for one that a newcomer may displace.
    pub(in crate::server) fn in_slot(limits: Limits, slot: Option<Slot>) -> Arc<Self> {
        Self::with(limits, 0, slot)
    }

    /// A stream that begins: a request in flight from its first moment.
    pub(in crate::server) fn of_stream(limits: Limits) -> Arc<Self> {
        Self::with(limits, 1, None)
    }

    fn with(limits: Limits, in_flight: usize, slot: Option<Slot>) -> Arc<Self> {
        let began = RunningInstant::now();
        let seen = Seen {
            phase: Phase::Head,
            since: began,
            in_flight,
            waiting: None,
            waited: Duration::ZERO,
            taken: 0,
        };
        Arc::new(Self {
            limits,
            began,
            seen: Mutex::new(seen),
            stalled: AtomicBool::new(false),
            last: AtomicBool::new(false),
            sending: AtomicBool::new(false),
            slot,
        })
    }

    /// When the connection, or the stream, began.
    pub(in crate::server) fn began(&self) -> RunningInstant {
        self.began
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The client sent something: the head of a request begins, if none is in flight.
    pub(in crate::server) fn on_read(&self) {
        let mut seen = self.seen();
        if seen.in_flight == 0 && matches!(seen.phase, Phase::Idle) {
            (seen.phase, seen.since) = (Phase::Head, RunningInstant::now());
            self.set_unread_input(true);
        }
    }

    /// Whether the client may be sending something that nobody reads any more, if the connection is closed now: a head that
    /// is refused, or a body that is not read.
    pub(in crate::server) fn set_unread_input(&self, expects: bool) {
        self.sending.store(expects, Ordering::Relaxed);
    }

    pub(in crate::server) fn has_unread_input(&self) -> bool {
        self.sending.load(Ordering::Relaxed)
    }

    pub(in crate::server) fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(in crate::server) fn slot(&self) -> Option<&Slot> {
        self.slot.as_ref()
    }

    /// Whatever is written from now on is at hand, and the connection is closed behind it.
    pub(in crate::server) fn mark_last(&self) {
        self.last.store(true, Ordering::Relaxed);
    }

    pub(in crate::server) fn is_last(&self) -> bool {
        self.last.load(Ordering::Relaxed)
    }

    /// A request is in flight until what is returned is dropped.
    pub(in crate::server) fn begin(self: &Arc<Self>) -> InFlight {
        self.seen().in_flight += 1;
        InFlight(Arc::clone(self))
    }

    /// The client does not take what is ready for it.
    pub(in crate::server) fn on_write_blocked(&self) {
        self.seen().waiting.get_or_insert_with(RunningInstant::now);
    }

    /// The client took so many bytes. Whoever takes its quota begins a new round.
    pub(in crate::server) fn on_written(&self, bytes: usize) {
        let mut seen = self.seen();
        seen.stop_waiting();
        seen.taken += bytes as u64;
        if seen.taken >= self.limits.quota {
            (seen.taken, seen.waited) = (0, Duration::ZERO);
        }
    }

    /// Whether it was left because the client took too little.
    pub(in crate::server) fn was_stalled(&self) -> bool {
        self.stalled.load(Ordering::Relaxed)
    }

    /// The head of a request is awaited from now on.
    pub(in crate::server) fn expect_head(&self) {
        let mut seen = self.seen();
        (seen.phase, seen.since) = (Phase::Head, RunningInstant::now());
    }

    fn deadline(&self) -> Option<(Instant, Timeout)> {
        let seen = self.seen();
        if let Some(since) = seen.waiting {
            return Some((since.deadline(self.limits.stall.saturating_sub(seen.waited)), Timeout::Stall));
        }
        match seen.phase {
            _ if seen.in_flight > 0 => None,
            Phase::Head => Some((seen.since.deadline(self.limits.header), Timeout::Header)),
            Phase::Idle => Some((seen.since.deadline(self.limits.idle), Timeout::Idle)),
        }
    }
}

impl Seen {
    fn stop_waiting(&mut self) {
        let Some(since) = self.waiting.take() else { return };
        let now = RunningInstant::now();
        self.waited += since.until(now);
        // The end of an answer may lie here long after its body ended: the next request has its time from now.
        if self.in_flight == 0 {
            self.since = now;
        }
    }
}

/// A request in flight.
#[derive(Debug)]
pub(in crate::server) struct InFlight(Arc<Activity>);

impl InFlight {
    /// Whether its connection has to be closed behind its answer: the client may be sending a body that nobody reads.
    pub(in crate::server) fn is_last(&self) -> bool {
        self.0.has_unread_input()
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let mut seen = self.0.seen();
        seen.in_flight -= 1;
        if seen.in_flight == 0 {
            (seen.phase, seen.since) = (Phase::Idle, RunningInstant::now());
        }
        drop(seen);
        if let Some(slot) = &self.0.slot {
            slot.answered();
        }
    }
}

/// Waits for activity to be missing. It notices new ones when it is polled, so it belongs behind what makes them, in the
/// same task.
pub(in crate::server) struct Watchdog {
    activity: Arc<Activity>,
    /// Made when there is something to wait for: most requests end before.
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Watchdog {
    pub(in crate::server) fn new(activity: Arc<Activity>) -> Self {
        Self { activity, sleep: None }
    }

    pub(in crate::server) async fn expired(&mut self) -> Timeout {
        std::future::poll_fn(|cx| self.poll(cx)).await
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Timeout> {
        // A deadline that moves away is noticed when the old one has come: a busy connection moves it all the time.
        while let Some((deadline, _)) = self.activity.deadline() {
            let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
            if sleep.is_elapsed() || sleep.deadline() > deadline {
                sleep.as_mut().reset(deadline);
            }
            std::task::ready!(sleep.as_mut().poll(cx));
            // A timer that rings late shows that we were frozen, not that the client was slow: the deadline moves away then.
            let now = RunningInstant::now().instant();
            if let Some((_, left)) = self.activity.deadline().filter(|(deadline, _)| now >= *deadline) {
                match left {
                    Timeout::Stall => self.activity.stalled.store(true, Ordering::Relaxed),
                    // The last grace, for saying goodbye.
                    Timeout::Idle => self.activity.expect_head(),
                    Timeout::Header | Timeout::Evicted => {}
                }
                return Poll::Ready(left);
            }
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        header: Duration::from_secs(15),
        idle: Duration::from_secs(60),
        stall: Duration::from_secs(60),
        quota: 61_440,
        slowest: 1_024,
    };

    async fn after(activity: &Arc<Activity>) -> (Timeout, Duration) {
        let began = Instant::now();
        let left = Watchdog::new(Arc::clone(activity)).expired().await;
        (left, began.elapsed())
    }

    fn about(found: (Timeout, Duration), left: Timeout, seconds: u64) {
        assert_eq!((found.0, found.1.as_secs()), (left, seconds), "{found:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_shorter_than_idleness() {
        let activity = Activity::of_connection(LIMITS);
        about(after(&activity).await, Timeout::Header, 15);
        drop(activity.begin());
        about(after(&activity).await, Timeout::Idle, 60);
        drop(activity.begin());
        activity.on_read();
        about(after(&activity).await, Timeout::Header, 15);
    }

    #[tokio::test(start_paused = true)]
    async fn only_time_in_which_the_client_takes_nothing_counts() {
        let activity = Activity::of_connection(LIMITS);
        let _request = activity.begin();
        for _ in 0..100 {
            // The store is slow, not the client.
            tokio::time::sleep(Duration::from_secs(30)).await;
            activity.on_write_blocked();
            tokio::time::sleep(Duration::from_millis(500)).await;
            activity.on_written(1);
        }
        activity.on_write_blocked();
        about(after(&activity).await, Timeout::Stall, 10);
        assert!(activity.was_stalled());
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_client_that_takes_its_quota_is_never_left() {
        let activity = Activity::of_connection(LIMITS);
        let _request = activity.begin();
        let mut watchdog = Watchdog::new(Arc::clone(&activity));
        for _ in 0..100 {
            activity.on_write_blocked();
            tokio::select! {
                biased;
                left = watchdog.expired() => panic!("{left:?}"),
                () = tokio::time::sleep(Duration::from_secs(19)) => activity.on_written(20 * 1_024),
            }
        }
        // The round that has begun with the hundredth piece.
        activity.on_write_blocked();
        about(after(&activity).await, Timeout::Stall, 41);
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_of_an_answer_that_is_still_being_taken_is_no_idleness() {
        let activity = Activity::of_connection(LIMITS);
        let request = activity.begin();
        activity.on_write_blocked();
        drop(request);
        tokio::time::sleep(Duration::from_secs(55)).await;
        activity.on_written(100);
        about(after(&activity).await, Timeout::Idle, 60);
    }
}
