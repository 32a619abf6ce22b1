//! Preconditions: If-Match, If-Unmodified-Since, If-None-Match, If-Modified-Since and If-Range (RFC 9110 §13).

use std::time::SystemTime;

use http::header::{HeaderName, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE};

use super::request::{Headers, RequestView, visible_text};
use crate::clock::UnixSeconds;

/// The result of evaluating the preconditions of a GET or HEAD.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Answer as if there were no preconditions.
    Proceed,
    /// Answer 304.
    NotModified,
    /// Answer 412.
    Failed,
}

/// The five precondition fields of a request. An invalid value counts as RFC 9110 says for its field.
#[derive(Debug, Default)]
pub(super) struct Preconditions {
    if_match: Option<Tags>,
    if_unmodified_since: Option<UnixSeconds>,
    if_none_match: Option<Tags>,
    if_modified_since: Option<UnixSeconds>,
    if_range: Option<IfRange>,
}

/// The date of an object whose store does not know it. Conditions on a date are then ignored (RFC 9110 §13.1.3,
/// §13.1.4).
const NO_DATE: UnixSeconds = UnixSeconds(0);

/// The maximum length of a tag that is passed to the store, in bytes. No store creates longer tags, and some reject
/// long heads.
const LONGEST_TAG: usize = 256;

#[derive(Debug)]
enum IfRange {
    Tag(Tag),
    Date(UnixSeconds),
    /// Neither a tag nor a date. It never matches, so the whole object is sent.
    Unreadable,
}

impl Preconditions {
    /// Reads the preconditions of a request. Most requests have none.
    pub(super) fn of(request: &RequestView<'_>) -> Option<Self> {
        request.fields.has_conditions.then(|| Self::read(request.headers))
    }

    fn read(headers: Headers<'_>) -> Self {
        Self {
            if_match: Tags::parse(headers, &IF_MATCH),
            if_unmodified_since: date(headers, &IF_UNMODIFIED_SINCE),
            if_none_match: Tags::parse(headers, &IF_NONE_MATCH),
            if_modified_since: date(headers, &IF_MODIFIED_SINCE),
            if_range: if_range(headers),
        }
    }

    /// Evaluates the preconditions against the selected representation, in the order of RFC 9110 §13.2.2.
    pub(super) fn evaluate(&self, etag: &str, last_modified: UnixSeconds) -> Verdict {
        // Steps 1 and 2.
        if let Some(tags) = &self.if_match {
            if !tags.have_strong(etag) {
                return Verdict::Failed;
            }
        } else if self.if_unmodified_since.is_some_and(|date| last_modified > date) {
            return Verdict::Failed;
        }
        // Steps 3 and 4.
        if let Some(tags) = &self.if_none_match {
            if tags.have_weak(etag) {
                return Verdict::NotModified;
            }
        } else if last_modified > NO_DATE && self.if_modified_since.is_some_and(|date| last_modified <= date)
        {
            return Verdict::NotModified;
        }
        Verdict::Proceed
    }

    /// Step 5: whether the range may be answered with a part. A date matches only if it is exact and strong: the object
    /// was not modified within the current second, in which it could be modified again (RFC 9110 §13.1.5, §8.8.2.2).
    pub(super) fn if_range_holds(&self, etag: &str, last_modified: UnixSeconds, now: UnixSeconds) -> bool {
        match &self.if_range {
            None => true,
            Some(IfRange::Tag(tag)) => tag.is_strongly(etag),
            Some(IfRange::Date(date)) => {
                *date == last_modified && now > last_modified && last_modified > NO_DATE
            }
            Some(IfRange::Unreadable) => false,
        }
    }

    /// Returns the tag of an If-None-Match with a single tag, if it could be the store's and no other condition counts.
    pub(super) fn only_tag(&self) -> Option<&str> {
        match (&self.if_match, self.if_unmodified_since, &self.if_none_match) {
            (None, None, Some(Tags::Listed(tags))) => match tags.as_slice() {
                [tag] if tag.opaque.is_ascii() && tag.opaque.len() <= LONGEST_TAG => Some(&tag.opaque),
                _ => None,
            },
            _ => None,
        }
    }
}

/// An entity tag (RFC 9110 §8.8.3).
#[derive(Debug, Clone, PartialEq, Eq)]
struct Tag {
    weak: bool,
    /// The tag with its quotes.
    opaque: String,
}

