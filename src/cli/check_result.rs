//! One line of `check`.

/// What `check` found, in a sentence.
pub(super) enum CheckResult {
    Passed(String),
    Warning(String),
    Failed(String),
}
