//! One range, several, and invalid ones.

use proptest::collection::vec;
use proptest::prelude::*;

use super::model::{Spec, field, object_and_specs, runs, separator};
use super::multipart::parts;
use super::{Object, SIZES, in_both_worlds};
use crate::support::Answer;

/// An upper bound of a multipart body's overhead for one part.
const A_PARTS_HEAD: usize = 200;

/// Checks an answer against what the model says about these elements.
pub(super) fn assert_answers(answer: &Answer, object: &Object, specs: &[Spec]) {
    let runs = runs(specs, object.size());
    match runs.as_slice() {
        [] => assert_unsatisfiable(answer, object),
        [(first, last)] => assert_part(answer, object, *first, *last),
        several => {
            let wanted: usize = several.iter().map(|(first, last)| last + 1 - first + A_PARTS_HEAD).sum();
            if answer.status == 200 {
                assert!(wanted + A_PARTS_HEAD > object.size(), "the parts are far smaller than the whole");
                assert_whole(answer, object);
            } else {
                assert_parts(answer, object, several);
            }
        }
    }
}

pub(super) fn assert_whole(answer: &Answer, object: &Object) {
    assert_eq!((answer.status, answer.field("content-range")), (200, None));
    assert_eq!(answer.must("content-type"), object.media_type);
    assert_eq!(answer.must("content-length"), object.size().to_string());
    assert!(answer.body == object.bytes);
}

fn assert_unsatisfiable(answer: &Answer, object: &Object) {
    assert_eq!((answer.status, answer.code().as_str()), (416, "range_not_satisfiable"));
    assert_eq!(answer.must("content-range"), format!("bytes */{}", object.size()));
}

fn assert_part(answer: &Answer, object: &Object, first: usize, last: usize) {
    assert_eq!((answer.status, answer.must("content-type")), (206, object.media_type));
    assert_eq!(answer.must("content-range"), format!("bytes {first}-{last}/{}", object.size()));
    assert_eq!(answer.must("content-length"), (last + 1 - first).to_string());
    assert_eq!(answer.must("etag"), object.etag);
    assert!(answer.body == object.bytes[first..=last]);
}

fn assert_parts(answer: &Answer, object: &Object, several: &[(usize, usize)]) {
    assert_eq!((answer.status, answer.field("content-range")), (206, None));
    assert_eq!(answer.must("etag"), object.etag);
    assert!(answer.body.len() <= object.size(), "never larger than the object");
    let found = parts(answer.must("content-type"), &answer.body, object.media_type, object.size());
    let positions: Vec<(usize, usize)> = found.iter().map(|(first, last, _)| (*first, *last)).collect();
    assert_eq!(positions, several);
    for (first, last, bytes) in found {
        assert!(bytes == &object.bytes[first..=last], "{first}-{last}");
    }
}

#[test]
fn one_range_is_the_slice_that_it_names() {
    in_both_worlds(object_and_specs(&SIZES, 1..2), async |world, (at, specs)| {
        let object = &world.objects[at];
        let answer = world.get(object, &[("Range", &field(&specs, ","))]).await;
        assert_answers(&answer, object, &specs);
    });
}

#[test]
fn several_ranges_are_the_runs_of_the_wanted_bytes() {
    let cases = (object_and_specs(&SIZES, 2..8), separator());
    in_both_worlds(cases, async |world, ((at, specs), separator)| {
        let object = &world.objects[at];
        let answer = world.get(object, &[("Range", &field(&specs, separator))]).await;
        assert_answers(&answer, object, &specs);
    });
}

