//! The Range field (RFC 9110 §14): parses it and resolves ranges to positions.
//!
//! No crate fits. The strictest, `http-range-header`, rejects positions of more than 30 digits, which RFC 9110 §14.1.2
//! reads as the end of the object. `headers` skips invalid elements, and `http-range` allows blanks within an element.

use std::ops::Range;

use super::request::visible_text;
use crate::store::Span;

/// The maximum number of ranges in one request. A request for more gets the whole object.
const MAX_RANGES: usize = 32;

/// The ranges that a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum RequestedRange {
    /// No range, or an invalid one, which is ignored (RFC 9110 §14.2).
    Whole,
    /// One range.
    One(Span),
    /// Several ranges, in the order of the request.
    Several(Vec<Span>),
}

impl RequestedRange {
    /// The ranges; none for the whole object.
    pub(super) fn spans(&self) -> &[Span] {
        match self {
            Self::Whole => &[],
            Self::One(span) => std::slice::from_ref(span),
            Self::Several(spans) => spans,
        }
    }
}

/// Parses the value of the field. An unknown unit, a syntax error or too many ranges make it count as absent.
pub(super) fn parse(value: &[u8]) -> RequestedRange {
    let spans = visible_text(value).and_then(parse_spans).unwrap_or_default();
    match spans.as_slice() {
        [] => RequestedRange::Whole,
        [span] => RequestedRange::One(*span),
        _ => RequestedRange::Several(spans),
    }
}

fn parse_spans(text: &str) -> Option<Vec<Span>> {
    let (unit, set) = text.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    let mut spans = Vec::new();
    // Empty elements are allowed (RFC 9110 §5.6.1.2).
    for element in set.split(',').map(|element| element.trim_matches([' ', '\t'])).filter(|e| !e.is_empty()) {
        if spans.len() == MAX_RANGES {
            return None;
        }
        spans.push(parse_span(element)?);
    }
    Some(spans)
}

fn parse_span(element: &str) -> Option<Span> {
    let (first, last) = element.split_once('-')?;
    match (first, last) {
        ("", last) => Some(Span::Last(position(last)?)),
        (first, "") => Some(Span::From(position(first)?)),
        (first, last) => {
            let (first, last) = (position(first)?, position(last)?);
            (first <= last).then_some(Span::FromTo(first, last))
        }
    }
}

/// Parses digits. A number beyond 64 bits counts as the largest one.
fn position(digits: &str) -> Option<u64> {
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| digits.parse().unwrap_or(u64::MAX))
}

/// Returns the satisfiable ranges as positions, in ascending order. Overlapping and adjacent ranges are merged.
pub(super) fn coalesce(spans: &[Span], size: u64) -> Vec<Range<u64>> {
    let mut ranges: Vec<Range<u64>> = spans.iter().filter_map(|span| span.within(size)).collect();
    ranges.sort_by_key(|range| range.start);
    let mut joined: Vec<Range<u64>> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match joined.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => joined.push(range),
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn requested(text: &str) -> RequestedRange {
        parse(text.as_bytes())
    }

    #[test]
    fn the_forms_of_rfc_9110_are_read() {
        assert_eq!(requested("bytes=0-499"), RequestedRange::One(Span::FromTo(0, 499)));
        assert_eq!(requested("bytes=9500-"), RequestedRange::One(Span::From(9_500)));
        assert_eq!(requested("bytes=-500"), RequestedRange::One(Span::Last(500)));
        assert_eq!(
            requested("Bytes=0-0,-1"),
            RequestedRange::Several(vec![Span::FromTo(0, 0), Span::Last(1)])
        );
        assert_eq!(
            requested("bytes= 0-1 ,, 3-4\t,"),
            RequestedRange::Several(vec![Span::FromTo(0, 1), Span::FromTo(3, 4)])
        );
        assert_eq!(
            requested("bytes=0-99999999999999999999999"),
            RequestedRange::One(Span::FromTo(0, u64::MAX))
        );
    }

    #[test]
    fn a_text_that_is_no_range_is_ignored() {
        for text in [
            "",
            "bytes",
            "bytes=",
            "bytes=,",
            "bytes=-",
            "bytes=a-b",
            "bytes=5-4",
            "bytes=0-1,x",
            "items=0-1",
            "bytes=0x1-2",
            "bytes=+1-2",
            "bytes=1 -2",
            "bytes=--1",
            "bytes=1-2-3",
            "bytes=1.0-2",
        ] {
            assert_eq!(requested(text), RequestedRange::Whole, "{text}");
        }
        let many = format!(
            "bytes={}",
            (0..=MAX_RANGES).map(|at| format!("{}-{}", 2 * at, 2 * at)).collect::<Vec<_>>().join(",")
        );
        assert_eq!(requested(&many), RequestedRange::Whole);
    }

    fn any_span() -> impl Strategy<Value = Span> {
        prop_oneof![
            (0_u64..60, 0_u64..60).prop_map(|(a, b)| Span::FromTo(a.min(b), a.max(b))),
            (0_u64..60).prop_map(Span::From),
            (0_u64..60).prop_map(Span::Last),
        ]
    }

    /// The reference model: a byte is wanted if some span contains it.
    fn names(span: Span, at: u64, size: u64) -> bool {
        at < size
            && match span {
                Span::Whole => true,
                Span::FromTo(first, last) => first <= at && at <= last,
                Span::From(first) => first <= at,
                Span::Last(count) => at + count >= size,
            }
    }

    proptest! {
        #[test]
        fn coalescing_keeps_exactly_the_wanted_bytes(
            spans in proptest::collection::vec(any_span(), 1..8),
            size in 0_u64..50,
        ) {
            let ranges = coalesce(&spans, size);
            for at in 0..60 {
                let model = spans.iter().any(|span| names(*span, at, size));
                let ours = ranges.iter().filter(|range| range.contains(&at)).count();
                prop_assert_eq!(ours, usize::from(model), "byte {} of {}", at, size);
            }
            prop_assert!(ranges.windows(2).all(|pair| pair[0].end < pair[1].start), "{:?}", ranges);
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,40}|bytes=[-0-9, ]{0,40}") {
            if let Some(spans) = parse_spans(&text) {
                coalesce(&spans, 1_000);
            }
        }
    }
}
