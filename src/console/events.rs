//! Server-sent events: an open page hears when it has changed. The program renders the page again for the same session and
//! compares, so no page needs code for this, a stream ends with its session, and it carries nothing of the page.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::{StreamExt, stream};
use http::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use http::request::Parts;
use http::{HeaderMap, Method, Response, StatusCode};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::answer_body::AnswerBody;
use super::page_limiter::PagePermit;
use super::response::PageResponse;
use super::state::State;
use crate::server::Drain;

/// The least time between two looks at a page, however much this process writes.
const SHORTEST: Duration = Duration::from_secs(1);

/// The most time between two looks. Other replicas may write to a shared database, of which this process gets no notice. The
/// script takes a stream for lost after 15 s without an event.
const LONGEST: Duration = Duration::from_secs(10);
const LONGEST_IF_SHARED: Duration = Duration::from_secs(2);

const EVENT_STREAM: &str = "text/event-stream";
const CHANGED: Bytes = Bytes::from_static(b"data: changed\n\n");
const SAME: Bytes = Bytes::from_static(b"data: same\n\n");

/// The attribute of the parts of a page that may change.
const LIVE: &str = " data-live";

/// Whether a request wants the events of a page instead of the page.
pub(super) fn are_wanted(head: &Parts) -> bool {
    head.method == Method::GET && head.headers.get(ACCEPT).is_some_and(|accept| accept == EVENT_STREAM)
}

/// Renders a page again.
type Look = Box<dyn FnMut() -> BoxFuture<'static, PageResponse> + Send>;

/// A page that is open in a browser.
struct OpenPage {
    look: Look,
    /// The digest of the page at the last look.
    seen: u64,
    writes: watch::Receiver<()>,
    longest: Duration,
    drain: Drain,
    _permits: [PagePermit; 2],
}

impl State {
    /// Answers with the events of a page. Without live parts, or if there are too many streams, the answer is empty: the
    /// script then fetches the page, which tells why.
    pub(super) fn events(
        &self,
        headers: &HeaderMap,
        page: PageResponse,
        look: impl FnMut() -> BoxFuture<'static, PageResponse> + Send + 'static,
    ) -> Response<AnswerBody> {
        let open = self.open_page(headers, &page, Box::new(look));
        let (mut parts, _) = page.into_parts();
        parts.headers.remove(CONTENT_TYPE);
        let Some(open) = open else {
            parts.status = StatusCode::NO_CONTENT;
            return Response::from_parts(parts, AnswerBody::from(Bytes::new()));
        };
        parts.headers.insert(CONTENT_TYPE, HeaderValue::from_static(EVENT_STREAM));
        // nginx would hold events back.
        parts.headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
        let events = stream::unfold(Some(open), async |open| open?.next().await);
        Response::from_parts(parts, AnswerBody::Events(events.boxed()))
    }

    fn open_page(&self, headers: &HeaderMap, page: &PageResponse, look: Look) -> Option<OpenPage> {
        let seen = digest(page).filter(|_| !self.deps.drain.is_announced())?;
        let session = self.visitor(headers).session?;
        let [of_workspaces, of_sessions] = &self.stream_limiters;
        let permits = [
            of_workspaces.try_acquire(session.access.workspace.as_deref())?,
            of_sessions.try_acquire(Some(&session.id))?,
        ];
        let ledger = self.deps.sender.as_ref()?.ledger();
        let longest = if ledger.is_shared() { LONGEST_IF_SHARED } else { LONGEST };
        let (writes, drain) = (ledger.writes(), self.deps.drain.clone());
        Some(OpenPage { look, seen, writes, longest, drain, _permits: permits })
    }
}

impl OpenPage {
    /// The next event, and the page if further events follow.
    async fn next(mut self) -> Option<(Bytes, Option<Self>)> {
        let drain = self.drain.clone();
        let page = tokio::select! {
            () = drain.begun() => return None,
            page = self.look_again() => page,
        };
        // Overload passes, and so does a failure of the database.
        if page.status().is_server_error() {
            return Some((SAME, Some(self)));
        }
        // A page that is not live any more, and a session that is over, end the stream.
        let Some(now) = digest(&page) else { return Some((CHANGED, None)) };
        let event = if std::mem::replace(&mut self.seen, now) == now { SAME } else { CHANGED };
        Some((event, Some(self)))
    }

    /// Renders the page when something was written, or after the longest time.
    async fn look_again(&mut self) -> PageResponse {
        sleep(SHORTEST).await;
        let _ = timeout(self.longest.saturating_sub(SHORTEST), self.writes.changed()).await;
        (self.look)().await
    }
}

/// A digest of the live parts of a page; `None` of any other answer.
fn digest(page: &PageResponse) -> Option<u64> {
    let html = std::str::from_utf8(page.body()).ok().filter(|_| page.status() == StatusCode::OK)?;
    let mut hasher = DefaultHasher::new();
    let parts =
        live_parts(html).inspect(|part| visible(part).for_each(|text| text.hash(&mut hasher))).count();
    (parts > 0).then(|| hasher.finish())
}

/// The live parts of a page. Outside of them each rendering may differ, as the keys of forms do.
fn live_parts(html: &str) -> impl Iterator<Item = &str> {
    html.match_indices(LIVE).filter_map(|(at, _)| {
        let (before, part) = html.split_at_checked(at)?;
        let (_, tag) = before.rsplit_once('<')?;
        part.get(..end_of(part, tag.split(' ').next()?))
    })
}

/// A part without the hidden fields of its forms, which may hold the time of the rendering.
fn visible(part: &str) -> impl Iterator<Item = &str> {
    let mut pieces = part.split("<input type=\"hidden\"");
    let first = pieces.next();
    first.into_iter().chain(pieces.filter_map(|piece| piece.split_once('>').map(|(_, rest)| rest)))
}

/// Where the element ends that has begun before `html`. Templates escape text, so each `<` begins a tag.
fn end_of(html: &str, name: &str) -> usize {
    let mut depth = 1;
    for (at, _) in html.match_indices('<') {
        let tag = html.get(at + 1..).unwrap_or_default();
        let (end, tag) = tag.strip_prefix('/').map_or((false, tag), |tag| (true, tag));
        if tag.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '>'])) {
            depth += if end { -1 } else { 1 };
        }
        if depth == 0 {
            return at;
        }
    }
    html.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_live_part_ends_with_its_element() {
        let html = "<p id=a>1</p><div id=\"b\" data-live><div>2</div><divan></divan>3</div>4<span data-live>5</span>6<dl data-live>7";
        let parts: Vec<_> = live_parts(html).collect();
        let whole = [" data-live><div>2</div><divan></divan>3", " data-live>5", " data-live>7"];
        assert_eq!(parts, whole);
    }

    #[test]
    fn what_is_not_live_does_not_count() {
        let digest_of = |html: &'static str| digest(&Response::new(Bytes::from_static(html.as_bytes())));
        assert_eq!(digest_of("<p>1</p><i data-live>2</i>"), digest_of("<p>3</p><i data-live>2</i>"));
        assert_eq!(
            digest_of("<i data-live><input type=\"hidden\" value=\"1\">2</i>"),
            digest_of("<i data-live><input type=\"hidden\" value=\"3\">2</i>")
        );
        assert_ne!(digest_of("<i data-live>1</i>"), digest_of("<i data-live>2</i>"));
        assert_eq!(digest_of("<p>1</p>"), None);
    }
}
