//! Converts times, durations and counts to and from columns: in both engines, integers are signed BIGINTs.

use std::time::Duration;

use sqlx::error::BoxDynError;
use sqlx::{Database, Decode, Type};

use crate::clock::{UnixMillis, UnixSeconds};

/// Converts a number to a column value. Larger numbers saturate.
pub(crate) fn int(number: impl TryInto<i64>) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}

/// Replaces U+0000, which PostgreSQL's text cannot contain.
pub(crate) fn without_nul(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// An integer column that is read into fields of several types.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Int(Option<i64>);

macro_rules! read_as_bigint {
    ($($type:ty: $stored:ty => $read:expr;)*) => {$(
        impl<D: Database> Type<D> for $type
        where
            i64: Type<D>,
        {
            fn type_info() -> D::TypeInfo {
                <i64 as Type<D>>::type_info()
            }

            fn compatible(found: &D::TypeInfo) -> bool {
                <i64 as Type<D>>::compatible(found)
            }
        }

        impl<'r, D: Database> Decode<'r, D> for $type
        where
            i64: Decode<'r, D>,
        {
            fn decode(value: D::ValueRef<'r>) -> Result<Self, BoxDynError> {
                <$stored>::decode(value).map($read)
            }
        }
    )*};
}

read_as_bigint! {
    UnixMillis: i64 => |at| Self(u64::try_from(at).unwrap_or_default());
    Int: Option<i64> => Self;
}

/// A status code, if there was a response.
impl From<Int> for Option<u16> {
    fn from(stored: Int) -> Self {
        stored.0.and_then(|status| u16::try_from(status).ok())
    }
}

/// A second, if it is known.
impl From<Int> for Option<UnixSeconds> {
    fn from(stored: Int) -> Self {
        stored.0.map(|at| UnixSeconds(u64::try_from(at).unwrap_or_default()))
    }
}

/// A limit, if the owner set one: 0 means none.
impl From<Int> for Option<u32> {
    fn from(stored: Int) -> Self {
        stored.0.filter(|limit| *limit != 0).and_then(|limit| u32::try_from(limit).ok())
    }
}

/// Milliseconds.
impl From<Int> for Option<Duration> {
    fn from(stored: Int) -> Self {
        stored.0.and_then(|millis| u64::try_from(millis).ok()).map(Duration::from_millis)
    }
}

impl From<Int> for UnixSeconds {
    fn from(stored: Int) -> Self {
        Option::<Self>::from(stored).unwrap_or(Self(0))
    }
}

impl From<Int> for Duration {
    fn from(stored: Int) -> Self {
        Option::<Self>::from(stored).unwrap_or_default()
    }
}
