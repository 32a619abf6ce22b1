//! A transcript as people use it: `format=txt|vtt|srt|md` on its link.

use std::collections::HashSet;
use std::time::Duration;

use webhook_assets::{AssetRef, TranscriptFormat};

use super::good_links::stable_fields;
use super::transcripts::{CODINGS, decoded};
use super::{PROBLEM, assert_fields, borrowed, is_strong_tag};
use crate::support::access_log;
use crate::support::stores::Fault;
use crate::support::{ABSENT, CALL, DAY, NOW, Plan, Site, recording, store_of_one, transcript};

/// A link to the transcript in a format.
fn link_as(site: &Site, format: &str) -> String {
    format!("{}&format={format}", site.transcript())
}

/// A site whose transcript consists of these bytes.
async fn site_of(json: impl Into<Vec<u8>>) -> Site {
    Plan::on(store_of_one(AssetRef::transcript(CALL), json.into()).await).start().await
}

/// A transcript of `length` utterances with words that do not compress away.
fn long_transcript(length: u64) -> String {
    let said = |at: u64| {
        let word = at.wrapping_mul(6_364_136_223_846_793_005);
        format!(
            r#"{{"speaker":"a","start_ms":{},"end_ms":{},"text":"{word:x} &"}}"#,
            at * 1_000,
            at * 1_000 + 900
        )
    };
    let utterances = (0..length).map(said).collect::<Vec<_>>().join(",");
    format!(
        r#"{{"schema":"call-transcript/1","speakers":[{{"id":"a","name":"Jane Smith"}}],"utterances":[{utterances}]}}"#
    )
}

#[tokio::test]
async fn each_format_is_answered_with_exactly_the_promised_header_fields() {
    let site = Site::usual().await;
    let json = site.get(&site.transcript(), &[]).await;
    let mut tags = HashSet::from([json.must("etag").to_owned()]);
    for (format, media_type, beginning) in [
        ("txt", "text/plain; charset=utf-8", "[00:00:00] Jane Smith: Hi John, this is"),
        ("vtt", "text/vtt", "WEBVTT\n\n00:00:00.250 --> 00:00:05.455\n<v Jane Smith>Hi John, this is"),
        ("srt", "application/x-subrip", "1\n00:00:00,250 --> 00:00:05,455\nJane Smith: Hi John, this is"),
        ("md", "text/markdown; charset=utf-8", "(00:00:00) **Jane Smith:** Hi John, this is"),
    ] {
        let answer = site.get(&link_as(&site, format), &[]).await;
        assert_eq!(answer.status, 200, "{format}");
        let text = std::str::from_utf8(&answer.body).unwrap();
        assert!(text.starts_with(beginning) && text.ends_with("Talk to you next week.\n"), "{text}");
        assert!(is_strong_tag(answer.must("etag")) && tags.insert(answer.must("etag").to_owned()));
        let expected = [
            ("content-type", media_type.to_owned()),
            ("content-disposition", format!("inline; filename=\"transcript-{CALL}.{format}\"")),
            ("content-length", answer.body.len().to_string()),
            ("etag", answer.must("etag").to_owned()),
            ("last-modified", json.must("last-modified").to_owned()),
            ("cache-control", "private, max-age=60, must-revalidate".to_owned()),
            ("accept-ranges", "bytes".to_owned()),
            ("vary", "Accept-Encoding".to_owned()),
        ];
        assert_fields(&answer, &borrowed(&expected));
    }
}

#[tokio::test]
async fn without_a_format_the_bytes_are_passed_on_whatever_they_are() {
    for json in ["", "nonsense", "{\"schema\":\"call-transcript/2\"}"] {
        let site = site_of(json).await;
        let answer = site.get(&site.transcript(), &[]).await;
        assert_eq!((answer.status, answer.must("content-type")), (200, "application/json"));
        assert_eq!(answer.body, json.as_bytes());
    }
}

#[tokio::test]
async fn head_has_the_header_fields_of_get_in_every_coding() {
    for site in [Site::usual().await, site_of(long_transcript(16_000)).await] {
        for format in TranscriptFormat::ALL {
            for coding in CODINGS.into_iter().chain(["identity"]) {
                let (link, accepted) = (link_as(&site, format.name()), [("Accept-Encoding", coding)]);
                let (get, head) = (site.get(&link, &accepted).await, site.head(&link, &accepted).await);
                assert_eq!(
                    (head.status, stable_fields(&head)),
                    (200, stable_fields(&get)),
                    "{link} {coding}"
                );
            }
        }
    }
}

