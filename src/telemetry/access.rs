//! Writes the access log: one line for each request, written when its body ends, never with a signature.

use std::cell::RefCell;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::Version;

use super::json_line::{JsonLine, Timestamp, field};
use super::log_metrics::LogMetrics;
use super::log_writer::{LogKind, LogWriter, Sink, WriterConfig};
use super::record::{AccessRecord, BodyEnd, Untrusted, millis, truncated};
use super::redact::{redact_into, redact_target};
use crate::asset::TranscriptFormat;
use crate::clock::SystemClock;
use crate::text::{Escape, escape_invisible};

/// The `tracing` target of access records that are events.
pub(super) const EVENT_TARGET: &str = "webhook_assets::access";

/// Writes access records without blocking. Clones share it.
#[derive(Debug, Clone)]
pub struct AccessLog {
    /// Writes JSON lines. Without it, records become events, which `tracing-subscriber` formats for people.
    json: Option<LogWriter>,
    /// Whether the log level includes access records.
    enabled: Arc<AtomicBool>,
}

impl AccessLog {
    /// An access log that writes each JSON line to `sink` without delay.
    ///
    /// # Errors
    /// If the system cannot start a thread.
    pub fn to(sink: impl Sink, metrics: &LogMetrics) -> io::Result<Self> {
        let config = WriterConfig { kind: LogKind::Access, immediate: true };
        let writer = LogWriter::start(sink, config, metrics.clone())?;
        Ok(Self::new(Some(writer), Arc::new(AtomicBool::new(true))))
    }

    pub(super) fn new(json: Option<LogWriter>, enabled: Arc<AtomicBool>) -> Self {
        Self { json, enabled }
    }

    /// Whether the current log level writes records.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.enabled.load(Ordering::Relaxed)
    }

    pub(super) fn write(&self, record: &AccessRecord<'_>, end: BodyEnd, took: Duration) {
        thread_local! {
            static SCRATCH: RefCell<Scratch> = const { RefCell::new(Scratch::new()) };
        }
        let Some(writer) = &self.json else { return log_event(record, end, took) };
        SCRATCH.with_borrow_mut(|scratch| {
            format(record, end, took, scratch);
            writer.push(LogKind::Access, &scratch.line, None);
        });
    }
}

/// For a shorter request, the end time is the start time plus the duration; the wall clock is not read again.
const SHORT: Duration = Duration::from_secs(1);

/// A thread's buffers for formatting lines.
struct Scratch {
    line: Vec<u8>,
    target: String,
    timestamp: Timestamp,
}

impl Scratch {
    const fn new() -> Self {
        Self { line: Vec::new(), target: String::new(), timestamp: Timestamp::new() }
    }
}

fn format(record: &AccessRecord<'_>, end: BodyEnd, took: Duration, scratch: &mut Scratch) {
    let Scratch { line, target, timestamp } = scratch;
    line.clear();
    target.clear();
    redact_into(&record.target.text(), target);
    let mut id = [0; uuid::fmt::Hyphenated::LENGTH];
    let id = record.asset.map(|asset| &*asset.id.as_hyphenated().encode_lower(&mut id));
    let now = match took < SHORT {
        true => record.started.micros_after(took),
        false => SystemClock.now_micros(),
    };
    let mut line = JsonLine::begin(line, timestamp.at(now));
    line.trusted_string(field!("level"), &["INFO"]);
    line.trusted_string(field!("message"), &message(record, end, id.unwrap_or_default()));
    line.address(field!("peer"), record.peer);
    line.string(field!("method"), record.method.as_str());
    line.string(field!("target"), target);
    line.trusted_string(field!("version"), &[version(record.version)]);
    line.number(field!("status"), record.status.as_u16().into());
    line.trusted_string(field!("outcome"), &[record.outcome]);
    if let (Some(asset), Some(id)) = (record.asset, id) {
        line.trusted_string(field!("asset"), &[asset.kind.name()]);
        line.trusted_string(field!("id"), &[id]);
    }
    if let Some(format) = record.format {
        line.trusted_string(field!("format"), &[format.name()]);
    }
    if let Some(key_id) = &record.key_id {
        line.string(field!("key_id"), key_id);
    }
    line.number(field!("sent"), record.sent);
    if let Some(length) = record.length {
        line.number(field!("length"), length);
    }
    line.trusted_string(field!("ending"), &[end.name()]);
    line.number(field!("head_ms"), millis(record.head_after));
    line.number(field!("took_ms"), millis(took));
    if let Some(agent) = &record.user_agent {
        line.string(field!("user_agent"), truncated(&agent.text()));
    }
    if let Some(id) = record.request_id {
        line.display(field!("request_id"), &id);
    }
    line.end();
}

/// Emits the record as a `tracing` event.
fn log_event(record: &AccessRecord<'_>, end: BodyEnd, took: Duration) {
    let id = record.asset.map(|asset| asset.id.to_string());
    let message = message(record, end, id.as_deref().unwrap_or_default()).concat();
    let target = redact_target(&record.target.text());
    let agent = record.user_agent.as_ref().map(Untrusted::text);
    tracing::info!(
        target: EVENT_TARGET,
        peer = %record.peer,
        method = %record.method,
        target = %escape_invisible(&target, Escape::Braces, |_| false),
        version = ?record.version,
        status = record.status.as_u16(),
        outcome = record.outcome,
        asset = record.asset.map(|asset| asset.kind.name()),
        id,
        format = record.format.map(TranscriptFormat::name),
        key_id = record.key_id.as_deref(),
        sent = record.sent,
        length = record.length,
        ending = end.name(),
        head_ms = millis(record.head_after),
        took_ms = millis(took),
        user_agent = agent.as_deref().map(truncated),
        request_id = record.request_id.map(|id| id.to_string()),
        "{message}"
    );
}

/// The parts of the event's message.
fn message<'m>(record: &'m AccessRecord<'_>, end: BodyEnd, id: &'m str) -> [&'m str; 4] {
    match (end, record.asset) {
        (BodyEnd::Complete, Some(asset)) if record.outcome == "ok" => {
            ["sent the ", asset.kind.name(), " ", id]
        }
        (BodyEnd::Complete, _) => ["answered ", record.status.as_str(), " ", record.outcome],
        (BodyEnd::ClientLeft, _) => ["the client left before the end", "", "", ""],
        (BodyEnd::ClientStalled, _) => {
            ["the client read too little, so the connection was closed", "", "", ""]
        }
        (BodyEnd::StoreFailed, _) => ["the store failed, so the connection was broken off", "", "", ""],
    }
}

fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_09 => "HTTP/0.9",
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_11 => "HTTP/1.1",
        Version::HTTP_2 => "HTTP/2.0",
        _ => "HTTP/3.0",
    }
}
