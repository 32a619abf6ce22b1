//! What users are promised, row by row: one module for each kind of situation, one test for each promise.
//!
//! Header fields are compared as whole sets: an unexpected field fails a test like a missing one.

mod conditions;
mod cors;
mod denied_links;
mod good_links;
mod overload;
mod routes;
mod storage;
mod transcript_formats;
mod transcripts;

use crate::support::{Answer, CALL};

/// The header fields of every answer of the gateway.
const COMMON: [(&str, &str); 6] = [
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("x-robots-tag", "noindex"),
    ("cross-origin-resource-policy", "cross-origin"),
    ("access-control-allow-origin", "*"),
    ("access-control-expose-headers", EXPOSED),
];

/// The header fields that a page's script may read.
const EXPOSED: &str = "Accept-Ranges, Content-Disposition, Content-Encoding, Content-Length, Content-Range, Date, ETag, Retry-After";

/// The header fields of every problem document.
const PROBLEM: [(&str, &str); 2] =
    [("content-type", "application/problem+json"), ("cache-control", "no-store")];

/// Checks the header fields of `answer` against `expected` and [`COMMON`]: all of them, none twice, nothing else. The
/// server sets `Date` and `Connection`; a problem's length is that of its body.
fn assert_fields(answer: &Answer, expected: &[(&str, &str)]) {
    assert!(httpdate::parse_http_date(answer.must("date")).is_ok(), "{answer:?}");
    let length = answer.body.len().to_string();
    let mut wanted: Vec<(&str, &str)> = COMMON.iter().chain(expected).copied().collect();
    if expected.contains(&PROBLEM[0]) && !expected.iter().any(|(name, _)| *name == "content-length") {
        wanted.push(("content-length", &length));
    }
    wanted.sort_unstable();
    let mut found: Vec<(&str, &str)> = answer
        .fields
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .filter(|field| field.0 != "date" && *field != ("connection", "close"))
        .collect();
    found.sort_unstable();
    assert_eq!(found, wanted, "status {}", answer.status);
}

/// The promised header fields of the call's recording that no test changes.
fn recording_fields() -> Vec<(&'static str, String)> {
    vec![
        ("content-type", "audio/mpeg".into()),
        ("content-disposition", format!("inline; filename=\"recording-{CALL}.mp3\"")),
        ("accept-ranges", "bytes".into()),
    ]
}

/// The same of its transcript.
fn transcript_fields() -> Vec<(&'static str, String)> {
    vec![
        ("content-type", "application/json".into()),
        ("content-disposition", format!("inline; filename=\"transcript-{CALL}.json\"")),
        ("accept-ranges", "bytes".into()),
        ("vary", "Accept-Encoding".into()),
    ]
}

/// Fields with owned values as [`assert_fields`] takes them.
fn borrowed<'f>(fields: &'f [(&'static str, String)]) -> Vec<(&'f str, &'f str)> {
    fields.iter().map(|(name, value)| (*name, value.as_str())).collect()
}

/// Whether `tag` is a strong entity tag (RFC 9110 §8.8.3).
fn is_strong_tag(tag: &str) -> bool {
    let inner = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
    inner.is_some_and(|inner| !inner.is_empty() && inner.bytes().all(|b| b.is_ascii_graphic() && b != b'"'))
}