#[tokio::test]
async fn a_rendering_is_compressed_when_asked_and_each_coding_has_its_own_tag() {
    for site in [Site::usual().await, site_of(long_transcript(16_000)).await] {
        for format in TranscriptFormat::ALL {
            let link = link_as(&site, format.name());
            let plain = site.get(&link, &[]).await;
            let mut tags = HashSet::from([plain.must("etag").to_owned()]);
            for coding in CODINGS {
                let answer = site.get(&link, &[("Accept-Encoding", coding)]).await;
                assert_eq!((answer.status, answer.must("content-encoding")), (200, coding));
                assert!(decoded(&answer).await == plain.body && answer.body.len() < plain.body.len());
                assert!(tags.insert(answer.must("etag").to_owned()), "{coding}");
            }
        }
    }
}

#[tokio::test]
async fn ranges_count_the_bytes_of_the_rendering() {
    let site = Site::usual().await;
    for format in TranscriptFormat::ALL {
        let link = link_as(&site, format.name());
        let whole = site.get(&link, &[("Accept-Encoding", "gzip;q=0")]).await;
        let length = whole.body.len();
        for (range, part) in [
            ("bytes=0-0", 0..1),
            ("bytes=10-99", 10..100),
            ("bytes=100-", 100..length),
            ("bytes=-7", length - 7..length),
            ("bytes=5-9,3-6", 3..10),
        ] {
            let answer = site.get(&link, &[("Range", range), ("Accept-Encoding", "br")]).await;
            assert_eq!((answer.status, answer.field("content-encoding")), (206, None), "{range}");
            let place = format!("bytes {}-{}/{length}", part.start, part.end - 1);
            assert_eq!((answer.must("content-range"), answer.must("etag")), (&*place, whole.must("etag")));
            assert_eq!(answer.must("content-type"), format.media_type());
            assert_eq!(answer.body, whole.body[part]);
        }
        let beyond = site.get(&link, &[("Range", &format!("bytes={length}-"))]).await;
        assert_eq!((beyond.status, beyond.must("content-range")), (416, &*format!("bytes */{length}")));
        assert_eq!(beyond.code(), "range_not_satisfiable");
    }
}

#[tokio::test]
async fn several_ranges_of_a_rendering_are_one_multipart_body() {
    let site = Site::usual().await;
    let link = link_as(&site, "vtt");
    let whole = site.get(&link, &[]).await;
    let answer = site.get(&link, &[("Range", "bytes=0-5,100-109")]).await;
    assert_eq!((answer.status, answer.must("content-length")), (206, &*answer.body.len().to_string()));
    let boundary = answer.must("content-type").strip_prefix("multipart/byteranges; boundary=").unwrap();
    let part = |first: usize, last: usize| {
        let head = format!(
            "\r\n--{boundary}\r\nContent-Type: text/vtt\r\nContent-Range: bytes {first}-{last}/{}\r\n\r\n",
            whole.body.len()
        );
        [head.as_bytes(), &whole.body[first..=last]].concat()
    };
    let end = format!("\r\n--{boundary}--\r\n");
    assert_eq!(answer.body, [part(0, 5), part(100, 109), end.into()].concat());
    let rather_whole = format!("bytes=0-{},{}-", whole.body.len() - 9, whole.body.len() - 3);
    let answer = site.get(&link, &[("Range", &rather_whole)]).await;
    assert_eq!((answer.status, &answer.body), (200, &whole.body), "the parts would be longer");
}

