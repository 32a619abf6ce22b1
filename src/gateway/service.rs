//! The handler of the gateway's listener. [`Inner::answer`] covers a whole request.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bytes::Bytes;
use http::header::HeaderMap;
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use tokio::sync::mpsc;

use super::body::Body;
use super::compression::Compressor;
use super::config::Config;
use super::cors::{Cors, Permission};
use super::decide::ParsedRequest;
use super::head::MapHead;
use super::metrics::RequestMetrics;
use super::outcome::{Outcome, Rejection};
use super::rendering::Renderer;
use super::request::RequestView;
use super::respond::Responder;
use super::route::{self, Route};
use super::tracker::{Recorders, Tracker};
use super::worker_pool;
use crate::clock::{Clock, Moment, UnixSeconds};
use crate::keys::ActiveKeyring;
use crate::server::{
    Answer, Bodies, Client, FastPath, Handler, Limiter, PlainRequest, ResponseWriter, ZeroCopy,
};
use crate::signed_url::{Grant, Verifier};
use crate::store::Store;
use crate::telemetry::trace::{self, Trace};
use crate::telemetry::{CompletedDownload, RequestLogs};

/// The gateway. Clones share all of their state.
#[derive(Debug, Clone)]
pub struct Gateway(pub(super) Arc<Inner>);

/// The state that clones of a gateway share.
#[derive(Debug, Clone)]
pub(super) struct Inner {
    prefix: String,
    verifier: Verifier,
    keyring: ActiveKeyring,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) store: Store,
    pub(super) in_flight: Limiter,
    pub(super) compressor: Compressor,
    pub(super) renderer: Renderer,
    pub(super) responder: Arc<Responder>,
    pub(super) recorders: Arc<Recorders>,
}

impl Gateway {
    /// Creates a gateway that accepts links signed with the keys of `keyring` and streams objects from `store`.
    #[must_use]
    pub fn new(
        config: &Config,
        keyring: ActiveKeyring,
        store: Store,
        clock: Arc<dyn Clock>,
        metrics: RequestMetrics,
    ) -> Self {
        let cors = Cors::new(config.allowed_origins.clone());
        let memory = Limiter::new(worker_pool::MEMORY, None);
        Self(Arc::new(Inner {
            prefix: config.prefix.clone(),
            verifier: Verifier::new(config.longest_lifetime),
            keyring,
            clock,
            store,
            in_flight: Limiter::new(config.requests_in_flight, config.requests_per_address),
            compressor: Compressor::new(memory.clone()),
            renderer: Renderer::new(memory),
            responder: Arc::new(Responder::new(cors, config.retry_after)),
            recorders: Arc::new(Recorders { metrics, logs: RequestLogs::default(), downloads: None }),
        }))
    }

    /// Returns the gateway with these request logs.
    #[must_use]
    pub fn with_logs(mut self, logs: RequestLogs) -> Self {
        self.recorders_mut().logs = logs;
        self
    }

    /// Returns the gateway with a channel that gets an event for each download. Sending never waits: if the channel is
    /// full, the event is lost.
    #[must_use]
    pub fn with_downloads(mut self, downloads: mpsc::Sender<CompletedDownload>) -> Self {
        self.recorders_mut().downloads = Some(downloads);
        self
    }

    fn recorders_mut(&mut self) -> &mut Recorders {
        Arc::make_mut(&mut Arc::make_mut(&mut self.0).recorders)
    }
}

impl Inner {
    /// Routes a request and verifies its link. The fast path and hyper's path both start here.
    #[expect(clippy::result_large_err, reason = "either is taken to the next step at once")]
    pub(super) fn authorize(&self, request: &RequestView<'_>, now: UnixSeconds) -> Result<Grant, Outcome> {
        let (kind, id) = match route::route(request, &self.prefix) {
            Route::Asset { kind, id } => (kind, id),
            Route::Options => return Err(Outcome::Options),
            Route::MethodNotAllowed => return Err(Rejection::MethodNotAllowed.into()),
            Route::Nowhere => return Err(Rejection::NoSuchRoute.into()),
        };
        let verified = self.verifier.verify(&self.keyring.load(), kind, id, request.query, now);
        verified.map_err(|denial| Rejection::Denied(denial).into())
    }

    fn track(
        &self,
        request: &Request<Incoming>,
        view: &RequestView<'_>,
        peer: SocketAddr,
        client: Option<&Client>,
        at: Moment,
    ) -> Box<Tracker> {
        let logs = &self.recorders.logs;
        let trace = Trace::begin(request, at, logs.traces.as_ref());
        Tracker::new(view.record(peer, at, logs), &self.recorders, client, trace)
    }

