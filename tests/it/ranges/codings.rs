//! Conditions on the compressed forms of a transcript: each form has a tag, and a condition applies to the form that
//! this request selects.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::{FORMS, TRANSCRIPT, World, in_both_worlds};

/// Indexes into [`FORMS`], each weak or not.
fn some_tags() -> impl Strategy<Value = Vec<(usize, bool)>> {
    vec((0..FORMS.len(), any::<bool>()), 1..4)
}

fn list(tags: &[String], chosen: &[(usize, bool)]) -> String {
    let text = |(form, weak): &(usize, bool)| format!("{}{}", if *weak { "W/" } else { "" }, tags[*form]);
    chosen.iter().map(text).collect::<Vec<_>>().join(", ")
}

#[test]
fn a_forms_tag_is_known_only_where_that_form_is_selected() {
    let cases = (0..FORMS.len(), some_tags(), select(&["GET", "HEAD"][..]));
    in_both_worlds(cases, async |world, (selected, chosen, method)| {
        let (tags, link) = (&world.form_tags, &world.objects[TRANSCRIPT].link);
        let fields = [("Accept-Encoding", FORMS[selected]), ("If-None-Match", &list(tags, &chosen))];
        let answer = world.site.client().request(method, link, &fields, b"").await;
        let known = chosen.iter().any(|(form, _)| *form == selected);
        assert_eq!(answer.status, if known { 304 } else { 200 });
        assert_eq!((answer.must("etag"), answer.must("vary")), (tags[selected].as_str(), "Accept-Encoding"));
    });
}

#[test]
fn if_match_asks_for_the_selected_form() {
    in_both_worlds((0..FORMS.len(), some_tags()), async |world, (selected, chosen)| {
        let fields = [("Accept-Encoding", FORMS[selected]), ("If-Match", &list(&world.form_tags, &chosen))];
        let answer = world.get(&world.objects[TRANSCRIPT], &fields).await;
        let holds = chosen.iter().any(|(form, weak)| *form == selected && !*weak);
        assert_eq!(answer.status, if holds { 200 } else { 412 });
    });
}

#[tokio::test]
async fn a_range_is_resumed_only_by_the_stored_forms_tag() {
    for world in [World::in_memory().await, World::on_files().await] {
        let object = &world.objects[TRANSCRIPT];
        for (accepted, tag) in
            FORMS.iter().flat_map(|form| world.form_tags.iter().map(move |tag| (form, tag)))
        {
            let fields = [("Accept-Encoding", *accepted), ("Range", "bytes=5-14"), ("If-Range", tag)];
            let answer = world.get(object, &fields).await;
            if *tag == object.etag {
                assert_eq!((answer.status, &answer.body[..]), (206, &object.bytes[5..15]));
                assert_eq!(answer.field("content-encoding"), None);
            } else {
                assert_eq!(answer.status, 200, "a part of one form must not be put behind a part of another");
            }
        }
    }
}
