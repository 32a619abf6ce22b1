//! Plain requests whose answer is at hand: the decisions of [`decide`](super::decide) and the words of
//! [`respond`](super::respond), written straight into the answer's head. Most of them were put into words before and are
//! copied. Whatever takes more than that is left to the long way, and nothing has happened then.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Method, StatusCode, Version};

use super::body::Body;
use super::denied::document_of;
use super::range::Wanted;
use super::respond::{self, Respond};
use super::tracker::Tracker;
use super::{Arrived, Gateway, Parts, range, route};
use crate::clock::{Moment, UnixSeconds};
use crate::problem::Document;
use crate::server::{Client, FastPath, Permit, PlainRequest, ResponseWriter};
use crate::signed_url::{Denial, Grant};
use crate::store::{CachedBytes, CachedFile, Span};
use crate::telemetry::{AccessRecord, BodyEnd, Reservation};

/// What is as long as this at most is sent straight away, in bytes: the socket of a client that reads takes it as a whole.
const STRAIGHT: u64 = 256 * 1024;

/// What is said of a signature that is not honoured, whatever is wrong with it. Its words change once a second.
#[derive(Debug)]
pub(super) struct Said {
    at: UnixSeconds,
    head: Vec<u8>,
    document: Document,
}

/// The header fields that matter here.
#[derive(Default)]
struct Fields<'r> {
    range: Option<&'r [u8]>,
    user_agent: Option<&'r [u8]>,
    codings: bool,
    origin: bool,
}

impl<'r> Fields<'r> {
    /// `None` if there are some that only the long way understands.
    fn of(request: &PlainRequest<'r>) -> Option<Self> {
        let mut fields = Self::default();
        for (name, value) in request.fields() {
            let is = |other: &str| name.eq_ignore_ascii_case(other);
            match name.len() {
                5 if is("range") && fields.range.replace(value).is_some() => return None,
                6 if is("origin") => fields.origin = true,
                10 if is("user-agent") => fields.user_agent = fields.user_agent.or(Some(value)),
                15 if is("accept-encoding") => fields.codings = true,
                29 if is("access-control-request-method") => return None,
                // Preconditions, and If-Range.
                8.. if name.get(..3).is_some_and(|start| start.eq_ignore_ascii_case("if-")) => return None,
                _ => {}
            }
        }
        Some(fields)
    }

    /// The one range that is wanted, or all. (Range is defined for GET alone, RFC 9110 §14.2.)
    fn span(&self, is_head: bool) -> Option<Span> {
        match self.range.filter(|_| !is_head).map_or(Wanted::Everything, range::parse_line) {
            Wanted::Everything => Some(Span::Whole),
            Wanted::One(span) => Some(span),
            Wanted::Several(_) => None,
        }
    }
}

/// A plain request, who makes it, and when.
struct Asked<'a, 'r> {
    request: &'a PlainRequest<'r>,
    fields: Fields<'r>,
    client: &'a Client,
    at: Moment,
    now: UnixSeconds,
}

