//! Who says nothing, asks nothing or takes nothing is left. A connection's [`Signs`] are noted where they show (socket,
//! requests, bodies); a [`Vigil`] beside it says when they have been missing for too long.

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
pub(in crate::server) enum Left {
    /// No whole head came in time.
    Silent,
    /// Nothing was asked for a long time.
    Idle,
    /// The client took less than it must.
    Stalled,
    /// A newcomer had more need of its slot.
    Evicted,
}

impl Left {
    pub(in crate::server) fn name(self) -> &'static str {
        match self {
            Self::Silent => "no_request",
            Self::Idle => "idle",
            Self::Stalled => "stalled",
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

/// Signs of life of a connection or of one stream.
#[derive(Debug)]
pub(in crate::server) struct Signs {
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

impl Signs {
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
    pub(in crate::server) fn heard(&self) {
        let mut seen = self.seen();
        if seen.in_flight == 0 && matches!(seen.phase, Phase::Idle) {
            (seen.phase, seen.since) = (Phase::Head, RunningInstant::now());
            self.expects_more(true);
        }
    }

    /// Whether the client may be sending something that nobody reads any more, if the connection is closed now: a head that
    /// is refused, or a body that is not read.
    pub(in crate::server) fn expects_more(&self, expects: bool) {
        self.sending.store(expects, Ordering::Relaxed);
    }

    pub(in crate::server) fn may_be_sending(&self) -> bool {
        self.sending.load(Ordering::Relaxed)
    }

    pub(in crate::server) fn limits(&self) -> &Limits {
        &self.limits
    }

    pub(in crate::server) fn slot(&self) -> Option<&Slot> {
        self.slot.as_ref()
    }

    /// Whatever is written from now on is at hand, and the connection is closed behind it.
    pub(in crate::server) fn says_last(&self) {
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
    pub(in crate::server) fn waits(&self) {
        self.seen().waiting.get_or_insert_with(RunningInstant::now);
    }

    /// The client took so many bytes. Whoever takes its quota begins a new round.
    pub(in crate::server) fn took(&self, bytes: usize) {
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
    pub(in crate::server) fn heads_begin(&self) {
        let mut seen = self.seen();
        (seen.phase, seen.since) = (Phase::Head, RunningInstant::now());
    }

    fn deadline(&self) -> Option<(Instant, Left)> {
        let seen = self.seen();
        if let Some(since) = seen.waiting {
            return Some((since.deadline(self.limits.stall.saturating_sub(seen.waited)), Left::Stalled));
        }
        match seen.phase {
            _ if seen.in_flight > 0 => None,
            Phase::Head => Some((seen.since.deadline(self.limits.header), Left::Silent)),
            Phase::Idle => Some((seen.since.deadline(self.limits.idle), Left::Idle)),
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
pub(in crate::server) struct InFlight(Arc<Signs>);

impl InFlight {
    /// Whether its connection has to be closed behind its answer: the client may be sending a body that nobody reads.
    pub(in crate::server) fn is_last(&self) -> bool {
        self.0.may_be_sending()
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

/// Waits for signs to be missing. It notices new ones when it is polled, so it belongs behind what makes them, in the
/// same task.
pub(in crate::server) struct Vigil {
    signs: Arc<Signs>,
    /// Made when there is something to wait for: most requests end before.
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Vigil {
    pub(in crate::server) fn over(signs: Arc<Signs>) -> Self {
        Self { signs, sleep: None }
    }

    pub(in crate::server) async fn left(&mut self) -> Left {
        std::future::poll_fn(|cx| self.poll(cx)).await
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Left> {
        // A deadline that moves away is noticed when the old one has come: a busy connection moves it all the time.
        while let Some((deadline, _)) = self.signs.deadline() {
            let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(deadline)));
            if sleep.is_elapsed() || sleep.deadline() > deadline {
                sleep.as_mut().reset(deadline);
            }
            std::task::ready!(sleep.as_mut().poll(cx));
            // A timer that rings late shows that we were frozen, not that the client was slow: the deadline moves away then.
            let now = RunningInstant::now().instant();
            if let Some((_, left)) = self.signs.deadline().filter(|(deadline, _)| now >= *deadline) {
                match left {
                    Left::Stalled => self.signs.stalled.store(true, Ordering::Relaxed),
                    // The last grace, for saying goodbye.
                    Left::Idle => self.signs.heads_begin(),
                    Left::Silent | Left::Evicted => {}
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

    async fn after(signs: &Arc<Signs>) -> (Left, Duration) {
        let began = Instant::now();
        let left = Vigil::over(Arc::clone(signs)).left().await;
        (left, began.elapsed())
    }

    fn about(found: (Left, Duration), left: Left, seconds: u64) {
        assert_eq!((found.0, found.1.as_secs()), (left, seconds), "{found:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn silence_is_shorter_than_idleness() {
        let signs = Signs::of_connection(LIMITS);
        about(after(&signs).await, Left::Silent, 15);
        drop(signs.begin());
        about(after(&signs).await, Left::Idle, 60);
        drop(signs.begin());
        signs.heard();
        about(after(&signs).await, Left::Silent, 15);
    }

    #[tokio::test(start_paused = true)]
    async fn only_time_in_which_the_client_takes_nothing_counts() {
        let signs = Signs::of_connection(LIMITS);
        let _request = signs.begin();
        for _ in 0..100 {
            // The store is slow, not the client.
            tokio::time::sleep(Duration::from_secs(30)).await;
            signs.waits();
            tokio::time::sleep(Duration::from_millis(500)).await;
            signs.took(1);
        }
        signs.waits();
        about(after(&signs).await, Left::Stalled, 10);
        assert!(signs.was_stalled());
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_client_that_takes_its_quota_is_never_left() {
        let signs = Signs::of_connection(LIMITS);
        let _request = signs.begin();
        let mut vigil = Vigil::over(Arc::clone(&signs));
        for _ in 0..100 {
            signs.waits();
            tokio::select! {
                biased;
                left = vigil.left() => panic!("{left:?}"),
                () = tokio::time::sleep(Duration::from_secs(19)) => signs.took(20 * 1_024),
            }
        }
        // The round that has begun with the hundredth piece.
        signs.waits();
        about(after(&signs).await, Left::Stalled, 41);
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_of_an_answer_that_is_still_being_taken_is_no_idleness() {
        let signs = Signs::of_connection(LIMITS);
        let request = signs.begin();
        signs.waits();
        drop(request);
        tokio::time::sleep(Duration::from_secs(55)).await;
        signs.took(100);
        about(after(&signs).await, Left::Idle, 60);
    }
}
