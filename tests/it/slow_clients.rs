//! Clients that read little or nothing: the server serves the slow to the end and disconnects the stalled.

use std::time::{Duration, Instant};

use tokio::io::AsyncReadExt;
use webhook_assets::AssetRef;

use crate::support::http2::{Http2, read};
use crate::support::slow_client::SlowClient;
use crate::support::stores::Fault;
use crate::support::waiting::{WAIT_LIMIT, until};
use crate::support::{Answer, CALL, Plan, Site, noise, store_of_one};

/// Larger than what the kernel holds between server and client.
const SIZE: usize = 4 << 20;

/// For how long a client may read nothing.
const STALL: Duration = Duration::from_millis(1_500);

/// A site that requires 32 KB/s.
async fn strict_site() -> Site {
    let store = store_of_one(AssetRef::recording(CALL), noise(SIZE)).await;
    let mut plan = Plan::on(store);
    plan.server.stall_timeout = STALL;
    plan.server.slowest_client = 32 * 1_024;
    plan.start().await
}

#[tokio::test]
async fn a_client_that_stops_reading_is_disconnected_after_the_stall_timeout() {
    let site = strict_site().await;
    let began = Instant::now();
    let mut client = SlowClient::get(site.address, &site.recording(), &[]).await;
    client.read_the_head().await;
    site.is_idle().await;
    let after = began.elapsed();
    // The other deadlines are longer than a minute.
    assert!(after > STALL && after < WAIT_LIMIT / 2, "{after:?}");
    client.read_to_the_end().await;
    assert!(!Answer::parse_loosely(&client.bytes, false).0.complete, "a part is never taken for the whole");
    site.counts("webhook_assets_bodies_total{asset=\"recording\",ending=\"client_stalled\"} 1").await;
    site.counts("webhook_assets_connections_cut_total{reason=\"stalled\"} 1").await;
    site.counts("webhook_assets_connections 0").await;
}

#[tokio::test]
async fn a_client_that_drips_is_disconnected_too() {
    let site = strict_site().await;
    let mut client = SlowClient::get(site.address, &site.recording(), &[]).await;
    client.read_the_head().await;
    let (mut reads, began) = (0, Instant::now());
    while client.read_some().await {
        reads += 1;
        assert!(began.elapsed() < WAIT_LIMIT, "it drips for ever");
        tokio::time::sleep(Duration::from_millis(800)).await;
    }
    assert!(reads > 1, "{reads}");
    assert!(!Answer::parse_loosely(&client.bytes, false).0.complete);
}

#[tokio::test]
async fn a_slow_phone_gets_everything() {
    let bytes = noise(700_000);
    let mut plan = Plan::on(store_of_one(AssetRef::recording(CALL), bytes.clone()).await);
    plan.server.stall_timeout = STALL;
    // The phone takes some fifty times as much, so that it is fast enough on a busy machine too.
    plan.server.slowest_client = 2 * 1_024;
    let site = plan.start().await;
    let mut client = SlowClient::get(site.address, &site.recording(), &[]).await;
    let began = Instant::now();
    while client.read_some().await {
        tokio::time::sleep(Duration::from_millis(70)).await;
    }
    assert!(began.elapsed() > 2 * STALL, "{:?}: that was not slow", began.elapsed());
    assert!(Answer::parse(&client.bytes, false).0.body == bytes);
}

#[tokio::test]
async fn a_slow_store_is_not_the_clients_fault() {
    let store = store_of_one(AssetRef::recording(CALL), noise(SIZE)).await;
    let mut plan = Plan::on(store.clone());
    plan.server.stall_timeout = Duration::from_millis(300);
    plan.store.stall_timeout = Duration::from_secs(2);
    let site = plan.start().await;
    store.set_fault(Fault::StallsAfter(100_000));
    let began = Instant::now();
    let request = format!("GET {} HTTP/1.1\r\nHost: a\r\n\r\n", site.recording());
    let sent = site.client().exchange(request.as_bytes()).await;
    assert!(!Answer::parse_loosely(&sent, false).0.complete);
    assert!(
        began.elapsed() > Duration::from_millis(1_900),
        "the client was disconnected: {:?}",
        began.elapsed()
    );
    site.counts("webhook_assets_bodies_total{asset=\"recording\",ending=\"store_failed\"} 1").await;
}

#[tokio::test]
async fn a_stream_that_is_not_read_is_reset_and_the_others_go_on() {
    const RESET: &str = "webhook_assets_bodies_total{asset=\"recording\",ending=\"client_stalled\"} 1";

    let site = strict_site().await;
    let mut connection = Http2::roomy(site.address).await;
    let link = site.recording();
    let lying = connection.get(&link, &[]).await;
    let mut other_streams_go_on = async || {
        let other = connection.get(&link, &[("range", "bytes=0-999")]).await;
        assert_eq!(read(other.into_body()).await.0, noise(1_000));
        site.metrics.render().contains(RESET).then_some(())
    };
    until(&mut other_streams_go_on, || "the stream is not reset".to_owned()).await;
    other_streams_go_on().await;
    let (some, reset) = read(lying.into_body()).await;
    assert!(some.len() < SIZE && reset.is_some(), "{} bytes, {reset:?}", some.len());
    site.is_idle().await;
}

#[tokio::test]
async fn an_http_2_connection_that_is_not_read_is_disconnected() {
    let site = strict_site().await;
    let stream = site.client().connect().await;
    let mut client = h2::client::Builder::new();
    client.initial_window_size(16 << 20).initial_connection_window_size(64 << 20);
    let (mut requests, connection) = client.handshake::<_, bytes::Bytes>(stream).await.unwrap();
    let connection = tokio::spawn(connection);
    for _ in 0..20 {
        let request = http::Request::get(format!("http://localhost{}", site.recording())).body(()).unwrap();
        requests = requests.ready().await.unwrap();
        drop(tokio::spawn(requests.send_request(request, true).unwrap().0));
    }
    site.counts("webhook_assets_requests_in_flight 20").await;
    // From now on the client reads nothing from the socket.
    connection.abort();
    site.is_idle().await;
    site.counts("webhook_assets_connections 0").await;
}

#[tokio::test]
async fn a_client_that_vanishes_in_the_middle_leaves_nothing_behind() {
    let site = strict_site().await;
    let stream = site.client().ask_slowly(&site.recording()).await;
    let (mut reader, writer) = stream.into_split();
    let mut some = [0; 1_000];
    reader.read_exact(&mut some).await.unwrap();
    // The client closes half of the connection and never reads the other half.
    drop(writer);
    site.is_idle().await;
    site.counts("webhook_assets_connections 0").await;
}
