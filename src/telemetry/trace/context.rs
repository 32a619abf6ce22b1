//! W3C Trace Context: reads and writes `traceparent` and `tracestate`. (OpenTelemetry's propagator reads them only into
//! its own SDK's context.)

use std::fmt::Write;

use http::header::{HeaderMap, HeaderName, HeaderValue};

pub(super) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
pub(super) const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// The limits of a propagated `tracestate`, in bytes and in members: the recommendation requires at least this much.
const MAX_STATE: usize = 512;
const MAX_MEMBERS: usize = 32;

/// The flags of a sampled trace, and of one with a fully random id.
pub(super) const SAMPLED: u8 = 1;
pub(super) const RANDOM: u8 = 2;

/// The ids and flags of a span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SpanContext {
    pub(super) trace_id: [u8; 16],
    pub(super) span_id: [u8; 8],
    pub(super) flags: u8,
}

impl SpanContext {
    /// Parses a `traceparent`. Future versions begin like the first (Trace Context §4.3).
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let (head, rest) = text.split_at_checked(55)?;
        let fields: Vec<&[u8]> = head.split(|byte| *byte == b'-').collect();
        let [version, trace_id, span_id, flags] = fields[..] else { return None };
        let [version] = digits(version)?;
        let may_go_on = version != 0 && rest.first() == Some(&b'-');
        if version == 0xff || !(rest.is_empty() || may_go_on) {
            return None;
        }
        let [flags] = digits(flags)?;
        let context = Self { trace_id: digits(trace_id)?, span_id: digits(span_id)?, flags };
        (context.trace_id != [0; 16] && context.span_id != [0; 8]).then_some(context)
    }

    pub(super) fn is_sampled(&self) -> bool {
        self.flags & SAMPLED != 0
    }

    fn header(&self) -> Option<HeaderValue> {
        let mut text = String::with_capacity(55);
        let (trace_id, span_id) = (hex::encode(self.trace_id), hex::encode(self.span_id));
        write!(text, "00-{trace_id}-{span_id}-{:02x}", self.flags).ok()?;
        text.try_into().ok()
    }
}

/// Parses lower-case hexadecimal digits that fill exactly `N` bytes.
fn digits<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    let lower_case = text.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    (lower_case && hex::decode_to_slice(text, &mut bytes).is_ok()).then_some(bytes)
}

/// The header fields that propagate a trace.
#[derive(Debug, Clone)]
pub(super) struct TraceHeaders {
    parent: HeaderValue,
    state: Option<HeaderValue>,
}

impl TraceHeaders {
    pub(super) fn new(context: &SpanContext, state: Option<HeaderValue>) -> Option<Self> {
        Some(Self { parent: context.header()?, state })
    }

    /// The trace of a request, if its header fields are valid.
    pub(super) fn extract(fields: &HeaderMap) -> Option<(Self, SpanContext)> {
        // Most requests have few fields and no `traceparent`: a linear search is faster than hashing the name.
        let (_, parent) = fields.iter().find(|(name, _)| **name == TRACEPARENT)?;
        let context = SpanContext::parse(parent.as_bytes())?;
        let only = fields.get_all(TRACEPARENT).iter().nth(1).is_none();
        only.then(|| (Self { parent: parent.clone(), state: state_of(fields) }, context))
    }

    pub(super) fn state(&self) -> Option<&HeaderValue> {
        self.state.as_ref()
    }

    pub(super) fn insert_into(&self, fields: &mut HeaderMap) {
        fields.insert(TRACEPARENT, self.parent.clone());
        if let Some(state) = &self.state {
            fields.insert(TRACESTATE, state.clone());
        }
    }
}

/// The `tracestate` fields, joined into one list. Its members belong to other vendors, so only its length and
/// characters are checked.
fn state_of(fields: &HeaderMap) -> Option<HeaderValue> {
    let parts: Vec<&[u8]> = fields.get_all(TRACESTATE).iter().map(HeaderValue::as_bytes).collect();
    let state = parts.join(&b","[..]);
    let plain = state.iter().all(|byte| (0x20..=0x7e).contains(byte));
    let members = state.split(|byte| *byte == b',').count();
    let fits = state.len() <= MAX_STATE && members <= MAX_MEMBERS;
    (plain && fits && state.contains(&b'=')).then(|| HeaderValue::from_bytes(&state).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_traceparent_is_what_the_recommendation_says_and_nothing_else() {
        let context = SpanContext::parse(GOOD.as_bytes()).unwrap();
        assert!(context.is_sampled());
        assert_eq!(context.header().unwrap(), GOOD);
        let unsampled = GOOD.replace("-01", "-00");
        assert!(!SpanContext::parse(unsampled.as_bytes()).unwrap().is_sampled());
        for later in [
            "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-comes",
            &GOOD.replacen("00", "01", 1),
        ] {
            assert_eq!(SpanContext::parse(later.as_bytes()), Some(context), "{later}");
        }
        for bad in [
            String::new(),
            GOOD.to_uppercase(),
            format!("{GOOD}-more"),
            format!("{GOOD} "),
            format!("cc{}x", &GOOD[2..]),
            GOOD.replacen("00", "ff", 1),
            GOOD.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            GOOD.replace("00f067aa0ba902b7", &"0".repeat(16)),
            GOOD.replace('-', "_"),
            GOOD.replace("4bf9", "4bg9"),
            GOOD[..54].to_owned(),
        ] {
            assert_eq!(SpanContext::parse(bad.as_bytes()), None, "{bad:?}");
        }
    }

    #[test]
    fn a_state_is_passed_on_as_one_list_and_never_without_a_parent() {
        let mut fields = HeaderMap::new();
        fields.append(TRACESTATE, HeaderValue::from_static("a=1"));
        assert!(TraceHeaders::extract(&fields).is_none());
        fields.append(TRACESTATE, HeaderValue::from_static("b=2"));
        fields.append(TRACEPARENT, HeaderValue::from_static(GOOD));
        let (found, _) = TraceHeaders::extract(&fields).unwrap();
        assert_eq!(found.state().unwrap(), "a=1,b=2");
        fields.append(TRACESTATE, HeaderValue::try_from(format!("c={}", "x".repeat(512))).unwrap());
        assert!(TraceHeaders::extract(&fields).unwrap().0.state().is_none());
        fields.append(TRACEPARENT, HeaderValue::from_static(GOOD));
        assert!(TraceHeaders::extract(&fields).is_none(), "two parents are none");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_ignored(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = SpanContext::parse(&bytes);
        }

        #[test]
        fn a_context_is_written_as_it_is_read(trace_id: [u8; 16], span_id: [u8; 8], flags: u8) {
            let context = SpanContext { trace_id, span_id, flags };
            prop_assume!(trace_id != [0; 16] && span_id != [0; 8]);
            prop_assert_eq!(SpanContext::parse(context.header().unwrap().as_bytes()), Some(context));
        }
    }
}
