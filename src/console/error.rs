//! The errors that lead to an error page.

use crate::ledger::LedgerError;

/// Why a request gets an error page.
#[derive(Debug)]
pub(super) enum PageError {
    /// The path does not exist, or belongs to another workspace.
    NotFound,
    /// The page exists, but the session may not see it.
    NotAllowed,
    /// The form does not come from a page of this session.
    NotOurs,
    /// The form does not come from a page of this origin.
    OtherOrigin,
    /// The database failed.
    Ledger(LedgerError),
    /// The form was sent before, and it is unknown what it did.
    SentBefore,
    /// The body is not a valid form for this page.
    BadForm,
    /// The body did not arrive in time.
    FormTooSlow,
    /// The workspace, or all workspaces together, have reached the limit of concurrent page loads.
    TooMany,
    /// The path takes other methods.
    WrongMethod(&'static str),
    /// A bug of this program.
    Broken,
}

impl PageError {
    /// The reason, as a label of the metric of refused requests.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::NotAllowed => "not_allowed",
            Self::NotOurs => "wrong_form",
            Self::OtherOrigin => "wrong_origin",
            Self::Ledger(error) if error.is_transient() => "database_unavailable",
            Self::Ledger(_) => "database_failed",
            Self::SentBefore => "sent_before",
            Self::BadForm => "bad_form",
            Self::FormTooSlow => "body_too_slow",
            Self::TooMany => "too_many_pages",
            Self::WrongMethod(_) => "method_not_allowed",
            Self::Broken => "broken",
        }
    }
}

impl From<LedgerError> for PageError {
    fn from(error: LedgerError) -> Self {
        Self::Ledger(error)
    }
}

impl From<askama::Error> for PageError {
    fn from(_: askama::Error) -> Self {
        Self::Broken
    }
}
