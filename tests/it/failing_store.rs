//! Stores that fail: a clear answer before the first byte, a visibly broken transfer after it, never a short body that
//! looks whole.

mod read_ahead;

use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use object_store::ObjectStoreExt;
use object_store::memory::InMemory;
use object_store::path::Path;
use tokio::io::AsyncReadExt;
use webhook_assets::AssetRef;

use crate::support::client::request_head;
use crate::support::http2::{self, Http2};
use crate::support::slow_client::SlowClient;
use crate::support::stores::{Fault, FaultyStore};
use crate::support::{Answer, CALL, Plan, Site, recording, transcript};

/// The recording's length.
const SIZE: u64 = 300_000;

/// A gateway that waits for the store answers well within this, on a busy machine too: its deadlines are 400 ms each,
/// for an answer and for its first byte. Without them it would wait for ever.
const SOON: Duration = Duration::from_secs(30);

/// What must never leave the gateway: parts of the store's URL, credentials and errors, as [`FaultyStore`] has them.
const SECRETS: [&str; 7] = [
    "secret",
    "store.example.com",
    "AKIAEXAMPLE",
    "X-Amz-Signature",
    "connection reset",
    "503 Service Unavailable at",
    "tried",
];

/// Sends GET and returns whatever came before the connection ended, whole or not.
async fn get(site: &Site, target: &str, fields: &[(&str, &str)]) -> Answer {
    ask(site, "GET", target, fields).await
}

/// The same for a body that may break before the client gets the head: hyper drops what it has not written yet, and the
/// client finds its connection closed without an answer.
async fn get_if_any(site: &Site, target: &str, fields: &[(&str, &str)]) -> Option<Answer> {
    let bytes = site.client().exchange(request_head("GET", target, fields, b"").as_bytes()).await;
    leaks_nothing(&bytes);
    (!bytes.is_empty()).then(|| Answer::parse_loosely(&bytes, false).0)
}

async fn ask(site: &Site, method: &str, target: &str, fields: &[(&str, &str)]) -> Answer {
    let bytes = site.client().exchange(request_head(method, target, fields, b"").as_bytes()).await;
    leaks_nothing(&bytes);
    Answer::parse_loosely(&bytes, method == "HEAD").0
}

fn leaks_nothing(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    for secret in SECRETS {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
}

/// A problem that asks the client to try again.
fn is_unavailable(answer: &Answer) {
    assert!(answer.complete);
    assert_eq!((answer.status, answer.code().as_str()), (503, "storage_unavailable"));
    assert_eq!(answer.must("retry-after"), "5");
    assert_eq!(answer.must("cache-control"), "no-store");
}

/// A problem that the operator has to mend.
fn is_bad_gateway(answer: &Answer) {
    assert!(answer.complete);
    assert_eq!((answer.status, answer.code().as_str()), (502, "storage_error"));
    assert_eq!(answer.must("cache-control"), "no-store");
}

/// Every kind of request for a recording's bytes.
pub const WAYS: [&[(&str, &str)]; 4] = [
    &[],
    &[("Range", "bytes=0-200000")],
    &[("Range", "bytes=-200000")],
    &[("Range", "bytes=0-99999,150000-299999")],
];

// --- before the first byte --------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_store_that_fails_is_503_with_retry_after() {
    let (site, store) = Site::on_faulty_store().await;
    store.set_fault(Fault::Fails);
    for way in WAYS {
        is_unavailable(&get(&site, &site.recording(), way).await);
    }
    is_unavailable(&get(&site, &site.transcript(), &[("Accept-Encoding", "gzip")]).await);
    assert_eq!(ask(&site, "HEAD", &site.recording(), &[]).await.status, 503);
}

#[tokio::test]
async fn a_store_that_denies_access_is_502() {
    let (site, store) = Site::on_faulty_store().await;
    store.set_fault(Fault::Refuses);
    for way in WAYS {
        is_bad_gateway(&get(&site, &site.recording(), way).await);
    }
    is_bad_gateway(&get(&site, &site.transcript(), &[("Accept-Encoding", "gzip")]).await);
    assert_eq!(ask(&site, "HEAD", &site.recording(), &[]).await.status, 502);
}

