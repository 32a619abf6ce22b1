//! What the program tells: events as log lines, one record for each request when its body ends, and metrics. All
//! names are constants here.

mod access;
mod connections;
mod log;
pub mod metrics;

pub use access::{AccessRecord, Downloaded, Ending, redact_target};
pub use log::{LogFormat, LogLevel, start_logging};
