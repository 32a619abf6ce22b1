//! Answers links: **route → verify → decide → respond**, and that sentence is `Gateway::answer`.
//!
//! A decision is an `Outcome`; every status and header field is in `respond`. Nothing is read from storage before
//! the link is verified, and the store takes nothing but the [`Grant`] that verification made.

mod at_once;
mod body;
mod compression;
mod config;
mod cors;
mod decide;
mod denied;
mod encoding;
mod precondition;
mod range;
mod relayed;
mod respond;
mod route;
mod sent_file;
mod tracker;

pub use body::{Body, BrokenOff};
pub use config::Config;
pub use cors::{AllowedOrigins, BadOrigin};

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use http::header::{HeaderValue, RANGE, USER_AGENT};
use http::{Method, Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use tokio::sync::mpsc;

use crate::AssetKind;
use crate::clock::{Clock, Moment, UnixSeconds};
use crate::keys::ActiveKeyring;
use crate::server::{
    Answer, Bodies, Client, FastPath, Handler, Limiter, PlainRequest, ResponseWriter, StallFlag, ZeroCopy,
};
use crate::signed_url::{Denial, Grant, Verifier};
use crate::store::Store;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::trace::{self, Trace, Tracing};
use crate::telemetry::{
    AccessLog, AccessRecord, Audit, CompletedDownload, RequestId, RequestLogs, Untrusted,
};

use compression::Compressor;
use cors::Cors;
use decide::{Asked, Outcome};
use respond::Respond;
use route::Route;
use tracker::{Told, Tracker};

/// The gateway. Clones share everything.
#[derive(Debug, Clone)]
pub struct Gateway(Arc<Parts>);

#[derive(Debug, Clone)]
struct Parts {
    prefix: String,
    verifier: Verifier,
    keyring: ActiveKeyring,
    clock: Arc<dyn Clock>,
    store: Store,
    cors: Cors,
    in_flight: Limiter,
    compressor: Compressor,
    retry_after: Duration,
    told: Arc<Told>,
    /// What was last said of a bad signature; another thread's words are as good.
    said: Arc<ArcSwapOption<at_once::Said>>,
}

impl Gateway {
    /// A gateway that honours the keys of `keyring` and streams from `store`.
    #[must_use]
    pub fn new(
        config: &Config,
        keyring: ActiveKeyring,
        store: Store,
        clock: Arc<dyn Clock>,
        metrics: Metrics,
    ) -> Self {
        Self(Arc::new(Parts {
            prefix: config.prefix.clone(),
            verifier: Verifier::new(config.longest_lifetime),
            keyring,
            clock,
            store,
            cors: Cors::new(config.allowed_origins.clone()),
            in_flight: Limiter::new(config.requests_in_flight, config.requests_per_address),
            compressor: Compressor::new(),
            retry_after: config.retry_after,
            told: Arc::new(Told { metrics, records: RequestLogs::default(), downloads: None }),
            said: Arc::default(),
        }))
    }

    fn telling_also(self, change: impl FnOnce(&mut Told)) -> Self {
        let mut told = (*self.0.told).clone();
        change(&mut told);
        Self(Arc::new(Parts { told: Arc::new(told), ..(*self.0).clone() }))
    }

    /// The same gateway, telling of every download. It never waits: what the channel has no room for is not told.
    #[must_use]
    pub fn telling(self, downloads: mpsc::Sender<CompletedDownload>) -> Self {
        self.telling_also(|told| told.downloads = Some(downloads))
    }

    /// The same gateway, recording every request.
    #[must_use]
    pub fn recording(self, access: AccessLog) -> Self {
        self.telling_also(|told| told.records.access = Some(access))
    }

    /// The same gateway, with an audit of its downloads.
    #[must_use]
    pub fn auditing(self, audit: Audit) -> Self {
        self.telling_also(|told| told.records.audit = Some(audit))
    }

    /// The same gateway, with traces of its requests.
    #[must_use]
    pub fn tracing(self, traces: Tracing) -> Self {
        self.telling_also(|told| told.records.traces = Some(traces))
    }

    fn track(
        &self,
        request: &Request<Incoming>,
        peer: SocketAddr,
        started: Moment,
        stall_flag: Option<StallFlag>,
    ) -> Box<Tracker> {
        let told = &self.0.told;
        let trace = Trace::begin(request, started, told.records.traces.as_ref());
        let field = |name| request.headers().get(name).map(HeaderValue::as_bytes);
        let arrived = Arrived {
            method: request.method().clone(),
            version: request.version(),
            target: request.uri().path_and_query().map(|target| target.as_str().as_bytes()),
            user_agent: field(USER_AGENT),
            range: field(RANGE),
            started,
        };
        Tracker::new(arrived.record(peer, &told.records), told, stall_flag, trace)
    }

    fn answer(&self, request: Request<Incoming>, client: Client) -> Answer<Body> {
        let (share, arrived) = (client.share(), Moment::now());
        let Client { address, stall_flag, zero_copy, .. } = client;
        let tracker = self.track(&request, address, arrived, Some(stall_flag));
        let now = self.0.clock.at(&arrived);
        let outcome = match route::route(&request, &self.0.prefix) {
            Route::Asset { kind, id } => match self.verify(&request, kind, id, now) {
                Ok(grant) => return self.open(request, grant, (zero_copy, share), tracker, now),
                Err(denial) => Outcome::Denied(denial),
            },
            Route::Options => Outcome::Options,
            Route::MethodNotAllowed => Outcome::MethodNotAllowed,
            Route::Nowhere => Outcome::NoSuchRoute,
        };
        Answer::Ready(self.respond(request, zero_copy).to(outcome, tracker, now))
    }

    fn verify(
        &self,
        request: &Request<Incoming>,
        kind: AssetKind,
        id: &str,
        now: UnixSeconds,
    ) -> Result<Grant, Denial> {
        let Parts { verifier, keyring, .. } = &*self.0;
        verifier.verify(&keyring.load(), kind, id, request.uri().query().unwrap_or_default(), now)
    }

    /// Takes a permit for a request in flight, of the share of the client's address, and opens the object: at once if it is at hand, or else by asking the
    /// store.
    fn open(
        &self,
        request: Request<Incoming>,
        grant: Grant,
        (zero_copy, share): (Option<ZeroCopy>, Option<IpAddr>),
        mut tracker: Box<Tracker>,
        now: UnixSeconds,
    ) -> Answer<Body> {
        tracker.granted(&grant);
        let asked = Asked::new(&request, grant, zero_copy.is_some(), now, share);
        let respond = self.respond(request, zero_copy);
        if tracker.begin_audit().is_err() {
            return Answer::Ready(respond.to(Outcome::Unrecorded, tracker, now));
        }
        match self.0.in_flight.acquire(share) {
            Ok(permit) => tracker.hold(Some(permit)),
            Err(limit) => return Answer::Ready(respond.to(Outcome::Busy(limit), tracker, now)),
        }
        let trace = tracker.trace().cloned();
        // Whoever traces wants to see that the store was asked.
        let asked = match asked.at_once(self.0.store_at_hand(trace.is_none())) {
            Ok(outcome) => return Answer::Ready(respond.to(outcome, tracker, now)),
            Err(asked) => asked,
        };
        let this = self.clone();
        let answer = async move {
            let outcome = asked.decide(&this.0.store, &this.0.compressor).await;
            respond.to(outcome, tracker, this.0.clock.now())
        };
        match trace {
            Some(_) => Answer::awaited(trace::in_trace(trace, answer)),
            None => Answer::awaited(answer),
        }
    }

    fn respond(&self, request: Request<Incoming>, zero_copy: Option<ZeroCopy>) -> Respond {
        let head = *request.method() == Method::HEAD;
        let (parts, _) = request.into_parts();
        Respond::new(head, parts.headers, &self.0.cors, zero_copy, self.0.retry_after)
    }
}

impl Parts {
    /// The store, if what it has at hand is wanted.
    fn store_at_hand(&self, wanted: bool) -> Option<&Store> {
        wanted.then_some(&self.store)
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
        self.at_once(request, client, at, writer)
    }

    fn answer(&self, request: Request<Incoming>, client: Client) -> Answer<Body> {
        Gateway::answer(self, request, client)
    }

    fn refuse(
        &self,
        request: &Request<Incoming>,
        peer: SocketAddr,
        refused: Response<Bytes>,
    ) -> Response<Body> {
        let tracker = self.track(request, peer, Moment::now(), None);
        respond::refused(refused, &self.0.cors.judge(request.headers()), tracker)
    }
}

/// What is known of a request at its beginning.
struct Arrived<'r> {
    method: Method,
    version: Version,
    target: Option<&'r [u8]>,
    user_agent: Option<&'r [u8]>,
    range: Option<&'r [u8]>,
    started: Moment,
}

impl<'r> Arrived<'r> {
    /// Its record. What the client wrote is in it only if it will be written.
    fn record(self, peer: SocketAddr, records: &RequestLogs) -> AccessRecord<'r> {
        let target = self.target.filter(|_| records.access.as_ref().is_some_and(AccessLog::is_enabled));
        let audited = records.audit.is_some();
        let agent = self.user_agent.filter(|_| target.is_some() || audited);
        AccessRecord {
            peer,
            method: self.method,
            version: self.version,
            request_id: audited.then(RequestId::next),
            user_agent: agent.map(Untrusted::of),
            target: target.map(Untrusted::of).unwrap_or_default(),
            range: self.range.filter(|_| audited).map(Untrusted::of),
            asset: None,
            link_expires: None,
            key_id: None,
            status: StatusCode::OK,
            outcome: "ok",
            length: None,
            sent: 0,
            size: None,
            started: self.started,
            head_after: Duration::ZERO,
        }
    }
}
