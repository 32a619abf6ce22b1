//! Writes log lines from a thread. `push` copies a line into a bounded buffer, so no task blocks or fails when the sink
//! does. (`tracing-appender` drops events and access records alike, does not count them per log, and loses a line when
//! the disk is full.)

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::log_metrics::LogMetrics;
use crate::clock::StateSince;
use crate::tasks::{self, Task};

/// The thread writes without further delay once the buffer has this many bytes.
const BATCH: usize = 128 * 1024;

/// The longest time that a line waits for others of its batch.
const MAX_DELAY: Duration = Duration::from_millis(100);

/// The delay before the thread retries a failed write.
const RETRY: Duration = Duration::from_secs(1);

/// The bytes that a reservation keeps free for its line.
const MAX_LINE: usize = 4 * 1024;

/// The shortest interval between two reports of dropped lines.
const REPORT_INTERVAL: Duration = Duration::from_secs(10);

/// A buffer that has grown beyond this is shrunk.
const MAX_SPARE: usize = 256 * 1024;

/// The destination of lines. Only the writer's thread calls it.
pub trait Sink: Send + 'static {
    /// Writes a prefix of `bytes` and returns its length.
    ///
    /// # Errors
    /// The system's error.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize>;

    /// Reopens the sink, if it is a file that may have been moved.
    ///
    /// # Errors
    /// The system's error; the writer then continues with the old file.
    fn reopen(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The log that a line belongs to. Dropped lines are counted per log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LogKind {
    Access,
    Audit,
    /// The writer writes events without delay and keeps room for them that access records cannot use.
    Events,
}

impl LogKind {
    const ALL: [Self; 3] = [Self::Access, Self::Audit, Self::Events];

    /// The log's name in metrics and warnings.
    pub(super) fn log(self) -> &'static str {
        match self {
            Self::Access => "access",
            Self::Audit => "audit",
            Self::Events => "events",
        }
    }

    /// The buffer's size in bytes above which this log drops lines: a busy second of access records, or a hundred
    /// thousand audit records.
    fn capacity(self) -> usize {
        match self {
            Self::Access => 4 * 1024 * 1024,
            Self::Events => 5 * 1024 * 1024,
            Self::Audit => 64 * 1024 * 1024,
        }
    }
}

/// How a writer treats its lines. It keeps lines that it cannot write and retries every second.
#[derive(Debug, Clone, Copy)]
pub(super) struct WriterConfig {
    /// The log that it writes; `Events` includes access records.
    pub(super) kind: LogKind,
    /// Whether lines are written without delay, for a person who reads along.
    pub(super) immediate: bool,
}

/// Accepts lines for the writer's thread. Clones share it; when the last clone is dropped, the thread writes the buffer
/// and ends.
#[derive(Debug, Clone)]
pub(super) struct LogWriter(Arc<Handle>);

#[derive(Debug)]
struct Handle(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    config: WriterConfig,
    metrics: LogMetrics,
    /// Whether the sink accepts writes.
    up: StateSince,
    state: Mutex<Buffered>,
    /// Wakes the thread.
    work: Condvar,
    /// Wakes callers that wait for the thread.
    done: Condvar,
}

#[derive(Debug, Default)]
struct Buffered {
    buffer: Vec<u8>,
    /// The buffer size above which `push` wakes the thread.
    wake_above: usize,
    /// The buffer contains an event, so the thread writes without delay.
    has_event: bool,
    /// The number of reservations in use.
    reserved: usize,
    /// Lines dropped since the last report, in the order of [`LogKind::ALL`].
    dropped: [u64; 3],
    /// A flush takes the next number and waits until the thread has reached it.
    flush_requested: u64,
    flush_done: u64,
    reopen: bool,
    /// The last write to the sink failed.
    failing: bool,
    closed: bool,
}

/// Room for one line, released on drop.
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
    /// Starts the thread that writes the buffer to `sink`.
    ///
    /// # Errors
    /// If the system cannot start a thread.
    pub(super) fn start(sink: impl Sink, config: WriterConfig, metrics: LogMetrics) -> io::Result<Self> {
        let state = Mutex::new(Buffered { wake_above: usize::MAX, ..Buffered::default() });
        let (work, done, up) = (Condvar::new(), Condvar::new(), StateSince::default());
        let shared = Arc::new(Shared { config, metrics, up, state, work, done });
        let its = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name(format!("{} log", config.kind.log()));
        let mut writer = Writer { shared: its, sink, reported_at: None };
        thread.spawn(move || tasks::restart_thread_on_panic(Task::LogWriter, || writer.run()))?;
        Ok(Self(Arc::new(Handle(shared))))
    }

    /// Whether the sink accepts writes, and since when.
    pub(super) fn state(&self) -> (bool, Instant) {
        self.0.0.up.get()
    }

    /// Reserves room for a line. Returns `None` if the buffer is full or the sink fails.
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

    /// Adds a line, including its line break. A line without room or a reservation is dropped and counted.
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

    /// Reopens the sink before the next write.
    pub(super) fn reopen(&self) {
        self.0.0.state().reopen = true;
        self.0.0.work.notify_one();
    }

    /// Waits up to `timeout` until all lines added before are written. Returns whether they are. It does not wait for a
    /// log whose sink fails, except for the audit, whose sink may recover in time.
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

    /// Sets whether the sink accepts writes.
    fn set_up(&self, up: bool) {
        self.up.set(up);
        match self.config.kind {
            LogKind::Audit => self.metrics.audit_is_up(up),
            LogKind::Access | LogKind::Events => self.metrics.log_is_up(up),
        }
    }
}

impl Buffered {
    /// Whether the thread has work that allows no delay.
    fn is_urgent(&self) -> bool {
        self.flush_requested > self.flush_done || self.closed || self.reopen || self.has_event
    }
}

/// Writes the buffer to the sink, on a thread.
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

    /// Waits for lines and takes them: as soon as there is a full batch, the first line has waited long enough, or the
    /// work is urgent.
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
            // While lines arrive often, this thread polls the buffer, and no task pays for waking it.
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
                    // A line that the old file contains in part is written in full to the new one.
                    Ok(()) => from = start_of_line(batch, from),
                    Err(error) => {
                        let log = self.shared.config.kind.log();
                        tracing::error!(%error, "the {log} log cannot be reopened; writing goes on in the old file");
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

    /// Waits for the next retry. Returns false if the program has ended.
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

    /// A failure of standard error is not reported: there is nowhere else to report it.
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

/// The start of the line that contains the byte at `at`.
fn start_of_line(lines: &[u8], at: usize) -> usize {
    let before = lines.get(..at).unwrap_or_default();
    before.iter().rposition(|byte| *byte == b'\n').map_or(0, |line_break| line_break + 1)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::telemetry::metrics::Registry;

    /// Each write waits for the test to decide whether it succeeds.
    struct Gated(mpsc::Receiver<bool>, Arc<Mutex<Vec<u8>>>);

    impl Sink for Gated {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            // After the test drops its sender, every write succeeds.
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
