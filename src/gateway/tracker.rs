//! Follows a request from its arrival until its body ends, and then says what became of it.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use tokio::sync::mpsc;

use crate::server::{OnSent, Permit, StallFlag};
use crate::signed_url::{Denial, Grant};
use crate::telemetry::metrics::Metrics;
use crate::telemetry::trace::Trace;
use crate::telemetry::{
    AccessRecord, Audit, AuditUnavailable, BodyEnd, CompletedDownload, RequestLogs, Reservation,
};

/// Who is told of requests. All requests of a gateway share it.
#[derive(Debug, Clone)]
pub(super) struct Told {
    pub(super) metrics: Metrics,
    pub(super) records: RequestLogs,
    /// Who wants to know of downloads.
    pub(super) downloads: Option<mpsc::Sender<CompletedDownload>>,
}

impl Told {
    /// Before anything is opened: room for the record of the download, if it has to be recorded.
    pub(super) fn begin_audit(&self) -> Result<Option<Reservation>, AuditUnavailable> {
        self.records.audit.as_ref().map_or(Ok(None), Audit::begin)
    }

    /// Says what became of a request that took so long.
    pub(super) fn tell(
        &self,
        record: &AccessRecord<'_>,
        ending: BodyEnd,
        took: Duration,
        audited: Option<Reservation>,
    ) {
        if let (Some(downloads), Some(downloaded)) = (&self.downloads, record.downloaded(ending)) {
            // A download is never slowed down by who wants to know of it.
            let _ = downloads.try_send(downloaded);
        }
        record.write(ending, took, &self.metrics, &self.records, audited);
    }
}

/// One request. It lives in a box: what is handed from hand to hand stays small.
#[derive(Debug)]
pub(super) struct Tracker {
    record: AccessRecord<'static>,
    told: Arc<Told>,
    /// Given back when the body ends.
    permit: Option<Permit>,
    stall_flag: Option<StallFlag>,
    /// Room for the audit's record.
    audited: Option<Reservation>,
    /// Where in a trace it is.
    trace: Option<Trace>,
}

impl Tracker {
    pub(super) fn new(
        record: AccessRecord<'_>,
        told: &Arc<Told>,
        stall_flag: Option<StallFlag>,
        trace: Option<Trace>,
    ) -> Box<Self> {
        told.metrics.request_began();
        let (record, told) = (record.into_owned(), Arc::clone(told));
        Box::new(Self { record, told, permit: None, stall_flag, audited: None, trace })
    }

    /// What is known of it so far.
    pub(super) fn record(&self) -> &AccessRecord<'static> {
        &self.record
    }

    /// Its place in a trace, if it has one.
    pub(super) fn trace(&self) -> Option<&Trace> {
        self.trace.as_ref()
    }

    /// Before anything is opened: whether the download can be recorded, if it has to be.
    pub(super) fn begin_audit(&mut self) -> Result<(), AuditUnavailable> {
        self.audited = self.told.begin_audit()?;
        Ok(())
    }

    /// Keeps room for the audit's record.
    pub(super) fn audit(&mut self, place: Option<Reservation>) {
        self.audited = place;
    }

    /// So many bytes the whole asset has.
    pub(super) fn found(&mut self, size: u64) {
        self.record.size = Some(size);
    }

    /// So many bytes the answer has, where that is known.
    pub(super) fn announces(&mut self, length: Option<u64>) {
        self.record.length = length;
    }

    /// So many bytes more were handed to the connection.
    pub(super) fn sends(&mut self, bytes: u64) {
        self.record.sent += bytes;
    }

    /// So many of them the connection did not get rid of.
    pub(super) fn took_back(&mut self, bytes: u64) {
        self.record.sent = self.record.sent.saturating_sub(bytes);
    }

    /// How a body ends that the store has not failed.
    pub(super) fn ending(&self, complete: bool) -> BodyEnd {
        match (complete, self.stall_flag.as_ref().is_some_and(StallFlag::is_set)) {
            (true, _) => BodyEnd::Complete,
            (false, true) => BodyEnd::ClientStalled,
            (false, false) => BodyEnd::ClientLeft,
        }
    }

    /// The link is good.
    pub(super) fn granted(&mut self, grant: &Grant) {
        self.record.granted(grant);
    }

    /// The link is not.
    pub(super) fn denied(&mut self, denial: &Denial) {
        self.record.denied(denial);
    }

    /// Keeps the permit of a request in flight.
    pub(super) fn hold(&mut self, permit: Option<Permit>) {
        self.permit = permit;
    }

    /// The head of the answer is ready.
    pub(super) fn answered(&mut self, status: StatusCode, outcome: &'static str) {
        self.record.status = status;
        self.record.outcome = outcome;
        self.record.head_after = self.record.started.elapsed();
    }

    /// The request has ended.
    pub(super) fn write(mut self: Box<Self>, ending: BodyEnd) {
        if let Some(trace) = &self.trace {
            trace.end(&self.record, ending);
        }
        let (took, audited) = (self.record.started.elapsed(), self.audited.take());
        self.told.tell(&self.record, ending, took, audited);
    }
}

impl Drop for Tracker {
    fn drop(&mut self) {
        self.told.metrics.request_finished();
    }
}

/// The tracker, to go with so many bytes if they are the last.
pub(super) fn with_the_last(
    tracker: &mut Option<Box<Tracker>>,
    is_last: bool,
    bytes: u64,
) -> Option<Box<Tracker>> {
    let mut tracker = tracker.take_if(|_| is_last)?;
    tracker.sends(bytes);
    Some(tracker)
}

impl OnSent for Tracker {
    fn finished(mut self: Box<Self>, left: u64) {
        self.took_back(left);
        let ending = self.ending(left == 0);
        self.write(ending);
    }
}
