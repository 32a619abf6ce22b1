//! One record for each request, written when its body ends: who asked for what, what was answered, how much was
//! sent, and how it ended. Never a signature.

use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::{Method, StatusCode, Version};
use memchr::memchr;

use super::audit::{Audit, RequestId};
use super::log::LogFormat;
use super::log_line::{LineBuilder, LineFormat, Timestamp, field};
use super::log_metrics::LogMetrics;
use super::log_writer::{Lines, LogWriter, Reservation, Sink, WriterConfig};
use super::trace::Tracing;
use crate::asset::AssetRef;
use crate::clock::{Moment, SystemClock, UnixSeconds};
use crate::signed_url::{Denial, Grant, KeyId};

/// How a body ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BodyEnd {
    /// Everything was handed to the connection.
    Complete,
    /// The client went away first; normal for players that seek and for preview bots.
    ClientLeft,
    /// The client took so little for so long that it was left.
    ClientStalled,
    /// The store broke off, and so did we.
    StoreFailed,
}

impl BodyEnd {
    /// The word for logs and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::ClientLeft => "client_left",
            Self::ClientStalled => "client_stalled",
            Self::StoreFailed => "store_failed",
        }
    }
}

/// A link that was followed to the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CompletedDownload {
    /// What was downloaded.
    pub asset: AssetRef,
    /// When its link expires.
    pub link_expires: UnixSeconds,
}

/// Writes access records, from a thread of its own. Clones share it.
#[derive(Debug, Clone)]
pub struct AccessLog {
    writer: LogWriter,
    form: LineFormat,
    /// Whether the level of the log is one at which they are written.
    on: Arc<AtomicBool>,
}

impl AccessLog {
    /// Records that are written into `sink` at once.
    ///
    /// # Errors
    /// If the system has no thread left.
    pub fn to(sink: impl Sink, format: LogFormat, metrics: &LogMetrics) -> std::io::Result<Self> {
        let form =
            if format == LogFormat::Human { LineFormat::Human { colour: false } } else { LineFormat::Json };
        let config = WriterConfig { lines: Lines::Access, at_once: true };
        let writer = LogWriter::start(sink, config, metrics.clone())?;
        Ok(Self { writer, form, on: Arc::new(AtomicBool::new(true)) })
    }

    /// Records that go where `writer` writes its lines.
    pub(super) fn new(writer: LogWriter, form: LineFormat, on: Arc<AtomicBool>) -> Self {
        Self { writer, form, on }
    }

    /// Whether records are written at all at present.
    #[must_use]
    pub fn is_enabled(&self) -> bool {
        self.on.load(Ordering::Relaxed)
    }

    /// Waits until what was recorded is written, but no longer than `timeout`.
    pub fn flush(&self, timeout: Duration) -> bool {
        self.writer.flush(timeout)
    }

    fn write(&self, record: &AccessRecord<'_>, ending: BodyEnd, took: Duration) {
        thread_local! {
            static SCRATCH: RefCell<Scratch> = const { RefCell::new(Scratch::new()) };
        }
        SCRATCH.with_borrow_mut(|scratch| {
            scratch.line.clear();
            record.format(self.form, ending, took, scratch);
            self.writer.push(Lines::Access, &scratch.line, None);
        });
    }
}

/// Where requests are recorded.
#[derive(Debug, Clone, Default)]
pub struct RequestLogs {
    /// Every request.
    pub access: Option<AccessLog>,
    /// Those with a good signature.
    pub audit: Option<Audit>,
    /// Those that belong to a trace which is recorded.
    pub traces: Option<Tracing>,
}

/// Of what took no longer than this, the end is reckoned from the beginning: the wall clock is not looked at again.
const BRIEF: Duration = Duration::from_secs(1);

/// Where a thread puts its lines together.
struct Scratch {
    line: Vec<u8>,
    target: String,
    stamp: Timestamp,
}

impl Scratch {
    const fn new() -> Self {
        Self { line: Vec::new(), target: String::new(), stamp: Timestamp::new() }
    }
}

/// A text of the client's, as it came. It may have a signature in it, so it is written by [`AccessRecord::write`] alone.
#[derive(Clone, Default)]
pub struct Untrusted<'r>(Cow<'r, [u8]>);

impl<'r> Untrusted<'r> {
    /// The longest text that is kept, in bytes. What is written of it is shorter.
    const LONGEST: usize = 4 * 1024;

