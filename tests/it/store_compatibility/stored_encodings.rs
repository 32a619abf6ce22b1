//! Objects stored with a Content-Encoding: links serve the decoded content.

use async_compression::Level;
use async_compression::tokio::bufread::{
    BrotliDecoder, BrotliEncoder, GzipDecoder, GzipEncoder, ZlibEncoder, ZstdDecoder, ZstdEncoder,
};
use tokio::io::{AsyncRead, AsyncReadExt};
use webhook_assets::AssetRef;

use super::{download, finds_the_store_up};
use crate::support::odd_store::{OddStore, Reply, USUAL, WAYS, Way, served};
use crate::support::{Answer, CALL, Site, http2, noise, transcript};

async fn all_of(mut reader: impl AsyncRead + Unpin) -> Vec<u8> {
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).await.unwrap();
    bytes
}

async fn encoded(coding: &str, bytes: &[u8]) -> Vec<u8> {
    match coding {
        "gzip" | "x-gzip" | "GZIP" | "aws-chunked,gzip" => all_of(GzipEncoder::new(bytes)).await,
        "br" => all_of(BrotliEncoder::with_quality(bytes, Level::Fastest)).await,
        "zstd" => all_of(ZstdEncoder::new(bytes)).await,
        "deflate" => all_of(ZlibEncoder::new(bytes)).await,
        "gzip, br" => Box::pin(encoded("br", &all_of(GzipEncoder::new(bytes)).await)).await,
        _ => bytes.to_vec(),
    }
}

async fn decoded(answer: &Answer) -> Vec<u8> {
    let body = &answer.body[..];
    match answer.field("content-encoding") {
        None => body.to_vec(),
        Some("gzip") => all_of(GzipDecoder::new(body)).await,
        Some("br") => all_of(BrotliDecoder::new(body)).await,
        Some("zstd") => all_of(ZstdDecoder::new(body)).await,
        Some(other) => panic!("{other}"),
    }
}

const CODINGS: [&str; 11] = [
    "gzip",
    "x-gzip",
    "GZIP",
    "br",
    "zstd",
    "deflate",
    "gzip, br",
    "aws-chunked,gzip",
    "identity",
    "aws-chunked",
    "utf-8",
];

async fn storing(way: Way, coding: &'static str, stored: Vec<u8>) -> Site {
    let fields = [USUAL[0], USUAL[1], ("Content-Encoding", coding), ("Content-Type", "x/y")];
    OddStore::answering(way, move |request| served(request, &fields, &stored)).await.site().await
}

#[tokio::test]
async fn an_encoded_transcript_is_served_as_any_other() {
    let bytes = transcript();
    for way in WAYS {
        for coding in CODINGS {
            let site = storing(way, coding, encoded(coding, &bytes).await).await;
            let link = site.transcript();
            for accepted in ["identity", "gzip", "br", "zstd", "gzip, br"] {
                let answer = site.get(&link, &[("Accept-Encoding", accepted)]).await;
                assert_eq!(
                    (answer.status, answer.must("content-type")),
                    (200, "application/json"),
                    "{way:?} {coding}"
                );
                assert!(decoded(&answer).await == bytes, "{way:?} {coding} {accepted}");
                assert_eq!(answer.must("content-length"), answer.body.len().to_string());
                let etag = answer.must("etag").to_owned();
                let head = site.head(&link, &[("Accept-Encoding", accepted)]).await;
                assert_eq!(
                    (head.must("etag"), head.must("content-length")),
                    (&*etag, answer.must("content-length"))
                );
                let fields = [("Accept-Encoding", accepted), ("If-None-Match", &*etag)];
                assert_eq!(site.get(&link, &fields).await.status, 304, "{way:?} {coding} {accepted}");
            }
            ranges_are_those_of_the_identity(&site, &link, &bytes).await;
        }
    }
}

async fn ranges_are_those_of_the_identity(site: &Site, link: &str, bytes: &[u8]) {
    let size = bytes.len();
    let etag = site.get(link, &[]).await.must("etag").to_owned();
    for (range, wanted) in [
        ("bytes=0-9".to_owned(), 0..10),
        (format!("bytes={}-", size - 5), size - 5..size),
        ("bytes=-7".to_owned(), size - 7..size),
        (format!("bytes={}-{}", size - 9, size + 9), size - 9..size),
    ] {
        let answer = site.get(link, &[("Range", &range), ("If-Range", &etag)]).await;
        assert_eq!((answer.status, answer.field("content-encoding")), (206, None), "{range}");
        let said = format!("bytes {}-{}/{size}", wanted.start, wanted.end - 1);
        assert_eq!((answer.must("content-range"), answer.must("etag")), (&*said, &*etag));
        assert_eq!(answer.body, bytes[wanted], "{range}");
    }
    let beyond = format!("bytes={size}-");
    let answer = site.get(link, &[("Range", &beyond)]).await;
    assert_eq!((answer.status, answer.must("content-range")), (416, &*format!("bytes */{size}")));
    let several = site.get(link, &[("Range", "bytes=0-1,5-6")]).await;
    assert!(several.status == 206 || (several.status == 200 && several.body == bytes));
}

#[tokio::test]
async fn an_encoded_recording_is_served_as_an_mp3() {
    for way in WAYS {
        let site = storing(way, "gzip", encoded("gzip", &noise(300_000)).await).await;
        let answer = site.get(&site.recording(), &[("Accept-Encoding", "gzip")]).await;
        assert_eq!((answer.must("content-type"), answer.field("content-encoding")), ("audio/mpeg", None));
        assert!(answer.body == noise(300_000) && answer.must("content-length") == "300000", "{way:?}");
    }
}

