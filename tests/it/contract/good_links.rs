//! Good links.

use std::time::Duration;

use object_store::ObjectStoreExt;
use object_store::path::Path;
use tokio::io::AsyncReadExt;
use webhook_assets::AssetRef;
use webhook_assets::clock::{Clock, UnixSeconds};

use super::{assert_fields, borrowed, is_strong_tag, recording_fields, transcript_fields};
use crate::support::{
    Answer, CALL, DAY, NOW, Plan, Site, noise, recording, sample_store, store_of_one, transcript,
};

/// The object's last modification in the store, as an HTTP date.
async fn last_modified(plan: &Plan, asset: AssetRef) -> String {
    let meta = plan.objects.head(&Path::from(asset.object_path())).await.unwrap();
    let seconds = u64::try_from(meta.last_modified.timestamp()).unwrap();
    httpdate::fmt_http_date(UnixSeconds(seconds).to_system_time())
}

#[tokio::test]
async fn a_good_link_to_a_recording_answers_200_with_exactly_the_promised_header_fields() {
    let plan = Plan::usual().await;
    let modified = last_modified(&plan, AssetRef::recording(CALL)).await;
    let site = plan.start().await;
    let answer = site.get(&site.recording(), &[]).await;
    assert_eq!(answer.status, 200);
    assert!(answer.body == recording());
    assert!(is_strong_tag(answer.must("etag")), "{}", answer.must("etag"));
    let mut expected = recording_fields();
    expected.push(("content-length", recording().len().to_string()));
    expected.push(("etag", answer.must("etag").to_owned()));
    expected.push(("last-modified", modified));
    expected.push(("cache-control", "private, max-age=60, must-revalidate".into()));
    assert_fields(&answer, &borrowed(&expected));
}

#[tokio::test]
async fn a_good_link_to_a_transcript_answers_200_with_exactly_the_promised_header_fields() {
    let plan = Plan::usual().await;
    let modified = last_modified(&plan, AssetRef::transcript(CALL)).await;
    let site = plan.start().await;
    let answer = site.get(&site.transcript(), &[]).await;
    assert_eq!(answer.status, 200);
    assert!(answer.body == transcript());
    assert!(is_strong_tag(answer.must("etag")), "{}", answer.must("etag"));
    let mut expected = transcript_fields();
    expected.push(("content-length", transcript().len().to_string()));
    expected.push(("etag", answer.must("etag").to_owned()));
    expected.push(("last-modified", modified));
    expected.push(("cache-control", "private, max-age=60, must-revalidate".into()));
    assert_fields(&answer, &borrowed(&expected));
}

#[tokio::test]
async fn head_has_the_same_header_fields_content_length_included_and_no_body() {
    let site = Site::usual().await;
    for target in [site.recording(), site.transcript()] {
        let (get, head) = (site.get(&target, &[]).await, site.head(&target, &[]).await);
        assert_eq!((head.status, stable_fields(&head)), (200, stable_fields(&get)), "{target}");
        assert_eq!(head.must("content-length"), get.body.len().to_string());
    }
}

#[tokio::test]
async fn head_ignores_a_range() {
    let site = Site::usual().await;
    let head = site.head(&site.recording(), &[("Range", "bytes=0-1")]).await;
    assert_eq!((head.status, head.must("content-length")), (200, "300000"));
}

/// All header fields but `Date`, which may tick between two answers, and `Transfer-Encoding`, which belongs to the
/// connection.
pub(super) fn stable_fields(answer: &Answer) -> Vec<&(String, String)> {
    let leave = ["date", "transfer-encoding"];
    answer.fields.iter().filter(|(name, _)| !leave.contains(&name.as_str())).collect()
}

#[tokio::test]
async fn a_cache_asks_again_after_a_minute_and_never_later_than_the_link_lives() {
    let site = Site::usual().await;
    let link = site.link_for(AssetRef::recording(CALL), Duration::from_secs(3_600));
    for (left, fresh) in [(3_600, 60), (61, 60), (60, 60), (59, 59), (1, 1)] {
        site.clock.set(UnixSeconds(NOW.0 + 3_600 - left));
        for fields in [&[][..], &[("Range", "bytes=0-1")]] {
            let answer = site.get(&link, fields).await;
            assert_eq!(answer.must("cache-control"), format!("private, max-age={fresh}, must-revalidate"));
        }
    }
}

#[tokio::test]
async fn last_modified_is_never_later_than_the_answer() {
    let site = Site::usual().await;
    site.clock.set(UnixSeconds(1_000_000_000));
    let answer = site.get(&site.recording(), &[]).await;
    assert_eq!(answer.must("last-modified"), "Sun, 09 Sep 2001 01:46:40 GMT");
}

#[tokio::test]
async fn a_link_answers_below_the_prefix_and_without_it() {
    let site = Site::usual().await;
    for target in [site.recording(), site.transcript()] {
        let bare = target.strip_prefix("/api").unwrap();
        let (with, without) = (site.get(&target, &[]).await, site.get(bare, &[]).await);
        assert_eq!((with.status, without.status), (200, 200));
        assert_eq!((stable_fields(&with), &with.body), (stable_fields(&without), &without.body));
    }
}