    fn answer(self: &Arc<Self>, request: Request<Incoming>, client: Client) -> Answer<Body> {
        let at = Moment::now();
        let now = self.clock.at(&at);
        let view = RequestView::of_hyper(&request);
        let mut tracker = self.track(&request, &view, client.address, Some(&client), at);
        let (is_head, permission) = (view.is_head(), self.responder.permission(&view));
        let parsed = self.authorize(&view, now).map(|grant| ParsedRequest::new(&view, grant, &client, now));
        let room = request.into_parts().0.headers;
        let pending = Pending { is_head, permission, zero_copy: client.zero_copy, room };
        let parsed = match parsed {
            Ok(parsed) => parsed,
            Err(outcome) => return Answer::Ready(pending.respond(&self.responder, outcome, tracker, now)),
        };
        match self.decide_now(&parsed, &mut tracker, at) {
            Some(outcome) => Answer::Ready(pending.respond(&self.responder, outcome, tracker, now)),
            None => Arc::clone(self).ask_store(parsed, pending, tracker),
        }
    }

    /// Admits a request with a valid link, and decides its outcome if that needs no waiting.
    fn decide_now(&self, parsed: &ParsedRequest, tracker: &mut Tracker, at: Moment) -> Option<Outcome> {
        parsed.describe(&mut tracker.record);
        if let Err(rejection) = self.admit(tracker, parsed.share) {
            return Some(rejection.into());
        }
        // A trace has to show the requests to the store.
        if tracker.trace.is_some() { None } else { parsed.decide_cached(&self.store, at.instant()) }
    }

    /// Reserves space for the audit record and takes a permit for a request in flight, counted for the client's address.
    /// Called before the object is opened.
    fn admit(&self, tracker: &mut Tracker, share: Option<IpAddr>) -> Result<(), Rejection> {
        tracker.audited = self.recorders.begin_audit().map_err(|_| Rejection::AuditUnavailable)?;
        tracker.permit = Some(self.in_flight.acquire(share).map_err(Rejection::Busy)?);
        Ok(())
    }

    fn ask_store(
        self: Arc<Self>,
        parsed: ParsedRequest,
        pending: Pending,
        tracker: Box<Tracker>,
    ) -> Answer<Body> {
        let trace = tracker.trace.clone();
        let answer = async move {
            let outcome = parsed.decide(&self.store, &self.compressor, &self.renderer).await;
            pending.respond(&self.responder, outcome, tracker, self.clock.now())
        };
        match trace {
            Some(_) => Answer::awaited(trace::in_trace(trace, answer)),
            None => Answer::awaited(answer),
        }
    }
}

/// The parts of a request that its response still needs.
#[derive(Debug)]
struct Pending {
    is_head: bool,
    permission: Permission,
    /// Set if the connection supports zero copy.
    zero_copy: Option<ZeroCopy>,
    /// The request's header map. The response reuses its allocation.
    room: HeaderMap,
}

impl Pending {
    /// Returns the response to `outcome` at the time `now`.
    fn respond(
        mut self,
        responder: &Responder,
        outcome: Outcome,
        mut tracker: Box<Tracker>,
        now: UnixSeconds,
    ) -> Response<Body> {
        self.room.clear();
        let mut head = MapHead::adding_to(self.room);
        let document = responder.respond(&outcome, &self.permission, now, &mut head);
        outcome.describe(&mut tracker.record);
        tracker.answered(head.status);
        let response = head.into_response();
        let body = Body::of(outcome, document, self.is_head, self.zero_copy.as_ref());
        response.map(|()| body.tracked(tracker))
    }
}

impl Handler for Gateway {
    type Body = Body;

    const BODIES: Bodies = Bodies::Refused;

    fn try_answer<'w>(
        &self,
        request: &PlainRequest<'_>,
        client: &Client,
        at: Moment,
        writer: ResponseWriter<'w>,
    ) -> FastPath<'w, Body> {
        self.0.try_answer(request, client, at, writer)
    }

    fn answer(&self, request: Request<Incoming>, client: Client) -> Answer<Body> {
        self.0.answer(request, client)
    }

    fn refuse(
        &self,
        request: &Request<Incoming>,
        peer: SocketAddr,
        mut refused: Response<Bytes>,
    ) -> Response<Body> {
        let view = RequestView::of_hyper(request);
        let mut tracker = self.0.track(request, &view, peer, None, Moment::now());
        self.0.responder.complete(&mut refused, &view);
        let is_overload = refused.status() == StatusCode::SERVICE_UNAVAILABLE;
        tracker.record.outcome = if is_overload { "too_many_from_address" } else { "malformed_request" };
        tracker.answered(refused.status());
        let body = if refused.body().is_empty() { |_| Body::empty() } else { Body::from };
        refused.map(body).map(|body| body.tracked(tracker))
    }
}
