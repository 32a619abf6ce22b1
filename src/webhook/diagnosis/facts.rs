//! The parts of a diagnosis.

use std::fmt;

/// The meaning of an attempt's outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnosis {
    /// Its facts, from which each language forms its own sentences.
    pub facts: Facts<'static>,
    /// Its explanation in English.
    pub english: Explanation,
}

/// The facts of a diagnosis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts<'d> {
    /// A stable code from a fixed set.
    pub code: &'d str,
    /// The status of the response.
    pub status: Option<u16>,
    /// The receiver's message, on one line and shortened.
    pub quotation: Option<String>,
}

/// A diagnosis for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// What happened, in one or two sentences.
    pub summary: String,
    /// Advice, if there is any.
    pub advice: Option<String>,
}

impl Diagnosis {
    pub(super) fn new(code: &'static str, summary: impl Into<String>) -> Self {
        let english = Explanation { summary: summary.into(), advice: None };
        Self { facts: Facts { code, status: None, quotation: None }, english }
    }

    pub(super) fn quoting(mut self, quotation: Option<String>) -> Self {
        self.facts.quotation = quotation;
        self
    }

    pub(super) fn advise(mut self, advice: impl Into<String>) -> Self {
        self.english.advice = Some(advice.into());
        self
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.summary)?;
        self.advice.as_ref().map_or(Ok(()), |advice| write!(f, " {advice}"))
    }
}
