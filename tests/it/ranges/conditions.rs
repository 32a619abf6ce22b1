//! The conditions in the order of RFC 9110 §13.2.2, alone and together with a range.

use std::time::Duration;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::model::{field, object_and_specs};
use super::single_and_several::{assert_answers, assert_whole};
use super::{Object, SIZES, in_both_worlds};
use crate::support::Answer;

/// An entity tag in a list.
#[derive(Debug, Clone, Copy)]
struct Tag {
    ours: bool,
    weak: bool,
}

/// An If-Match or If-None-Match.
#[derive(Debug, Clone)]
enum Tags {
    Star,
    Listed(Vec<Tag>),
}

/// A date relative to the object's, in seconds; or something that is no date.
#[derive(Debug, Clone, Copy)]
enum Date {
    Later(i64),
    Unreadable,
}

#[derive(Debug, Clone, Copy)]
enum IfRange {
    Tag(Tag),
    Date(Date),
}

#[derive(Debug, Clone, Default)]
struct Conditions {
    matches: Option<Tags>,
    unmodified_since: Option<Date>,
    none_match: Option<Tags>,
    modified_since: Option<Date>,
}

fn tag() -> impl Strategy<Value = Tag> {
    (any::<bool>(), any::<bool>()).prop_map(|(ours, weak)| Tag { ours, weak })
}

fn tags() -> impl Strategy<Value = Tags> {
    prop_oneof![1 => Just(Tags::Star), 5 => vec(tag(), 1..4).prop_map(Tags::Listed)]
}

fn date() -> impl Strategy<Value = Date> {
    prop_oneof![
        4 => select(&[-86_400_i64, -1, 0, 1, 86_400][..]).prop_map(Date::Later),
        1 => Just(Date::Unreadable),
    ]
}

fn if_range() -> impl Strategy<Value = IfRange> {
    prop_oneof![tag().prop_map(IfRange::Tag), date().prop_map(IfRange::Date)]
}

fn conditions() -> impl Strategy<Value = Conditions> {
    (option::of(tags()), option::of(date()), option::of(tags()), option::of(date())).prop_map(
        |(matches, unmodified_since, none_match, modified_since)| Conditions {
            matches,
            unmodified_since,
            none_match,
            modified_since,
        },
    )
}

impl Tag {
    fn text(self, etag: &str) -> String {
        format!("{}{}", if self.weak { "W/" } else { "" }, if self.ours { etag } else { "\"another\"" })
    }
}

impl Tags {
    fn text(&self, etag: &str) -> String {
        match self {
            Self::Star => "*".into(),
            Self::Listed(tags) => tags.iter().map(|tag| tag.text(etag)).collect::<Vec<_>>().join(", "),
        }
    }

    fn any(&self, fits: impl Fn(&Tag) -> bool) -> bool {
        match self {
            Self::Star => true,
            Self::Listed(tags) => tags.iter().any(fits),
        }
    }
}

impl Date {
    fn text(self, object: &Object) -> String {
        let modified = httpdate::parse_http_date(&object.last_modified).unwrap();
        match self {
            Self::Later(seconds) if seconds < 0 => {
                httpdate::fmt_http_date(modified - Duration::from_secs(seconds.unsigned_abs()))
            }
            Self::Later(seconds) => {
                httpdate::fmt_http_date(modified + Duration::from_secs(seconds.unsigned_abs()))
            }
            Self::Unreadable => "the other day".into(),
        }
    }

    /// Whether the object was changed after this date; `None` if it is no date.
    fn is_before_the_change(self) -> Option<bool> {
        match self {
            Self::Later(seconds) => Some(seconds < 0),
            Self::Unreadable => None,
        }
    }
}

impl IfRange {
    fn text(self, object: &Object) -> String {
        match self {
            Self::Tag(tag) => tag.text(&object.etag),
            Self::Date(date) => date.text(object),
        }
    }

    fn holds(self) -> bool {
        matches!(self, Self::Tag(Tag { ours: true, weak: false }) | Self::Date(Date::Later(0)))
    }
}

impl Conditions {
    fn fields(&self, object: &Object) -> Vec<(&'static str, String)> {
        let mut fields = Vec::new();
        fields.extend(self.matches.as_ref().map(|tags| ("If-Match", tags.text(&object.etag))));
        fields.extend(self.unmodified_since.map(|date| ("If-Unmodified-Since", date.text(object))));
        fields.extend(self.none_match.as_ref().map(|tags| ("If-None-Match", tags.text(&object.etag))));
        fields.extend(self.modified_since.map(|date| ("If-Modified-Since", date.text(object))));
        fields
    }

