//! Stalled clients and slow stores: how little the gateway reads ahead for a client that stalls, and how long a store
//! or a client may be slow.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::get;
use crate::support::http2::Http2;
use crate::support::slow_client::{SlowClient, settled};
use crate::support::stores::{Generated, generated_byte};
use crate::support::{Answer, Plan, SHORT};

/// How many bytes a gateway may hold in its memory for a client that does not read: hyper's write buffer (64 KiB here,
/// a setting), the chunk that did not fit and the next one of the body: some 100 KiB, whatever the object's size. The
/// rest of this bound is room for chunks of another size.
const HELD: u64 = 1_500_000;

/// What the kernel buffers at most beside that: the largest send buffer of a usual Linux (`tcp_wmem`, 4 MiB) and the
/// small receive buffer of the client. Where the system reports how much it holds, the test does not rely on this.
const KERNEL: u64 = 6_000_000;

/// How many bytes the gateway took from the store for a client that stalled after the head.
async fn taken_by_a_stalled_client(size: u64) -> u64 {
    let store = Generated::of(size);
    let site = Plan::on(store.clone()).start().await;
    let mut client = SlowClient::get(site.address, &site.recording(), &[]).await;
    client.read_the_head().await;
    let taken = settled(|| store.bytes.load(Ordering::SeqCst)).await;
    let read = client.bytes.len() as u64;
    if let Some(in_kernel) = client.in_kernel() {
        assert!(in_kernel > 0, "the connection is not to be found among those of the kernel");
        let held = taken.saturating_sub(in_kernel + read);
        assert!(
            held <= HELD,
            "{held} bytes held for a stalled client; taken {taken}, in the kernel {in_kernel}"
        );
    }
    assert!(taken <= HELD + KERNEL, "{taken} bytes taken for a stalled client");
    taken
}

#[tokio::test]
async fn a_stalled_client_holds_little_whatever_the_size_of_the_object() {
    let (small, large) =
        tokio::join!(taken_by_a_stalled_client(50_000_000), taken_by_a_stalled_client(500_000_000));
    // Ten times the object holds no more memory, but for what the kernel buffers.
    assert!(large <= small + KERNEL, "{large} bytes taken of a large object, {small} of a smaller one");
}

#[tokio::test]
async fn a_stalled_stream_of_http_2_holds_little_too() {
    let store = Generated::of(500_000_000);
    let site = Plan::on(store.clone()).start().await;
    let mut connection = Http2::connect(site.address).await;
    let answer = connection.get(&site.recording(), &[]).await;
    let taken = settled(|| store.bytes.load(Ordering::SeqCst)).await;
    // The client reads nothing, so its window stays shut after the first 64 KiB; no kernel buffer fills.
    assert!(taken <= HELD, "{taken} bytes taken");
    assert_eq!(answer.status(), 200);
}

/// The deadlines are for the store. A client that takes longer than they allow the store gets everything.
#[tokio::test]
async fn a_slow_client_never_triggers_the_stores_deadline() {
    let size = 8_000_000;
    let site = Plan::on(Generated::of(size)).soon_out_of_patience().start().await;
    let mut client = SlowClient::get(site.address, &site.recording(), &[]).await;
    client.read_the_head().await;
    for _ in 0..3 {
        tokio::time::sleep(2 * SHORT).await;
        for _ in 0..20 {
            client.read_some().await;
        }
    }
    client.read_to_the_end().await;
    let (answer, _) = Answer::parse(&client.bytes, false);
    assert_eq!(answer.body.len() as u64, size);
    let sound = |at: usize| answer.body[at] == generated_byte(at as u64);
    assert!((0..answer.body.len()).step_by(997).all(sound));
}

/// The deadline limits each pause of the store, not their sum.
#[tokio::test]
async fn a_slow_store_within_its_deadline_is_waited_for() {
    let size = 10 * 16 * 1024;
    let mut plan = Plan::on(Generated::with_pauses(size, Duration::from_millis(250)));
    plan.store.first_byte_timeout = Duration::from_secs(2);
    plan.store.stall_timeout = Duration::from_secs(2);
    let site = plan.start().await;
    let started = Instant::now();
    let answer = get(&site, &site.recording(), &[]).await;
    assert!(answer.complete && answer.body.len() as u64 == size);
    assert!(started.elapsed() > Duration::from_secs(2), "the store made no pauses");
}