/// Up to the largest number of ranges that the gateway answers as such, each small and apart from the others.
fn small_ranges(count: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Spec>> {
    let gaps = vec((1..3_000_u128, 0..300_u128), count);
    let spread = gaps.prop_map(|gaps| {
        let mut at = 0;
        let mut specs = Vec::new();
        for (gap, length) in gaps {
            specs.push(Spec::FromTo(at + gap, at + gap + length));
            at += gap + length + 1;
        }
        specs
    });
    spread.prop_shuffle()
}

#[test]
fn many_small_ranges_come_as_parts_in_the_objects_order() {
    in_both_worlds(small_ranges(2..33), async |world, specs| {
        let object = &world.objects[4];
        let answer = world.get(object, &[("Range", &field(&specs, ","))]).await;
        assert_answers(&answer, object, &specs);
    });
}

#[test]
fn too_many_ranges_are_none() {
    in_both_worlds(small_ranges(33..60), async |world, specs| {
        let object = &world.objects[4];
        assert_whole(&world.get(object, &[("Range", &field(&specs, ","))]).await, object);
    });
}

/// Values that are no ranges.
const NONSENSE: [&str; 18] = [
    "-", "5-4", "a-b", "0x0-1", "+0-1", "0 -1", "0- 1", "--1", "1-2-3", "1.0-2", "1e1-20", "0-1;q=1",
    "\"0-1\"", "0", "*", "٠-١", "0–1", "0_-1",
];

/// A Range with something invalid in it.
fn nonsense() -> impl Strategy<Value = String> {
    let known = proptest::sample::select(&NONSENSE[..]).prop_map(str::to_owned);
    prop_oneof![known, "[0-9]{0,3}[a-z:=/][-0-9]{0,4}"]
}

#[test]
fn a_range_with_nonsense_in_it_is_none() {
    let cases = (object_and_specs(&SIZES, 0..4), nonsense(), 0..4_usize);
    in_both_worlds(cases, async |world, ((at, specs), nonsense, place)| {
        let object = &world.objects[at];
        let mut elements: Vec<String> = specs.iter().map(|spec| spec.text()).collect();
        elements.insert(place.min(elements.len()), nonsense);
        let range = format!("bytes={}", elements.join(","));
        assert_whole(&world.get(object, &[("Range", &range)]).await, object);
    });
}

#[test]
fn a_backward_range_makes_all_of_them_none() {
    let backwards = (object_and_specs(&SIZES, 0..4), 1..5_000_u128, 1..5_000_u128);
    in_both_worlds(backwards, async |world, ((at, mut specs), last, more)| {
        specs.push(Spec::FromTo(last + more, last));
        assert!(specs.iter().any(|spec| spec.is_backwards()));
        let object = &world.objects[at];
        assert_whole(&world.get(object, &[("Range", &field(&specs, ","))]).await, object);
    });
}

/// A good field's value, spoilt.
const SPOILT: [fn(&str) -> String; 7] = [
    |good| good.replace("bytes", "items"),
    |good| good.replace("bytes=", "bytes "),
    |good| good.replace("bytes=", "="),
    |good| good.replace("bytes=", ""),
    |_| "bytes".to_owned(),
    |_| "bytes=".to_owned(),
    |_| "bytes=,".to_owned(),
];

#[test]
fn other_units_and_no_unit_are_none() {
    let cases = (object_and_specs(&SIZES, 1..3), 0..SPOILT.len());
    in_both_worlds(cases, async |world, ((at, specs), spoilt)| {
        let object = &world.objects[at];
        let range = SPOILT[spoilt](&field(&specs, ","));
        assert_whole(&world.get(object, &[("Range", &range)]).await, object);
    });
}

#[test]
fn the_unit_has_no_case_and_a_repeated_field_is_none() {
    in_both_worlds(object_and_specs(&SIZES, 1..3), async |world, (at, specs)| {
        let object = &world.objects[at];
        let good = field(&specs, ",");
        assert_whole(&world.get(object, &[("Range", &good), ("Range", &good)]).await, object);
        let upper = good.replace("bytes", "BYTES");
        assert_answers(&world.get(object, &[("Range", &upper)]).await, object, &specs);
    });
}

#[tokio::test]
async fn an_object_without_bytes_has_no_range_and_one_of_a_byte_has_one() {
    for world in [super::World::in_memory().await, super::World::on_files().await] {
        for range in ["bytes=0-", "bytes=0-0", "bytes=-1", "bytes=-0", "bytes=0-0,-1"] {
            let answer = world.get(&world.objects[0], &[("Range", range)]).await;
            assert_eq!((answer.status, answer.field("content-range")), (416, Some("bytes */0")), "{range}");
        }
        for range in ["bytes=0-", "bytes=0-0", "bytes=-1", "bytes=-9", "bytes=0-9", "bytes=0-0,-1"] {
            let answer = world.get(&world.objects[1], &[("Range", range)]).await;
            assert_eq!((answer.status, answer.field("content-range")), (206, Some("bytes 0-0/1")), "{range}");
            assert_eq!(answer.body, world.objects[1].bytes);
        }
    }
}

#[tokio::test]
async fn a_store_with_only_weak_tags_is_read_in_ranges_too() {
    use crate::support::stores::{Fault, FaultyStore};
    use crate::support::{Plan, recording, sample_store};

    let store = FaultyStore::around(sample_store().await);
    store.set_fault(Fault::TagsWeakly);
    let site = Plan::on(store).start().await;
    let whole = site.get(&site.recording(), &[]).await;
    assert!(whole.must("etag").starts_with('"'), "the gateway's tag is strong");
    assert_eq!(site.get(&site.recording(), &[("Range", "bytes=0-9")]).await.body, recording()[..10]);
    let answer = site.get(&site.recording(), &[("Range", "bytes=0-9,20-29")]).await;
    assert_eq!(answer.status, 206, "{answer:?}");
    assert_eq!(parts(answer.must("content-type"), &answer.body, "audio/mpeg", 300_000).len(), 2);
}