#[tokio::test]
async fn a_store_that_hangs_is_503_within_the_deadline() {
    let (site, store) = Site::on_faulty_store().await;
    for fault in [Fault::Hangs, Fault::StallsAfter(0)] {
        store.set_fault(fault);
        for way in WAYS {
            let started = Instant::now();
            is_unavailable(&get(&site, &site.recording(), way).await);
            assert!(started.elapsed() < SOON, "{fault:?} {way:?}: {:?}", started.elapsed());
        }
    }
    store.set_fault(Fault::Hangs);
    let started = Instant::now();
    assert_eq!(ask(&site, "HEAD", &site.recording(), &[]).await.status, 503);
    assert!(started.elapsed() < SOON);
}

#[tokio::test]
async fn a_body_that_breaks_before_its_first_byte_is_an_error_answer() {
    let (site, store) = Site::on_faulty_store().await;
    for way in WAYS {
        store.set_fault(Fault::BreaksAfter(0));
        is_unavailable(&get(&site, &site.recording(), way).await);
        store.set_fault(Fault::EndsAfter(0));
        is_bad_gateway(&get(&site, &site.recording(), way).await);
    }
}

/// The gateway compresses a short transcript before it begins the answer, so it can still report every failure.
#[tokio::test]
async fn a_short_transcript_that_cannot_be_compressed_whole_is_an_error_answer() {
    let (site, store) = Site::on_faulty_store().await;
    let size = transcript().len() as u64;
    for coding in ["zstd", "br", "gzip"] {
        let fields = [("Accept-Encoding", coding)];
        for after in [0, 1, size / 2, size - 1] {
            store.set_fault(Fault::BreaksAfter(after));
            is_unavailable(&get(&site, &site.transcript(), &fields).await);
            store.set_fault(Fault::EndsAfter(after));
            is_bad_gateway(&get(&site, &site.transcript(), &fields).await);
        }
    }
    store.set_fault(Fault::StallsAfter(size - 1));
    is_unavailable(&get(&site, &site.transcript(), &[("Accept-Encoding", "zstd")]).await);
}

#[tokio::test]
async fn a_link_is_good_again_once_the_store_works() {
    let (site, store) = Site::on_faulty_store().await;
    for fault in [Fault::Fails, Fault::Refuses, Fault::Hangs, Fault::BreaksAfter(100_000)] {
        store.set_fault(fault);
        let failed = get(&site, &site.recording(), &[]).await;
        assert!(failed.status >= 500 || !failed.complete);
        store.set_fault(Fault::None);
        assert!(site.get(&site.recording(), &[]).await.body == recording());
    }
}

// --- in the middle of a body ------------------------------------------------------------------------------------------

/// What can happen to a body of `size` bytes once it has begun.
fn faults_inside(size: u64) -> Vec<Fault> {
    let breaks = [1, size / 2, size - 1].map(Fault::BreaksAfter);
    let stalls = [size / 2, size - 1].map(Fault::StallsAfter);
    let ends = [1, size / 2, size - 1].map(Fault::EndsAfter);
    [&breaks[..], &stalls, &ends].concat()
}

/// The client can see that the answer was cut. The gateway passes on what the store sent before it stalled.
fn is_visibly_broken(answer: Option<Answer>, fault: Fault, status: u16, whole: &[u8]) {
    let Some(answer) = answer else {
        assert!(!matches!(fault, Fault::StallsAfter(_)), "{fault:?}: nothing came at all");
        return;
    };
    assert_eq!(answer.status, status);
    assert_eq!(answer.must("content-length"), whole.len().to_string());
    assert!(!answer.complete, "{fault:?}: a body of {} bytes looks whole", answer.body.len());
    assert!(whole.starts_with(&answer.body), "{fault:?}: other bytes than stored");
}

