//! Tracks a request from its arrival to the end of its body, then records it.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use tokio::sync::mpsc;

use super::metrics::RequestMetrics;
use crate::server::{Client, OnSent, Permit, StallFlag};
use crate::store::StoreError;
use crate::telemetry::trace::Trace;
use crate::telemetry::{
    AccessRecord, Audit, AuditUnavailable, BodyEnd, CompletedDownload, RequestLogs, Reservation,
};

/// The metrics and logs of requests. All requests of a gateway share them.
#[derive(Debug, Clone)]
pub(super) struct Recorders {
    pub(super) metrics: RequestMetrics,
    pub(super) logs: RequestLogs,
    /// Receives an event for each download.
    pub(super) downloads: Option<mpsc::Sender<CompletedDownload>>,
}

impl Recorders {
    /// Reserves space for the audit record of a download, if downloads are audited. Called before the object is opened.
    pub(super) fn begin_audit(&self) -> Result<Option<Reservation>, AuditUnavailable> {
        self.logs.audit.as_ref().map_or(Ok(None), Audit::begin)
    }

    /// Records a request that has ended.
    pub(super) fn record(
        &self,
        record: &AccessRecord<'_>,
        ending: BodyEnd,
        took: Duration,
        audited: Option<Reservation>,
    ) {
        if let (Some(downloads), Some(downloaded)) = (&self.downloads, record.downloaded(ending)) {
            // If the channel is full, the event is lost: it must not delay a download.
            let _ = downloads.try_send(downloaded);
        }
        self.metrics.count(record, ending, took);
        self.logs.write(record, ending, took, audited);
    }

    /// Records a response whose head and body of `bytes` bytes were sent together.
    pub(super) fn record_whole(
        &self,
        record: &mut AccessRecord<'_>,
        bytes: u64,
        audited: Option<Reservation>,
    ) {
        (record.sent, record.length) = (bytes, Some(bytes));
        record.head_after = record.started.elapsed();
        self.record(record, BodyEnd::Complete, record.head_after, audited);
    }
}

/// A tracked request, boxed to make moves cheap.
#[derive(Debug)]
pub(super) struct Tracker {
    pub(super) record: AccessRecord<'static>,
    recorders: Arc<Recorders>,
    /// Set if the server has disconnected the client for reading too little.
    stall_flag: Option<StallFlag>,
    /// The permit of a request in flight, released when the body ends.
    pub(super) permit: Option<Permit>,
    /// The space reserved for the audit record.
    pub(super) audited: Option<Reservation>,
    pub(super) trace: Option<Trace>,
}

impl Tracker {
    pub(super) fn new(
        record: AccessRecord<'_>,
        recorders: &Arc<Recorders>,
        client: Option<&Client>,
        trace: Option<Trace>,
    ) -> Box<Self> {
        recorders.metrics.began();
        Box::new(Self {
            record: record.into_owned(),
            recorders: Arc::clone(recorders),
            stall_flag: client.map(|client| client.stall_flag.clone()),
            permit: None,
            audited: None,
            trace,
        })
    }

    /// Records that the head of the response is ready.
    pub(super) fn answered(&mut self, status: StatusCode) {
        self.record.status = status;
        self.record.head_after = self.record.started.elapsed();
    }

    /// Adds bytes that the connection received from the body.
    pub(super) fn add_sent(&mut self, bytes: u64) {
        self.record.sent += bytes;
    }

    /// Subtracts bytes that the connection received but the kernel did not take.
    pub(super) fn subtract_unsent(&mut self, bytes: u64) {
        self.record.sent = self.record.sent.saturating_sub(bytes);
    }

    /// Returns how the body ended, unless the store failed.
    pub(super) fn ending(&self, complete: bool) -> BodyEnd {
        match (complete, self.stall_flag.as_ref().is_some_and(StallFlag::is_set)) {
            (true, _) => BodyEnd::Complete,
            (false, true) => BodyEnd::ClientStalled,
            (false, false) => BodyEnd::ClientLeft,
        }
    }

    /// Records the request, which has ended.
    pub(super) fn finish(mut self: Box<Self>, ending: BodyEnd) {
        if let Some(trace) = &self.trace {
            trace.end(&self.record, ending);
        }
        let (took, audited) = (self.record.started.elapsed(), self.audited.take());
        self.recorders.record(&self.record, ending, took, audited);
    }
}

impl Drop for Tracker {
    fn drop(&mut self) {
        self.recorders.metrics.finished();
    }
}

/// Takes the tracker if these `bytes` are the last of the body.
pub(super) fn take_for_last(
    tracker: &mut Option<Box<Tracker>>,
    is_last: bool,
    bytes: u64,
) -> Option<Box<Tracker>> {
    let mut tracker = tracker.take_if(|_| is_last)?;
    tracker.add_sent(bytes);
    Some(tracker)
}

impl OnSent for Tracker {
    fn finished(mut self: Box<Self>, left: u64) {
        self.subtract_unsent(left);
        let ending = self.ending(left == 0);
        self.finish(ending);
    }
}

/// Logs that the store failed after a response had begun.
pub(super) fn report(record: Option<&AccessRecord<'static>>, error: &StoreError) {
    let asset = record.and_then(|record| record.asset);
    let sent = record.map_or(0, |record| record.sent);
    tracing::warn!(
        asset = asset.map(tracing::field::display),
        sent,
        %error,
        "the store failed in the middle of a body, so the client's connection is broken off"
    );
}