#[tokio::test]
async fn conditions_apply_to_the_tag_of_the_format() {
    let (site, store) = Site::on_faulty_store().await;
    let json = site.get(&site.transcript(), &[]).await;
    let links = TranscriptFormat::ALL.map(|format| link_as(&site, format.name()));
    for link in &links {
        let answer = site.get(link, &[]).await;
        let tag = answer.must("etag");
        for (fields, status) in [
            ([("If-None-Match", tag)], 304),
            ([("If-None-Match", "*")], 304),
            ([("If-None-Match", json.must("etag"))], 200),
            ([("If-Match", tag)], 200),
            ([("If-Match", json.must("etag"))], 412),
            ([("If-Modified-Since", answer.must("last-modified"))], 304),
            ([("If-Unmodified-Since", "Sat, 01 Jan 2000 00:00:00 GMT")], 412),
        ] {
            for method in ["GET", "HEAD"] {
                let conditional = site.client().request(method, link, &fields, b"").await;
                assert_eq!(conditional.status, status, "{method} {link} {fields:?}");
                if status == 304 {
                    assert_eq!((conditional.must("etag"), conditional.body.len()), (tag, 0));
                }
            }
        }
        for (if_range, status) in [(tag, 206), (json.must("etag"), 200)] {
            let fields = [("Range", "bytes=0-9"), ("If-Range", if_range)];
            assert_eq!(site.get(link, &fields).await.status, status, "{if_range}");
        }
        let other = links.iter().find(|other| *other != link).unwrap();
        assert_eq!(
            site.get(other, &[("If-None-Match", tag)]).await.status,
            200,
            "another format, another tag"
        );
        let compressed = site.get(link, &[("Accept-Encoding", "gzip")]).await;
        let fields = [("Accept-Encoding", "gzip"), ("If-None-Match", compressed.must("etag"))];
        assert_eq!(site.get(link, &fields).await.status, 304);
    }
    // The store compares the tag, so an unchanged transcript is neither read nor rendered.
    let before = store.bytes.load(std::sync::atomic::Ordering::SeqCst);
    let tag = site.get(&links[1], &[]).await.must("etag").to_owned();
    let read = store.bytes.load(std::sync::atomic::Ordering::SeqCst);
    assert!(read > before);
    assert_eq!(site.get(&links[1], &[("If-None-Match", &tag)]).await.status, 304);
    assert_eq!(store.bytes.load(std::sync::atomic::Ordering::SeqCst), read);
}

