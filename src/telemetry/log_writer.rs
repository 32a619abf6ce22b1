//! Writes log lines from a thread. `push` copies a line into a bounded buffer, so no task waits for the sink or fails with
//! it. (`tracing-appender` drops events and access records alike, does not count them by log, and gives up a line that the
//! disk has no room for.)

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::log_metrics::LogMetrics;
use crate::tasks::{self, Task};

/// This many bytes are written without waiting for more.
const BATCH: usize = 128 * 1024;

/// How long a line waits at most for others to be written with it.
const MAX_DELAY: Duration = Duration::from_millis(100);

/// How long after a failure the sink is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// The bytes that a reservation keeps for its line.
const MAX_LINE: usize = 4 * 1024;

/// How often dropped lines are reported at most.
const REPORT_INTERVAL: Duration = Duration::from_secs(10);

/// A buffer that has grown larger than this is shrunk.
const MAX_SPARE: usize = 256 * 1024;

/// Where lines are written. Only the writer's thread calls it.
pub trait Sink: Send + 'static {
    /// Writes some of `bytes`, from the first on, and returns how many.
    ///
    /// # Errors
    /// What the system says.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize>;

    /// Opens it again, if it is a file that may have been moved away.
    ///
    /// # Errors
    /// What the system says; then the old file is written on.
    fn reopen(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The log that a line belongs to. Dropped lines are counted by log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LogKind {
    Access,
    Audit,
    /// Events are written without delay, and have room that access records cannot take.
    Events,
}

impl LogKind {
    const ALL: [Self; 3] = [Self::Access, Self::Audit, Self::Events];

    /// Its name in metrics and warnings.
    pub(super) fn log(self) -> &'static str {
        match self {
            Self::Access => "access",
            Self::Audit => "audit",
            Self::Events => "events",
        }
    }

    /// The bytes in the buffer above which its lines are dropped: a busy second of access records, a hundred thousand audit
    /// records.
    fn capacity(self) -> usize {
        match self {
            Self::Access => 4 * 1024 * 1024,
            Self::Events => 5 * 1024 * 1024,
            Self::Audit => 64 * 1024 * 1024,
        }
    }
}

/// How a writer treats its lines. Lines that cannot be written are kept, and tried again every second.
#[derive(Debug, Clone, Copy)]
pub(super) struct WriterConfig {
    /// The log that it writes; `Events` has access records beside them.
    pub(super) kind: LogKind,
    /// Whether no line waits for others, because a person reads along.
    pub(super) immediate: bool,
}

/// Where lines are handed in. Clones share it; once the last is dropped, the thread writes what is buffered and ends.
#[derive(Debug, Clone)]
pub(super) struct LogWriter(Arc<Handle>);

#[derive(Debug)]
struct Handle(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    config: WriterConfig,
    metrics: LogMetrics,
    state: Mutex<Buffered>,
    /// Notifies the thread that there is something to do.
    work: Condvar,
    /// Notifies callers that the thread has done something.
    done: Condvar,
}

#[derive(Debug, Default)]
struct Buffered {
    buffer: Vec<u8>,
    /// The thread has to be woken once the buffer has more bytes than these.
    wake_above: usize,
    /// An event is buffered: the thread writes without delay.
    has_event: bool,
    /// How many lines have a reservation.
    reserved: usize,
    /// Lines that were dropped since the last report, in the order of [`LogKind::ALL`].
    dropped: [u64; 3],
    /// A flush takes the next number, and waits until the thread has got there.
    flush_requested: u64,
    flush_done: u64,
    reopen: bool,
    /// The sink failed last.
    failing: bool,
    closed: bool,
}

/// Room for one line, until this is dropped.
#[derive(Debug)]
pub struct Reservation {
    end: Arc<Handle>,
    used: bool,
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if !self.used {
            self.end.0.state().reserved -= 1;
        }
    }
}