#[tokio::test]
async fn a_link_answers_at_a_base_without_a_prefix() {
    let mut plan = Plan::usual().await;
    plan.public_url = "https://app.example.com";
    plan.gateway.prefix = String::new();
    let site = plan.start().await;
    assert!(site.recording().starts_with("/webhook-assets/recording/"));
    assert_eq!(site.get(&site.recording(), &[]).await.body, recording());
}

#[tokio::test]
async fn other_parameters_and_their_order_do_not_matter() {
    let site = Site::usual().await;
    let link = site.recording();
    let (path, query) = link.split_once('?').unwrap();
    let (expires, sig) = query.split_once('&').unwrap();
    for query in [
        format!("{sig}&{expires}"),
        format!("{query}&utm_source=zapier&utm_medium=email"),
        format!("utm_source=n8n&{query}"),
        format!("{expires}&utm_campaign=%C3%A9t%C3%A9&{sig}&fbclid=x&fbclid=y"),
        format!("&&{query}&"),
    ] {
        let answer = site.get(&format!("{path}?{query}"), &[]).await;
        assert_eq!((answer.status, answer.body.len()), (200, 300_000), "{query}");
    }
}

#[tokio::test]
async fn a_link_is_good_while_now_is_before_expires() {
    let site = Site::usual().await;
    let link = site.link_for(AssetRef::recording(CALL), Duration::from_secs(60));
    site.clock.set(UnixSeconds(NOW.0 + 59));
    assert_eq!(site.get(&link, &[]).await.status, 200);
    site.clock.set(UnixSeconds(NOW.0 + 60));
    assert_eq!(site.get(&link, &[]).await.status, 403);
    site.clock.set(UnixSeconds(NOW.0 + 59));
    assert_eq!(site.get(&link, &[]).await.status, 200, "only the clock decides");
}

#[tokio::test]
async fn a_link_can_be_used_many_times() {
    let site = Site::usual().await;
    let (recording, transcript) = (site.recording(), site.transcript());
    for _ in 0..20 {
        assert_eq!(site.head(&recording, &[]).await.status, 200);
        assert_eq!(site.get(&recording, &[]).await.status, 200);
        assert_eq!(site.get(&transcript, &[]).await.status, 200);
    }
}

#[tokio::test]
async fn accept_and_user_agent_do_not_change_the_answer() {
    let site = Site::usual().await;
    let n8n = "application/json,text/html,application/xhtml+xml,application/xml,text/*;q=0.9, image/*;q=0.8, */*;q=0.7";
    for accept in [n8n, "text/html", "application/problem+json", "audio/ogg", "*/*;q=0", ""] {
        for agent in ["n8n", "curl/8.5.0", "Googlebot/2.1", "", "sqlmap"] {
            let answer = site.get(&site.recording(), &[("Accept", accept), ("User-Agent", agent)]).await;
            assert_eq!((answer.status, answer.must("content-type")), (200, "audio/mpeg"), "{accept} {agent}");
            assert_eq!(answer.field("vary"), None);
        }
        let answer = site.get(&site.transcript(), &[("Accept", accept)]).await;
        assert_eq!((answer.status, answer.must("content-type")), (200, "application/json"), "{accept}");
        let denied = site.get("/api/webhook-assets/recording/x", &[("Accept", accept)]).await;
        assert_eq!(denied.code(), "invalid_signature");
    }
}

#[tokio::test]
async fn the_method_and_the_host_are_not_signed() {
    let site = Site::usual().await;
    for host in ["app.example.com", "localhost:1", "[::1]", "evil.example", ""] {
        let answer = site.head(&site.recording(), &[("Host", host)]).await;
        assert_eq!(answer.status, 200, "{host}");
    }
}

#[tokio::test]
async fn a_download_that_began_before_expiry_completes_after_it() {
    const LENGTH: usize = 8 << 20;
    let (asset, bytes) = (AssetRef::recording(CALL), noise(LENGTH));
    let store = store_of_one(asset, bytes.clone()).await;
    let site = Plan::on(store.clone()).start().await;
    let link = site.link_for(asset, Duration::from_secs(60));
    let mut slow = site.client().ask_slowly(&link).await;
    let mut taken = vec![0; 4_096];
    slow.read_exact(&mut taken).await.unwrap();
    site.clock.advance(DAY);
    assert!(
        (store.bytes.load(std::sync::atomic::Ordering::SeqCst) as usize) < LENGTH,
        "nothing was left to send"
    );
    slow.read_to_end(&mut taken).await.unwrap();
    let (answer, rest) = Answer::parse(&taken, false);
    assert_eq!((answer.status, rest), (200, &b""[..]));
    assert!(answer.body == bytes);
    assert!(site.clock.now() > UnixSeconds(NOW.0 + 60));
    assert_eq!(site.get(&link, &[]).await.code(), "expired", "a new download does not begin");
}

#[tokio::test]
async fn every_file_of_the_store_is_answered_with_its_own_bytes() {
    let store = sample_store().await;
    for (asset, bytes) in [
        (AssetRef::recording(uuid::Uuid::nil()), noise(1)),
        (AssetRef::transcript(uuid::Uuid::max()), b"{}".to_vec()),
        (AssetRef::recording(uuid::Uuid::max()), Vec::new()),
    ] {
        store.put(&Path::from(asset.object_path()), bytes.clone().into()).await.unwrap();
        let site = Plan::on(store.clone()).start().await;
        let answer = site.get(&site.link(asset), &[]).await;
        assert_eq!((answer.status, answer.body), (200, bytes), "{asset}");
    }
}