impl Gateway {
    pub(super) fn at_once<'w>(
        &self,
        request: &PlainRequest<'_>,
        client: &Client,
        at: Moment,
        mut writer: ResponseWriter<'w>,
    ) -> FastPath<'w, Body> {
        let parts = &*self.0;
        let Some(fields) = Fields::of(request).filter(|fields| parts.speaks_the_same_to_all_like(fields))
        else {
            return FastPath::Declined(writer);
        };
        let (path, query) = request.target.split_once('?').unwrap_or((request.target, ""));
        let Some((kind, id)) = route::asset_at(path, &parts.prefix) else {
            return FastPath::Declined(writer);
        };
        let now = parts.clock.at(&at);
        let asked = Asked { request, fields, client, at, now };
        match parts.verifier.verify(&parts.keyring.load(), kind, id, query, now) {
            // Compressing is not done at once.
            Ok(grant) if !(asked.fields.codings && kind.is_compressible()) => {
                self.send(&asked, &grant, writer)
            }
            Err(denial @ Denial::Invalid(_)) => {
                let body = self.deny(&asked, &denial, writer.text());
                FastPath::Answered(writer, body)
            }
            Ok(_) | Err(Denial::Expired { .. }) => FastPath::Declined(writer),
        }
    }

    /// The file, or a range of it, if the kernel has what is sent first in memory.
    fn send<'w>(
        &self,
        asked: &Asked<'_, '_>,
        grant: &Grant,
        mut writer: ResponseWriter<'w>,
    ) -> FastPath<'w, Body> {
        let (parts, Asked { client, .. }) = (&*self.0, asked);
        let Some((held, range, part, bytes)) = self.found(asked, grant) else {
            return FastPath::Declined(writer);
        };
        // There must be room for another request, though only what is not on its way at once keeps it.
        let (Ok(audited), true) = (parts.told.begin_audit(), parts.in_flight.has_room()) else {
            return FastPath::Declined(writer);
        };
        let mut record = self.record_of(asked);
        record.granted(grant);
        record.size = Some(held.meta.size);
        let part = part.then_some(&range);
        let lasting = parts.said_of(&held, grant, asked.now);
        record.status = write_head(writer.text(), lasting, grant, part, held.meta.size, asked.now);
        let zero_copy = match (bytes, &client.zero_copy) {
            (CachedBytes::Read(bytes), _) => {
                return FastPath::Answered(writer, self.whole(record, bytes, audited));
            }
            (CachedBytes::InMemory, None) => return FastPath::Declined(writer),
            (CachedBytes::InMemory, Some(zero_copy)) => zero_copy,
        };
        let length = range.end - range.start;
        let sent = match length <= STRAIGHT {
            true => writer.send_file(held.file(), range.clone()),
            false => Err(writer),
        };
        match sent {
            Ok(sent) if sent.of_file() == length => {
                self.tell(&mut record, length, audited);
                FastPath::Sent(sent, Body::none())
            }
            Ok(sent) => {
                let permit = parts.in_flight.acquire(client.share()).ok();
                let body = Body::of_file(held.slice(&range), zero_copy, true);
                let body = body.tracked(parts.track(record, client, audited, permit)).behind(sent.of_file());
                FastPath::Sent(sent, body)
            }
            Err(writer) => match parts.in_flight.acquire(client.share()) {
                Ok(permit) => {
                    let body = Body::of_file(held.slice(&range), zero_copy, true);
                    let tracker = parts.track(record, client, audited, Some(permit));
                    FastPath::Answered(writer, body.tracked(tracker))
                }
                Err(_) => FastPath::Declined(writer),
            },
        }
    }

    /// The file that is wanted, the range of it, whether that is a part, and its bytes.
    fn found(
        &self,
        asked: &Asked<'_, '_>,
        grant: &Grant,
    ) -> Option<(Arc<CachedFile>, Range<u64>, bool, CachedBytes)> {
        let Asked { request, fields, client, at, now } = asked;
        let span = fields.span(request.is_head)?;
        // Last-Modified is never later than the answer (RFC 9110 §8.8.2.1): such a file is seldom.
        let held =
            self.0.store.get_cached(grant, at.instant()).filter(|held| held.meta.last_modified <= *now)?;
        let range = span.within(held.meta.size)?;
        let bytes = match request.is_head {
            true => CachedBytes::Read(Bytes::new()),
            false => held.bytes(&range, client.zero_copy.is_some(), at.instant())?,
        };
        Some((held, range, span != Span::Whole, bytes))
    }

    fn deny(&self, asked: &Asked<'_, '_>, denial: &Denial, head: &mut Vec<u8>) -> Body {
        let said = self.0.said_to_the_denied(denial, asked.now);
        head.extend_from_slice(&said.head);
        let mut record = self.record_of(asked);
        record.denied(denial);
        (record.status, record.outcome) = (said.document.status, denial.reason());
        let bytes = if asked.request.is_head { Bytes::new() } else { said.document.bytes.clone() };
        self.whole(record, bytes, None)
    }

    /// A body that is all there. It is recorded now, as hyper lets go of such a body before it is sent.
    fn whole(&self, mut record: AccessRecord<'_>, bytes: Bytes, audited: Option<Reservation>) -> Body {
        self.tell(&mut record, bytes.len() as u64, audited);
        if bytes.is_empty() { Body::none() } else { Body::from(bytes) }
    }

    /// Records an answer of which nothing is left to do, head and so many bytes together.
    fn tell(&self, record: &mut AccessRecord<'_>, sent: u64, audited: Option<Reservation>) {
        (record.sent, record.length) = (sent, Some(sent));
        record.head_after = record.started.elapsed();
        self.0.told.tell(record, BodyEnd::Complete, record.head_after, audited);
    }

    fn record_of<'r>(&self, asked: &Asked<'_, 'r>) -> AccessRecord<'r> {
        let Asked { request, fields, client, at, .. } = asked;
        let arrived = Arrived {
            method: if request.is_head { Method::HEAD } else { Method::GET },
            version: Version::HTTP_11,
            target: Some(request.target.as_bytes()),
            user_agent: fields.user_agent,
            range: fields.range,
            started: *at,
        };
        arrived.record(client.address, &self.0.told.records)
    }
}