impl LogWriter {
    /// Starts a thread that empties the buffer into `sink`.
    ///
    /// # Errors
    /// If the system has no thread left.
    pub(super) fn start(sink: impl Sink, config: WriterConfig, metrics: LogMetrics) -> io::Result<Self> {
        let state = Mutex::new(Buffered { wake_above: usize::MAX, ..Buffered::default() });
        let shared = Arc::new(Shared { config, metrics, state, work: Condvar::new(), done: Condvar::new() });
        let its = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name(format!("{} log", config.kind.log()));
        let mut writer = Writer { shared: its, sink, reported_at: None };
        thread.spawn(move || tasks::restart_thread_on_panic(Task::LogWriter, || writer.run()))?;
        Ok(Self(Arc::new(Handle(shared))))
    }

    /// Reserves room for a line; none if there is none or the sink fails.
    pub(super) fn reserve(&self) -> Option<Reservation> {
        let shared = &self.0.0;
        let mut state = shared.state();
        let room = state.buffer.len() + (state.reserved + 1) * MAX_LINE <= shared.config.kind.capacity();
        if !room || state.failing {
            return None;
        }
        state.reserved += 1;
        Some(Reservation { end: Arc::clone(&self.0), used: false })
    }

    /// Adds a line, with its line break. Without room and without a reservation, the line is dropped and counted.
    pub(super) fn push(&self, kind: LogKind, line: &[u8], reservation: Option<Reservation>) {
        let shared = &self.0.0;
        let mut state = shared.state();
        if let Some(mut reservation) = reservation {
            reservation.used = true;
            state.reserved -= 1;
        }
        if state.buffer.len() + line.len() + state.reserved * MAX_LINE > kind.capacity() {
            drop(state);
            return shared.count_dropped(kind, 1);
        }
        state.buffer.extend_from_slice(line);
        let wakes = match kind {
            LogKind::Events => !std::mem::replace(&mut state.has_event, true),
            LogKind::Access | LogKind::Audit => state.buffer.len() > state.wake_above,
        };
        if wakes {
            state.wake_above = usize::MAX;
            drop(state);
            shared.work.notify_one();
        }
    }

    /// Opens the sink again before anything more is written.
    pub(super) fn reopen(&self) {
        self.0.0.state().reopen = true;
        self.0.0.work.notify_one();
    }

