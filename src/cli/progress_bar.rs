//! Shows the progress of a long command on standard error: a bar on a terminal, otherwise a line now and then.

use std::fmt::Write;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use super::exit::write_stderr;

/// The width of the bar, in characters.
const WIDTH: u64 = 30;

/// How often a line is written where there is no terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(10);

/// How often the bar is drawn.
const BAR_INTERVAL: Duration = Duration::from_millis(100);

/// The progress of a known number of things.
#[derive(Debug)]
pub(crate) struct ProgressBar {
    total: u64,
    is_terminal: bool,
    /// When what was written last, if the bar stands there.
    last: (Instant, u64),
    is_drawn: bool,
}

impl ProgressBar {
    pub(crate) fn new(total: u64) -> Self {
        Self {
            total,
            is_terminal: std::io::stderr().is_terminal(),
            last: (Instant::now(), 0),
            is_drawn: false,
        }
    }

    /// Whether the bar has a terminal.
    pub(crate) fn is_on_terminal(&self) -> bool {
        self.is_terminal
    }

    /// Shows how many are done, and how many of these failed, unless it was shown a moment ago.
    pub(crate) fn show(&mut self, done: u64, failed: u64) {
        let interval = if self.is_terminal { BAR_INTERVAL } else { LINE_INTERVAL };
        let (at, before) = self.last;
        if before != done && at.elapsed() >= interval {
            self.last = (Instant::now(), done);
            self.is_drawn = self.is_terminal;
            write_stderr(match self.is_terminal {
                true => format!("\r\u{1b}[K{}{}", bar(done, self.total), counts(done, self.total, failed)),
                false => format!("{}\n", counts(done, self.total, failed)),
            });
        }
    }

    /// Writes a line between two states of the bar.
    pub(crate) fn note(&mut self, line: &str) {
        self.end();
        write_stderr(format!("{line}\n"));
    }

    /// Removes the bar.
    pub(crate) fn end(&mut self) {
        if std::mem::take(&mut self.is_drawn) {
            write_stderr("\r\u{1b}[K".to_owned());
        }
    }
}

fn counts(done: u64, total: u64, failed: u64) -> String {
    let mut text = format!("{done} of {total}");
    if failed > 0 {
        let _ = write!(text, ", {failed} failed");
    }
    text
}

fn bar(done: u64, total: u64) -> String {
    let full = (done.min(total) * WIDTH).checked_div(total).unwrap_or(WIDTH);
    let (full, rest) =
        (usize::try_from(full).unwrap_or_default(), usize::try_from(WIDTH - full).unwrap_or_default());
    format!("[{}{}] ", "#".repeat(full), "-".repeat(rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_fills_with_what_is_done() {
        assert_eq!(bar(0, 10), format!("[{}] ", "-".repeat(30)));
        assert_eq!(bar(5, 10), format!("[{}{}] ", "#".repeat(15), "-".repeat(15)));
        assert_eq!(bar(11, 10), format!("[{}] ", "#".repeat(30)));
        assert_eq!(bar(0, 0), format!("[{}] ", "#".repeat(30)));
        assert_eq!((counts(3, 4, 0), counts(3, 4, 1)), ("3 of 4".into(), "3 of 4, 1 failed".into()));
    }
}
