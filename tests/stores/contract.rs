//! What the gateway promises over HTTP, whatever the store: the same assertions for each.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use async_compression::tokio::bufread::{BrotliDecoder, GzipDecoder, ZstdDecoder};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use uuid::Uuid;
use webhook_assets::clock::UnixSeconds;
use webhook_assets::{AssetRef, Keyring, Minter};

use crate::backend::{Seed, is_thorough};
use crate::multipart;
use crate::support::{ABSENT, Answer, CALL, Client, DAY, key, noise, request_head, transcript};

const SMALL: Uuid = Uuid::from_u128(8);
const MIDDLING: Uuid = Uuid::from_u128(5);
const LARGE: Uuid = Uuid::from_u128(200);
const REPLACED: Uuid = Uuid::from_u128(1);

const SMALL_SIZE: usize = 8 * 1024;
const MIDDLING_SIZE: usize = 5 * 1024 * 1024;
const LARGE_SIZE: usize = 200_000_000;

/// A gateway on some store, with the key of `support::key`.
pub struct Served {
    pub address: SocketAddr,
    /// The time of its clock.
    pub now: UnixSeconds,
}

impl Served {
    pub fn link(&self, asset: AssetRef) -> String {
        self.link_made_at(asset, self.now)
    }

    fn link_made_at(&self, asset: AssetRef, now: UnixSeconds) -> String {
        let minter = Minter::new("https://app.example.com/api", Keyring::of_one("k1", key())).unwrap();
        let link = minter.mint_at(asset, DAY, now).unwrap();
        link.as_str().strip_prefix("https://app.example.com").unwrap().to_owned()
    }

    pub async fn ask(&self, method: &str, target: &str, fields: &[(&str, &str)]) -> Answer {
        Client::of(self.address).request(method, target, fields, b"").await
    }

    async fn get(&self, target: &str, fields: &[(&str, &str)]) -> Answer {
        self.ask("GET", target, fields).await
    }
}

/// An object as a client knows it.
struct Object<'s> {
    served: &'s Served,
    link: String,
    bytes: Vec<u8>,
    etag: String,
    last_modified: String,
}

/// The large object: each of its mebibytes begins with its number, so that none can be mistaken for another.
fn large() -> Vec<u8> {
    let mut bytes = noise(1 << 20).repeat(LARGE_SIZE.div_ceil(1 << 20));
    for (number, mebibyte) in bytes.chunks_exact_mut(1 << 20).enumerate() {
        mebibyte[..8].copy_from_slice(&(number as u64).to_be_bytes());
    }
    bytes.truncate(LARGE_SIZE);
    bytes
}

/// Stores all objects that the suite needs.
pub async fn fill(seed: &Seed) {
    seed.put(AssetRef::recording(SMALL), noise(SMALL_SIZE)).await;
    seed.put(AssetRef::recording(MIDDLING), noise(MIDDLING_SIZE)).await;
    seed.put(AssetRef::transcript(CALL), transcript()).await;
}

/// The whole suite but for the large object.
pub async fn holds(store: &str, served: &Served, seed: &Seed) {
    let started = Instant::now();
    for (id, size) in [(SMALL, SMALL_SIZE), (MIDDLING, MIDDLING_SIZE)] {
        let object = a_good_link_opens_its_object(served, id, noise(size)).await;
        head_has_the_fields_of_get(&object).await;
        a_range_is_exactly_the_requested_bytes(&object).await;
        a_range_without_bytes_is_refused_with_the_size(&object).await;
        several_ranges_come_as_parts(&object).await;
        an_unchanged_object_is_not_sent_again(&object).await;
        a_condition_that_fails_is_412(&object).await;
        if_range_decides_between_the_part_and_the_whole(&object).await;
    }
    a_bad_link_is_403(served).await;
    an_absent_object_is_404(served).await;
    a_transcript_is_the_same_in_every_coding(served).await;
    a_replaced_object_is_another_version(served, seed).await;
    println!("{store}: the contract holds ({:.1} s)", started.elapsed().as_secs_f64());
}

