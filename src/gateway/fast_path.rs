//! The fast path: answers plain requests whose outcome is known without waiting, by the decisions of [`super::decide`] and
//! with the heads of [`super::respond`]. It keeps nothing of a request that it answers at once as a whole.

use std::ops::Range;
use std::sync::Arc;

use http_body::Body as _;

use super::body::Body;
use super::decide::ParsedRequest;
use super::head::Head;
use super::outcome::{Content, Described, Found, Outcome};
use super::request::RequestView;
use super::service::Inner;
use super::tracker::Tracker;
use crate::clock::{Moment, UnixSeconds};
use crate::server::{Client, FastPath, Permit, PlainRequest, ResponseWriter, ZeroCopy};
use crate::store::CachedFile;
use crate::telemetry::{AccessRecord, Reservation};

/// Up to this many bytes of a file are sent with the head: the socket of a client that reads takes them as a whole.
const SENT_WITH_HEAD: u64 = 256 * 1024;

/// A request whose outcome is known.
struct Known<'r> {
    outcome: Outcome,
    record: AccessRecord<'r>,
    audited: Option<Reservation>,
}

/// A cached file, or a range of it, on its way to a client.
struct Download<'a, 'r> {
    file: Arc<CachedFile>,
    range: Range<u64>,
    client: &'a Client,
    zero_copy: &'a ZeroCopy,
    record: AccessRecord<'r>,
    audited: Option<Reservation>,
}

impl Inner {
    pub(super) fn try_answer<'w>(
        &self,
        request: &PlainRequest<'_>,
        client: &Client,
        at: Moment,
        mut writer: ResponseWriter<'w>,
    ) -> FastPath<'w, Body> {
        let (view, now) = (RequestView::of_plain(request), self.clock.at(&at));
        let Some(Known { outcome, mut record, audited }) = self.know(&view, client, at, now) else {
            return FastPath::Declined(writer);
        };
        let permission = self.responder.permission(&view);
        let mut head = Head::default();
        let document = self.responder.respond(&outcome, &permission, now, &mut head);
        head.write(writer.text());
        record.status = head.status;
        drop(head);
        match (outcome, &client.zero_copy) {
            (
                Outcome::Found(Found {
                    object: Described::Cached(file),
                    part,
                    content: Content::CachedFile,
                    ..
                }),
                Some(zero_copy),
            ) => {
                let range = part.unwrap_or(0..file.meta.size);
                self.send_file(Download { file, range, client, zero_copy, record, audited }, writer)
            }
            (outcome, _) => {
                let body = Body::of(outcome, document, view.is_head(), None);
                let length = body.size_hint().exact().unwrap_or_default();
                self.recorders.record_whole(&mut record, length, audited);
                FastPath::Answered(writer, body)
            }
        }
    }

    /// Decides, if nothing has to be waited for. Hyper's path makes the traces and the answers to requests for which there is
    /// no room.
    fn know<'r>(
        &self,
        view: &RequestView<'r>,
        client: &Client,
        at: Moment,
        now: UnixSeconds,
    ) -> Option<Known<'r>> {
        let logs = &self.recorders.logs;
        if logs.traces.is_some() {
            return None;
        }
        let (outcome, grant, audited) = match self.authorize(view, now) {
            Err(outcome) => (outcome, None, None),
            Ok(grant) => {
                let parsed = ParsedRequest::new(view, grant, client, now);
                let outcome = parsed.decide_cached(&self.store, at.instant())?;
                let audited = self.recorders.begin_audit().ok()?;
                // An answer that is sent as a whole keeps no permit, but there must be one.
                if !self.in_flight.has_room() {
                    return None;
                }
                (outcome, Some(parsed.grant), audited)
            }
        };
        let mut record = view.record(client.address, at, logs);
        if let Some(grant) = &grant {
            record.granted(grant);
        }
        outcome.describe(&mut record);
        Some(Known { outcome, record, audited })
    }

    /// Sends a file with its head, as far as the kernel takes it at once. The rest is a body.
    fn send_file<'w>(
        &self,
        mut download: Download<'_, '_>,
        writer: ResponseWriter<'w>,
    ) -> FastPath<'w, Body> {
        let length = download.range.end - download.range.start;
        let sent = match length <= SENT_WITH_HEAD {
            true => writer.send_file(download.file.file(), download.range.clone()),
            false => Err(writer),
        };
        match sent {
            Ok(sent) if sent.of_file() == length => {
                self.recorders.record_whole(&mut download.record, length, download.audited);
                FastPath::Sent(sent, Body::empty())
            }
            Ok(sent) => {
                let permit = self.in_flight.acquire(download.client.share()).ok();
                let rest = self.rest(download, sent.of_file(), permit);
                FastPath::Sent(sent, rest)
            }
            Err(writer) => match self.in_flight.acquire(download.client.share()) {
                Ok(permit) => FastPath::Answered(writer, self.rest(download, 0, Some(permit))),
                Err(_) => FastPath::Declined(writer),
            },
        }
    }

    /// The body for what remains of a file of which some bytes were `sent`.
    fn rest(&self, download: Download<'_, '_>, sent: u64, permit: Option<Permit>) -> Body {
        let Download { file, range, client, zero_copy, record, audited } = download;
        let status = record.status;
        let mut tracker = Tracker::new(record, &self.recorders, Some(client), None);
        (tracker.audited, tracker.permit) = (audited, permit);
        tracker.answered(status);
        Body::of_file(file.slice(&range), zero_copy, sent, tracker)
    }
}
