//! Defines the bytes of an object that a caller requests.

use std::ops::Range;

use object_store::GetRange;

/// The bytes of an object that a caller requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Span {
    /// All of them.
    Whole,
    /// From the first to the last position, both included (RFC 9110 §14.1.2).
    FromTo(u64, u64),
    /// From a position to the end.
    From(u64),
    /// This many bytes at the end.
    Last(u64),
}

impl Span {
    /// The positions in an object of `size` bytes; `None` if the span is unsatisfiable.
    #[must_use]
    pub fn within(self, size: u64) -> Option<Range<u64>> {
        let range = match self {
            Self::Whole => return Some(0..size),
            Self::FromTo(first, last) => first..last.saturating_add(1).min(size),
            Self::From(first) => first..size,
            Self::Last(count) => size.saturating_sub(count)..size,
        };
        (range.start < range.end).then_some(range)
    }

    pub(super) fn as_get_range(self) -> Option<GetRange> {
        match self {
            Self::Whole => None,
            Self::FromTo(first, last) => {
                Some(last.checked_add(1).map_or(GetRange::Offset(first), |end| GetRange::Bounded(first..end)))
            }
            Self::From(first) => Some(GetRange::Offset(first)),
            Self::Last(count) => Some(GetRange::Suffix(count)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_clipped_to_the_object() {
        assert_eq!(Span::Whole.within(0), Some(0..0));
        assert_eq!(Span::FromTo(0, u64::MAX).within(10), Some(0..10));
        assert_eq!(Span::FromTo(3, 3).within(10), Some(3..4));
        assert_eq!(Span::From(9).within(10), Some(9..10));
        assert_eq!(Span::From(10).within(10), None);
        assert_eq!(Span::Last(3).within(10), Some(7..10));
        assert_eq!(Span::Last(30).within(10), Some(0..10));
        assert_eq!(Span::Last(0).within(10), None);
        assert_eq!(Span::Last(5).within(0), None);
    }
}
