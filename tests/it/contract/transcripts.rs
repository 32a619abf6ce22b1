//! Content codings: transcripts are compressed when asked, recordings never.

use async_compression::tokio::bufread::{BrotliDecoder, GzipDecoder, ZstdDecoder};
use tokio::io::{AsyncRead, AsyncReadExt};
use webhook_assets::AssetRef;

use super::good_links::stable_fields;
use super::{assert_fields, borrowed, is_strong_tag, transcript_fields};
use crate::support::{Answer, CALL, Plan, Site, recording, store_of_one, transcript};

pub(super) const CODINGS: [&str; 3] = ["zstd", "br", "gzip"];

/// The decoded body.
pub(super) async fn decoded(answer: &Answer) -> Vec<u8> {
    let body = &answer.body[..];
    match answer.field("content-encoding") {
        None => body.to_vec(),
        Some("gzip") => all_of(GzipDecoder::new(body)).await,
        Some("br") => all_of(BrotliDecoder::new(body)).await,
        Some("zstd") => all_of(ZstdDecoder::new(body)).await,
        Some(other) => panic!("the client did not accept {other}"),
    }
}

async fn all_of(mut reader: impl AsyncRead + Unpin) -> Vec<u8> {
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).await.unwrap();
    bytes
}

/// A transcript of 1 MiB and one byte: just too long to be compressed before it is sent.
fn long_transcript() -> Vec<u8> {
    let mut bytes = b"{\"text\":\"".to_vec();
    bytes.extend((0..1 << 20).map(|at: u32| b'a' + (at.wrapping_mul(2_654_435_761) >> 28) as u8));
    bytes.truncate((1 << 20) - 1);
    bytes.extend(b"\"}");
    bytes
}

async fn site_with_a_long_transcript() -> Site {
    Plan::on(store_of_one(AssetRef::transcript(CALL), long_transcript()).await).start().await
}

#[tokio::test]
async fn a_transcript_is_compressed_when_asked_with_exactly_the_promised_header_fields() {
    let site = Site::usual().await;
    let plain = site.get(&site.transcript(), &[]).await;
    for coding in CODINGS {
        let answer = site.get(&site.transcript(), &[("Accept-Encoding", coding)]).await;
        assert_eq!((answer.status, answer.must("content-encoding")), (200, coding));
        assert!(decoded(&answer).await == transcript(), "{coding}");
        assert!(answer.body.len() < transcript().len(), "{coding} makes it smaller");
        let mut expected = transcript_fields();
        expected.push(("content-encoding", coding.into()));
        expected.push(("content-length", answer.body.len().to_string()));
        expected.push(("etag", answer.must("etag").to_owned()));
        expected.push(("last-modified", plain.must("last-modified").to_owned()));
        expected.push(("cache-control", "private, max-age=60, must-revalidate".into()));
        assert_fields(&answer, &borrowed(&expected));
    }
}

#[tokio::test]
async fn each_coding_has_a_different_strong_tag() {
    let site = Site::usual().await;
    let mut tags = std::collections::HashSet::new();
    for accepted in CODINGS.into_iter().chain(["identity"]) {
        let answer = site.get(&site.transcript(), &[("Accept-Encoding", accepted)]).await;
        assert!(is_strong_tag(answer.must("etag")));
        assert_eq!(answer.must("vary"), "Accept-Encoding", "{accepted}");
        assert!(tags.insert(answer.must("etag").to_owned()), "{accepted} has another's tag");
    }
}

#[tokio::test]
async fn the_best_coding_that_a_client_takes_is_chosen() {
    let site = Site::usual().await;
    for (accepted, chosen) in [
        ("gzip, compress, deflate, br", Some("br")),
        ("gzip, deflate, br, zstd", Some("zstd")),
        ("gzip;q=1.0, br;q=0.5", Some("gzip")),
        ("deflate", None),
        ("identity", None),
        ("gzip;q=0", None),
        ("*;q=0", None),
        ("identity;q=1, *;q=0", None),
        ("", None),
    ] {
        let answer = site.get(&site.transcript(), &[("Accept-Encoding", accepted)]).await;
        assert_eq!((answer.status, answer.field("content-encoding")), (200, chosen), "{accepted}");
        assert!(decoded(&answer).await == transcript(), "{accepted}");
    }
}

