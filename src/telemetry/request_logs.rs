//! Combines the logs that record requests.

use std::time::Duration;

use super::access::AccessLog;
use super::audit::Audit;
use super::log_writer::Reservation;
use super::record::{AccessRecord, BodyEnd};
use super::trace::Tracing;

/// The logs that record requests.
#[derive(Debug, Clone, Default)]
pub struct RequestLogs {
    /// Records every request.
    pub access: Option<AccessLog>,
    /// Records requests with a valid signature.
    pub audit: Option<Audit>,
    /// Records requests that belong to a sampled trace.
    pub traces: Option<Tracing>,
}

impl RequestLogs {
    /// Records a request in the access log and the audit.
    pub fn write(
        &self,
        record: &AccessRecord<'_>,
        end: BodyEnd,
        took: Duration,
        reservation: Option<Reservation>,
    ) {
        if let Some(log) = self.access.as_ref().filter(|log| log.is_enabled()) {
            log.write(record, end, took);
        }
        if let Some(audit) = &self.audit {
            audit.write(record, end, took, reservation);
        }
    }
}