#[tokio::test]
async fn a_recording_that_breaks_off_ends_before_its_content_length() {
    let (site, store) = Site::on_faulty_store().await;
    for fault in faults_inside(SIZE) {
        store.set_fault(fault);
        let started = Instant::now();
        let answer = get_if_any(&site, &site.recording(), &[]).await;
        is_visibly_broken(answer, fault, 200, &recording());
        assert!(started.elapsed() < SOON, "{fault:?}");
    }
}

#[tokio::test]
async fn a_range_that_breaks_off_ends_before_its_content_length() {
    let (site, store) = Site::on_faulty_store().await;
    for fault in faults_inside(100_000) {
        store.set_fault(fault);
        let answer = get_if_any(&site, &site.recording(), &[("Range", "bytes=100000-199999")]).await;
        is_visibly_broken(answer, fault, 206, &recording()[100_000..200_000]);
    }
}

#[tokio::test]
async fn a_break_behind_the_last_byte_does_no_harm() {
    let (site, store) = Site::on_faulty_store().await;
    for fault in [Fault::BreaksAfter(SIZE), Fault::StallsAfter(SIZE), Fault::EndsAfter(SIZE)] {
        store.set_fault(fault);
        let answer = get(&site, &site.recording(), &[]).await;
        assert!(answer.complete && answer.body == recording(), "{fault:?}");
    }
}

/// A store that sends more than it announced: the client gets the announced bytes, or the transfer breaks; nothing is
/// ever added.
#[tokio::test]
async fn a_body_longer_than_announced_never_reaches_the_client_so() {
    let (site, store) = Site::on_faulty_store().await;
    for extra in [1, 16 * 1024, 1_000_000] {
        store.set_fault(Fault::RunsOverBy(extra));
        for (way, wanted) in [(WAYS[0], 0..SIZE as usize), (WAYS[1], 0..200_001)] {
            let bytes =
                site.client().exchange(request_head("GET", &site.recording(), way, b"").as_bytes()).await;
            let (answer, rest) = Answer::parse_loosely(&bytes, false);
            assert!(rest.is_empty());
            let wanted = &recording()[wanted];
            assert!(if answer.complete { answer.body == wanted } else { wanted.starts_with(&answer.body) });
        }
        let answer = get(&site, &site.recording(), WAYS[3]).await;
        let length: usize = answer.must("content-length").parse().unwrap();
        assert!(answer.body.len() <= length && !answer.body.windows(9).any(|nine| nine == b"!!!!!!!!!"));
    }
}

#[tokio::test]
async fn a_connection_is_not_used_again_after_a_broken_body() {
    let (site, store) = Site::on_faulty_store().await;
    store.set_fault(Fault::EndsAfter(SIZE - 1));
    let request = format!("GET {} HTTP/1.1\r\nHost: localhost\r\n\r\n", site.recording());
    // Two requests at once: the client could take an answer to the second for the missing byte of the first.
    let bytes = site.client().exchange(request.repeat(2).as_bytes()).await;
    let answer = (!bytes.is_empty()).then(|| Answer::parse_loosely(&bytes, false).0);
    is_visibly_broken(answer, Fault::EndsAfter(SIZE - 1), 200, &recording());
}

#[tokio::test]
async fn several_ranges_that_break_off_end_before_their_content_length() {
    let (site, store) = Site::on_faulty_store().await;
    let fields = [("Range", "bytes=0-9,100000-199999")];
    let whole = get(&site, &site.recording(), &fields).await;
    assert!(whole.complete && whole.status == 206 && whole.must("content-type").starts_with("multipart/"));
    // The first part has ten bytes and is sound; the second is not.
    for fault in faults_inside(100_000)
        .into_iter()
        .filter(|fault| !matches!(fault, Fault::BreaksAfter(1) | Fault::EndsAfter(1)))
    {
        store.set_fault(fault);
        let Some(answer) = get_if_any(&site, &site.recording(), &fields).await else { continue };
        assert_eq!((answer.status, answer.complete), (206, false), "{fault:?}");
        assert_eq!(answer.must("content-length"), whole.must("content-length"));
        let text = String::from_utf8_lossy(&answer.body);
        assert!(!text.trim_end().ends_with("--"), "the closing boundary was sent after a broken part");
    }
    // A fault in the first part shows too.
    store.set_fault(Fault::BreaksAfter(5));
    let answer = get_if_any(&site, &site.recording(), &fields).await;
    assert!(answer.is_none_or(|answer| !answer.complete));
}

