//! What a diagnosis consists of.

use std::fmt;

/// The meaning of an attempt's outcome: facts as data, and their English explanation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnosis {
    /// A word of a fixed set.
    pub code: &'static str,
    /// The status of the response.
    pub status: Option<u16>,
    /// The receiver's words, in one line and cut short.
    pub quotation: Option<String>,
    /// What happened: one English sentence or two.
    pub summary: String,
    /// What to do, in English.
    pub advice: Option<String>,
}

/// The facts of a diagnosis, from which each language makes its own sentences.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts<'d> {
    /// A word of a fixed set.
    pub code: &'d str,
    /// The status of the response.
    pub status: Option<u16>,
    /// The receiver's words, in one line and cut short.
    pub quotation: Option<String>,
}

impl Diagnosis {
    pub(super) fn new(code: &'static str, summary: impl Into<String>) -> Self {
        Self { code, status: None, quotation: None, summary: summary.into(), advice: None }
    }

    pub(super) fn quoting(self, quotation: String) -> Self {
        Self { quotation: Some(quotation), ..self }
    }

    pub(super) fn advise(self, advice: impl Into<String>) -> Self {
        Self { advice: Some(advice.into()), ..self }
    }

    /// Its facts.
    #[must_use]
    pub fn facts(&self) -> Facts<'_> {
        Facts { code: self.code, status: self.status, quotation: self.quotation.clone() }
    }
}

impl fmt::Display for Diagnosis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.summary)?;
        self.advice.as_ref().map_or(Ok(()), |advice| write!(f, " {advice}"))
    }
}
