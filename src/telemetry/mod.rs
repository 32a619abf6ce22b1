//! What the program tells: events as log lines, one record for each request when its body ends, and metrics. All
//! names are constants here.

mod access;
mod connections;
mod line;
mod log;
pub mod metrics;
mod own;
mod spool;

pub use access::{AccessLog, AccessRecord, Downloaded, Ending, Foreign, redact_target};
pub use log::{LogFormat, LogLevel, Logging, start_logging};
pub use spool::Sink;
