//! The program's S3 client against a bucket that breaks on the wire: what object_store makes of it, and what the client
//! gets.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::support::bucket::{Act, Bucket};
use crate::support::{Answer, Plan, Site, recording, request_head, sample_store};

async fn site_on(bucket: &Bucket) -> Site {
    site_waiting(bucket, Duration::from_secs(2)).await
}

async fn site_waiting(bucket: &Bucket, first_byte_timeout: Duration) -> Site {
    let mut plan = plan_on(bucket).await;
    plan.store.first_byte_timeout = first_byte_timeout;
    plan.start().await
}

pub async fn plan_on(bucket: &Bucket) -> Plan {
    let mut plan = Plan::on(sample_store().await);
    plan.store.url = "s3://bucket/prefix".parse().unwrap();
    plan.store.options = [
        ("endpoint", format!("http://{}", bucket.address)),
        ("allow_http", "true".into()),
        ("region", "eu".into()),
        ("access_key_id", "AKIAEXAMPLE".into()),
        ("secret_access_key", "nobody-may-see-this".into()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .to_vec();
    plan = plan.soon_out_of_patience();
    plan.store.first_byte_timeout = Duration::from_secs(2);
    plan.store.resume_tries = 4;
    plan
}

/// A long object that the store prefetches in four segments at once.
async fn far_away(object: &[u8]) -> (Arc<Bucket>, Site) {
    let bucket = Bucket::holding(object.to_vec()).await;
    let mut plan = plan_on(&bucket).await;
    plan.store.read_ahead = 4;
    (bucket, plan.start().await)
}

#[tokio::test]
async fn prefetched_bytes_are_the_objects_whatever_breaks() {
    let object: Vec<u8> = recording().into_iter().cycle().take(30_000_000).collect();
    let (bucket, site) = far_away(&object).await;
    for acts in [
        &[][..],
        &[Act::CutAfter(1_000_000)],
        &[Act::Serve, Act::CutAfter(0), Act::ResetAfter(3_000_000), Act::Status(503, "SlowDown")],
        &[
            Act::Serve,
            Act::Serve,
            Act::StallAfter(2_000_000),
            Act::Serve,
            Act::Late(Duration::from_millis(200)),
        ],
        &[Act::Serve, Act::Serve, Act::Serve, Act::Shortened(1)],
    ] {
        bucket.play(acts, Act::Serve);
        let answer = download(&site).await;
        assert_eq!((answer.status, answer.complete), (200, true), "{acts:?}: {} bytes", answer.body.len());
        assert!(answer.body == object, "{acts:?}");
    }
    let target = site.recording();
    let answer = site.get(&target, &[("Range", "bytes=11111111-")]).await;
    assert_eq!((answer.status, answer.body == object[11_111_111..]), (206, true));
}

#[tokio::test]
async fn an_object_replaced_during_prefetch_breaks_the_connection() {
    let object: Vec<u8> = recording().into_iter().cycle().take(30_000_000).collect();
    let (bucket, site) = far_away(&object).await;
    bucket.play(&[Act::Serve, Act::Late(Duration::from_millis(200))], Act::Serve);
    let replaced = async {
        while bucket.requests.load(Ordering::SeqCst) < 2 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        bucket.replace();
    };
    let (answer, ()) = tokio::join!(download(&site), replaced);
    assert!(!answer.complete && object.starts_with(&answer.body), "{} bytes", answer.body.len());
}

#[tokio::test]
async fn prefetch_does_not_disturb_a_short_or_empty_object() {
    for object in [&b""[..], b"x", &[7; 100_000]] {
        let (_bucket, site) = far_away(object).await;
        let answer = site.get(&site.recording(), &[]).await;
        assert_eq!((answer.status, answer.body.as_slice()), (200, object));
    }
}

async fn download(site: &Site) -> Answer {
    let request = request_head("GET", &site.recording(), &[], b"");
    Answer::parse_loosely(&site.client().exchange(request.as_bytes()).await, false).0
}

#[tokio::test]
async fn a_body_that_breaks_on_the_wire_is_resumed() {
    let bucket = Bucket::holding(recording()).await;
    let site = site_on(&bucket).await;
    for acts in [
        &[][..],
        &[Act::Status(500, "InternalError")],
        &[Act::Status(503, "SlowDown"), Act::Status(503, "SlowDown")],
        &[Act::CutAfter(0)],
        &[Act::CutAfter(100_000), Act::CutAfter(100_000)],
        &[Act::ResetAfter(100_000), Act::Status(503, "SlowDown")],
        &[Act::StallAfter(100_000), Act::Status(500, "InternalError"), Act::CutAfter(10)],
        &[Act::Late(Duration::from_millis(300))],
        &[Act::Late(Duration::from_millis(100)), Act::CutAfter(299_999)],
    ] {
        bucket.play(acts, Act::Serve);
        let answer = download(&site).await;
        assert_eq!((answer.status, answer.complete), (200, true), "{acts:?}: {} bytes", answer.body.len());
        assert!(answer.body == recording(), "{acts:?}");
    }
}

#[tokio::test]
async fn an_object_replaced_between_two_chunks_breaks_the_connection() {
    for act in [Act::CutAfter(150_000), Act::ResetAfter(150_000), Act::StallAfter(150_000)] {
        let bucket = Bucket::holding(recording()).await;
        let site = site_on(&bucket).await;
        bucket.play(&[act, Act::Late(Duration::from_millis(200))], Act::Serve);
        // Once the download has begun, and before the store requests the rest: that answer is late.
        let replaced = async {
            while bucket.requests.load(Ordering::SeqCst) < 1 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
            bucket.replace();
        };
        let (answer, ()) = tokio::join!(download(&site), replaced);
        assert_eq!((answer.status, answer.complete), (200, false), "{act:?}");
        assert!(recording().starts_with(&answer.body), "{act:?}");
    }
}

#[tokio::test]
async fn a_length_that_contradicts_the_range_is_never_passed_on_as_whole() {
    let bucket = Bucket::holding(recording()).await;
    let site = site_on(&bucket).await;
    bucket.play(&[], Act::Shortened(1_000));
    let target = site.recording();
    let request = request_head("GET", &target, &[("Range", "bytes=0-99999")], b"");
    let bytes = site.client().exchange(request.as_bytes()).await;
    let (answer, _) = Answer::parse_loosely(&bytes, false);
    assert!(answer.status >= 500 || !answer.complete, "{}: {} bytes", answer.status, answer.body.len());
}

#[tokio::test]
async fn a_dead_bucket_costs_its_deadline_at_first_and_nothing_later() {
    const LATE: Duration = Duration::from_secs(60);

    let bucket = Bucket::holding(recording()).await;
    let site = site_waiting(&bucket, Duration::from_millis(400)).await;
    bucket.play(&[], Act::Late(LATE));
    let started = Instant::now();
    for _ in 0..5 {
        let answer = site.get(&site.recording(), &[]).await;
        assert_eq!((answer.status, answer.must("retry-after")), (503, "5"));
    }
    assert!(started.elapsed() < LATE / 2, "{:?}", started.elapsed());
    site.counts("webhook_assets_store_up 0").await;
    let (asked, started) = (bucket.requests.load(Ordering::SeqCst), Instant::now());
    for _ in 0..50 {
        assert_eq!(site.get(&site.recording(), &[]).await.status, 503);
    }
    // One probe a second; if the requests cost their deadlines, each would be one for the bucket.
    let probes = 2 + started.elapsed().as_secs() as usize;
    assert!(bucket.requests.load(Ordering::SeqCst) - asked <= probes, "it is hammered, not probed");
    let ready = site.admin().request("GET", "/readyz", &[], b"").await;
    assert_eq!(ready.status, 503);
}

#[tokio::test]
async fn no_client_learns_what_the_bucket_says() {
    let bucket = Bucket::holding(recording()).await;
    let site = site_on(&bucket).await;
    for (act, status) in [
        (Act::Status(403, "SignatureDoesNotMatch"), 502),
        (Act::Status(404, "NoSuchBucket"), 502),
        (Act::Status(404, "NoSuchKey"), 404),
        (Act::Status(500, "InternalError"), 503),
    ] {
        bucket.play(&[], act);
        let answer = site.get(&site.recording(), &[]).await;
        assert_eq!(answer.status, status, "{act:?}");
        let text = format!("{answer:?} {}", String::from_utf8_lossy(&answer.body));
        for secret in [&bucket.address.to_string(), "AKIAEXAMPLE", "nobody-may-see-this", "prefix", "Error>"]
        {
            assert!(!text.contains(secret), "{act:?}: {text}");
        }
    }
}