impl Parts {
    fn track(
        &self,
        record: AccessRecord<'_>,
        client: &Client,
        audited: Option<Reservation>,
        permit: Option<Permit>,
    ) -> Box<Tracker> {
        let status = record.status;
        let mut tracker = Tracker::new(record, &self.told, Some(client.stall_flag.clone()), None);
        tracker.audit(audited);
        tracker.hold(permit);
        tracker.answered(status, "ok");
        tracker
    }

    /// Whether all who ask with such fields are told the same. Traces are made elsewhere.
    fn speaks_the_same_to_all_like(&self, fields: &Fields<'_>) -> bool {
        self.told.records.traces.is_none() && !(fields.origin && self.cors.is_for_some())
    }

    /// The header fields of a file that stay the same from answer to answer.
    fn said_of<'h>(&self, held: &'h CachedFile, grant: &Grant, now: UnixSeconds) -> &'h [u8] {
        let say = || {
            let fields = Respond::plainly(&self.cors).lasting(grant.asset(), &held.meta, now);
            let mut text = Vec::new();
            write_fields(&mut text, &fields);
            text.into()
        };
        held.cached_head.get_or_init(say)
    }

    fn said_to_the_denied(&self, denial: &Denial, now: UnixSeconds) -> Arc<Said> {
        if let Some(said) = &*self.said.load()
            && said.at == now
        {
            return Arc::clone(said);
        }
        let document = document_of(denial, now);
        let mut fields = Respond::plainly(&self.cors).into_fields();
        document.insert_headers(&mut fields);
        let mut head = Vec::new();
        write_status(&mut head, document.status);
        write_fields(&mut head, &fields);
        let said = Arc::new(Said { at: now, head, document });
        self.said.store(Some(Arc::clone(&said)));
        said
    }
}

/// Writes the head of 200 or 206: what lasts, and behind it what differs, in the order in which `respond` has it.
fn write_head(
    head: &mut Vec<u8>,
    lasting: &[u8],
    grant: &Grant,
    part: Option<&Range<u64>>,
    size: u64,
    now: UnixSeconds,
) -> StatusCode {
    let status = if part.is_some() { StatusCode::PARTIAL_CONTENT } else { StatusCode::OK };
    write_status(head, status);
    head.extend_from_slice(lasting);
    let [mut first, mut second, mut third] = [itoa::Buffer::new(); 3];
    let mut add = |texts: &[&str]| texts.iter().for_each(|text| head.extend_from_slice(text.as_bytes()));
    add(&["cache-control: ", respond::FRESH_FOR, first.format(grant.remaining(now).as_secs()), "\r\n"]);
    let length = match part {
        None => size,
        Some(range) => {
            let (from, to) = (first.format(range.start), second.format(range.end.saturating_sub(1)));
            add(&["content-range: bytes ", from, "-", to, "/", third.format(size), "\r\n"]);
            range.end - range.start
        }
    };
    add(&["content-length: ", first.format(length), "\r\n"]);
    status
}

fn write_status(head: &mut Vec<u8>, status: StatusCode) {
    let reason = status.canonical_reason().unwrap_or_default();
    for text in ["HTTP/1.1 ", status.as_str(), " ", reason, "\r\n"] {
        head.extend_from_slice(text.as_bytes());
    }
}

fn write_fields(head: &mut Vec<u8>, fields: &HeaderMap) {
    let mut add = |name: &HeaderName, value: &HeaderValue| {
        for bytes in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            head.extend_from_slice(bytes);
        }
    };
    fields.iter().for_each(|(name, value)| add(name, value));
}
