//! The findings of `check`, for people and for programs.

use std::fmt::Write;

use anstyle::{AnsiColor, Style};
use serde_json::{Value, json};

use crate::cli::check_result::CheckResult::{self, Failed, Note, Passed, Warning};
use crate::cli::terminal::escaped;

/// What was checked, and the result.
pub(super) type Finding = (&'static str, CheckResult);

pub(super) fn has_failed(found: &[Finding]) -> bool {
    found.iter().any(|(_, found)| matches!(found, Failed(..)))
}

/// One line for each finding.
pub(super) fn text(found: &[Finding]) -> String {
    let mut text = String::new();
    for (what, found) in found {
        let (word, colour) = match found {
            Passed(_) => ("ok  ", AnsiColor::Green),
            Note(_) => ("note", AnsiColor::Cyan),
            Warning(..) => ("warn", AnsiColor::Yellow),
            Failed(..) => ("FAIL", AnsiColor::Red),
        };
        let style = Style::new().bold().fg_color(Some(colour.into()));
        let fault = found.fault().map(|fault| format!(" (cause: {})", fault.words())).unwrap_or_default();
        let _ = writeln!(text, "{style}{word}{style:#}  {what:10}  {}{fault}", escaped(found.sentence()));
    }
    text
}

pub(super) fn json(found: &[Finding]) -> Value {
    let findings: Vec<_> = found.iter().map(|(about, found)| finding(about, found)).collect();
    let result = if has_failed(found) { "failed" } else { "ok" };
    json!({"result": result, "findings": findings})
}

fn finding(about: &str, found: &CheckResult) -> Value {
    let level = match found {
        Passed(_) => "ok",
        Note(_) => "note",
        Warning(..) => "warning",
        Failed(..) => "failed",
    };
    json!({
        "level": level, "about": about, "text": found.sentence(), "cause": found.fault().map(|fault| fault.name()),
    })
}
