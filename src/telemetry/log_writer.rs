//! Writes log lines from a thread: adding a line copies it into a bounded buffer, so no task ever waits for the sink, and
//! none notices when it fails.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::log_metrics::LogMetrics;
use crate::tasks::{self, Task};

/// What is written at once, without waiting for more.
const LARGE: usize = 128 * 1024;

/// How long a line waits for others at most, so that many are written together.
const PAUSE: Duration = Duration::from_millis(100);

/// How long to wait before a sink that failed is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// The longest line that room is kept for.
const LONGEST_LINE: usize = 4 * 1024;

/// How often it is said that lines were dropped.
const SAY_EVERY: Duration = Duration::from_secs(10);

/// A buffer that has grown larger than this in a flood is given back.
const KEPT: usize = 256 * 1024;

/// Where lines end up. Called by the spool's own thread alone.
pub trait Sink: Send + 'static {
    /// Takes some of `bytes`, the first of them, and says how many.
    ///
    /// # Errors
    /// What the system says.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize>;

    /// Opens it anew, if it is something that can have been moved away.
    ///
    /// # Errors
    /// What the system says; then it is as it was.
    fn reopen(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The lines of one buffer are counted apart when they are dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lines {
    Access,
    Audit,
    /// They are written at once, and have room that access records cannot take.
    Events,
}

impl Lines {
    const ALL: [Self; 3] = [Self::Access, Self::Audit, Self::Events];

    /// Their log in metrics and warnings.
    pub(super) fn log(self) -> &'static str {
        match self {
            Self::Access => "access",
            Self::Audit => "audit",
            Self::Events => "events",
        }
    }

    /// The bytes in the buffer above which a line is dropped. Of access records that is a busy second's worth, of audit
    /// records about a hundred thousand.
    fn most(self) -> usize {
        match self {
            Self::Access => 4 * 1024 * 1024,
            Self::Events => 5 * 1024 * 1024,
            Self::Audit => 64 * 1024 * 1024,
        }
    }
}

/// What a writer does with its lines. Those that cannot be written are kept, and tried again every second.
#[derive(Debug, Clone, Copy)]
pub(super) struct WriterConfig {
    /// What most of its lines are.
    pub(super) lines: Lines,
    /// Whether a person reads along: then no line waits for others.
    pub(super) at_once: bool,
}

/// The buffer's near end. Clones share it; when the last is gone, what waits is written and the thread ends.
#[derive(Debug, Clone)]
pub(super) struct LogWriter(Arc<End>);

#[derive(Debug)]
struct End(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    config: WriterConfig,
    metrics: LogMetrics,
    waiting: Mutex<Waiting>,
    /// Told to the thread: there is something to do.
    work: Condvar,
    /// Told by the thread: something was done.
    done: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    lines: Vec<u8>,
    /// The thread is to be woken once more bytes than these wait.
    wakes_above: usize,
    /// An event waits: it is written at once.
    prompt: bool,
    /// For how many lines that will come room is kept.
    reserved: usize,
    /// Lines that were dropped since it was last said, in the order of [`Lines::ALL`].
    dropped: [u64; 3],
    /// Who flushes takes a number, and waits until the thread has come so far.
    asked: u64,
    reached: u64,
    reopen: bool,
    /// The sink takes nothing; what waits is tried again.
    failing: bool,
    closed: bool,
}

/// Room that is kept for one line, until this is dropped.
#[derive(Debug)]
pub struct Reservation {
    end: Arc<End>,
    used: bool,
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if !self.used {
            self.end.0.waiting().reserved -= 1;
        }
    }
}

impl LogWriter {
    /// Starts a thread that empties the buffer into `sink`.
    ///
    /// # Errors
    /// If the system has no thread left.
    pub(super) fn start(sink: impl Sink, config: WriterConfig, metrics: LogMetrics) -> io::Result<Self> {
        let waiting = Mutex::new(Waiting { wakes_above: usize::MAX, ..Waiting::default() });
        let shared =
            Arc::new(Shared { config, metrics, waiting, work: Condvar::new(), done: Condvar::new() });
        let its = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name(format!("{} log", config.lines.log()));
        let mut writer = Writer { shared: its, sink, said: None };
        thread.spawn(move || tasks::restart_thread_on_panic(Task::LogWriter, || writer.run()))?;
        Ok(Self(Arc::new(End(shared))))
    }

    /// Keeps room for a line, unless there is none or the sink fails.
    pub(super) fn reserve(&self) -> Option<Reservation> {
        let shared = &self.0.0;
        let mut waiting = shared.waiting();
        let room = waiting.lines.len() + (waiting.reserved + 1) * LONGEST_LINE <= shared.config.lines.most();
        if !room || waiting.failing {
            return None;
        }
        waiting.reserved += 1;
        Some(Reservation { end: Arc::clone(&self.0), used: false })
    }

