//! A diagnosis as a page shows it.

use std::fmt;

/// What happened, and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Explanation {
    pub(crate) summary: String,
    pub(crate) advice: Option<String>,
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.summary)?;
        self.advice.as_ref().map_or(Ok(()), |advice| write!(f, " {advice}"))
    }
}
