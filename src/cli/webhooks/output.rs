//! The output of `webhooks`: text of several lines, and tables that fit the terminal (simple enough to need no crate).

use std::io::IsTerminal;

use crate::text::{Escape, escape_invisible};

/// The least width of a row in characters, however narrow the terminal.
const MIN_WIDTH: usize = 60;

/// The least width in which the last column fits beside the others.
const MIN_LAST_COLUMN: usize = 50;

/// The gap between columns, and the indentation of a line that continues a row.
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

/// Aligns columns under their heads. Columns that do not fit in the terminal continue on lines below; the last one is cut at
/// its edge.
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
    let lines = columns_of_lines(&widths, width);
    let mut text = row_as_lines(&heads.map(str::to_owned), &widths, &lines, width);
    for row in rows {
        text.push_str(&row_as_lines(row, &widths, &lines, width));
    }
    text
}

/// How many columns each line of a row takes.
fn columns_of_lines(widths: &[usize], width: Option<usize>) -> Vec<usize> {
    let (mut lines, mut used, mut columns) = (Vec::new(), 0, 0);
    for (at, column) in widths.iter().enumerate() {
        let is_last = at + 1 == widths.len();
        let least = if is_last { (*column).min(MIN_LAST_COLUMN) } else { *column };
        if columns > 0 && width.is_some_and(|width| used + least > width) {
            lines.push(std::mem::take(&mut columns));
            used = INDENT.len();
        }
        columns += 1;
        used += column + GAP.len();
    }
    lines.push(columns);
    lines
}

fn row_as_lines(cells: &[String], widths: &[usize], lines: &[usize], width: Option<usize>) -> String {
    let mut padded = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
    let mut text = String::new();
    for (at, columns) in lines.iter().enumerate() {
        let cells: Vec<_> = padded.by_ref().take(*columns).collect();
        let line = cells.join(GAP);
        if at == 0 || !line.trim().is_empty() {
            text.push_str(&cut(&format!("{}{line}", if at == 0 { "" } else { INDENT }), width));
        }
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
        assert_eq!(lines[2..], [&"i".repeat(40), &format!("    {}…", "x".repeat(55)), "j"], "{below}");
    }
}