/// The large object, if there is time for it.
pub async fn holds_at_length(store: &str, served: &Served, seed: &Seed) {
    if is_thorough() {
        seed.put(AssetRef::recording(LARGE), large()).await;
        let started = Instant::now();
        the_large_object_is_the_same_to_the_last_byte(served).await;
        println!("{store}: 200 MB, every byte compared ({:.1} s)", started.elapsed().as_secs_f64());
    }
}

async fn a_good_link_opens_its_object(served: &Served, id: Uuid, bytes: Vec<u8>) -> Object<'_> {
    let link = served.link(AssetRef::recording(id));
    let answer = served.get(&link, &[]).await;
    assert_eq!((answer.status, answer.must("content-type")), (200, "audio/mpeg"));
    assert_eq!(answer.must("content-length"), bytes.len().to_string());
    assert_eq!(answer.must("accept-ranges"), "bytes");
    assert!(answer.body == bytes, "other bytes");
    let (etag, last_modified) = (answer.must("etag").to_owned(), answer.must("last-modified").to_owned());
    assert!(etag.len() > 2 && etag.starts_with('"') && etag.ends_with('"'), "{etag}");
    httpdate::parse_http_date(&last_modified).unwrap();
    Object { served, link, bytes, etag, last_modified }
}

async fn head_has_the_fields_of_get(object: &Object<'_>) {
    let lasting = |answer: &Answer| {
        let fields = answer.fields.iter().filter(|(name, _)| !matches!(&**name, "date" | "cache-control"));
        (answer.status, fields.cloned().collect::<Vec<_>>())
    };
    let get = object.served.get(&object.link, &[]).await;
    let head = object.served.ask("HEAD", &object.link, &[]).await;
    assert_eq!(lasting(&head), lasting(&get));
    let range = object.served.ask("HEAD", &object.link, &[("Range", "bytes=0-0")]).await;
    assert_eq!(lasting(&range), lasting(&get), "Range is for GET alone");
}

impl Object<'_> {
    async fn get(&self, fields: &[(&str, &str)]) -> Answer {
        self.served.get(&self.link, fields).await
    }

    fn size(&self) -> usize {
        self.bytes.len()
    }

    #[track_caller]
    fn is_part(&self, answer: &Answer, first: usize, last: usize) {
        assert_eq!(answer.status, 206, "{first}-{last}");
        assert_eq!(answer.must("content-range"), format!("bytes {first}-{last}/{}", self.size()));
        assert_eq!(answer.must("etag"), self.etag);
        assert!(answer.body == self.bytes[first..=last], "{first}-{last}: other bytes");
    }

    #[track_caller]
    fn is_whole(&self, answer: &Answer) {
        assert_eq!((answer.status, answer.field("content-range")), (200, None));
        assert!(answer.body == self.bytes, "other bytes");
    }

    /// 304 with nothing but the fields that a cache needs.
    #[track_caller]
    fn is_unchanged(&self, answer: &Answer) {
        assert_eq!((answer.status, answer.must("etag")), (304, &*self.etag));
    }
}

async fn a_range_is_exactly_the_requested_bytes(object: &Object<'_>) {
    let size = object.size();
    let ranges = [
        ("0-0".to_owned(), 0, 0),
        ("0-499".to_owned(), 0, 499),
        ("1000-1999".to_owned(), 1_000, 1_999),
        ("5000-".to_owned(), 5_000, size - 1),
        (format!("{}-", size - 1), size - 1, size - 1),
        (format!("{}-{}", size - 10, size + 1_000), size - 10, size - 1),
        (format!("0-{}", u64::MAX), 0, size - 1),
        ("-1".to_owned(), size - 1, size - 1),
        ("-500".to_owned(), size - 500, size - 1),
        (format!("-{}", size + 1), 0, size - 1),
    ];
    for (range, first, last) in ranges {
        let answer = object.get(&[("Range", &format!("bytes={range}"))]).await;
        object.is_part(&answer, first, last);
    }
}

