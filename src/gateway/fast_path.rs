//! The fast path: answers plain requests that need no waiting. It shares the decisions of [`super::decide`] and the
//! heads of [`super::respond`]. If the kernel takes the whole response, no state of the request remains.

use http_body::Body as _;

use super::body::Body;
use super::decide::ParsedRequest;
use super::head::TextHead;
use super::outcome::Outcome;
use super::request::RequestView;
use super::service::Inner;
use super::tracker::Tracker;
use crate::clock::{Moment, UnixSeconds};
use crate::server::{Client, FastPath, PlainRequest, ResponseWriter};
use crate::signed_url::Grant;
use crate::telemetry::{AccessRecord, Reservation};

/// Up to this many bytes of a file are sent with the head: the socket of a client that reads takes them in one write.
const SENT_WITH_HEAD: u64 = 256 * 1024;

impl Inner {
    pub(super) fn try_answer<'w>(
        &self,
        request: &PlainRequest<'_>,
        client: &Client,
        at: Moment,
        mut writer: ResponseWriter<'w>,
    ) -> FastPath<'w, Body> {
        let (view, now) = (RequestView::of_plain(request), self.clock.at(&at));
        let Some((outcome, grant, audited)) = self.decide_fast(&view, client, at, now) else {
            return FastPath::Declined(writer);
        };
        let permission = self.responder.permission(&view);
        let mut head = TextHead::new(writer.text());
        let document = self.responder.respond(&outcome, &permission, now, &mut head);
        let mut record = view.record(client.address, at, &self.recorders.logs);
        record.status = head.status;
        if let Some(grant) = &grant {
            record.granted(grant);
        }
        outcome.describe(&mut record);
        if outcome.file().is_some() {
            return self.send_file(outcome, record, audited, client, writer);
        }
        let body = Body::of(outcome, document, view.is_head(), None);
        let length = body.size_hint().exact().unwrap_or_default();
        self.recorders.record_whole(&mut record, length, audited);
        FastPath::Answered(writer, body)
    }

    /// Decides the outcome if that needs no waiting. hyper's path handles traced requests and those over a limit.
    fn decide_fast(
        &self,
        view: &RequestView<'_>,
        client: &Client,
        at: Moment,
        now: UnixSeconds,
    ) -> Option<(Outcome, Option<Grant>, Option<Reservation>)> {
        if self.recorders.logs.traces.is_some() {
            return None;
        }
        let grant = match self.authorize(view, now) {
            Err(outcome) => return Some((outcome, None, None)),
            Ok(grant) => grant,
        };
        let parsed = ParsedRequest::new(view, grant, client, now);
        let outcome = parsed.decide_cached(&self.store, at.instant())?;
        let audited = self.recorders.begin_audit().ok()?;
        // A response that is sent in one write keeps no permit, but one must be free.
        self.in_flight.has_room().then_some((outcome, Some(parsed.grant), audited))
    }

    /// Sends the head and the file as far as the kernel takes them without blocking. The rest is returned as a body.
    fn send_file<'w>(
        &self,
        outcome: Outcome,
        mut record: AccessRecord<'_>,
        audited: Option<Reservation>,
        client: &Client,
        writer: ResponseWriter<'w>,
    ) -> FastPath<'w, Body> {
        let sent = match outcome.file() {
            Some(file) if file.owed() <= SENT_WITH_HEAD => {
                let length = file.owed();
                match writer.send_file(file.file(), file.range()) {
                    Ok(sent) if sent.of_file() == length => {
                        self.recorders.record_whole(&mut record, length, audited);
                        return FastPath::Sent(sent, Body::empty());
                    }
                    sent => sent,
                }
            }
            _ => Err(writer),
        };
        // If a part is already sent, the rest follows even without a free permit.
        let (sent, permit) = match (sent, self.in_flight.acquire(client.share())) {
            (Err(writer), Err(_)) => return FastPath::Declined(writer),
            (sent, permit) => (sent, permit.ok()),
        };
        let status = record.status;
        let mut tracker = Tracker::new(record, &self.recorders, Some(client), None);
        (tracker.audited, tracker.permit) = (audited, permit);
        tracker.answered(status);
        let body = Body::of(outcome, None, false, client.zero_copy.as_ref()).tracked(tracker);
        match sent {
            Ok(sent) => {
                let of_file = sent.of_file();
                FastPath::Sent(sent, body.skip(of_file))
            }
            Err(writer) => FastPath::Answered(writer, body),
        }
    }
}