#[tokio::test]
async fn head_of_a_compressed_transcript_has_the_header_fields_of_get() {
    for site in [Site::usual().await, site_with_a_long_transcript().await] {
        for coding in CODINGS {
            let accepted = [("Accept-Encoding", coding)];
            let get = site.get(&site.transcript(), &accepted).await;
            let head = site.head(&site.transcript(), &accepted).await;
            assert_eq!((head.status, stable_fields(&head)), (200, stable_fields(&get)), "{coding}");
        }
    }
}

#[tokio::test]
async fn a_recording_is_never_compressed() {
    let site = Site::usual().await;
    for accepted in ["gzip, compress, deflate, br", "zstd", "gzip, identity;q=0"] {
        let answer = site.get(&site.recording(), &[("Accept-Encoding", accepted)]).await;
        assert_eq!((answer.field("content-encoding"), answer.field("vary")), (None, None));
        assert!(answer.body == recording());
    }
}

#[tokio::test]
async fn http_1_0_gets_a_transcript_as_it_is_stored() {
    for (site, bytes) in
        [(Site::usual().await, transcript()), (site_with_a_long_transcript().await, long_transcript())]
    {
        let request = format!("GET {} HTTP/1.0\r\nAccept-Encoding: gzip, br\r\n\r\n", site.transcript());
        let sent = site.client().exchange(request.as_bytes()).await;
        let (answer, rest) = Answer::parse(&sent, false);
        assert_eq!((answer.status, rest), (200, &b""[..]));
        assert_eq!((answer.field("content-encoding"), answer.field("transfer-encoding")), (None, None));
        assert_eq!(answer.must("content-length"), bytes.len().to_string());
        assert!(answer.body == bytes);
    }
}

#[tokio::test]
async fn a_long_transcript_is_compressed_in_chunks_and_arrives_whole() {
    let site = site_with_a_long_transcript().await;
    for coding in CODINGS {
        let answer = site.get(&site.transcript(), &[("Accept-Encoding", coding)]).await;
        assert_eq!((answer.status, answer.must("transfer-encoding")), (200, "chunked"));
        assert_eq!((answer.must("content-encoding"), answer.field("content-length")), (coding, None));
        assert!(decoded(&answer).await == long_transcript(), "{coding}");
    }
    let plain = site.get(&site.transcript(), &[]).await;
    assert_eq!(plain.must("content-length"), long_transcript().len().to_string());
}

#[tokio::test]
async fn a_range_counts_stored_bytes_whatever_codings_are_accepted() {
    let site = Site::usual().await;
    let plain = site.get(&site.transcript(), &[]).await;
    for accepted in CODINGS {
        let fields = [("Range", "bytes=10-19"), ("Accept-Encoding", accepted)];
        let answer = site.get(&site.transcript(), &fields).await;
        assert_eq!((answer.status, answer.field("content-encoding")), (206, None));
        assert_eq!((answer.must("etag"), answer.must("vary")), (plain.must("etag"), "Accept-Encoding"));
        assert_eq!(answer.must("content-range"), format!("bytes 10-19/{}", transcript().len()));
        assert_eq!(answer.body, transcript()[10..20]);
    }
}

#[tokio::test]
async fn an_empty_transcript_stays_empty_when_compressed() {
    let site = Plan::on(store_of_one(AssetRef::transcript(CALL), Vec::new()).await).start().await;
    for coding in CODINGS {
        let answer = site.get(&site.transcript(), &[("Accept-Encoding", coding)]).await;
        assert_eq!((answer.status, decoded(&answer).await), (200, Vec::new()), "{coding}");
    }
}