    /// The beginning of `text`.
    #[must_use]
    pub fn of(text: &'r [u8]) -> Self {
        Self(text.get(..Self::LONGEST).unwrap_or(text).into())
    }

    /// The same, to be kept.
    #[must_use]
    pub fn into_owned(self) -> Untrusted<'static> {
        Untrusted(Cow::Owned(self.0.into_owned()))
    }

    pub(super) fn text(&self) -> Cow<'_, str> {
        // Checked first: almost all of them are text, and that is told faster.
        match std::str::from_utf8(&self.0) {
            Ok(text) => Cow::Borrowed(text),
            Err(_) => String::from_utf8_lossy(&self.0),
        }
    }
}

impl fmt::Debug for Untrusted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

/// What is recorded of one request. Filled in along the way, written once by [`AccessRecord::write`].
#[derive(Debug)]
pub struct AccessRecord<'r> {
    /// The client's address.
    pub peer: SocketAddr,
    /// The request's method.
    pub method: Method,
    /// The request's protocol version.
    pub version: Version,
    /// The request's id, if there is an audit.
    pub request_id: Option<RequestId>,
    /// The request's target, if it will be written; every signature is removed then.
    pub target: Untrusted<'r>,
    /// The `User-Agent`, if it will be written; truncated then.
    pub user_agent: Option<Untrusted<'r>>,
    /// The `Range`, if there is an audit.
    pub range: Option<Untrusted<'r>>,
    /// What was asked for, once the path names an asset.
    pub asset: Option<AssetRef>,
    /// When the link expires, if its signature is good.
    pub link_expires: Option<UnixSeconds>,
    /// The key that signed, if the signature is good.
    pub key_id: Option<KeyId>,
    /// The answer's status.
    pub status: StatusCode,
    /// The answer in a word: `ok`, `expired`, `no_key_fits`, `not_found` …
    pub outcome: &'static str,
    /// How many bytes the answer's body has, if known beforehand.
    pub length: Option<u64>,
    /// How many of them were handed to the connection.
    pub sent: u64,
    /// How many bytes the whole asset has, if it was found.
    pub size: Option<u64>,
    /// When the request's head had arrived.
    pub started: Moment,
    /// How long until the answer's head was ready.
    pub head_after: Duration,
}