#[tokio::test]
async fn another_schema_is_answered_406_with_a_code_whatever_the_conditions() {
    let deep = format!(r#"{{"schema":"call-transcript/1","utterances":{}"#, "[".repeat(1 << 20));
    for json in [
        String::new(),
        "nonsense".to_owned(),
        "[]".to_owned(),
        r#"{"schema":"call-transcript/2","utterances":[]}"#.to_owned(),
        r#"{"schema":"call-transcript/1","text":"Jane Smith: Hi"}"#.to_owned(),
        r#"{"schema":"call-transcript/1","utterances":[{"start_ms":-1,"end_ms":0,"text":""}]}"#.to_owned(),
        deep,
    ] {
        let site = site_of(json.clone()).await;
        let beginning = &json[..json.len().min(60)];
        for fields in
            [&[][..], &[("If-None-Match", "*")], &[("Range", "bytes=0-9")], &[("If-Match", "\"x\"")]]
        {
            let answer = site.get(&link_as(&site, "vtt"), fields).await;
            assert_eq!((answer.status, &*answer.code()), (406, "unknown_schema"), "{beginning} {fields:?}");
            assert_fields(&answer, &PROBLEM);
        }
        let head = site.head(&link_as(&site, "vtt"), &[]).await;
        assert_eq!((head.status, head.body.len()), (406, 0));
        assert_eq!(site.get(&site.transcript(), &[]).await.body, json.as_bytes(), "the JSON is there");
    }
}

#[tokio::test]
async fn a_transcript_that_is_too_large_to_render_is_answered_406() {
    let padding = format!(r#""padding":"{}","utterances""#, "x".repeat(8 << 20));
    let large = long_transcript(1).replace(r#""utterances""#, &padding);
    let name = "&".repeat(100);
    let grows = long_transcript(60_000).replace("Jane Smith", &name);
    for json in [large, grows] {
        let site = site_of(json.clone()).await;
        let answer = site.get(&link_as(&site, "vtt"), &[]).await;
        assert_eq!((answer.status, &*answer.code()), (406, "too_large_to_render"));
        assert!(site.get(&site.transcript(), &[]).await.body == json.as_bytes());
    }
}

#[tokio::test]
async fn a_format_stands_once_and_is_one_of_four() {
    let site = Site::usual().await;
    for query in [
        "format=",
        "format",
        "format=json",
        "format=VTT",
        "format=vtt%20",
        "format=%76tt",
        "format=vtt&format=vtt",
        "format=vtt&utm_source=a&format",
    ] {
        let link = format!("{}&{query}", site.transcript());
        for fields in [&[][..], &[("Range", "bytes=0-1")], &[("If-None-Match", "*")]] {
            let answer = site.get(&link, fields).await;
            assert_eq!((answer.status, &*answer.code()), (400, "invalid_format"), "{query}");
            assert_fields(&answer, &PROBLEM);
        }
        assert_eq!(site.head(&link, &[]).await.status, 400);
    }
    for query in ["Format=vtt", "formats=vtt", "my_format=vtt", "amp;format=vtt"] {
        let answer = site.get(&format!("{}&{query}", site.transcript()), &[]).await;
        assert_eq!((answer.status, &answer.body), (200, &transcript()), "{query} is another parameter");
    }
}

#[tokio::test]
async fn the_format_may_stand_anywhere_among_the_parameters() {
    let site = Site::usual().await;
    let link = site.transcript();
    let (path, query) = link.split_once('?').unwrap();
    let (expires, sig) = query.split_once('&').unwrap();
    for query in [
        format!("format=srt&{query}"),
        format!("{sig}&format=srt&{expires}"),
        format!("utm_source=a&{query}&format=srt&utm_medium=b"),
    ] {
        let answer = site.get(&format!("{path}?{query}"), &[]).await;
        assert_eq!((answer.status, answer.must("content-type")), (200, "application/x-subrip"), "{query}");
    }
}

#[tokio::test]
async fn a_recording_has_no_formats_and_ignores_the_parameter_like_any_other() {
    let site = Site::usual().await;
    for query in ["format=vtt", "format=mp3", "format=a&format=b"] {
        let answer = site.get(&format!("{}&{query}", site.recording()), &[]).await;
        assert_eq!((answer.status, answer.must("content-type")), (200, "audio/mpeg"), "{query}");
        assert!(answer.body == recording());
    }
}

#[tokio::test]
async fn a_link_that_is_not_good_says_nothing_about_formats() {
    let site = Site::usual().await;
    let forged = site.transcript().replace("sig=", "sig=0");
    for query in ["format=vtt", "format=pdf", "format=vtt&format=vtt"] {
        let answer = site.get(&format!("{forged}&{query}"), &[]).await;
        assert_eq!((answer.status, &*answer.code()), (403, "invalid_signature"), "{query}");
        let absent = format!("{}&{query}", site.link(AssetRef::transcript(ABSENT)));
        let expected = if query == "format=vtt" { (404, "not_found") } else { (400, "invalid_format") };
        let answer = site.get(&absent, &[]).await;
        assert_eq!((answer.status, &*answer.code()), expected);
    }
    site.clock.advance(DAY);
    assert_eq!(site.get(&link_as(&site, "pdf").replace("sig=", "sig=0"), &[]).await.status, 403);
}

#[tokio::test]
async fn a_store_that_breaks_off_is_answered_with_an_error_and_never_with_a_part_of_a_rendering() {
    let store = store_of_one(AssetRef::transcript(CALL), long_transcript(3_000).into()).await;
    let site = Plan::on(store.clone()).soon_out_of_patience().start().await;
    for fault in [Fault::BreaksAfter(40_000), Fault::StallsAfter(40_000), Fault::EndsAfter(40_000)] {
        store.set_fault(fault);
        let answer = site.get(&link_as(&site, "txt"), &[]).await;
        assert!(matches!(answer.status, 502 | 503), "{fault:?}: {answer:?}");
        assert!(answer.code().starts_with("storage_"), "{fault:?}");
    }
    store.set_fault(Fault::None);
    assert_eq!(site.get(&link_as(&site, "txt"), &[]).await.status, 200);
}

#[tokio::test]
async fn the_access_record_names_the_format() {
    let site = Site::usual().await;
    for (lifetime, format) in [(4_321, Some("md")), (4_322, None)] {
        let link = site.link_for(AssetRef::transcript(CALL), Duration::from_secs(lifetime));
        let answer = site.get(&format!("{link}&format={}", format.unwrap_or("pdf")), &[]).await;
        let expires = format!("expires={}", NOW.0 + lifetime);
        let line = loop {
            match access_log::with(&expires).pop() {
                Some(line) => break line,
                None => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        };
        let record = access_log::fields(&line);
        assert_eq!(record.get("format").and_then(|format| format.as_str()), format);
        assert_eq!(record["outcome"], if format.is_some() { "ok" } else { "invalid_format" });
        assert_eq!((&record["asset"], &record["sent"]), (&"transcript".into(), &answer.body.len().into()));
    }
}
