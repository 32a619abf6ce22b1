//! A body is of one version, or it breaks.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::download;
use crate::support::noise;
use crate::support::odd_store::{OddStore, Reply, WAYS, Way, served};

const LENGTH: usize = 2_000_000;

/// The two versions: of one length and one second.
fn versions() -> [Vec<u8>; 2] {
    [noise(LENGTH), noise(LENGTH).iter().map(|byte| !byte).collect()]
}

/// A store whose object is replaced after `changes_after` answers with bytes; the first answer breaks at 45 %.
async fn replaced(way: Way, tags: [Option<&'static str>; 2], changes_after: usize) -> OddStore {
    let (objects, answers) = (versions(), Arc::new(AtomicUsize::new(0)));
    OddStore::answering(way, move |request| {
        if request.is_head() {
            return served(request, &fields(tags[0]), &objects[0]);
        }
        let at = answers.fetch_add(1, Ordering::SeqCst);
        let now = usize::from(at >= changes_after);
        let reply = served(request, &fields(tags[now]), &objects[now]);
        if at == 0 { reply.cut_by(LENGTH * 55 / 100) } else { reply }
    })
    .await
}

fn fields(tag: Option<&'static str>) -> Vec<(&'static str, &'static str)> {
    let tag = tag.map(|tag| ("ETag", tag));
    tag.into_iter().chain([("Last-Modified", "Mon, 23 Nov 2026 09:00:00 GMT")]).collect()
}

#[tokio::test]
async fn an_object_that_is_replaced_breaks_whatever_tags_its_store_has() {
    for way in WAYS {
        for tags in [
            [Some("W/\"a\""), Some("W/\"b\"")],
            [None, None],
            [Some("\"a\""), Some("\"b\"")],
            [Some("\"a\""), None],
            [None, Some("\"b\"")],
            [Some(""), Some("")],
            [Some("\"\""), Some("\"\"")],
            [Some("W/\"a\""), Some("\"a\"")],
            [Some("\u{e9}"), Some("\u{e8}")],
            [Some("a"), Some("b")],
        ] {
            for read_ahead in [1, 4] {
                let store = replaced(way, tags, 1).await;
                let mut plan = store.plan().await;
                plan.store.read_ahead = read_ahead;
                let site = plan.start().await;
                let answer = download(&site, &site.recording(), &[]).await;
                // Without a tag the store prefetches nothing: it requests the object anew, and gets one version then,
                // too.
                let anew = read_ahead > 1 && tags[0].is_none_or(|tag| tag.trim_matches('"').is_empty());
                assert_eq!((answer.status, answer.complete), (200, anew), "{way:?} {tags:?} {read_ahead}");
                let of = &versions()[usize::from(anew)];
                assert!(of.starts_with(&answer.body), "{way:?} {tags:?}: bytes of both versions");
            }
        }
    }
}

#[tokio::test]
async fn an_unchanged_object_is_resumed_if_its_tag_says_so() {
    for way in WAYS {
        for (tag, whole) in [(Some("\"a\""), true), (Some("W/\"a\""), true), (Some("a"), true), (None, false)]
        {
            let store = replaced(way, [tag, tag], usize::MAX).await;
            let site = store.site().await;
            let answer = download(&site, &site.recording(), &[]).await;
            assert_eq!((answer.status, answer.complete), (200, whole), "{way:?} {tag:?}");
            assert!(noise(LENGTH).starts_with(&answer.body));
        }
    }
}

/// Between two prefetched segments, and between two parts.
#[tokio::test]
async fn segments_and_parts_of_two_versions_are_never_mixed() {
    const LONG: usize = 9_000_000;
    for way in WAYS {
        for tags in [[Some("W/\"a\""), Some("W/\"b\"")], [None, None], [Some("\"a\""), Some("\"b\"")]] {
            let objects = [noise(LONG), noise(LONG).iter().map(|byte| !byte).collect::<Vec<u8>>()];
            let old = objects[0].clone();
            let answers = Arc::new(AtomicUsize::new(0));
            let counted = Arc::clone(&answers);
            let store = OddStore::answering(way, move |request| {
                let at = if request.is_head() { 0 } else { counted.fetch_add(1, Ordering::SeqCst) };
                let now = usize::from(at >= 1);
                served(request, &fields(tags[now]), &objects[now])
            })
            .await;
            let mut plan = store.plan().await;
            plan.store.read_ahead = 3;
            let site = plan.start().await;
            let new: Vec<u8> = old.iter().map(|byte| !byte).collect();
            let answer = download(&site, &site.recording(), &[]).await;
            let one = old.starts_with(&answer.body) || new.starts_with(&answer.body);
            assert!(one && (answer.body.len() == LONG || !answer.complete), "{way:?} {tags:?}");
            answers.store(0, Ordering::SeqCst);
            let answer =
                download(&site, &site.recording(), &[("Range", "bytes=0-1999999,5000000-6999999")]).await;
            let has = |bytes: &[u8]| answer.body.windows(32).step_by(1).any(|window| window == bytes);
            let (first, second) = (has(&old[..32]), has(&new[5_000_000..5_000_032]));
            assert!(!(first && second), "{way:?} {tags:?}: parts of two versions");
        }
    }
}

/// A client resumes under the same rules as the gateway.
#[tokio::test]
async fn a_client_resumes_by_a_tag_only_where_one_tells_versions_apart() {
    for way in WAYS {
        let object = noise(100_000);
        for (tag, status) in [(Some("\"a\""), 206), (Some("W/\"a\""), 206), (None, 200)] {
            let bytes = object.clone();
            let store = OddStore::answering(way, move |request| served(request, &fields(tag), &bytes)).await;
            let site = store.site().await;
            let link = site.recording();
            let etag = site.get(&link, &[]).await.must("etag").to_owned();
            assert_eq!(etag.starts_with('"'), tag.is_some(), "{way:?} {tag:?}: {etag}");
            let resumed = site.get(&link, &[("Range", "bytes=9-"), ("If-Range", &etag)]).await;
            assert_eq!(resumed.status, status, "{way:?} {tag:?}");
            assert_eq!(site.get(&link, &[("If-None-Match", &etag)]).await.status, 304, "{way:?} {tag:?}");
            assert_eq!(site.get(&link, &[("Range", "bytes=0-9")]).await.status, 206, "{way:?} {tag:?}");
        }
    }
}

/// One tag for two lengths: a store whose tags are worthless.
#[tokio::test]
async fn a_tag_that_stays_while_the_size_changes_is_not_believed() {
    for way in WAYS {
        let answers = AtomicUsize::new(0);
        let store = OddStore::answering(way, move |request| {
            let fields = fields(Some("\"a\""));
            match answers.fetch_add(1, Ordering::SeqCst) {
                0 => served(request, &fields, &noise(LENGTH)).cut_by(1_000_000),
                _ => {
                    let range = request.range(LENGTH).unwrap();
                    let said = format!("bytes {}-{}/{}", range.start, range.end - 1, LENGTH + 7);
                    let fields = [&fields[..], &[("Content-Range", &said)]].concat();
                    Reply::whole(request, 206, &fields, &vec![b'x'; range.len()])
                }
            }
        })
        .await;
        let site = store.site().await;
        let answer = download(&site, &site.recording(), &[]).await;
        assert_eq!((answer.status, answer.complete), (200, false), "{way:?}");
        assert!(noise(LENGTH).starts_with(&answer.body), "{way:?}");
    }
}
