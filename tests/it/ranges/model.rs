//! The expected result of a Range, computed the slow way: each element marks the bytes that it wants.

use proptest::collection::vec;
use proptest::prelude::*;

/// One element of a Range. Positions may be beyond 64 bits.
#[derive(Debug, Clone, Copy)]
pub(super) enum Spec {
    FromTo(u128, u128),
    From(u128),
    Last(u128),
}

impl Spec {
    pub(super) fn text(self) -> String {
        match self {
            Self::FromTo(first, last) => format!("{first}-{last}"),
            Self::From(first) => format!("{first}-"),
            Self::Last(count) => format!("-{count}"),
        }
    }

    /// The last position stands before the first: an invalid range.
    pub(super) fn is_backwards(self) -> bool {
        matches!(self, Self::FromTo(first, last) if last < first)
    }

    fn mark(self, wanted: &mut [bool]) {
        let clipped = |number: u128| usize::try_from(number).unwrap_or(usize::MAX);
        let bytes: Box<dyn Iterator<Item = &mut bool>> = match self {
            Self::FromTo(first, last) => {
                Box::new(wanted.iter_mut().skip(clipped(first)).take(clipped(last - first).saturating_add(1)))
            }
            Self::From(first) => Box::new(wanted.iter_mut().skip(clipped(first))),
            Self::Last(count) => Box::new(wanted.iter_mut().rev().take(clipped(count))),
        };
        bytes.for_each(|byte| *byte = true);
    }
}

/// First and last positions of the runs of wanted bytes, in order.
pub(super) fn runs(specs: &[Spec], size: usize) -> Vec<(usize, usize)> {
    let mut wanted = vec![false; size];
    for spec in specs {
        spec.mark(&mut wanted);
    }
    let mut runs = Vec::new();
    let mut at = 0;
    for run in wanted.chunk_by(|one, next| one == next) {
        if run[0] {
            runs.push((at, at + run.len() - 1));
        }
        at += run.len();
    }
    runs
}

/// A number inside an object, near its ends, or far beyond it.
fn position(size: usize) -> impl Strategy<Value = u128> {
    let size = size as u128;
    prop_oneof![
        6 => 0..=size,
        2 => 0..4_u128,
        2 => size.saturating_sub(3)..size + 3,
        1 => Just(u128::from(u64::MAX) - 1),
        1 => Just(u128::from(u64::MAX)),
        1 => Just(u128::MAX - size),
    ]
}

/// A syntactically valid element, perhaps outside this object.
pub(super) fn spec(size: usize) -> impl Strategy<Value = Spec> {
    prop_oneof![
        4 => (position(size), position(size)).prop_map(|(a, b)| Spec::FromTo(a.min(b), a.max(b))),
        2 => (position(size), 0..40_u128).prop_map(|(at, more)| Spec::FromTo(at, at.saturating_add(more))),
        1 => position(size).prop_map(Spec::From),
        1 => position(size).prop_map(Spec::Last),
    ]
}

/// An index among `sizes` and elements for that object.
pub(super) fn object_and_specs(
    sizes: &'static [usize],
    count: std::ops::Range<usize>,
) -> impl Strategy<Value = (usize, Vec<Spec>)> {
    (0..sizes.len()).prop_flat_map(move |at| (Just(at), vec(spec(sizes[at]), count.clone())))
}

/// The field's value, with a separator of the kinds that a list allows.
pub(super) fn field(specs: &[Spec], separator: &str) -> String {
    let texts: Vec<String> = specs.iter().map(|spec| spec.text()).collect();
    format!("bytes={}", texts.join(separator))
}

/// The separators that a list allows (RFC 9110 §5.6.1.2).
pub(super) fn separator() -> impl Strategy<Value = &'static str> {
    prop_oneof![Just(","), Just(", "), Just(" ,\t"), Just(",,"), Just(", ,")]
}
