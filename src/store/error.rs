//! Classifies the errors of a store by what is to blame. None contains the store's URL, its response text or a
//! credential: a [`Cause`] has only text that may be logged, and advice.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::time::Duration;

use object_store::client::HttpError;

use super::cause::Cause;
use super::error_codes::Blame;
use super::http::response::{ErrorResponse, InvalidResponse, find};
use super::meta::Meta;
use crate::clock::format_exact;

/// The reason why an object, or the rest of it, is unavailable.
#[derive(Debug)]
pub enum StoreError {
    /// The object does not exist.
    NotFound,
    /// The object is still the version that the caller has.
    NotModified,
    /// The object is no longer the requested version.
    Changed,
    /// The span lies outside the object.
    Unsatisfiable(Meta),
    /// The object exists, and its size is unknown before it is opened.
    SizeUnknown,
    /// The store took too long.
    TimedOut {
        /// The deadline.
        waited: Duration,
        /// A description of the expected event.
        for_what: &'static str,
    },
    /// The store is unreachable or failing. It may recover.
    Unavailable(Cause),
    /// The circuit breaker is open: the store failed repeatedly, and receives only probes.
    Down,
    /// The store refuses the credentials or the settings; an operator must act.
    Refused(Cause),
    /// The bucket or container does not exist in this place; an operator must act.
    Misplaced(Cause),
    /// The store refuses only this object: it is archived, its key is disabled, …
    Withheld(Cause),
    /// The store's response contradicts itself, or the object contradicts its metadata.
    Broken(Cow<'static, str>),
}

impl StoreError {
    pub(super) fn broken(what: &'static str) -> Self {
        Self::Broken(Cow::Borrowed(what))
    }

    /// Whether the range may be the cause: there is no separate error for 416, or for Azure's refusal of suffix ranges.
    pub(super) fn may_be_the_range(&self) -> bool {
        match self {
            Self::Unavailable(cause) | Self::Withheld(cause) => cause.may_be_the_range(),
            _ => false,
        }
    }

    /// Whether a retry may succeed: the store is slow or failing. A retry after a refusal, or for a changed object,
    /// would fail again.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::TimedOut { .. } | Self::Unavailable(_) | Self::Down | Self::Broken(_))
    }

    /// Whether this counts as a failure of the store: only transport errors, timeouts, 5xx, 429 and 408 do.
    pub(super) fn is_store_failure(&self) -> bool {
        match self {
            Self::TimedOut { .. } => true,
            Self::Unavailable(cause) => cause.is_store_failure(),
            _ => false,
        }
    }

    /// The reason for logs and metrics, from a fixed set of words.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::NotModified => "not_modified",
            Self::Changed => "changed",
            Self::Unsatisfiable(_) => "unsatisfiable",
            Self::SizeUnknown => "size_unknown",
            Self::TimedOut { .. } => "timed_out",
            Self::Unavailable(_) => "unavailable",
            Self::Down => "down",
            Self::Refused(_) => "refused",
            Self::Misplaced(_) => "misplaced",
            Self::Withheld(_) => "withheld",
            Self::Broken(_) => "broken",
        }
    }

    /// The text that the client may see. It shows no settings.
    #[must_use]
    pub fn public_text(&self) -> String {
        match self {
            Self::Refused(cause)
            | Self::Misplaced(cause)
            | Self::Withheld(cause)
            | Self::Unavailable(cause) => cause.public_text(),
            Self::Broken(what) => what.clone().into_owned(),
            other => other.to_string(),
        }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound => f.write_str("the object does not exist"),
            Self::NotModified => f.write_str("the object was not modified"),
            Self::Changed => f.write_str("the object was replaced or deleted while it was read"),
            Self::Unsatisfiable(meta) => write!(f, "the range lies outside the object's {} bytes", meta.size),
            Self::SizeUnknown => f.write_str("the object's size is not known before it is opened"),
            Self::TimedOut { waited, for_what } => {
                write!(f, "the store did not deliver {for_what} within {}", format_exact(*waited))
            }
            Self::Unavailable(cause) => write!(f, "the store fails: {cause}"),
            Self::Down => f.write_str("the store failed again and again and is only probed for now"),
            Self::Refused(cause) => write!(f, "the store refuses us: {cause}"),
            Self::Misplaced(cause) => write!(f, "the store has no such bucket or container there: {cause}"),
            Self::Withheld(cause) => write!(f, "the store does not hand the object out: {cause}"),
            Self::Broken(what) => write!(f, "the store contradicts itself: {what}"),
        }
    }
}

impl Error for StoreError {}

impl From<object_store::Error> for StoreError {
    fn from(error: object_store::Error) -> Self {
        use object_store::Error as E;

        if let Some(response) = find::<ErrorResponse>(&error) {
            return Self::sorted(Cause::of_response(response));
        }
        if let Some(InvalidResponse(what)) = find(&error) {
            return Self::broken(what);
        }
        match &error {
            E::NotFound { .. } => match Cause::of(&error) {
                // A missing bucket is also 404. Only a body distinguishes it.
                cause if cause.blame() == Blame::Bucket => Self::Misplaced(cause),
                _ => Self::NotFound,
            },
            E::NotModified { .. } => Self::NotModified,
            E::Precondition { .. } => Self::Changed,
            E::PermissionDenied { .. } | E::Unauthenticated { .. } | E::UnknownConfigurationKey { .. } => {
                Self::Refused(Cause::of(&error))
            }
            E::NotSupported { .. } => Self::Unavailable(Cause::of(&error).about_the_range()),
            _ => Self::sorted(Cause::of(&error)),
        }
    }
}

impl StoreError {
    fn sorted(cause: Cause) -> Self {
        match cause.blame() {
            Blame::Store => Self::Unavailable(cause),
            Blame::Settings => Self::Refused(cause),
            Blame::Bucket => Self::Misplaced(cause),
            Blame::Object => Self::Withheld(cause),
            Blame::Nothing => Self::NotFound,
        }
    }
}

impl From<HttpError> for StoreError {
    fn from(error: HttpError) -> Self {
        Self::Unavailable(Cause::of(&error))
    }
}

impl From<std::io::Error> for StoreError {
    fn from(error: std::io::Error) -> Self {
        Self::Unavailable(Cause::of(&error))
    }
}
