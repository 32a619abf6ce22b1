//! Shows the progress of a long command on standard error: a bar on a terminal, otherwise a line now and then.

use std::fmt::Write;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use super::exit::write_stderr;

/// The largest and the least width of the bar, in characters. Where less fits beside the numbers, there is no bar.
const WIDTH: usize = 30;
const MIN_WIDTH: usize = 5;

/// The width of a terminal that does not say how wide it is.
const USUAL_COLUMNS: usize = 80;

/// How often a line is written where there is no terminal.
const LINE_INTERVAL: Duration = Duration::from_secs(10);

/// How often the bar is drawn.
const BAR_INTERVAL: Duration = Duration::from_millis(100);

/// The progress of a known number of things.
#[derive(Debug)]
pub(crate) struct ProgressBar {
    total: u64,
    is_terminal: bool,
    /// What was written last, and when. `None`: the next state is written at once.
    last: Option<(Instant, State)>,
    is_drawn: bool,
}

/// How many are done, and how many of these failed.
type State = (u64, u64);

impl ProgressBar {
    pub(crate) fn new(total: u64) -> Self {
        let is_terminal = std::io::stderr().is_terminal();
        let last = (!is_terminal).then(|| (Instant::now(), (0, 0)));
        Self { total, is_terminal, last, is_drawn: false }
    }

    /// Whether the bar has a terminal.
    pub(crate) fn is_on_terminal(&self) -> bool {
        self.is_terminal
    }

    /// Shows how many are done, and how many of these failed, unless it was shown a moment ago.
    pub(crate) fn show(&mut self, done: u64, failed: u64) {
        let interval = if self.is_terminal { BAR_INTERVAL } else { LINE_INTERVAL };
        let state = (done, failed);
        if self.last.is_none_or(|(at, before)| before != state && at.elapsed() >= interval) {
            self.last = Some((Instant::now(), state));
            self.is_drawn = self.is_terminal;
            write_stderr(match self.is_terminal {
                true => format!("\r\u{1b}[K{}", line(state, self.total, columns())),
                false => format!("{}\n", counts(state, self.total)),
            });
        }
    }

    /// Writes a line between two states of the bar.
    pub(crate) fn note(&mut self, line: &str) {
        self.end();
        write_stderr(format!("{line}\n"));
        self.last = self.last.filter(|_| !self.is_terminal);
    }

    /// Removes the bar.
    pub(crate) fn end(&mut self) {
        if std::mem::take(&mut self.is_drawn) {
            write_stderr("\r\u{1b}[K".to_owned());
        }
    }
}

/// The width of the terminal, which may change while the bar moves.
fn columns() -> usize {
    let size = rustix::termios::tcgetwinsize(std::io::stderr()).ok();
    size.map(|size| usize::from(size.ws_col)).filter(|columns| *columns > 0).unwrap_or(USUAL_COLUMNS)
}

/// Bar and numbers in one line: a line that the terminal wraps could not be drawn over. The last column stays free, because
/// some terminals wrap when it is written.
fn line(state: State, total: u64, columns: usize) -> String {
    let counts = counts(state, total);
    let width = columns.saturating_sub("[] ".len() + counts.len() + 1).min(WIDTH);
    if width < MIN_WIDTH {
        return counts.chars().take(columns.saturating_sub(1)).collect();
    }
    format!("[{}] {counts}", bar(state.0, total, width))
}

fn counts((done, failed): State, total: u64) -> String {
    let mut text = format!("{done} of {total}");
    if failed > 0 {
        let _ = write!(text, ", {failed} failed");
    }
    text
}

fn bar(done: u64, total: u64, width: usize) -> String {
    let cells = u64::try_from(width).unwrap_or_default();
    let full = done.min(total).saturating_mul(cells).checked_div(total).unwrap_or(cells);
    let full = usize::try_from(full).unwrap_or(width);
    format!("{}{}", "#".repeat(full), "-".repeat(width.saturating_sub(full)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_fills_with_what_is_done() {
        assert_eq!(bar(0, 10, 30), "-".repeat(30));
        assert_eq!(bar(5, 10, 30), format!("{}{}", "#".repeat(15), "-".repeat(15)));
        assert_eq!(bar(11, 10, 30), "#".repeat(30));
        assert_eq!(bar(0, 0, 30), "#".repeat(30));
        assert_eq!((counts((3, 0), 4), counts((3, 1), 4)), ("3 of 4".into(), "3 of 4, 1 failed".into()));
    }

    #[test]
    fn a_line_never_fills_the_terminal() {
        assert_eq!(line((2, 0), 4, 80), format!("[{}{}] 2 of 4", "#".repeat(15), "-".repeat(15)));
        assert_eq!(line((500_000, 12), 1_000_000, 40), "[####----] 500000 of 1000000, 12 failed");
        for columns in 1..100 {
            for state in [(0, 0), (999_999, 0), (1_000_000, 1_000_000)] {
                let line = line(state, 1_000_000, columns);
                assert!(line.len() < columns, "{columns}: {line}");
            }
        }
        assert_eq!(line((999_999, 0), 1_000_000, 20), "999999 of 1000000");
    }
}
