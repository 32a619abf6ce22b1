//! Writes the audit: JSON lines in a separate file that say who downloaded which asset, when, and how many bytes. It
//! records only requests with a valid signature, and never the signature.

use std::cell::RefCell;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use http::{Method, StatusCode};
use serde_json::Value;

use super::json_line::{JsonLine, Timestamp, field};
use super::log_metrics::LogMetrics;
use super::log_writer::{LogKind, LogWriter, Reservation, Sink, WriterConfig};
use super::record::{AccessRecord, BodyEnd, millis, truncated};
use crate::clock::SystemClock;

/// The audit's settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditConfig {
    /// The file to append to; `-` is standard output.
    pub file: PathBuf,
    /// Whether to refuse a download that cannot be recorded.
    pub required: bool,
}

/// Writes audit records without blocking. Clones share it.
#[derive(Debug, Clone)]
pub struct Audit {
    writer: LogWriter,
    required: bool,
}

/// The audit file cannot be opened.
#[derive(Debug)]
pub struct AuditError(PathBuf, io::Error);

impl fmt::Display for AuditError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "audit.file: {} cannot be opened for appending: {}; create its folder and let this user write there",
            self.0.display(),
            self.1
        )
    }
}

impl std::error::Error for AuditError {}

impl Audit {
    /// Opens the configured file, or creates it with mode 0600.
    ///
    /// # Errors
    /// [`AuditError`].
    pub fn open(config: &AuditConfig, metrics: &LogMetrics) -> Result<Self, AuditError> {
        let failed = |error| AuditError(config.file.clone(), error);
        if config.file == Path::new("-") {
            // Bypasses the standard library's buffer, which does not report how much it wrote.
            let file = io::stdout().as_fd().try_clone_to_owned().map_err(failed)?.into();
            return Self::to(AuditFile { path: None, file }, config.required, metrics).map_err(failed);
        }
        let file = open(&config.file).map_err(failed)?;
        let sink = AuditFile { path: Some(config.file.clone()), file };
        Self::to(sink, config.required, metrics).map_err(failed)
    }

    /// Writes records to `sink`. If `required`, downloads are refused while `sink` fails.
    ///
    /// # Errors
    /// If the system cannot start a thread.
    pub fn to(sink: impl Sink, required: bool, metrics: &LogMetrics) -> io::Result<Self> {
        let config = WriterConfig { kind: LogKind::Audit, immediate: false };
        Ok(Self { writer: LogWriter::start(sink, config, metrics.clone())?, required })
    }

    /// Reopens the file after log rotation has moved it.
    pub fn reopen(&self) {
        self.writer.reopen();
    }

    /// Waits up to `timeout` until every record is written. Returns whether all were.
    pub fn flush(&self, timeout: Duration) -> bool {
        self.writer.flush(timeout)
    }

    /// Whether the file can be written, and since when.
    #[must_use]
    pub fn state(&self) -> (bool, Instant) {
        self.writer.state()
    }

    /// Whether downloads are refused while the file cannot be written.
    #[must_use]
    pub fn is_required(&self) -> bool {
        self.required
    }

    /// Reserves room for a download's record before the download starts; `None` if no record is required.
    ///
    /// # Errors
    /// If a record is required but cannot be written now.
    pub fn begin(&self) -> Result<Option<Reservation>, AuditUnavailable> {
        if self.required { self.writer.reserve().map(Some).ok_or(AuditUnavailable) } else { Ok(None) }
    }

    /// Records an action of a person or a token, as a JSON object. A record that finds no room is dropped and counted.
    pub fn write_action(&self, action: &Value) {
        let mut line = Vec::new();
        let mut stamp = Timestamp::new();
        JsonLine::begin(&mut line, stamp.at(SystemClock.now_micros())).object(action);
        self.writer.push(LogKind::Audit, &line, None);
    }

    /// Records a request with a valid signature; ignores all others.
    pub(super) fn write(
        &self,
        record: &AccessRecord<'_>,
        ending: BodyEnd,
        took: Duration,
        reservation: Option<Reservation>,
    ) {
        thread_local! {
            static SCRATCH: RefCell<(Vec<u8>, Timestamp)> = const { RefCell::new((Vec::new(), Timestamp::new())) };
        }
        if record.key_id.is_none() {
            return;
        }
        SCRATCH.with_borrow_mut(|(line, stamp)| {
            line.clear();
            format(record, ending, took, JsonLine::begin(line, stamp.at(SystemClock.now_micros())));
            self.writer.push(LogKind::Audit, line, reservation);
        });
    }
}

/// A required audit record cannot be written at present.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditUnavailable;

fn format(record: &AccessRecord<'_>, ending: BodyEnd, took: Duration, mut line: JsonLine<'_>) {
    let of_the_asset = matches!(record.status, StatusCode::OK | StatusCode::PARTIAL_CONTENT);
    if let Some(id) = record.request_id {
        line.display(field!("request_id"), &id);
    }
    // Without the port, which does not identify the client.
    line.display(field!("client"), &record.peer.ip());
    if let Some(key_id) = &record.key_id {
        line.string(field!("key_id"), key_id);
    }
    if let Some(agent) = &record.user_agent {
        line.string(field!("user_agent"), truncated(&agent.text()));
    }
    line.string(field!("method"), record.method.as_str());
    if let Some(asset) = record.asset {
        line.string(field!("asset"), asset.kind.name());
        line.display(field!("id"), &asset.id);
    }
    if let Some(format) = record.format {
        line.string(field!("format"), format.name());
    }
    if let Some(expires) = record.link_expires {
        line.display(field!("link_expires"), &expires);
    }
    if let Some(range) = &record.range {
        line.string(field!("range"), truncated(&range.text()));
    }
    line.number(field!("status"), record.status.as_u16().into());
    line.string(field!("outcome"), record.outcome);
    // The body of a problem document is not part of the asset.
    line.number(field!("sent"), if of_the_asset { record.sent } else { 0 });
    if let Some(length) = record.length.filter(|_| of_the_asset) {
        line.number(field!("length"), length);
    }
    if let Some(size) = record.size {
        line.number(field!("size"), size);
    }
    line.string(field!("ending"), ending.name());
    line.boolean(
        field!("complete"),
        of_the_asset && ending == BodyEnd::Complete && record.method == Method::GET,
    );
    line.number(field!("took_ms"), millis(took));
    line.end();
}

struct AuditFile {
    /// `None` for standard output.
    path: Option<PathBuf>,
    file: File,
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}

impl Sink for AuditFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn reopen(&mut self) -> io::Result<()> {
        if let Some(path) = &self.path {
            self.file = open(path)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::telemetry::metrics::Registry;

    /// A disk without room.
    struct FullDisk;

    impl Sink for FullDisk {
        fn write(&mut self, _bytes: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }
    }

    #[test]
    fn an_action_that_finds_no_room_is_dropped_and_counted() {
        let registry = Registry::default();
        let audit = Audit::to(FullDisk, false, &LogMetrics::register(&registry)).unwrap();
        let action = json!({"action": "x".repeat(1 << 20)});
        for _ in 0..70 {
            audit.write_action(&action);
        }
        let page = registry.render();
        let dropped = "webhook_assets_log_lines_dropped_total{log=\"audit\"} ";
        let dropped = page.lines().find_map(|line| line.strip_prefix(dropped)).unwrap();
        assert!((1..70).contains(&dropped.parse::<u64>().unwrap()), "{dropped} of 70");
    }
}
