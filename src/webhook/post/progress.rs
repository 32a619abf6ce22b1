//! The progress of an attempt: the phases that it has reached, and when.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use super::error::Phase;

tokio::task_local! {
    /// The progress of this task's attempt. The client passes only a URI to its connector.
    pub(super) static PROGRESS: Arc<Progress>;
}

/// How long each phase of an attempt took; `None` for a phase that it did not need or complete. An attempt on a connection that
/// an earlier one opened has only the last.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Phases {
    /// Resolving the host.
    pub lookup: Option<Duration>,
    /// Opening the connection, through a proxy if there is one.
    pub connect: Option<Duration>,
    /// The TLS handshake.
    pub tls: Option<Duration>,
    /// From the request to the head of the response.
    pub first_byte: Option<Duration>,
}

impl Phases {
    /// Whether the answer came on a connection that an earlier attempt had opened.
    #[must_use]
    pub fn is_reused(&self) -> bool {
        self.first_byte.is_some() && self.connect.is_none()
    }
}

/// The workspace of an attempt, and when it reached each phase after the first.
#[derive(Debug)]
pub(super) struct Progress {
    pub(super) workspace: String,
    began: Instant,
    looked_up: AtomicBool,
    is_reused: AtomicBool,
    connect: OnceLock<Duration>,
    tls: OnceLock<Duration>,
    response: OnceLock<Duration>,
    body: OnceLock<Duration>,
}

impl Default for Progress {
    fn default() -> Self {
        Self::of("")
    }
}

impl Progress {
    pub(super) fn of(workspace: &str) -> Self {
        Self {
            workspace: workspace.to_owned(),
            began: Instant::now(),
            looked_up: AtomicBool::new(false),
            is_reused: AtomicBool::new(false),
            connect: OnceLock::new(),
            tls: OnceLock::new(),
            response: OnceLock::new(),
            body: OnceLock::new(),
        }
    }

    pub(super) fn reach(&self, phase: Phase) {
        let reached = match phase {
            Phase::Resolve => return,
            Phase::Connect => &self.connect,
            Phase::Tls => &self.tls,
            Phase::Response => &self.response,
            Phase::Body => &self.body,
        };
        let _ = reached.set(self.elapsed());
    }

    /// The latest phase.
    pub(super) fn phase(&self) -> Phase {
        let reached = [
            (&self.body, Phase::Body),
            (&self.response, Phase::Response),
            (&self.tls, Phase::Tls),
            (&self.connect, Phase::Connect),
        ];
        let latest = reached.into_iter().find(|(at, _)| at.get().is_some());
        latest.map_or(Phase::Resolve, |(_, phase)| phase)
    }

    /// Notes that the host is a name, which the resolver is asked for.
    pub(super) fn look_up(&self) {
        self.looked_up.store(true, Ordering::Relaxed);
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// Notes that the request went over this connection. A connection that is opened in vain, because a pooled one became
    /// available first, serves a later attempt.
    pub(super) fn use_connection(&self, opened: Option<&OpenedBy>) {
        let is_ours = opened.is_some_and(|by| std::ptr::eq(Arc::as_ptr(&by.0), self));
        self.is_reused.store(!is_ours, Ordering::Relaxed);
    }

    pub(super) fn phases(&self) -> Phases {
        let [connect, tls, response, body] =
            [&self.connect, &self.tls, &self.response, &self.body].map(|at| at.get().copied());
        let between = |from: Option<Duration>, to: Option<Duration>| Some(to?.saturating_sub(from?));
        let first_byte = between(response, body);
        if self.is_reused.load(Ordering::Relaxed) {
            return Phases { first_byte, ..Phases::default() };
        }
        Phases {
            lookup: connect.filter(|_| self.looked_up.load(Ordering::Relaxed)),
            connect: between(connect, tls.or(response)),
            tls: between(tls, response),
            first_byte,
        }
    }
}

/// The attempt that opened a connection.
#[derive(Debug, Clone)]
pub(super) struct OpenedBy(pub(super) Arc<Progress>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_phases_of_an_attempt_add_up_to_its_first_byte() {
        let progress = Arc::new(Progress::of("acme"));
        progress.look_up();
        for phase in [Phase::Connect, Phase::Tls, Phase::Response, Phase::Body] {
            progress.reach(phase);
            assert_eq!(progress.phase(), phase);
        }
        progress.use_connection(Some(&OpenedBy(Arc::clone(&progress))));
        let Phases { lookup, connect, tls, first_byte } = progress.phases();
        let sum: Duration = [lookup, connect, tls, first_byte].into_iter().flatten().sum();
        assert_eq!(Some(&sum), progress.body.get());
        assert!(!progress.phases().is_reused());
    }

    #[test]
    fn an_attempt_on_a_connection_of_an_earlier_one_has_only_its_first_byte() {
        let (progress, earlier) = (Progress::of("acme"), Arc::new(Progress::of("acme")));
        // It had begun to open one itself.
        progress.reach(Phase::Connect);
        progress.reach(Phase::Response);
        progress.reach(Phase::Body);
        progress.use_connection(Some(&OpenedBy(earlier)));
        let phases = progress.phases();
        assert!(phases.is_reused() && phases.lookup.is_none() && phases.first_byte.is_some());
    }

    #[test]
    fn a_phase_that_did_not_end_has_no_time() {
        let progress = Progress::of("acme");
        assert_eq!(progress.phases(), Phases::default());
        progress.reach(Phase::Connect);
        progress.reach(Phase::Tls);
        let phases = progress.phases();
        assert_eq!((phases.lookup, phases.tls, phases.first_byte), (None, None, None));
        assert!(phases.connect.is_some());
    }
}