#[tokio::test]
async fn several_ranges_break_off_if_the_store_fails_between_them() {
    let (site, store) = Site::on_faulty_store().await;
    for fault in [Fault::Fails, Fault::Refuses, Fault::Hangs, Fault::BreaksAfter(0), Fault::EndsAfter(0)] {
        // The metadata request and the first part succeed.
        store.set_fault_after(2, fault);
        let fields = [("Range", "bytes=0-99,1000-1099,5000-5099")];
        let Some(answer) = get_if_any(&site, &site.recording(), &fields).await else { continue };
        assert_eq!((answer.status, answer.complete), (206, false), "{fault:?}");
    }
}

/// An object that is replaced between two parts must not be mixed with its successor.
#[tokio::test]
async fn several_ranges_break_off_if_the_object_is_replaced_between_them() {
    let size = 20_000_000;
    let objects = Arc::new(InMemory::new());
    let path = Path::from(AssetRef::recording(CALL).object_path());
    objects.put(&path, vec![1_u8; size].into()).await.unwrap();
    let site = Plan::on(objects.clone()).start().await;
    let fields = [("Range", "bytes=0-15000000,19000000-19000009")];
    let mut client = SlowClient::get(site.address, &site.recording(), &fields).await;
    client.read_the_head().await;
    objects.put(&path, vec![2_u8; size].into()).await.unwrap();
    client.read_to_the_end().await;
    let (answer, _) = Answer::parse_loosely(&client.bytes, false);
    assert_eq!((answer.status, answer.complete), (206, false));
    assert!(!answer.body.contains(&2), "bytes of two versions in one answer");
}

// --- long transcripts, compressed while they are sent -----------------------------------------------------------------

/// A transcript just too long to be compressed before it is sent, which does not compress to nothing.
static LONG: LazyLock<Bytes> = LazyLock::new(|| {
    let mut state = 1_u64;
    let mut letter = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        b"abcdefghijklmnop"[(state >> 60) as usize]
    };
    let words: Vec<u8> = (0..1_150_000).map(|_| letter()).collect();
    [&b"{\"text\":\""[..], &words, b"\"}"].concat().into()
});

async fn site_with_long_transcript() -> (Site, Arc<FaultyStore>) {
    let objects = InMemory::new();
    let path = Path::from(AssetRef::transcript(CALL).object_path());
    objects.put(&path, LONG.clone().into()).await.unwrap();
    let store = FaultyStore::around(Arc::new(objects));
    (Plan::on(store.clone()).soon_out_of_patience().start().await, store)
}

async fn decoded(coding: &str, bytes: &[u8]) -> Vec<u8> {
    use async_compression::tokio::bufread::{BrotliDecoder, GzipDecoder, ZstdDecoder};

    let mut whole = Vec::new();
    let read = match coding {
        "zstd" => ZstdDecoder::new(bytes).read_to_end(&mut whole).await,
        "br" => BrotliDecoder::new(bytes).read_to_end(&mut whole).await,
        _ => GzipDecoder::new(bytes).read_to_end(&mut whole).await,
    };
    read.unwrap();
    whole
}

#[tokio::test]
async fn a_long_transcript_is_compressed_while_it_is_sent() {
    let (site, _) = site_with_long_transcript().await;
    for coding in ["zstd", "br", "gzip"] {
        let answer = get(&site, &site.transcript(), &[("Accept-Encoding", coding)]).await;
        assert!(answer.complete && answer.field("transfer-encoding") == Some("chunked"));
        assert_eq!(answer.must("content-encoding"), coding);
        assert!(decoded(coding, &answer.body).await == *LONG, "{coding}");
    }
}

