//! Where requests are recorded.

use std::time::Duration;

use super::access::AccessLog;
use super::audit::Audit;
use super::log_writer::Reservation;
use super::record::{AccessRecord, BodyEnd};
use super::trace::Tracing;

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
