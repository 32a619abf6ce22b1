//! Lines on their way to a sink that may be slow: a bounded buffer, and a thread of its own that empties it. Whoever
//! adds a line copies it and goes on; it never waits for the sink.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::metrics::Metrics;
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

/// How a spool treats its lines.
#[derive(Debug, Clone, Copy)]
pub(super) struct Manner {
    /// What the lines are called in metrics and warnings.
    pub(super) log: &'static str,
    /// The most bytes that wait; what comes when it is full is dropped and counted.
    pub(super) most: usize,
    /// Whether somebody looks on: then nothing waits for others.
    pub(super) at_once: bool,
    /// Whether lines that cannot be written are kept and tried again.
    pub(super) keeps: bool,
}

/// The buffer's near end. Clones share it; when the last is gone, what waits is written and the thread ends.
#[derive(Debug, Clone)]
pub(super) struct Spool(Arc<End>);

#[derive(Debug)]
struct End(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    manner: Manner,
    metrics: Metrics,
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
    /// For how many lines that will come room is kept.
    reserved: usize,
    /// Lines that were dropped since it was last said.
    dropped: u64,
    /// Who flushes takes a number, and waits until the thread has come so far.
    asked: u64,
    reached: u64,
    reopen: bool,
    /// The sink takes nothing; what waits is tried again.
    failing: bool,
    closed: bool,
}

/// Room that is kept for one line.
#[derive(Debug)]
pub struct Place {
    end: Arc<End>,
    used: bool,
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.used {
            self.end.0.waiting().reserved -= 1;
        }
    }
}

impl Spool {
    /// Starts a thread that empties the buffer into `sink`.
    ///
    /// # Errors
    /// If the system has no thread left.
    pub(super) fn start(sink: impl Sink, manner: Manner, metrics: Metrics) -> io::Result<Self> {
        let waiting = Mutex::new(Waiting { wakes_above: usize::MAX, ..Waiting::default() });
        let shared =
            Arc::new(Shared { manner, metrics, waiting, work: Condvar::new(), done: Condvar::new() });
        let its = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name(format!("{} log", manner.log));
        let mut writer = Writer { shared: its, sink, said: None };
        thread.spawn(move || tasks::restarting_thread(Task::LogWriter, || writer.run()))?;
        Ok(Self(Arc::new(End(shared))))
    }

    /// Keeps room for a line, unless there is none or the sink fails.
    pub(super) fn reserve(&self) -> Option<Place> {
        let shared = &self.0.0;
        let mut waiting = shared.waiting();
        let room = waiting.lines.len() + (waiting.reserved + 1) * LONGEST_LINE <= shared.manner.most;
        if !room || waiting.failing {
            return None;
        }
        waiting.reserved += 1;
        Some(Place { end: Arc::clone(&self.0), used: false })
    }

    /// Adds a line, its line break included, unless there is no room. There is for one that has a place.
    pub(super) fn push(&self, line: &[u8], place: Option<Place>) {
        let shared = &self.0.0;
        let mut waiting = shared.waiting();
        if let Some(mut place) = place {
            place.used = true;
            waiting.reserved -= 1;
        }
        if waiting.lines.len() + line.len() + waiting.reserved * LONGEST_LINE > shared.manner.most {
            waiting.dropped += 1;
            drop(waiting);
            return shared.metrics.own().lines_dropped(shared.manner.log, 1);
        }
        waiting.lines.extend_from_slice(line);
        if waiting.lines.len() > waiting.wakes_above {
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

    /// Waits until all that was added before is written, but no longer than `patience`. Says whether it is.
    pub(super) fn flush(&self, patience: Duration) -> bool {
        let shared = &self.0.0;
        let until = Instant::now() + patience;
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
        true
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
}

impl Waiting {
    /// Whether somebody waits for what the thread does next.
    fn is_urgent(&self) -> bool {
        self.asked > self.reached || self.closed || self.reopen
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
        let Shared { manner, work, .. } = &*self.shared;
        let mut waiting = self.shared.waiting();
        let mut until = Instant::now() + PAUSE;
        while !waiting.is_urgent() && waiting.lines.len() <= LARGE {
            let left = until.saturating_duration_since(Instant::now());
            let quiet = waiting.lines.is_empty();
            if !quiet && (manner.at_once || left.is_zero()) || waiting.dropped > 0 && left.is_zero() {
                break;
            }
            // While lines come often, nobody pays for waking this thread: it looks by itself.
            let asleep = quiet && left.is_zero();
            waiting.wakes_above = if asleep || manner.at_once { 0 } else { LARGE };
            waiting = if asleep {
                let woken = work.wait(waiting).unwrap_or_else(PoisonError::into_inner);
                until = Instant::now() + PAUSE;
                woken
            } else {
                work.wait_timeout(waiting, left).unwrap_or_else(PoisonError::into_inner).0
            };
        }
        waiting.wakes_above = usize::MAX;
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
                        let log = self.shared.manner.log;
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
            if !self.shared.manner.keeps || !self.is_to_try_again(&error) {
                return self.lost(rest);
            }
        }
    }

    /// Waits until it is time to try again; not if nobody will be there any more.
    fn is_to_try_again(&self, error: &io::Error) -> bool {
        let Shared { manner, metrics, work, .. } = &*self.shared;
        let mut waiting = self.shared.waiting();
        if !std::mem::replace(&mut waiting.failing, true) {
            drop(waiting);
            metrics.own().audit_is_up(false);
            tracing::error!(
                %error,
                "the {} log cannot be written; what waits is tried again every second. Make room or give this user \
                 write permission, then send SIGHUP if the file was replaced",
                manner.log
            );
            waiting = self.shared.waiting();
        }
        if !waiting.closed && !waiting.reopen {
            waiting = work.wait_timeout(waiting, RETRY).unwrap_or_else(PoisonError::into_inner).0;
        }
        !waiting.closed
    }

    fn works_again(&self) {
        if std::mem::take(&mut self.shared.waiting().failing) {
            self.shared.metrics.own().audit_is_up(true);
            tracing::warn!("the {} log is written again", self.shared.manner.log);
        }
    }

    /// What the sink does not take is gone.
    fn lost(&self, rest: &[u8]) {
        let lines = rest.iter().filter(|byte| **byte == b'\n').count() as u64;
        self.shared.waiting().dropped += lines;
        self.shared.metrics.own().lines_dropped(self.shared.manner.log, lines);
    }

    fn say_what_was_dropped(&mut self, last_chance: bool) {
        if !last_chance && self.said.is_some_and(|said| said.elapsed() < SAY_EVERY) {
            return;
        }
        let lines = std::mem::take(&mut self.shared.waiting().dropped);
        if lines > 0 {
            self.said = Some(Instant::now());
            let log = self.shared.manner.log;
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
