//! The fast path: answers plain requests. It shares the decisions of [`super::decide`] and the heads of
//! [`super::respond`]. If a request needs no waiting and the kernel takes the whole response, no state of the request
//! remains.

use std::sync::Arc;

use http_body::Body as _;

use super::body::Body;
use super::decide::ParsedRequest;
use super::head::TextHead;
use super::outcome::Outcome;
use super::request::RequestView;
use super::service::Inner;
use super::tracker::Tracker;
use crate::clock::{Moment, UnixSeconds};
use crate::server::{AwaitedResponse, Client, FastPath, PlainRequest, ResponseWriter};
use crate::signed_url::Grant;
use crate::telemetry::{AccessRecord, Reservation};

/// Up to this many bytes of a file are sent with the head: the socket of a client that reads takes them in one write.
const SENT_WITH_HEAD: u64 = 256 * 1024;

/// The room for the head of a response, in bytes.
const HEAD: usize = 1024;

/// What the fast path does with a request.
enum Decision {
    Answer(Outcome, Option<Grant>, Option<Reservation>),
    /// The store has to be asked.
    Ask(ParsedRequest),
    /// hyper answers.
    Decline,
}

impl Inner {
    pub(super) fn try_answer<'w>(
        self: &Arc<Self>,
        request: &PlainRequest<'_>,
        client: &Client,
        at: Moment,
        mut writer: ResponseWriter<'w>,
    ) -> FastPath<'w, Body> {
        let (view, now) = (RequestView::of_plain(request), self.clock.at(&at));
        let (outcome, grant, audited) = match self.decide_fast(&view, client, at, now) {
            Decision::Answer(outcome, grant, audited) => (outcome, grant, audited),
            Decision::Ask(parsed) => {
                let answer = self.ask_fast(&view, parsed, client, at);
                return answer.map_or(FastPath::Declined(writer), FastPath::Awaited);
            }
            Decision::Decline => return FastPath::Declined(writer),
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
    fn decide_fast(&self, view: &RequestView<'_>, client: &Client, at: Moment, now: UnixSeconds) -> Decision {
        if self.recorders.logs.traces.is_some() {
            return Decision::Decline;
        }
        let grant = match self.authorize(view, now) {
            Err(outcome) => return Decision::Answer(outcome, None, None),
            Ok(grant) => grant,
        };
        let parsed = ParsedRequest::new(view, grant, client, now);
        let Some(outcome) = parsed.decide_cached(&self.store, at.instant()) else {
            return Decision::Ask(parsed);
        };
        // A response that is sent in one write keeps no permit, but one must be free.
        match self.recorders.begin_audit() {
            Ok(audited) if self.in_flight.has_room() => {
                Decision::Answer(outcome, Some(parsed.grant), audited)
            }
            _ => Decision::Decline,
        }
    }

    /// Asks the store. hyper's path handles HEAD, because only hyper knows the framing of a body that is not sent.
    fn ask_fast(
        self: &Arc<Self>,
        view: &RequestView<'_>,
        parsed: ParsedRequest,
        client: &Client,
        at: Moment,
    ) -> Option<AwaitedResponse<Body>> {
        if view.is_head() || view.fields.is_traced {
            return None;
        }
        let audited = self.recorders.begin_audit().ok()?;
        let permit = self.in_flight.acquire(client.share()).ok()?;
        let mut record = view.record(client.address, at, &self.recorders.logs);
        parsed.describe(&mut record);
        let mut tracker = Tracker::new(record, &self.recorders, Some(client), None);
        (tracker.audited, tracker.permit) = (audited, Some(permit));
        let permission = self.responder.permission(view);
        let (inner, zero_copy) = (Arc::clone(self), client.zero_copy.clone());
        Some(Box::pin(async move {
            let outcome = parsed.decide(&inner.store, &inner.compressor, &inner.renderer).await;
            let mut text = Vec::with_capacity(HEAD);
            let mut head = TextHead::new(&mut text);
            let document = inner.responder.respond(&outcome, &permission, inner.clock.now(), &mut head);
            outcome.describe(&mut tracker.record);
            tracker.answered(head.status);
            (text, Body::of(outcome, document, false, zero_copy.as_ref()).tracked(tracker))
        }))
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
