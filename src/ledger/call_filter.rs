//! Defines which calls an endpoint gets.

use super::database::Value;
use crate::webhook::{CallStatus, CompletedCall, Direction};

/// Which calls an endpoint gets: all by default. A call has to satisfy each condition that is set. Other calls make no
/// delivery; test events always do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CallFilter {
    /// Only calls that ended in one of these ways; empty for any.
    pub status: Vec<CallStatus>,
    /// Only calls in this direction.
    pub direction: Option<Direction>,
    /// Only calls that were handed in with a recording, or only those without.
    pub has_recording: Option<bool>,
}

/// The bits of the two directions, of calls with and without a recording, and of each status in its order.
const DIRECTION: u32 = 0;
const RECORDING: u32 = 2;
const STATUS: u32 = 4;

/// Whether the endpoint `e` gets the event `r`: it wants each of the event's bits. Test events have none.
macro_rules! wants_call {
    () => {
        "(e.wanted_calls IS NULL OR (e.wanted_calls & r.traits) = r.traits)"
    };
}
pub(super) use wants_call;

impl CallFilter {
    /// Whether the endpoint gets all calls.
    #[must_use]
    pub fn is_all(&self) -> bool {
        *self == Self::default()
    }

    /// Whether the endpoint gets a call.
    pub(super) fn wants(&self, call: &CompletedCall, has_recording: bool) -> bool {
        let traits = traits_of(call, has_recording);
        self.bits().is_none_or(|bits| bits & traits == traits)
    }

    /// The same filter in its stored form: statuses in their order and once each, all of them as none.
    pub(super) fn normalized(&self) -> Self {
        Self::from(self.bits())
    }

    /// The bits of the calls that the endpoint gets; `None` for all.
    fn bits(&self) -> Option<i64> {
        let status = match &self.status[..] {
            [] => CallStatus::ALL,
            chosen => chosen,
        };
        let directions =
            bits_of(DIRECTION, Direction::ALL, |it| self.direction.is_none_or(|only| only == *it));
        let recordings =
            bits_of(RECORDING, &[true, false], |it| self.has_recording.is_none_or(|only| only == *it));
        let statuses = bits_of(STATUS, CallStatus::ALL, |it| status.contains(it));
        (!self.is_all()).then_some(directions | recordings | statuses)
    }
}

/// The bits of a call: one each for its direction, its recording and its status.
pub(super) fn traits_of(call: &CompletedCall, has_recording: bool) -> i64 {
    bits_of(DIRECTION, Direction::ALL, |it| *it == call.direction())
        | bits_of(RECORDING, &[true, false], |it| *it == has_recording)
        | bits_of(STATUS, CallStatus::ALL, |it| *it == call.status())
}

fn bits_of<T>(first: u32, all: &[T], is_set: impl Fn(&T) -> bool) -> i64 {
    (first..).zip(all).filter(|(_, value)| is_set(value)).map(|(bit, _)| 1 << bit).sum()
}

impl From<Option<i64>> for CallFilter {
    fn from(stored: Option<i64>) -> Self {
        let Some(bits) = stored else { return Self::default() };
        let is_set = |bit: u32| bits >> bit & 1 == 1;
        let one_of = |first| (is_set(first) != is_set(first + 1)).then_some(is_set(first));
        let statuses = CallStatus::ALL.iter().zip(STATUS..);
        let status: Vec<_> = statuses.filter(|(_, bit)| is_set(*bit)).map(|(status, _)| *status).collect();
        Self {
            status: if status.len() == CallStatus::ALL.len() { Vec::new() } else { status },
            direction: one_of(DIRECTION)
                .map(|first| if first { Direction::Incoming } else { Direction::Outgoing }),
            has_recording: one_of(RECORDING),
        }
    }
}

impl From<&CallFilter> for Value {
    fn from(filter: &CallFilter) -> Self {
        filter.bits().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The numbers of the migration.
    #[test]
    fn a_filter_is_stored_as_the_migration_says() {
        let bits = |filter: CallFilter| filter.bits();
        let status = |status| CallFilter { status: vec![status], ..CallFilter::default() };
        assert_eq!(bits(CallFilter::default()), None);
        assert_eq!(bits(status(CallStatus::Connected)), Some(16 + 15));
        assert_eq!(bits(status(CallStatus::Canceled)), Some(2048 + 15));
        let incoming = CallFilter { direction: Some(Direction::Incoming), ..CallFilter::default() };
        assert_eq!(bits(incoming), Some(1 + 4 + 8 + 4080));
        let without = CallFilter { has_recording: Some(false), ..CallFilter::default() };
        assert_eq!(bits(without), Some(1 + 2 + 8 + 4080));
        let sample = CompletedCall::sample();
        assert_eq!((traits_of(&sample, true), traits_of(&sample, false)), (2 + 4 + 16, 2 + 8 + 16));
    }

    #[test]
    fn a_stored_filter_is_read_back() {
        for status in [vec![], vec![CallStatus::Missed], vec![CallStatus::NoAnswer, CallStatus::Busy]] {
            for direction in [None, Some(Direction::Incoming), Some(Direction::Outgoing)] {
                for has_recording in [None, Some(true), Some(false)] {
                    let filter = CallFilter { status: status.clone(), direction, has_recording };
                    assert_eq!(CallFilter::from(filter.bits()), filter);
                }
            }
        }
    }
}