async fn a_range_without_bytes_is_refused_with_the_size(object: &Object<'_>) {
    let size = object.size();
    let beyond = [
        format!("{size}-"),
        format!("{}-{}", size + 1, size + 9),
        format!("{}-", u64::MAX),
        "-0".to_owned(),
        format!("{size}-,{}-", size + 7),
    ];
    for range in beyond {
        let answer = object.get(&[("Range", &format!("bytes={range}"))]).await;
        assert_eq!(
            (answer.status, answer.must("content-range")),
            (416, &*format!("bytes */{size}")),
            "{range}"
        );
    }
}

async fn several_ranges_come_as_parts(object: &Object<'_>) {
    let size = object.size();
    let answer = object.get(&[("Range", &format!("bytes=0-99,2000-2999,{size}-,-7"))]).await;
    assert_eq!(answer.status, 206);
    let parts = multipart::parts(answer.must("content-type"), &answer.body, "audio/mpeg", size);
    let expected = [(0, 99), (2_000, 2_999), (size - 7, size - 1)];
    assert!(parts == expected.map(|(first, last)| (first, last, &object.bytes[first..=last])));
}

async fn an_unchanged_object_is_not_sent_again(object: &Object<'_>) {
    let several = format!("\"another\", {}", object.etag);
    let fresh = [
        ("If-None-Match", &*object.etag),
        ("If-None-Match", &*several),
        ("If-None-Match", "*"),
        ("If-Modified-Since", &*object.last_modified),
    ];
    for field in fresh {
        object.is_unchanged(&object.get(&[field]).await);
        object.is_unchanged(&object.get(&[field, ("Range", "bytes=0-9")]).await);
        object.is_unchanged(&object.served.ask("HEAD", &object.link, &[field]).await);
    }
    for field in [("If-None-Match", "\"another\""), ("If-Modified-Since", "Sat, 01 Jan 2000 00:00:00 GMT")] {
        object.is_whole(&object.get(&[field]).await);
    }
}

async fn a_condition_that_fails_is_412(object: &Object<'_>) {
    let before = "Sat, 01 Jan 2000 00:00:00 GMT";
    for field in [("If-Match", "\"another\""), ("If-Unmodified-Since", before)] {
        assert_eq!(object.get(&[field]).await.status, 412, "{field:?}");
        assert_eq!(object.get(&[field, ("Range", "bytes=0-9")]).await.status, 412, "{field:?}");
        assert_eq!(object.served.ask("HEAD", &object.link, &[field]).await.status, 412, "{field:?}");
    }
    for field in [("If-Match", &*object.etag), ("If-Unmodified-Since", &*object.last_modified)] {
        object.is_whole(&object.get(&[field]).await);
    }
}

async fn if_range_decides_between_the_part_and_the_whole(object: &Object<'_>) {
    let range = ("Range", "bytes=10-19");
    object.is_part(&object.get(&[range, ("If-Range", &object.etag)]).await, 10, 19);
    for other in ["\"another\"", "Sat, 01 Jan 2000 00:00:00 GMT"] {
        object.is_whole(&object.get(&[range, ("If-Range", other)]).await);
    }
    let beyond = format!("bytes={}-", object.size());
    object.is_whole(&object.get(&[("Range", &beyond), ("If-Range", "\"another\"")]).await);
}

async fn a_bad_link_is_403(served: &Served) {
    for id in [SMALL, ABSENT] {
        let expired = served.link_made_at(AssetRef::recording(id), UnixSeconds(served.now.0 - 100_000));
        let answer = served.get(&expired, &[]).await;
        assert_eq!((answer.status, &*answer.code()), (403, "expired"));
        let forged = served.link(AssetRef::recording(id)).replace("sig=", "sig=0");
        let answer = served.get(&forged, &[]).await;
        assert_eq!((answer.status, &*answer.code()), (403, "invalid_signature"));
    }
}