    /// RFC 9110 §13.2.2, steps 1 to 4, literally: the status, if a step decides it.
    fn model(&self) -> Option<u16> {
        let unmodified = self.unmodified_since.and_then(Date::is_before_the_change).map(|before| !before);
        let modified = self.modified_since.and_then(Date::is_before_the_change);
        if let Some(tags) = &self.matches {
            if !tags.any(|tag| tag.ours && !tag.weak) {
                return Some(412);
            }
        } else if unmodified == Some(false) {
            return Some(412);
        }
        if let Some(tags) = &self.none_match {
            if tags.any(|tag| tag.ours) {
                return Some(304);
            }
        } else if modified == Some(false) {
            return Some(304);
        }
        None
    }
}

fn borrowed<'f>(fields: &'f [(&'static str, String)]) -> Vec<(&'f str, &'f str)> {
    fields.iter().map(|(name, value)| (*name, value.as_str())).collect()
}

fn assert_ended(answer: &Answer, object: &Object, status: u16) {
    assert_eq!(answer.status, status);
    if status == 304 {
        assert_eq!((answer.must("etag"), answer.body.len()), (object.etag.as_str(), 0));
    } else {
        assert_eq!(answer.code(), "precondition_failed");
    }
}

#[test]
fn if_range_decides_between_the_part_and_the_whole() {
    let cases = (object_and_specs(&SIZES, 1..4), if_range());
    in_both_worlds(cases, async |world, ((at, specs), if_range)| {
        let object = &world.objects[at];
        let (range, text) = (field(&specs, ","), if_range.text(object));
        let answer = world.get(object, &[("Range", &range), ("If-Range", &text)]).await;
        if if_range.holds() {
            assert_answers(&answer, object, &specs);
        } else {
            assert_whole(&answer, object);
        }
        assert_whole(&world.get(object, &[("If-Range", &text)]).await, object);
    });
}

#[test]
fn the_four_conditions_are_evaluated_in_their_order() {
    let cases = (0..SIZES.len(), conditions());
    in_both_worlds(cases, async |world, (at, conditions)| {
        let object = &world.objects[at];
        let fields = conditions.fields(object);
        let get = world.get(object, &borrowed(&fields)).await;
        match conditions.model() {
            None => assert_whole(&get, object),
            Some(status) => assert_ended(&get, object, status),
        }
        let head = world.site.head(&object.link, &borrowed(&fields)).await;
        assert_eq!((head.status, head.field("etag")), (get.status, get.field("etag")));
    });
}

#[test]
fn conditions_win_over_ranges() {
    let cases = (object_and_specs(&SIZES, 1..4), conditions(), option::of(if_range()));
    in_both_worlds(cases, async |world, ((at, specs), conditions, if_range)| {
        let object = &world.objects[at];
        let mut fields = conditions.fields(object);
        fields.push(("Range", field(&specs, ",")));
        fields.extend(if_range.map(|if_range| ("If-Range", if_range.text(object))));
        let answer = world.get(object, &borrowed(&fields)).await;
        match conditions.model() {
            Some(status) => assert_ended(&answer, object, status),
            None if if_range.is_none_or(IfRange::holds) => assert_answers(&answer, object, &specs),
            None => assert_whole(&answer, object),
        }
    });
}

#[test]
fn a_list_of_tags_may_be_spread_over_lines() {
    in_both_worlds((0..SIZES.len(), vec(tag(), 1..5)), async |world, (at, tags)| {
        let object = &world.objects[at];
        let texts: Vec<String> = tags.iter().map(|tag| tag.text(&object.etag)).collect();
        let lines = |name| texts.iter().map(|text| (name, text.as_str())).collect::<Vec<_>>();
        let matched = world.get(object, &lines("If-Match")).await;
        assert_eq!(matched.status, if tags.iter().any(|tag| tag.ours && !tag.weak) { 200 } else { 412 });
        let known = world.get(object, &lines("If-None-Match")).await;
        assert_eq!(known.status, if tags.iter().any(|tag| tag.ours) { 304 } else { 200 });
    });
}
