//! Observability: events as log lines, a record of each request in the access log and the audit, traces, and the
//! registry of metrics.

mod access;
mod audit;
#[cfg(feature = "sender")]
mod driver_warnings;
mod json_line;
pub(crate) mod label_cache;
mod log;
mod log_limiter;
mod log_metrics;
mod log_writer;
pub mod metrics;
mod record;
mod redact;
mod refusal;
mod request_logs;
pub mod trace;

pub use access::AccessLog;
pub use audit::{Audit, AuditConfig, AuditError, AuditUnavailable};
pub use log::{LogFormat, LogLevel, Logging, start_logging};
pub use log_limiter::LogLimiter;
pub use log_metrics::LogMetrics;
pub use log_writer::{Reservation, Sink};
pub use record::{AccessRecord, BodyEnd, CompletedDownload, RequestId, Untrusted};
pub use redact::redact_target;
pub use refusal::Refusal;
pub use request_logs::RequestLogs;
