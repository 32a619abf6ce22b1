//! HTTP/2 attacks, frame by frame: the server ends the connection, and no other client notices.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use webhook_assets::AssetRef;

use crate::support::waiting::WAIT_LIMIT;
use crate::support::{CALL, Plan, Site, noise, store_of_one};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Frame types (RFC 9113 §6).
const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// GET of a target in HPACK without Huffman codes (RFC 7541).
pub(crate) fn get(target: &str) -> Vec<u8> {
    let mut block = vec![0x82, 0x86, 0x04];
    let length = target.len();
    assert!((127..127 + 128).contains(&length), "{length}");
    block.extend([127, (length - 127) as u8]);
    block.extend_from_slice(target.as_bytes());
    block.extend_from_slice(b"\x01\x01a");
    block
}

pub(crate) struct Attacker(TcpStream);

impl Attacker {
    pub(crate) async fn of(site: &Site, settings: &[u8]) -> Self {
        let mut stream = site.client().connect().await;
        stream.write_all(PREFACE).await.unwrap();
        stream.write_all(&frame(SETTINGS, 0, 0, settings)).await.unwrap();
        Self(stream)
    }

    /// Sends until the server reads no more; returns whether it read everything.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> bool {
        matches!(tokio::time::timeout(WAIT_LIMIT, self.0.write_all(bytes)).await, Ok(Ok(())))
    }

    /// All frames until the server closes, within this time.
    async fn frames_until_closed(&mut self, within: Duration) -> Vec<(u8, Vec<u8>)> {
        let mut said = Vec::new();
        let read = tokio::time::timeout(within, self.0.read_to_end(&mut said)).await;
        let _ = read.expect("the connection stays open");
        let mut frames = Vec::new();
        let mut rest = &said[..];
        while rest.len() >= 9 {
            let length = u32::from_be_bytes([0, rest[0], rest[1], rest[2]]) as usize;
            let end = (9 + length).min(rest.len());
            frames.push((rest[3], rest[9..end].to_vec()));
            rest = &rest[end..];
        }
        frames
    }
}

/// The error of the GOAWAY among these.
fn goaway_code(frames: &[(u8, Vec<u8>)]) -> Option<u32> {
    let (_, payload) = frames.iter().find(|(kind, payload)| *kind == GOAWAY && payload.len() >= 8)?;
    Some(u32::from_be_bytes(payload[4..8].try_into().unwrap()))
}

async fn assert_unharmed(site: &Site) {
    let link = site.recording();
    let answer = tokio::time::timeout(WAIT_LIMIT, site.head(&link, &[])).await;
    assert_eq!(answer.expect("another client is not answered").status, 200);
}

async fn site_with_short_timeouts() -> Site {
    let mut plan = Plan::on(store_of_one(AssetRef::recording(CALL), noise(4 << 20)).await);
    plan.server.stall_timeout = Duration::from_millis(1_500);
    plan.server.header_timeout = Duration::from_secs(2);
    plan.server.idle_timeout = Duration::from_secs(2);
    plan.start().await
}

/// Every attack is over within this time.
const SOON: Duration = WAIT_LIMIT;