impl Tag {
    /// Parses one tag at the start of `text`. Returns the tag and the rest of the text.
    fn parse(text: &[u8]) -> Option<(Self, &[u8])> {
        let (weak, rest) = match text.strip_prefix(b"W/") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let inner = rest.strip_prefix(b"\"")?;
        let end = inner.iter().position(|b| *b == b'"')?;
        let (opaque, after) = rest.split_at_checked(end + 2)?;
        let allowed = |b: &u8| *b == b'"' || *b == 0x21 || (0x23..=0x7e).contains(b) || *b >= 0x80;
        if !opaque.iter().all(allowed) {
            return None;
        }
        Some((Self { weak, opaque: String::from_utf8_lossy(opaque).into_owned() }, after))
    }

    fn is_strongly(&self, etag: &str) -> bool {
        !self.weak && self.opaque == etag
    }
}

/// A list of tags, or `*`.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Tags {
    Any,
    Listed(Vec<Tag>),
}

impl Tags {
    /// Parses all lines of a field as one list; `None` if there are none. The list ends at the first invalid element.
    fn parse(headers: Headers<'_>, name: &HeaderName) -> Option<Self> {
        let lines: Vec<&[u8]> = headers.values(name).collect();
        if lines.is_empty() {
            return None;
        }
        if lines.iter().any(|line| line.trim_ascii() == b"*") {
            return Some(Self::Any);
        }
        Some(Self::Listed(lines.into_iter().flat_map(listed).collect()))
    }

    fn have_strong(&self, etag: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Listed(tags) => tags.iter().any(|tag| tag.is_strongly(etag)),
        }
    }

    fn have_weak(&self, etag: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Listed(tags) => {
                let opaque = etag.strip_prefix("W/").unwrap_or(etag);
                tags.iter().any(|tag| tag.opaque == opaque)
            }
        }
    }
}

fn listed(mut line: &[u8]) -> Vec<Tag> {
    let mut tags = Vec::new();
    loop {
        // Empty elements are allowed (RFC 9110 §5.6.1.2).
        while let [b' ' | b'\t' | b',', rest @ ..] = line {
            line = rest;
        }
        let Some((tag, rest)) = Tag::parse(line) else { return tags };
        let rest = rest.trim_ascii_start();
        tags.push(tag);
        if !matches!(rest, [] | [b',', ..]) {
            return tags;
        }
        line = rest;
    }
}

/// Parses a date in any of the three forms (RFC 9110 §5.6.7). A repeated or invalid date is ignored (§13.1.3, §13.1.4).
fn date(headers: Headers<'_>, name: &HeaderName) -> Option<UnixSeconds> {
    let mut lines = headers.values(name);
    let (line, second) = (lines.next()?, lines.next());
    if second.is_some() { None } else { parse_date(visible_text(line)?) }
}

fn parse_date(text: &str) -> Option<UnixSeconds> {
    let time: SystemTime = httpdate::parse_http_date(text.trim()).ok()?;
    Some(UnixSeconds::from_system_time(time))
}

