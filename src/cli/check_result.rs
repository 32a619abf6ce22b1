//! The result of one check.

/// The result of one check, as a sentence.
pub(super) enum CheckResult {
    Passed(String),
    Warning(String),
    Failed(String),
}