#[tokio::test]
async fn streams_that_are_opened_and_reset_at_once_end_the_connection() {
    let site = Site::usual().await;
    let block = get(&site.recording());
    let mut burst = Vec::new();
    for at in 0..20_000 {
        let stream = 2 * at + 1;
        burst.extend(frame(HEADERS, END_STREAM | END_HEADERS, stream, &block));
        burst.extend(frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
    }
    let mut attacker = Attacker::of(&site, &[]).await;
    attacker.send(&burst).await;
    let frames = attacker.frames_until_closed(SOON).await;
    // ENHANCE_YOUR_CALM, unless the reset of the connection overtook it.
    assert!(matches!(goaway_code(&frames), Some(11) | None), "{:?}", goaway_code(&frames));
    assert_unharmed(&site).await;
}

#[tokio::test]
async fn more_streams_than_allowed_are_refused() {
    let site = site_with_short_timeouts().await;
    let block = get(&site.recording());
    // No window: each answer stays open.
    let mut attacker = Attacker::of(&site, &[0, 4, 0, 0, 0, 0]).await;
    let mut burst = Vec::new();
    for at in 0..150 {
        burst.extend(frame(HEADERS, END_STREAM | END_HEADERS, 2 * at + 1, &block));
    }
    attacker.send(&burst).await;
    let frames = attacker.frames_until_closed(SOON).await;
    let refused = |payload: &Vec<u8>| payload.as_slice() == 7_u32.to_be_bytes();
    let refused = frames.iter().filter(|(kind, payload)| *kind == RST_STREAM && refused(payload)).count();
    assert!(refused >= 1 || goaway_code(&frames).is_some_and(|code| code != 0), "{frames:?}");
    assert!(frames.iter().filter(|(kind, _)| *kind == HEADERS).count() <= 100);
    assert_unharmed(&site).await;
}

#[tokio::test]
async fn a_header_block_without_end_ends_the_connection() {
    let site = Site::usual().await;
    let mut attacker = Attacker::of(&site, &[]).await;
    attacker.send(&frame(HEADERS, END_STREAM, 1, &get(&site.recording()))).await;
    // A literal field, never indexed, again and again.
    let fields = b"\x10\x01x\x01y".repeat(2_000);
    let more = frame(CONTINUATION, 0, 1, &fields).repeat(2_000);
    attacker.send(&more).await;
    let frames = attacker.frames_until_closed(SOON).await;
    assert!(frames.iter().all(|(kind, _)| *kind != HEADERS && *kind != DATA), "it was answered");
    assert_unharmed(&site).await;
}

#[tokio::test]
async fn empty_continuations_without_end_end_the_connection_too() {
    let site = site_with_short_timeouts().await;
    let mut attacker = Attacker::of(&site, &[]).await;
    attacker.send(&frame(HEADERS, END_STREAM, 1, &get(&site.recording()))).await;
    attacker.send(&frame(CONTINUATION, 0, 1, &[]).repeat(100_000)).await;
    attacker.frames_until_closed(SOON).await;
    assert_unharmed(&site).await;
}

#[tokio::test]
async fn a_window_that_never_opens_is_not_waited_for() {
    let site = site_with_short_timeouts().await;
    // SETTINGS_INITIAL_WINDOW_SIZE is 0.
    let mut attacker = Attacker::of(&site, &[0, 4, 0, 0, 0, 0]).await;
    attacker.send(&frame(HEADERS, END_STREAM | END_HEADERS, 1, &get(&site.recording()))).await;
    let frames = attacker.frames_until_closed(SOON).await;
    assert!(frames.iter().any(|(kind, _)| *kind == HEADERS), "the head needs no window");
    assert!(frames.iter().all(|(kind, payload)| *kind != DATA || payload.is_empty()));
    assert!(frames.iter().any(|(kind, _)| *kind == RST_STREAM), "the stream is reset");
    let line = "webhook_assets_bodies_total{asset=\"recording\",ending=\"client_stalled\"} 1";
    assert!(site.metrics.render().contains(line), "{}", site.metrics.render());
}

#[tokio::test]
async fn settings_and_pings_whose_answers_are_not_read_end_the_connection() {
    let site = site_with_short_timeouts().await;
    for flood in [frame(SETTINGS, 0, 0, &[]), frame(PING, 0, 0, &[0; 8])] {
        let mut attacker = Attacker::of(&site, &[]).await;
        let flood = flood.repeat(10_000);
        let began = Instant::now();
        // The client reads nothing: sooner or later the server can send no more answers, and then reads no more frames.
        while attacker.send(&flood).await {
            assert!(began.elapsed() < Duration::from_secs(30), "it takes everything for ever");
        }
        drop(attacker);
        assert_unharmed(&site).await;
    }
}