#[tokio::test]
async fn a_long_encoded_object_is_decoded_while_it_is_sent() {
    let long = noise(2_000_000);
    for way in WAYS {
        for coding in ["gzip", "br", "zstd"] {
            let stored = encoded(coding, &long).await;
            let site = storing(way, coding, stored.clone()).await;
            for link in [site.recording(), site.transcript()] {
                for fields in [&[][..], &[("Range", "bytes=5-9")]] {
                    let answer = site.get(&link, fields).await;
                    assert_eq!(
                        (answer.status, answer.must("transfer-encoding")),
                        (200, "chunked"),
                        "{way:?} {coding}"
                    );
                    assert!(answer.body == long, "{way:?} {coding}");
                }
            }
            let answer = site.get(&site.transcript(), &[("Accept-Encoding", "gzip")]).await;
            assert!(
                answer.must("content-encoding") == "gzip" && decoded(&answer).await == long,
                "{way:?} {coding}"
            );
            let (bytes, reset) = http2::read(
                http2::Http2::connect(site.address).await.get(&site.recording(), &[]).await.into_body(),
            )
            .await;
            assert!(bytes == long && reset.is_none());
            // The stored object ends too early: the client must notice.
            let site = storing(way, coding, stored[..stored.len() - 9].to_vec()).await;
            let answer = download(&site, &site.recording(), &[]).await;
            assert!(!answer.complete && long.starts_with(&answer.body), "{way:?} {coding}");
        }
    }
}

#[tokio::test]
async fn a_body_that_breaks_while_it_is_decoded_is_resumed() {
    use std::sync::atomic::{AtomicUsize, Ordering};

    for way in WAYS {
        let stored = encoded("gzip", &noise(2_000_000)).await;
        let answers = AtomicUsize::new(0);
        let fields = [USUAL[0], USUAL[1], ("Content-Encoding", "gzip")];
        let store = OddStore::answering(way, move |request| {
            let reply = served(request, &fields, &stored);
            if answers.fetch_add(1, Ordering::SeqCst) < 2 { reply.cut_by(1_000_000) } else { reply }
        })
        .await;
        let site = store.site().await;
        let answer = site.get(&site.recording(), &[]).await;
        assert!(answer.body == noise(2_000_000), "{way:?}");
    }
}

#[tokio::test]
async fn several_members_are_one_file() {
    for way in WAYS {
        for coding in ["gzip", "zstd"] {
            let two = [encoded(coding, b"{\"a\":").await, encoded(coding, b"1}").await].concat();
            let site = storing(way, coding, two).await;
            assert_eq!(site.get(&site.transcript(), &[]).await.body, b"{\"a\":1}", "{way:?} {coding}");
        }
    }
}

#[tokio::test]
async fn an_undecodable_object_is_502_and_never_served_as_json() {
    let bytes = transcript();
    for way in WAYS {
        for (coding, stored) in [
            ("compress", bytes.clone()),
            ("x-secret", bytes.clone()),
            ("a b", bytes.clone()),
            ("gzip,gzip,gzip", bytes.clone()),
            // The content does not match its encoding.
            ("gzip", bytes.clone()),
            ("zstd", bytes.clone()),
            ("br", b"\xff\xff\xff\xff\xff\xff".to_vec()),
            ("gzip", encoded("gzip", &bytes).await[..40].to_vec()),
        ] {
            let site = storing(way, coding, stored).await;
            for fields in [
                &[][..],
                &[("Accept-Encoding", "gzip")],
                &[("Range", "bytes=0-9")],
                &[("Range", "bytes=0-1,4-5")],
            ] {
                let answer = site.get(&site.transcript(), fields).await;
                assert_eq!(
                    (answer.status, answer.code().as_str()),
                    (502, "storage_error"),
                    "{way:?} {coding} {fields:?}"
                );
                let text = String::from_utf8(answer.body).unwrap();
                assert!(text.contains("Content-Encoding"), "{text}");
                assert!(coding != "compress" || text.contains("compress"), "{text}");
            }
            assert_eq!(site.head(&site.transcript(), &[]).await.status, 502, "{way:?} {coding}");
            assert!(finds_the_store_up(&site));
        }
    }
}

/// GCS decodes by itself unless a request forbids it: in chunks, ignoring Range.
#[tokio::test]
async fn the_decoding_of_a_store_is_trusted() {
    let bytes = transcript();
    for way in WAYS {
        let stored = bytes.clone();
        let store = OddStore::answering(way, move |request| {
            let fields = [USUAL[0], USUAL[1], ("x-goog-stored-content-encoding", "gzip")];
            Reply::chunked(request, 200, &fields, &stored)
        })
        .await;
        let site = store.site().await;
        let link = site.link(AssetRef::transcript(CALL));
        assert!(site.get(&link, &[]).await.body == bytes, "{way:?}");
        ranges_are_those_of_the_identity(&site, &link, &bytes).await;
    }
}

/// A few kilobytes that decode to far more hold no memory: the store decodes as fast as the client reads.
#[tokio::test]
async fn a_decompression_bomb_is_not_held_in_memory() {
    let zeros = vec![0; 64 << 20];
    for way in WAYS {
        let site = storing(way, "zstd", encoded("zstd", &zeros).await).await;
        let answer = site.get(&site.recording(), &[]).await;
        assert!(answer.body.len() == zeros.len() && answer.body.iter().all(|byte| *byte == 0), "{way:?}");
        let head = site.head(&site.recording(), &[]).await;
        assert_eq!((head.status, head.field("content-length")), (200, None));
    }
}