impl<'r> AccessRecord<'r> {
    /// The same, to be kept until the body ends.
    #[must_use]
    pub fn into_owned(self) -> AccessRecord<'static> {
        AccessRecord {
            target: self.target.into_owned(),
            user_agent: self.user_agent.map(Untrusted::into_owned),
            range: self.range.map(Untrusted::into_owned),
            ..self
        }
    }

    /// The link is good.
    pub fn granted(&mut self, grant: &Grant) {
        self.asset = Some(grant.asset());
        self.link_expires = Some(grant.expires());
        self.key_id = Some(grant.key_id().clone());
    }

    /// The link is not; an expired one at least says what it was for.
    pub fn denied(&mut self, denial: &Denial) {
        if let Denial::Expired { asset, key_id, .. } = denial {
            self.asset = Some(*asset);
            self.key_id = Some(key_id.clone());
        }
    }

    /// Writes the records of the request.
    pub fn write(
        &self,
        ending: BodyEnd,
        took: Duration,
        records: &RequestLogs,
        reservation: Option<Reservation>,
    ) {
        if let Some(log) = records.access.as_ref().filter(|log| log.is_enabled()) {
            log.write(self, ending, took);
        }
        if let Some(audit) = &records.audit {
            audit.write(self, ending, took, reservation);
        }
    }

    /// The download that this was, if it was one: bytes of the asset, to the end of the answer.
    #[must_use]
    pub fn downloaded(&self, ending: BodyEnd) -> Option<CompletedDownload> {
        let sent_all = ending == BodyEnd::Complete && self.sent > 0;
        let of_the_asset = matches!(self.status, StatusCode::OK | StatusCode::PARTIAL_CONTENT);
        let (Some(asset), Some(link_expires)) = (self.asset, self.link_expires) else { return None };
        (sent_all && of_the_asset).then_some(CompletedDownload { asset, link_expires })
    }

    fn format(&self, form: LineFormat, ending: BodyEnd, took: Duration, scratch: &mut Scratch) {
        let mut id = [0; uuid::fmt::Hyphenated::LENGTH];
        let id = self.asset.map(|asset| &*asset.id.as_hyphenated().encode_lower(&mut id));
        let say = |text: &mut Vec<u8>| self.say(ending, id.unwrap_or_default(), text);
        let now = match took < BRIEF {
            true => self.started.micros_after(took),
            false => SystemClock.now_micros(),
        };
        let mut line = LineBuilder::message(form, &mut scratch.line, scratch.stamp.at(now), say);
        line.address(field!("peer"), self.peer);
        line.unquoted(field!("method"), self.method.as_str());
        scratch.target.clear();
        redact_into(&self.target.text(), &mut scratch.target);
        line.unquoted(field!("target"), &scratch.target);
        line.trusted_unquoted(field!("version"), version(self.version));
        line.number(field!("status"), self.status.as_u16().into());
        line.trusted_string(field!("outcome"), self.outcome);
        if let (Some(asset), Some(id)) = (self.asset, id) {
            line.trusted_string(field!("asset"), asset.kind.name());
            line.trusted_string(field!("id"), id);
        }
        if let Some(key_id) = &self.key_id {
            line.string(field!("key_id"), key_id);
        }
        line.number(field!("sent"), self.sent);
        if let Some(length) = self.length {
            line.number(field!("length"), length);
        }
        line.trusted_string(field!("ending"), ending.name());
        line.number(field!("head_ms"), millis(self.head_after));
        line.number(field!("took_ms"), millis(took));
        if let Some(agent) = &self.user_agent {
            line.string(field!("user_agent"), truncated(&agent.text()));
        }
        if let Some(id) = self.request_id {
            line.string(field!("request_id"), &id.to_string());
        }
        line.end();
    }

    /// The sentence. All its words are ours.
    fn say(&self, ending: BodyEnd, id: &str, text: &mut Vec<u8>) {
        let mut add = |words: &[&str]| words.iter().for_each(|word| text.extend_from_slice(word.as_bytes()));
        match (ending, self.asset) {
            (BodyEnd::Complete, Some(asset)) if self.outcome == "ok" => {
                add(&["sent the ", asset.kind.name(), " ", id]);
            }
            (BodyEnd::Complete, _) => add(&["answered ", self.status.as_str(), " ", self.outcome]),
            (BodyEnd::ClientLeft, _) => add(&["the client left before the end"]),
            (BodyEnd::ClientStalled, _) => {
                add(&["the client took too little, so the connection was broken off"]);
            }
            (BodyEnd::StoreFailed, _) => add(&["the store failed, so the connection was broken off"]),
        }
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

/// The longest header field that is written, in characters.
const LONGEST_FIELD: usize = 120;

pub(super) fn truncated(text: &str) -> &str {
    let end = text.char_indices().nth(LONGEST_FIELD).map_or(text.len(), |(at, _)| at);
    text.get(..end).unwrap_or_default()
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The longest target that is logged, in bytes.
const LONGEST_TARGET: usize = 512;

/// A request target that may be logged: the value of whatever ends in `sig`, and every run of 16 or more hexadecimal
/// digits wherever it stands, is replaced. Cut at 512 bytes.
#[must_use]
pub fn redact_target(path_and_query: &str) -> String {
    let mut target = String::new();
    redact_into(path_and_query, &mut target);
    target
}

fn redact_into(path_and_query: &str, target: &mut String) {
    let (path, query) = split_at_byte(b'?', path_and_query);
    let all = if query.is_empty() { path } else { path_and_query };
    let (mut pairs, mut written) = (query, 0);
    while !pairs.is_empty() {
        let (pair, rest) = split_at_byte(b'&', pairs);
        let (name, value) = split_at_byte(b'=', pair);
        let end = all.len() - rest.len() - usize::from(pair.len() < pairs.len());
        if name.len() < pair.len() && ends_with_sig(name) {
            // What separates is no digit, so no run of them is cut in two here.
            redact_digits(all.get(written..end - value.len()).unwrap_or_default(), target);
            target.push_str("[redacted]");
            written = end;
        }
        pairs = rest;
    }
    redact_digits(all.get(written..).unwrap_or_default(), target);
    if target.len() > LONGEST_TARGET {
        let end = (0..=LONGEST_TARGET).rev().find(|at| target.is_char_boundary(*at)).unwrap_or_default();
        target.truncate(end);
        target.push('…');
    }
}

/// What stands before and behind the first such byte of ASCII; behind it nothing, if there is none.
fn split_at_byte(byte: u8, text: &str) -> (&str, &str) {
    memchr(byte, text.as_bytes())
        .and_then(|at| Some((text.get(..at)?, text.get(at + 1..)?)))
        .unwrap_or((text, ""))
}

fn ends_with_sig(name: &str) -> bool {
    let last = name.len().checked_sub(3).and_then(|at| name.as_bytes().get(at..));
    last.is_some_and(|last| last.eq_ignore_ascii_case(b"sig"))
}

/// A run of so many hexadecimal digits may be of a signature.
const RUN: usize = 16;

/// Which bytes are hexadecimal digits.
#[expect(clippy::indexing_slicing, reason = "a byte is an index of 256 places")]
const IS_DIGIT: [bool; 256] = {
    let mut digits = [false; 256];
    let mut byte = 0_u8;
    while byte < u8::MAX {
        digits[byte as usize] = byte.is_ascii_hexdigit();
        byte += 1;
    }
    digits
};

fn redact_digits(text: &str, redacted: &mut String) {
    let bytes = text.as_bytes();
    let is_digit = |byte: &u8| IS_DIGIT.get(usize::from(*byte)).copied().unwrap_or_default();
    let (mut written, mut start) = (0, 0);
    // No run from `start` on is long enough unless its last byte is a digit: where it is none, all before is skipped.
    while let Some(run) = bytes.get(start..start + RUN) {
        if let Some(other) = run.iter().rposition(|byte| !is_digit(byte)) {
            start += other + 1;
            continue;
        }
        let more = bytes.get(start + RUN..).unwrap_or_default();
        let end = start + RUN + more.iter().take_while(|byte| is_digit(byte)).count();
        // Digits are characters of one byte, so a run begins and ends between characters.
        redacted.push_str(text.get(written..start).unwrap_or_default());
        redacted.push_str("[redacted]");
        (written, start) = (end, end);
    }
    redacted.push_str(text.get(written..).unwrap_or_default());
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SIG: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

    #[test]
    fn no_signature_survives_redaction() {
        let id = "550e8400-e29b-41d4-a716-446655440000";
        let spoiled = SIG.replacen('d', "Z", 1);
        for target in [
            format!("/webhook-assets/recording/{id}?expires=1&sig={SIG}"),
            format!("/webhook-assets/recording/{id}?expires=1&amp;sig={SIG}&x=y"),
            format!("/webhook-assets/recording/{id}?SIG={SIG}"),
            format!("/webhook-assets/recording/{id}%3Fexpires=1%26sig={SIG}"),
            format!("/webhook-assets/recording/{id}?expires=1&sig={spoiled}"),
            format!("/x/{SIG}/y?q={SIG}"),
            format!("/x?{SIG}"),
        ] {
            let logged = redact_target(&target);
            assert!(!logged.contains(&SIG[40..]) && logged.contains("[redacted]"), "{logged}");
        }
        let logged =
            redact_target(&format!("/webhook-assets/recording/{id}?expires=1734567890&sig={SIG}&utm=a"));
        assert_eq!(logged, format!("/webhook-assets/recording/{id}?expires=1734567890&sig=[redacted]&utm=a"));
    }

    proptest! {
        #[test]
        fn every_run_of_16_digits_goes_and_nothing_else(text in "([0-9a-fA-F]{0,20}[g-z/é-]{0,3}){0,6}") {
            let mut redacted = String::new();
            redact_digits(&text, &mut redacted);
            let mut model = String::new();
            let is_digit = |c: char| c.is_ascii_hexdigit();
            let mut rest = &*text;
            while !rest.is_empty() {
                let run = rest.find(|c| !is_digit(c)).unwrap_or(rest.len());
                model.push_str(if run >= 16 { "[redacted]" } else { &rest[..run] });
                rest = &rest[run..];
                let others = rest.find(is_digit).unwrap_or(rest.len());
                model.push_str(&rest[..others]);
                rest = &rest[others..];
            }
            prop_assert_eq!(redacted, model);
        }
    }

    #[test]
    fn a_long_or_strange_target_is_cut_at_a_character() {
        let logged = redact_target(&"/é".repeat(1_000));
        assert!(logged.len() <= LONGEST_TARGET + '…'.len_utf8());
        assert_eq!(redact_target(""), "");
        assert_eq!(redact_target("/a?"), "/a");
    }
}
