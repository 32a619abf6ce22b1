//! The output of `webhooks`: text of several lines, and tables that fit the terminal (simple enough to need no crate).

use std::io::IsTerminal;

use crate::text::{Escape, escape_invisible};

/// The least width of a row in characters, however narrow the terminal.
const MIN_WIDTH: usize = 60;

/// The least width in which the last column fits beside the others.
const MIN_LAST_COLUMN: usize = 50;

/// The gap between columns, and the indentation of a last column on a separate line.
const GAP: &str = "  ";
const INDENT: &str = "    ";

/// Escapes external text but keeps its line breaks: other characters that control a terminal become escapes.
pub(super) fn escaped_lines(text: &str) -> String {
    escape_invisible(text, Escape::Braces, |c| c == '\n').into_owned()
}

/// The width of standard output; `None` if it is not a terminal.
fn width() -> Option<usize> {
    if !std::io::stdout().is_terminal() {
        return None;
    }
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok()?;
    (size.ws_col > 0).then(|| usize::from(size.ws_col).max(MIN_WIDTH))
}

/// Aligns columns under their heads. The last column is cut at the edge of the terminal; if it does not fit there, it
/// moves to a separate line.
pub(super) fn table<const N: usize>(heads: [&str; N], rows: &[[String; N]]) -> String {
    table_of_width(heads, rows, width())
}

fn table_of_width<const N: usize>(heads: [&str; N], rows: &[[String; N]], width: Option<usize>) -> String {
    let mut widths = heads.map(|head| head.chars().count());
    for row in rows {
        for (widest, cell) in widths.iter_mut().zip(row) {
            *widest = (*widest).max(cell.chars().count());
        }
    }
    let last = widths.last().copied().unwrap_or_default();
    let others: usize = widths.iter().map(|width| width + GAP.len()).sum::<usize>() - last - GAP.len();
    let below = width.is_some_and(|width| width.saturating_sub(others) < last.min(MIN_LAST_COLUMN));
    let mut text = line(&heads.map(str::to_owned), &widths, width, false);
    for row in rows {
        text.push_str(&line(row, &widths, width, below));
    }
    text
}

fn line(cells: &[String], widths: &[usize], width: Option<usize>, below: bool) -> String {
    let padded = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
    let mut padded: Vec<_> = padded.collect();
    let last = if below { padded.pop() } else { None };
    let mut text = cut(&padded.join(GAP), width);
    if let Some(last) = last.filter(|last| !last.trim().is_empty()) {
        text.push_str(&cut(&format!("{INDENT}{last}"), width));
    }
    text
}

fn cut(line: &str, width: Option<usize>) -> String {
    let line = line.trim_end();
    match width {
        Some(width) if line.chars().count() > width => {
            let kept: String = line.chars().take(width.saturating_sub(1)).collect();
            format!("{kept}…\n")
        }
        _ => format!("{line}\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_several_lines_keeps_its_line_breaks() {
        assert_eq!(escaped_lines("a\r\né"), "a\\r\né");
    }

    #[test]
    fn a_table_ends_where_the_terminal_does() {
        let rows = [["1".to_owned(), "short".to_owned()], ["22".to_owned(), "x".repeat(80)]];
        let whole = table_of_width(["A", "LAST"], &rows, None);
        assert_eq!(whole, format!("A   LAST\n1   short\n22  {}\n", "x".repeat(80)));
        let cut = table_of_width(["A", "LAST"], &rows, Some(60));
        assert!(cut.lines().all(|line| line.chars().count() <= 60), "{cut}");
        assert!(cut.ends_with("x…\n"));
        let rows = [["i".repeat(40), "x".repeat(80)], ["j".to_owned(), String::new()]];
        let below = table_of_width(["A", "LAST"], &rows, Some(60));
        let lines: Vec<_> = below.lines().collect();
        assert_eq!(lines[1..], [&"i".repeat(40), &format!("    {}…", "x".repeat(55)), "j"], "{below}");
    }
}