    /// Adds a line, its line break included, unless there is no room. There is for one with a reservation.
    pub(super) fn push(&self, lines: Lines, line: &[u8], reservation: Option<Reservation>) {
        let shared = &self.0.0;
        let mut waiting = shared.waiting();
        if let Some(mut reservation) = reservation {
            reservation.used = true;
            waiting.reserved -= 1;
        }
        if waiting.lines.len() + line.len() + waiting.reserved * LONGEST_LINE > lines.most() {
            drop(waiting);
            return shared.lost(lines, 1);
        }
        waiting.lines.extend_from_slice(line);
        let wakes = match lines {
            Lines::Events => !std::mem::replace(&mut waiting.prompt, true),
            Lines::Access | Lines::Audit => waiting.lines.len() > waiting.wakes_above,
        };
        if wakes {
            waiting.wakes_above = usize::MAX;
            drop(waiting);
            shared.work.notify_one();
        }
    }

    /// Has the sink opened anew before anything more is written.
    pub(super) fn reopen(&self) {
        self.0.0.waiting().reopen = true;
        self.0.0.work.notify_one();
    }

    /// Waits until all that was added before is written, but no longer than `timeout`. Says whether it is. A log that
    /// fails is not waited for, but for the audit, which may be written again in time.
    pub(super) fn flush(&self, timeout: Duration) -> bool {
        let shared = &self.0.0;
        let until = Instant::now() + timeout;
        let mut waiting = shared.waiting();
        waiting.asked += 1;
        let number = waiting.asked;
        shared.work.notify_one();
        while waiting.reached < number {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            waiting = shared.done.wait_timeout(waiting, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        !waiting.failing
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.0.waiting().closed = true;
        self.0.work.notify_one();
    }
}

impl Shared {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lost(&self, lines: Lines, count: u64) {
        let mut waiting = self.waiting();
        for (dropped, _) in waiting.dropped.iter_mut().zip(Lines::ALL).filter(|(_, of)| *of == lines) {
            *dropped += count;
        }
        drop(waiting);
        self.metrics.lines_dropped(lines.log(), count);
    }

    /// Whether the sink takes what is written.
    fn is_up(&self, up: bool) {
        match self.config.lines {
            Lines::Audit => self.metrics.audit_is_up(up),
            Lines::Access | Lines::Events => self.metrics.log_is_up(up),
        }
    }
}

impl Waiting {
    /// Whether somebody waits for what the thread does next.
    fn is_urgent(&self) -> bool {
        self.asked > self.reached || self.closed || self.reopen || self.prompt
    }
}

/// The buffer's far end.
struct Writer<S> {
    shared: Arc<Shared>,
    sink: S,
    /// When it was last said that lines were dropped.
    said: Option<Instant>,
}

impl<S: Sink> Writer<S> {
    fn run(&mut self) {
        let mut batch = Vec::new();
        loop {
            let (number, closed) = self.next(&mut batch);
            self.write(&batch);
            batch.clear();
            batch.shrink_to(KEPT);
            self.say_what_was_dropped(closed || number.is_some());
            if let Some(number) = number {
                self.shared.waiting().reached = number;
                self.shared.done.notify_all();
            }
            if closed {
                return;
            }
        }
    }

    /// Waits for lines and takes them: when there are many, when the first has waited long enough, or when asked to.
    fn next(&self, batch: &mut Vec<u8>) -> (Option<u64>, bool) {
        let Shared { config, work, .. } = &*self.shared;
        let mut waiting = self.shared.waiting();
        let mut until = Instant::now() + PAUSE;
        while !waiting.is_urgent() && waiting.lines.len() <= LARGE {
            let left = until.saturating_duration_since(Instant::now());
            let quiet = waiting.lines.is_empty();
            let something_to_say = waiting.dropped != [0; 3] && !waiting.failing;
            if !quiet && (config.at_once || left.is_zero()) || something_to_say && left.is_zero() {
                break;
            }
            // While lines come often, nobody pays for waking this thread: it looks by itself.
            let asleep = quiet && left.is_zero();
            waiting.wakes_above = if asleep || config.at_once { 0 } else { LARGE };
            waiting = if asleep {
                let woken = work.wait(waiting).unwrap_or_else(PoisonError::into_inner);
                until = Instant::now() + PAUSE;
                woken
            } else {
                work.wait_timeout(waiting, left).unwrap_or_else(PoisonError::into_inner).0
            };
        }
        waiting.wakes_above = usize::MAX;
        waiting.prompt = false;
        std::mem::swap(&mut waiting.lines, batch);
        let number = (waiting.asked > waiting.reached).then_some(waiting.asked);
        (number, waiting.closed)
    }

    fn write(&mut self, batch: &[u8]) {
        let mut from = 0;
        loop {
            if std::mem::take(&mut self.shared.waiting().reopen) {
                match self.sink.reopen() {
                    // The line that the old one has a part of is written whole into the new one.
                    Ok(()) => from = begin_of_line(batch, from),
                    Err(error) => {
                        let log = self.shared.config.lines.log();
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
                    self.works_again();
                    continue;
                }
                Ok(0) => io::ErrorKind::WriteZero.into(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => error,
            };
            if !self.is_to_try_again(&error) {
                let lines = rest.iter().filter(|byte| **byte == b'\n').count() as u64;
                return self.shared.lost(self.shared.config.lines, lines);
            }
        }
    }

    /// Waits until it is time to try again; not if the program has ended.
    fn is_to_try_again(&self, error: &io::Error) -> bool {
        let Shared { config, work, done, .. } = &*self.shared;
        let mut waiting = self.shared.waiting();
        if !std::mem::replace(&mut waiting.failing, true) {
            drop(waiting);
            self.shared.is_up(false);
            self.says_that_it_fails(error);
            waiting = self.shared.waiting();
        }
        if config.lines != Lines::Audit {
            waiting.reached = waiting.asked;
            done.notify_all();
        }
        if !waiting.closed && !waiting.reopen {
            waiting = work.wait_timeout(waiting, RETRY).unwrap_or_else(PoisonError::into_inner).0;
        }
        !waiting.closed
    }

    /// Of standard error nothing is said: there is no other place to say it.
    fn says_that_it_fails(&self, error: &io::Error) {
        if self.shared.config.lines == Lines::Audit {
            tracing::error!(
                %error,
                "the audit log cannot be written; what waits is tried again every second. Make room or give this user \
                 write permission, then send SIGHUP if the file was replaced"
            );
        }
    }

    fn works_again(&self) {
        if std::mem::take(&mut self.shared.waiting().failing) {
            self.shared.is_up(true);
            tracing::warn!("the {} log is written again", self.shared.config.lines.log());
        }
    }

    fn say_what_was_dropped(&mut self, last_chance: bool) {
        if !last_chance && self.said.is_some_and(|said| said.elapsed() < SAY_EVERY) {
            return;
        }
        let dropped = std::mem::take(&mut self.shared.waiting().dropped);
        for (lines, of) in dropped.into_iter().zip(Lines::ALL).filter(|(lines, _)| *lines > 0) {
            self.said = Some(Instant::now());
            let log = of.log();
            tracing::warn!(
                lines,
                "lines of the {log} log were dropped: they come faster than they can be written"
            );
        }
    }
}

/// Where the line begins of which `at` is a part.
fn begin_of_line(lines: &[u8], at: usize) -> usize {
    let before = lines.get(..at).unwrap_or_default();
    before.iter().rposition(|byte| *byte == b'\n').map_or(0, |line_break| line_break + 1)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::telemetry::metrics::Registry;

    /// Takes nothing until it is told how to answer each write.
    struct Gated(mpsc::Receiver<bool>, Arc<Mutex<Vec<u8>>>);

    impl Sink for Gated {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            // Once nobody tells any more, everything is taken.
            if !self.0.recv().unwrap_or(true) {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.1.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
    }

    fn gated() -> (LogWriter, mpsc::Sender<bool>, Arc<Mutex<Vec<u8>>>, Registry) {
        let (gate, told) = mpsc::channel();
        let (written, registry) = (Arc::default(), Registry::default());
        let config = WriterConfig { lines: Lines::Events, at_once: false };
        let sink = Gated(told, Arc::clone(&written));
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
            writer.push(Lines::Access, &line, None);
            records += 1;
        }
        while dropped("events") == 0 {
            writer.push(Lines::Events, &line, None);
            events += 1;
        }
        assert!(records > 4_096 && (1_024..1_200).contains(&events), "{records} {events}");
        assert!(!writer.flush(Duration::from_millis(50)), "nothing is taken");
        drop(gate);
        assert!(writer.flush(Duration::from_secs(20)));
        assert_eq!(written.lock().unwrap().len(), (records + events - 2) * 1_024, "whole lines, none twice");
    }

    #[test]
    fn what_cannot_be_written_is_written_later_and_not_waited_for() {
        let (writer, gate, written, registry) = gated();
        gate.send(false).unwrap();
        writer.push(Lines::Events, b"first\n", None);
        gate.send(false).unwrap();
        let began = Instant::now();
        assert!(!writer.flush(Duration::from_secs(60)));
        assert!(began.elapsed() < Duration::from_secs(20));
        assert_eq!(sample(&registry, "webhook_assets_log_up"), 0);
        writer.push(Lines::Events, b"second\n", None);
        drop(gate);
        while !writer.flush(Duration::from_secs(20)) {}
        assert_eq!(written.lock().unwrap().as_slice(), b"first\nsecond\n");
        assert_eq!(sample(&registry, "webhook_assets_log_up"), 1);
    }
}
