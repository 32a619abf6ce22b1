//! What can go wrong with a store, sorted by whose fault it is. Nothing here carries the store's URL, its answer's text
//! or a credential: a [`Cause`] keeps what is safe to log and says what to do.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::time::Duration;

use object_store::client::HttpError;

use super::cause::Cause;
use super::error_codes::Blame;
use super::http::response::{ErrorResponse, InvalidResponse, find};
use super::meta::Meta;

/// Why an object, or the rest of it, cannot be had.
#[derive(Debug)]
pub enum StoreError {
    /// There is no such object.
    NotFound,
    /// The object still is the version that the caller has.
    NotModified,
    /// The object is no longer the version that was asked for.
    Changed,
    /// The span lies outside the object.
    Unsatisfiable(Meta),
    /// There is an object, but its size is not known before it is opened.
    SizeUnknown,
    /// The store took too long.
    TimedOut {
        /// The deadline.
        waited: Duration,
        /// What was waited for.
        for_what: &'static str,
    },
    /// The store cannot be reached or fails; it may recover.
    Unavailable(Cause),
    /// The store failed too often and is left alone until a probe succeeds.
    Down,
    /// The store refuses our credentials or our settings; somebody must act.
    Refused(Cause),
    /// The bucket or container does not exist, or not here; somebody must act.
    Misplaced(Cause),
    /// The store does not hand this object out, whatever it thinks of others: it is archived, its key is disabled …
    Withheld(Cause),
    /// The store's answer contradicts itself, or the object what is said of it.
    Broken(Cow<'static, str>),
}

impl StoreError {
    pub(super) fn broken(what: &'static str) -> Self {
        Self::Broken(Cow::Borrowed(what))
    }

    /// Whether the range may be what the store did not like: 416 and Azure's refusal of suffix ranges have no name of
    /// their own.
    pub(super) fn may_be_the_range(&self) -> bool {
        match self {
            Self::Unavailable(cause) | Self::Withheld(cause) => cause.may_be_the_range(),
            _ => false,
        }
    }

    /// Whether it may pass by itself: the store is slow or fails, as opposed to refusing or having changed.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::TimedOut { .. } | Self::Unavailable(_) | Self::Down | Self::Broken(_))
    }

    /// Whether it speaks against the store's health: transport, deadlines, 5xx, 429 and 408, and nothing else.
    pub(super) fn is_store_failure(&self) -> bool {
        match self {
            Self::TimedOut { .. } => true,
            Self::Unavailable(cause) => cause.is_store_failure(),
            _ => false,
        }
    }

    /// The reason for logs and metrics: a word of a fixed set.
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

    /// What the holder of a link may know of it: never what to set where.
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
                write!(
                    f,
                    "the store did not deliver {for_what} within {}",
                    humantime::format_duration(*waited)
                )
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

        if let Some(refusal) = find::<ErrorResponse>(&error) {
            return Self::sorted(Cause::of_refusal(refusal));
        }
        if let Some(InvalidResponse(what)) = find(&error) {
            return Self::broken(what);
        }
        match &error {
            E::NotFound { .. } => match Cause::of(&error) {
                // A missing bucket answers 404 too; where the answer has a body, it says which.
                cause if cause.blame() == Blame::Place => Self::Misplaced(cause),
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
            Blame::Place => Self::Misplaced(cause),
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
