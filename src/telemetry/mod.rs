//! What the program reports: events as log lines, one record for each request when its body ends, the audit of
//! downloads, traces, and metrics.

mod access;
mod audit;
pub(crate) mod label_cache;
mod log;
mod log_line;
mod log_metrics;
mod log_writer;
pub mod metrics;
pub mod trace;

pub use access::{
    AccessLog, AccessRecord, BodyEnd, CompletedDownload, RequestLogs, Untrusted, redact_target,
};
pub use audit::{Audit, AuditConfig, AuditError, AuditUnavailable, RequestId};
pub use log::{LogFormat, LogLevel, Logging, start_logging};
pub use log_metrics::LogMetrics;
pub use log_writer::{Reservation, Sink};
