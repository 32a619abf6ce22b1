//! What can go wrong with a store, sorted by whose fault it is.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use super::Meta;

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
    /// The store took too long.
    TimedOut {
        /// The deadline.
        waited: Duration,
        /// What was waited for.
        for_what: &'static str,
    },
    /// The store cannot be reached or fails; it may recover.
    Unavailable(Box<dyn Error + Send + Sync>),
    /// The store refuses our credentials or this operation; somebody must act.
    Refused(Box<dyn Error + Send + Sync>),
    /// The store's answer contradicts itself.
    Broken(&'static str),
}

impl StoreError {
    pub(super) fn broken(what: &'static str) -> Self {
        Self::Broken(what)
    }

    /// Whether the range may be what the store did not like.
    pub(super) fn may_be_the_range(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Unsatisfiable(_))
    }

    /// The reason for logs and metrics: a word of a fixed set.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::NotModified => "not_modified",
            Self::Changed => "changed",
            Self::Unsatisfiable(_) => "unsatisfiable",
            Self::TimedOut { .. } => "timed_out",
            Self::Unavailable(_) => "unavailable",
            Self::Refused(_) => "refused",
            Self::Broken(_) => "broken",
        }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound => f.write_str("the object does not exist"),
            Self::NotModified => f.write_str("the object was not modified"),
            Self::Changed => f.write_str("the object was replaced while it was read"),
            Self::Unsatisfiable(meta) => write!(f, "the range lies outside the object's {} bytes", meta.size),
            Self::TimedOut { waited, for_what } => {
                write!(
                    f,
                    "the store did not deliver {for_what} within {}",
                    humantime::format_duration(*waited)
                )
            }
            Self::Unavailable(_) => f.write_str("the store cannot be reached or failed"),
            Self::Refused(_) => {
                f.write_str("the store refused us: check credentials, bucket and permissions")
            }
            Self::Broken(what) => f.write_str(what),
        }
    }
}

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Unavailable(source) | Self::Refused(source) => Some(source.as_ref()),
            _ => None,
        }
    }
}

impl From<object_store::Error> for StoreError {
    fn from(error: object_store::Error) -> Self {
        use object_store::Error as E;

        match error {
            E::NotFound { .. } => Self::NotFound,
            E::NotModified { .. } => Self::NotModified,
            E::Precondition { .. } => Self::Changed,
            E::PermissionDenied { .. } | E::Unauthenticated { .. } | E::UnknownConfigurationKey { .. } => {
                Self::Refused(Box::new(error))
            }
            // Connection errors, 5xx, 416 and Azure's suffix ranges all arrive without a status.
            _ => Self::Unavailable(Box::new(error)),
        }
    }
}