async fn an_absent_object_is_404(served: &Served) {
    for asset in [AssetRef::recording(ABSENT), AssetRef::transcript(ABSENT), AssetRef::transcript(SMALL)] {
        let link = served.link(asset);
        let ways: [&[(&str, &str)]; 5] = [
            &[],
            &[("Range", "bytes=0-9")],
            &[("Range", "bytes=-9")],
            &[("Range", "bytes=0-1,5-6")],
            &[("If-None-Match", "\"another\"")],
        ];
        for fields in ways {
            let answer = served.get(&link, fields).await;
            assert_eq!((answer.status, &*answer.code()), (404, "not_found"), "{fields:?}");
        }
        assert_eq!(served.ask("HEAD", &link, &[]).await.status, 404);
    }
}

async fn a_transcript_is_the_same_in_every_coding(served: &Served) {
    let link = served.link(AssetRef::transcript(CALL));
    let plain = served.get(&link, &[]).await;
    assert_eq!((plain.status, plain.must("content-type")), (200, "application/json"));
    assert!(plain.body == transcript(), "other bytes");
    for coding in ["gzip", "br", "zstd"] {
        let accepted = ("Accept-Encoding", coding);
        let answer = served.get(&link, &[accepted]).await;
        assert_eq!((answer.status, answer.must("content-encoding")), (200, coding));
        assert!(decoded(coding, &answer.body).await == transcript(), "{coding}: other bytes");
        let again = served.get(&link, &[accepted, ("If-None-Match", answer.must("etag"))]).await;
        assert_eq!((again.status, again.must("etag")), (304, answer.must("etag")), "{coding}");
    }
}

async fn decoded(coding: &str, body: &[u8]) -> Vec<u8> {
    match coding {
        "gzip" => all_of(GzipDecoder::new(body)).await,
        "br" => all_of(BrotliDecoder::new(body)).await,
        _ => all_of(ZstdDecoder::new(body)).await,
    }
}

async fn all_of(mut reader: impl AsyncRead + Unpin) -> Vec<u8> {
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes).await.unwrap();
    bytes
}

async fn a_replaced_object_is_another_version(served: &Served, seed: &Seed) {
    seed.put(AssetRef::recording(REPLACED), noise(1_000)).await;
    let old = a_good_link_opens_its_object(served, REPLACED, noise(1_000)).await;
    // Of the same length, and perhaps of the same second: only the tag can tell.
    let bytes: Vec<u8> = noise(1_000).into_iter().rev().collect();
    seed.put(AssetRef::recording(REPLACED), bytes.clone()).await;
    let new = a_good_link_opens_its_object(served, REPLACED, bytes).await;
    assert_ne!(old.etag, new.etag);
    new.is_whole(&new.get(&[("If-None-Match", &old.etag)]).await);
    new.is_whole(&new.get(&[("Range", "bytes=0-9"), ("If-Range", &old.etag)]).await);
    assert_eq!(new.get(&[("If-Match", &old.etag)]).await.status, 412);
}

/// Compared as it arrives, so that the test need not hold 200 MB twice.
async fn the_large_object_is_the_same_to_the_last_byte(served: &Served) {
    let (bytes, link) = (large(), served.link(AssetRef::recording(LARGE)));
    let mut stream = Client::of(served.address).connect().await;
    stream.write_all(request_head("GET", &link, &[], b"").as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 200 "), "{head}");
    assert!(head.contains(&format!("\r\ncontent-length: {LARGE_SIZE}\r\n")), "{head}");
    let (mut at, mut buffer) = (0, vec![0; 1 << 18]);
    loop {
        let read = tokio::time::timeout(Duration::from_secs(30), stream.read(&mut buffer));
        let read = read.await.expect("bytes keep coming").unwrap();
        if read == 0 {
            break;
        }
        assert!(bytes.get(at..at + read) == Some(&buffer[..read]), "other bytes behind position {at}");
        at += read;
    }
    assert_eq!(at, LARGE_SIZE);
    let last = served.get(&link, &[("Range", "bytes=-1000000")]).await;
    assert!(last.status == 206 && last.body == bytes[LARGE_SIZE - 1_000_000..], "the last million bytes");
}