    /// Waits until all lines added before are written, for `timeout` at most. Returns whether they are. It does not wait for
    /// a log that fails, except for the audit, which may recover in time.
    pub(super) fn flush(&self, timeout: Duration) -> bool {
        let shared = &self.0.0;
        let until = Instant::now() + timeout;
        let mut state = shared.state();
        state.flush_requested += 1;
        let number = state.flush_requested;
        shared.work.notify_one();
        while state.flush_done < number {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = shared.done.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        !state.failing
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.state().closed = true;
        self.0.work.notify_one();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, Buffered> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count_dropped(&self, kind: LogKind, count: u64) {
        let mut state = self.state();
        for (dropped, _) in state.dropped.iter_mut().zip(LogKind::ALL).filter(|(_, of)| *of == kind) {
            *dropped += count;
        }
        drop(state);
        self.metrics.lines_dropped(kind.log(), count);
    }

    /// Whether the sink takes what is written.
    fn set_up(&self, up: bool) {
        match self.config.kind {
            LogKind::Audit => self.metrics.audit_is_up(up),
            LogKind::Access | LogKind::Events => self.metrics.log_is_up(up),
        }
    }
}

impl Buffered {
    /// Whether the thread has to work without delay.
    fn is_urgent(&self) -> bool {
        self.flush_requested > self.flush_done || self.closed || self.reopen || self.has_event
    }
}

/// Empties the buffer, on a thread.
struct Writer<S> {
    shared: Arc<Shared>,
    sink: S,
    /// When dropped lines were last reported.
    reported_at: Option<Instant>,
}

impl<S: Sink> Writer<S> {
    fn run(&mut self) {
        let mut batch = Vec::new();
        loop {
            let (number, closed) = self.next(&mut batch);
            self.write(&batch);
            batch.clear();
            batch.shrink_to(MAX_SPARE);
            self.report_dropped(closed || number.is_some());
            if let Some(number) = number {
                self.shared.state().flush_done = number;
                self.shared.done.notify_all();
            }
            if closed {
                return;
            }
        }
    }

    /// Waits for lines and takes them: when there are many, when the first has waited long enough, or without delay.
    fn next(&self, batch: &mut Vec<u8>) -> (Option<u64>, bool) {
        let Shared { config, work, .. } = &*self.shared;
        let mut state = self.shared.state();
        let mut until = Instant::now() + MAX_DELAY;
        while !state.is_urgent() && state.buffer.len() <= BATCH {
            let left = until.saturating_duration_since(Instant::now());
            let quiet = state.buffer.is_empty();
            let something_to_report = state.dropped != [0; 3] && !state.failing;
            if !quiet && (config.immediate || left.is_zero()) || something_to_report && left.is_zero() {
                break;
            }
            // While lines come often, this thread looks by itself, and no task pays for waking it.
            let asleep = quiet && left.is_zero();
            state.wake_above = if asleep || config.immediate { 0 } else { BATCH };
            state = if asleep {
                let woken = work.wait(state).unwrap_or_else(PoisonError::into_inner);
                until = Instant::now() + MAX_DELAY;
                woken
            } else {
                work.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
            };
        }
        state.wake_above = usize::MAX;
        state.has_event = false;
        std::mem::swap(&mut state.buffer, batch);
        let number = (state.flush_requested > state.flush_done).then_some(state.flush_requested);
        (number, state.closed)
    }

    fn write(&mut self, batch: &[u8]) {
        let mut from = 0;
        loop {
            if std::mem::take(&mut self.shared.state().reopen) {
                match self.sink.reopen() {
                    // A line of which the old file has a part is written whole into the new one.
                    Ok(()) => from = start_of_line(batch, from),
                    Err(error) => {
                        let log = self.shared.config.kind.log();
                        tracing::error!(%error, "the {log} log cannot be opened anew; the old file is written on");
                    }
                }
            }
            let rest = batch.get(from..).unwrap_or_default();
            if rest.is_empty() {
                return;
            }
            let error = match self.sink.write(rest) {
                Ok(taken @ 1..) => {
                    from += taken;
                    self.report_recovery();
                    continue;
                }
                Ok(0) => io::ErrorKind::WriteZero.into(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => error,
            };
            if !self.wait_for_retry(&error) {
                let lines = rest.iter().filter(|byte| **byte == b'\n').count() as u64;
                return self.shared.count_dropped(self.shared.config.kind, lines);
            }
        }
    }

    /// Waits until it is time to try again. False if the program has ended.
    fn wait_for_retry(&self, error: &io::Error) -> bool {
        let Shared { config, work, done, .. } = &*self.shared;
        let mut state = self.shared.state();
        if !std::mem::replace(&mut state.failing, true) {
            drop(state);
            self.shared.set_up(false);
            self.report_failure(error);
            state = self.shared.state();
        }
        if config.kind != LogKind::Audit {
            state.flush_done = state.flush_requested;
            done.notify_all();
        }
        if !state.closed && !state.reopen {
            state = work.wait_timeout(state, RETRY).unwrap_or_else(PoisonError::into_inner).0;
        }
        !state.closed
    }

    /// A failure of standard error is not reported: there is no other place for it.
    fn report_failure(&self, error: &io::Error) {
        if self.shared.config.kind == LogKind::Audit {
            tracing::error!(
                %error,
                "the audit log cannot be written; what waits is tried again every second. Make room or give this user \
                 write permission, then send SIGHUP if the file was replaced"
            );
        }
    }

    fn report_recovery(&self) {
        if std::mem::take(&mut self.shared.state().failing) {
            self.shared.set_up(true);
            tracing::warn!("the {} log is written again", self.shared.config.kind.log());
        }
    }

    fn report_dropped(&mut self, last_chance: bool) {
        if !last_chance && self.reported_at.is_some_and(|at| at.elapsed() < REPORT_INTERVAL) {
            return;
        }
        let dropped = std::mem::take(&mut self.shared.state().dropped);
        for (lines, of) in dropped.into_iter().zip(LogKind::ALL).filter(|(lines, _)| *lines > 0) {
            self.reported_at = Some(Instant::now());
            let log = of.log();
            tracing::warn!(
                lines,
                "lines of the {log} log were dropped: they come faster than they can be written"
            );
        }
    }
}

/// Where the line at `at` starts.
fn start_of_line(lines: &[u8], at: usize) -> usize {
    let before = lines.get(..at).unwrap_or_default();
    before.iter().rposition(|byte| *byte == b'\n').map_or(0, |line_break| line_break + 1)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::telemetry::metrics::Registry;

    /// Each write waits for the test to say whether it succeeds.
    struct Gated(mpsc::Receiver<bool>, Arc<Mutex<Vec<u8>>>);

    impl Sink for Gated {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            // Once the sender is dropped, every write succeeds.
            if !self.0.recv().unwrap_or(true) {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.1.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
    }

    fn gated() -> (LogWriter, mpsc::Sender<bool>, Arc<Mutex<Vec<u8>>>, Registry) {
        let (gate, verdicts) = mpsc::channel();
        let (written, registry) = (Arc::default(), Registry::default());
        let config = WriterConfig { kind: LogKind::Events, immediate: false };
        let sink = Gated(verdicts, Arc::clone(&written));
        let metrics = LogMetrics::register(&registry);
        (LogWriter::start(sink, config, metrics).unwrap(), gate, written, registry)
    }

    fn sample(registry: &Registry, name: &str) -> u64 {
        let page = registry.render();
        let line =
            page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ').map(str::to_owned));
        line.unwrap().parse().unwrap()
    }

    #[test]
    fn events_have_room_that_access_records_cannot_take() {
        let (writer, gate, written, registry) = gated();
        let line = [&[b'x'; 1_023][..], b"\n"].concat();
        let (mut records, mut events) = (0, 0);
        let dropped = |log: &str| {
            sample(&registry, &format!("webhook_assets_log_lines_dropped_total{{log=\"{log}\"}}"))
        };
        while dropped("access") == 0 {
            writer.push(LogKind::Access, &line, None);
            records += 1;
        }
        while dropped("events") == 0 {
            writer.push(LogKind::Events, &line, None);
            events += 1;
        }
        assert!(records > 4_096 && (1_024..1_200).contains(&events), "{records} {events}");
        assert!(!writer.flush(Duration::from_millis(50)), "the sink writes nothing");
        drop(gate);
        assert!(writer.flush(Duration::from_secs(20)));
        assert_eq!(written.lock().unwrap().len(), (records + events - 2) * 1_024, "whole lines, none twice");
    }

    #[test]
    fn a_line_that_cannot_be_written_is_written_later_and_delays_no_flush() {
        let (writer, gate, written, registry) = gated();
        gate.send(false).unwrap();
        writer.push(LogKind::Events, b"first\n", None);
        gate.send(false).unwrap();
        let began = Instant::now();
        assert!(!writer.flush(Duration::from_secs(60)));
        assert!(began.elapsed() < Duration::from_secs(20));
        assert_eq!(sample(&registry, "webhook_assets_log_up"), 0);
        writer.push(LogKind::Events, b"second\n", None);
        drop(gate);
        while !writer.flush(Duration::from_secs(20)) {}
        assert_eq!(written.lock().unwrap().as_slice(), b"first\nsecond\n");
        assert_eq!(sample(&registry, "webhook_assets_log_up"), 1);
    }
}