#[tokio::test]
async fn a_long_transcript_that_breaks_off_has_no_last_chunk() {
    let (site, store) = site_with_long_transcript().await;
    let size = LONG.len() as u64;
    for coding in ["zstd", "br", "gzip"] {
        for fault in [
            Fault::BreaksAfter(20_000),
            Fault::BreaksAfter(size - 1),
            Fault::EndsAfter(size - 1),
            Fault::StallsAfter(size / 2),
        ] {
            store.set_fault(fault);
            let fields = [("Accept-Encoding", coding)];
            let Some(answer) = get_if_any(&site, &site.transcript(), &fields).await else { continue };
            assert_eq!((answer.status, answer.complete), (200, false), "{coding} {fault:?}");
            assert_eq!(answer.field("transfer-encoding"), Some("chunked"));
        }
    }
}

// --- HTTP/2 -----------------------------------------------------------------------------------------------------------

/// Reads an answer whose stream the gateway may reset before the head.
async fn read_or_reset(
    connection: &mut Http2,
    target: &str,
    fields: &[(&str, &str)],
) -> (Vec<u8>, Option<h2::Reason>) {
    match connection.try_get(target, fields).await {
        Ok(answer) => {
            assert!(answer.status().is_success());
            http2::read(answer.into_body()).await
        }
        Err(reason) => (Vec::new(), Some(reason)),
    }
}

#[tokio::test]
async fn over_http_2_a_body_that_breaks_off_resets_its_stream() {
    let (site, store) = Site::on_faulty_store().await;
    for fault in faults_inside(SIZE) {
        store.set_fault(fault);
        let mut connection = Http2::connect(site.address).await;
        let (bytes, reset) = read_or_reset(&mut connection, &site.recording(), &[]).await;
        assert_eq!(reset, Some(h2::Reason::INTERNAL_ERROR), "{fault:?}");
        assert!(bytes.len() < SIZE as usize && recording().starts_with(&bytes));
        // The connection's other streams go on.
        store.set_fault(Fault::None);
        let (bytes, reset) = http2::read(connection.get(&site.recording(), &[]).await.into_body()).await;
        assert!(bytes == recording() && reset.is_none());
    }
}

#[tokio::test]
async fn over_http_2_several_ranges_and_long_transcripts_that_break_off_reset_their_streams() {
    let (site, store) = Site::on_faulty_store().await;
    store.set_fault_after(2, Fault::EndsAfter(99));
    let mut connection = Http2::connect(site.address).await;
    let fields = [("range", "bytes=0-99,1000-1099")];
    let (_, reset) = read_or_reset(&mut connection, &site.recording(), &fields).await;
    assert_eq!(reset, Some(h2::Reason::INTERNAL_ERROR));

    let (site, store) = site_with_long_transcript().await;
    let size = LONG.len() as u64;
    for fault in [Fault::BreaksAfter(size / 2), Fault::EndsAfter(size - 1), Fault::StallsAfter(size - 1)] {
        store.set_fault(fault);
        let mut connection = Http2::connect(site.address).await;
        let fields = [("accept-encoding", "zstd")];
        let (_, reset) = read_or_reset(&mut connection, &site.transcript(), &fields).await;
        assert_eq!(reset, Some(h2::Reason::INTERNAL_ERROR), "{fault:?}");
    }
}

#[tokio::test]
async fn over_http_2_early_failures_are_answers() {
    let (site, store) = Site::on_faulty_store().await;
    let mut connection = Http2::connect(site.address).await;
    for (fault, status) in
        [(Fault::Fails, 503), (Fault::Refuses, 502), (Fault::Hangs, 503), (Fault::EndsAfter(0), 502)]
    {
        store.set_fault(fault);
        let answer = connection.get(&site.recording(), &[]).await;
        assert_eq!(answer.status().as_u16(), status, "{fault:?}");
        let fields = format!("{:?}", answer.headers());
        let (bytes, reset) = http2::read(answer.into_body()).await;
        assert_eq!(reset, None);
        leaks_nothing(fields.as_bytes());
        leaks_nothing(&bytes);
    }
}