fn if_range(headers: Headers<'_>) -> Option<IfRange> {
    let mut lines = headers.values(&IF_RANGE);
    let (line, second) = (lines.next()?, lines.next());
    if second.is_some() {
        return Some(IfRange::Unreadable);
    }
    let bytes = line.trim_ascii();
    if let Some((tag, rest)) = Tag::parse(bytes) {
        return Some(if rest.is_empty() { IfRange::Tag(tag) } else { IfRange::Unreadable });
    }
    let date = std::str::from_utf8(bytes).ok().and_then(parse_date);
    Some(date.map_or(IfRange::Unreadable, IfRange::Date))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderMap, HeaderValue};
    use proptest::prelude::*;

    const ETAG: &str = "\"v1\"";
    const CHANGED: UnixSeconds = UnixSeconds(1_700_000_000);

    fn http_date(offset: i64) -> String {
        let seconds = CHANGED.0.checked_add_signed(offset).unwrap();
        httpdate::fmt_http_date(UnixSeconds(seconds).to_system_time())
    }

    fn verdict(fields: &[(HeaderName, String)]) -> Verdict {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(name, HeaderValue::from_str(value).unwrap());
        }
        Preconditions::read(Headers::Map(&headers)).evaluate(ETAG, CHANGED)
    }

    /// The reference model: RFC 9110 §13.2.2 as a truth table.
    fn model(im: Option<bool>, ius: Option<bool>, inm: Option<bool>, ims: Option<bool>) -> Verdict {
        match (im, ius, inm, ims) {
            (Some(false), ..) | (None, Some(false), ..) => Verdict::Failed,
            (_, _, Some(false), _) | (_, _, None, Some(false)) => Verdict::NotModified,
            _ => Verdict::Proceed,
        }
    }

    proptest! {
        #[test]
        fn the_four_conditions_agree_with_the_model(
            im in proptest::option::of(any::<bool>()),
            ius in proptest::option::of(any::<bool>()),
            inm in proptest::option::of(any::<bool>()),
            ims in proptest::option::of(any::<bool>()),
        ) {
            let mut fields = Vec::new();
            if let Some(holds) = im {
                fields.push((IF_MATCH, if holds { "\"x\", \"v1\"" } else { "\"x\", W/\"v1\"" }.to_owned()));
            }
            if let Some(holds) = ius {
                fields.push((IF_UNMODIFIED_SINCE, http_date(if holds { 0 } else { -1 })));
            }
            if let Some(holds) = inm {
                fields.push((IF_NONE_MATCH, if holds { "\"x\"" } else { "\"x\",,W/\"v1\"" }.to_owned()));
            }
            if let Some(holds) = ims {
                fields.push((IF_MODIFIED_SINCE, http_date(if holds { -1 } else { 0 })));
            }
            prop_assert_eq!(verdict(&fields), model(im, ius, inm, ims));
        }

        #[test]
        fn no_bytes_panic(value in proptest::collection::vec(any::<u8>(), 0..60)) {
            if let Ok(value) = HeaderValue::from_bytes(&value) {
                let mut headers = HeaderMap::new();
                for name in [IF_MATCH, IF_NONE_MATCH, IF_RANGE, IF_MODIFIED_SINCE, IF_UNMODIFIED_SINCE] {
                    headers.append(name, value.clone());
                }
                let conditions = Preconditions::read(Headers::Map(&headers));
                conditions.evaluate(ETAG, CHANGED);
                conditions.if_range_holds(ETAG, CHANGED, CHANGED);
            }
        }
    }

    #[test]
    fn a_star_matches_whatever_exists() {
        assert_eq!(verdict(&[(IF_MATCH, "*".into())]), Verdict::Proceed);
        assert_eq!(verdict(&[(IF_NONE_MATCH, "*".into())]), Verdict::NotModified);
    }

    #[test]
    fn lines_of_a_field_are_one_list() {
        let lines = [(IF_NONE_MATCH, "\"a\"".into()), (IF_NONE_MATCH, "\"b\" , \"v1\"".into())];
        assert_eq!(verdict(&lines), Verdict::NotModified);
    }

    #[test]
    fn an_unreadable_date_is_ignored_and_an_unreadable_tag_matches_nothing() {
        assert_eq!(verdict(&[(IF_UNMODIFIED_SINCE, "yesterday".into())]), Verdict::Proceed);
        assert_eq!(verdict(&[(IF_MODIFIED_SINCE, "yesterday".into())]), Verdict::Proceed);
        assert_eq!(verdict(&[(IF_NONE_MATCH, "v1".into())]), Verdict::Proceed);
        assert_eq!(verdict(&[(IF_MATCH, "v1".into())]), Verdict::Failed);
    }

    #[test]
    fn a_download_is_resumed_only_with_the_same_version() {
        let holds = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(IF_RANGE, HeaderValue::from_str(value).unwrap());
            Preconditions::read(Headers::Map(&headers)).if_range_holds(
                ETAG,
                CHANGED,
                UnixSeconds(CHANGED.0 + 1),
            )
        };
        assert!(holds(ETAG));
        assert!(holds(&http_date(0)));
        for other in ["W/\"v1\"", "\"v2\"", "v1", "*", "\"v1\", \"v2\"", &http_date(1), &http_date(-1), ""] {
            assert!(!holds(other), "{other}");
        }
        assert!(Preconditions::default().if_range_holds(ETAG, CHANGED, CHANGED));
    }

    #[test]
    fn a_date_within_the_second_of_the_change_is_weak() {
        let mut headers = HeaderMap::new();
        headers.insert(IF_RANGE, HeaderValue::from_str(&http_date(0)).unwrap());
        assert!(!Preconditions::read(Headers::Map(&headers)).if_range_holds(ETAG, CHANGED, CHANGED));
    }
}
