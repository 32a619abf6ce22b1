//! The activity of a client on a connection with a task, or on one HTTP/2 stream. Sockets, requests and bodies report
//! it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::timeouts::{Phase, PhaseClock, Timeout, Timeouts};
use crate::clock::running::RunningInstant;
use crate::server::listener::eviction::Slot;

/// The activity of a client, and its times.
#[derive(Debug)]
pub(crate) struct Activity {
    timeouts: Timeouts,
    began: RunningInstant,
    progress: Mutex<Progress>,
    stalled: AtomicBool,
    /// Whether the connection is closed as soon as the current response is written.
    last: AtomicBool,
    /// Whether the client may be sending bytes that the server does not read.
    unread_input: AtomicBool,
    slot: Option<Slot>,
}

#[derive(Debug)]
struct Progress {
    clock: PhaseClock,
    /// Requests whose response has not ended.
    in_flight: usize,
    /// Since when writing has been blocked by the client.
    blocked: Option<RunningInstant>,
    /// How long writing was blocked in the current round, and how many bytes the client read in it.
    blocked_for: Duration,
    taken: u64,
}

impl Activity {
    /// Creates the activity of a new connection. With a slot, a newer connection may evict it.
    pub(crate) fn of_connection(timeouts: Timeouts, slot: Option<Slot>) -> Arc<Self> {
        Self::with(timeouts, 0, slot)
    }

    /// Creates the activity of a new stream. Its request is in flight from the start.
    pub(crate) fn of_stream(timeouts: Timeouts) -> Arc<Self> {
        Self::with(timeouts, 1, None)
    }

    fn with(timeouts: Timeouts, in_flight: usize, slot: Option<Slot>) -> Arc<Self> {
        let began = RunningInstant::now();
        let progress = Progress {
            clock: PhaseClock { phase: Phase::FirstByte, since: began },
            in_flight,
            blocked: None,
            blocked_for: Duration::ZERO,
            taken: 0,
        };
        Arc::new(Self {
            timeouts,
            began,
            progress: Mutex::new(progress),
            stalled: AtomicBool::new(false),
            last: AtomicBool::new(false),
            unread_input: AtomicBool::new(false),
            slot,
        })
    }

    /// When the connection or stream began.
    pub(crate) fn began(&self) -> RunningInstant {
        self.began
    }

    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The client sent bytes. Without a request in flight, they begin a request head.
    pub(crate) fn on_read(&self) {
        let mut progress = self.progress();
        let phase = progress.clock.phase;
        if progress.in_flight == 0 && matches!(phase, Phase::FirstByte | Phase::Idle) {
            progress.enter(Phase::Head);
            if phase == Phase::Idle {
                self.set_unread_input(true);
            }
        }
    }

    /// Sets whether the client may be sending bytes that the server does not read: a rejected head, or a body. In that
    /// case the connection lingers when it is closed.
    pub(crate) fn set_unread_input(&self, unread: bool) {
        self.unread_input.store(unread, Ordering::Relaxed);
    }

    pub(crate) fn has_unread_input(&self) -> bool {
        self.unread_input.load(Ordering::Relaxed)
    }

    pub(crate) fn timeouts(&self) -> &Timeouts {
        &self.timeouts
    }

    pub(crate) fn slot(&self) -> Option<&Slot> {
        self.slot.as_ref()
    }

    /// Records that the rest of the response is in memory and that the connection is closed after it.
    pub(crate) fn mark_last(&self) {
        self.last.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_last(&self) -> bool {
        self.last.load(Ordering::Relaxed)
    }

    /// Begins a request, which is in flight until the result is dropped.
    pub(crate) fn begin_request(self: &Arc<Self>) -> InFlight {
        self.progress().in_flight += 1;
        InFlight(Arc::clone(self))
    }

    /// Writing is blocked: the client does not read the response.
    pub(crate) fn on_write_blocked(&self) {
        self.progress().blocked.get_or_insert_with(RunningInstant::now);
    }

    /// The client read this many bytes. When it has read its quota, a new round begins.
    pub(crate) fn on_written(&self, bytes: usize) {
        let mut progress = self.progress();
        progress.unblock();
        progress.taken += bytes as u64;
        if progress.taken >= self.timeouts.quota {
            (progress.taken, progress.blocked_for) = (0, Duration::ZERO);
        }
    }

    /// Whether the connection or stream was ended because the client read too little.
    pub(crate) fn is_stalled(&self) -> bool {
        self.stalled.load(Ordering::Relaxed)
    }

    pub(crate) fn set_stalled(&self) {
        self.stalled.store(true, Ordering::Relaxed);
    }

    /// Enters a phase now.
    pub(crate) fn enter(&self, phase: Phase) {
        self.progress().enter(phase);
    }

    /// The time by which the client must make progress, and the timeout that expires otherwise.
    pub(crate) fn deadline(&self) -> Option<(Instant, Timeout)> {
        let progress = self.progress();
        if let Some(since) = progress.blocked {
            let left = self.timeouts.stall.saturating_sub(progress.blocked_for);
            return Some((since.deadline(left), Timeout::Stall));
        }
        (progress.in_flight == 0).then(|| progress.clock.deadline(&self.timeouts))
    }
}

impl Progress {
    fn enter(&mut self, phase: Phase) {
        self.clock = PhaseClock { phase, since: RunningInstant::now() };
    }

    fn unblock(&mut self) {
        let Some(since) = self.blocked.take() else { return };
        let now = RunningInstant::now();
        self.blocked_for += since.until(now);
        // The end of a response may be written long after its body ended. The timeout for the next request starts now.
        if self.in_flight == 0 {
            self.clock.since = now;
        }
    }
}

/// A request in flight.
#[derive(Debug)]
pub(crate) struct InFlight(Arc<Activity>);

impl InFlight {
    /// Whether the connection has to be closed after the response: the client may be sending a body that is not read.
    pub(crate) fn is_last(&self) -> bool {
        self.0.has_unread_input()
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let mut progress = self.0.progress();
        progress.in_flight -= 1;
        if progress.in_flight == 0 {
            progress.enter(Phase::Idle);
        }
        drop(progress);
        if let Some(slot) = &self.0.slot {
            slot.answered();
        }
    }
}
