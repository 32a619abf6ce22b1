//! What the program tells: events as log lines, one record for each request when its body ends, the
//! audit of downloads, traces, and metrics. All names are constants here.

mod access;
mod answers;
mod audit;
pub(crate) mod connections;
mod known;
mod line;
mod log;
mod log_writer;
pub mod metrics;
mod own;
pub mod trace;

pub use access::{AccessLog, AccessRecord, Downloaded, Ending, Foreign, Records, redact_target};
pub use audit::{Audit, AuditConfig, AuditError, RequestId, Unrecorded};
pub use log::{LogFormat, LogLevel, Logging, start_logging};
pub use log_writer::{Reservation, Sink};
