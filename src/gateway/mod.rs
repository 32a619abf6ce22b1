//! Answers links: **route → verify → decide → respond**, and that sentence is `Gateway::answer`.
//!
//! A decision is an `Outcome`; every status and header field is in `respond`. Nothing is read from storage before
//! the link is verified, and the store takes nothing but the [`Grant`] that verification made.

mod body;
mod config;
mod cors;
mod decide;
mod encoding;
mod precondition;
mod range;
mod respond;
mod route;
mod sent_file;

pub use body::{Body, BrokenOff};
pub use config::Config;
pub use cors::{AllowedOrigins, BadOrigin};

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{RANGE, USER_AGENT};
use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use tokio::sync::{Semaphore, mpsc};

use crate::clock::Clock;
use crate::keys::KeyringInForce;
use crate::server::{Bodies, Handler};
use crate::signed_url::{Denial, Grant, Verifier};
use crate::store::Store;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::trace::{self, Trace, Tracing};
use crate::telemetry::{AccessLog, AccessRecord, Audit, Downloaded, Foreign, Records, RequestId};

use body::Tracker;
use cors::Cors;
use decide::{Asked, Outcome};
use respond::Respond;
use route::Route;

/// The gateway. Clones share everything.
#[derive(Debug, Clone)]
pub struct Gateway(Arc<Parts>);

#[derive(Debug, Clone)]
struct Parts {
    prefix: String,
    verifier: Verifier,
    keyring: KeyringInForce,
    clock: Arc<dyn Clock>,
    store: Store,
    cors: Cors,
    in_flight: Arc<Semaphore>,
    retry_after: Duration,
    metrics: Metrics,
    downloads: Option<mpsc::Sender<Downloaded>>,
    records: Records,
}

impl Gateway {
    /// A gateway that honours the keys of `keyring` and streams from `store`.
    #[must_use]
    pub fn new(
        config: &Config,
        keyring: KeyringInForce,
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
            in_flight: Arc::new(Semaphore::new(config.requests_in_flight)),
            retry_after: config.retry_after,
            metrics,
            downloads: None,
            records: Records::default(),
        }))
    }

    /// The same gateway, telling of every download. It never waits: what the channel has no room for is not told.
    #[must_use]
    pub fn telling(self, downloads: mpsc::Sender<Downloaded>) -> Self {
        let parts = Parts { downloads: Some(downloads), ..(*self.0).clone() };
        Self(Arc::new(parts))
    }

    /// The same gateway, recording every request.
    #[must_use]
    pub fn recording(self, access: AccessLog) -> Self {
        let records = Records { access: Some(access), ..self.0.records.clone() };
        Self(Arc::new(Parts { records, ..(*self.0).clone() }))
    }

    /// The same gateway, with an audit of its downloads.
    #[must_use]
    pub fn auditing(self, audit: Audit) -> Self {
        let records = Records { audit: Some(audit), ..self.0.records.clone() };
        Self(Arc::new(Parts { records, ..(*self.0).clone() }))
    }

    /// The same gateway, with traces of its requests.
    #[must_use]
    pub fn tracing(self, traces: Tracing) -> Self {
        let records = Records { traces: Some(traces), ..self.0.records.clone() };
        Self(Arc::new(Parts { records, ..(*self.0).clone() }))
    }

    fn track(&self, request: &Request<Incoming>, peer: SocketAddr) -> Tracker {
        let records = self.0.records.clone();
        let trace = Trace::begin(request, records.traces.as_ref());
        Tracker::new(record_of(request, peer, &records), records, self.0.metrics.clone()).traced(trace)
    }

    async fn answer(&self, request: &Request<Incoming>, peer: SocketAddr) -> Response<Body> {
        let mut tracker = self.track(request, peer).with_patience(request.extensions().get());
        tracker.tell(self.0.downloads.as_ref());
        trace::within(tracker.trace().cloned(), self.answer_tracked(request, tracker)).await
    }

    async fn answer_tracked(&self, request: &Request<Incoming>, mut tracker: Tracker) -> Response<Body> {
        let outcome = match route::route(request, &self.0.prefix) {
            Route::Asset { kind, id } => match self.verify(request, kind, id) {
                Ok(grant) => self.open(request, grant, &mut tracker).await,
                Err(denial) => Outcome::Denied(denial),
            },
            Route::Options => Outcome::Options,
            Route::MethodNotAllowed => Outcome::MethodNotAllowed,
            Route::Nowhere => Outcome::NoSuchRoute,
        };
        self.respond(request, outcome, tracker)
    }

    fn verify(&self, request: &Request<Incoming>, kind: crate::AssetKind, id: &str) -> Result<Grant, Denial> {
        let Parts { verifier, keyring, clock, .. } = &*self.0;
        verifier.verify(&keyring.load(), kind, id, request.uri().query().unwrap_or_default(), clock.now())
    }

    /// Takes a place among the requests in flight and asks the store.
    async fn open(&self, request: &Request<Incoming>, grant: Grant, tracker: &mut Tracker) -> Outcome {
        tracker.granted(&grant);
        if tracker.begin_audit().is_err() {
            return Outcome::Unrecorded;
        }
        let Ok(place) = Arc::clone(&self.0.in_flight).try_acquire_owned() else { return Outcome::Busy };
        tracker.hold(place);
        Asked::new(request, grant, self.0.clock.now()).decide(&self.0.store).await
    }

    fn respond(&self, request: &Request<Incoming>, outcome: Outcome, tracker: Tracker) -> Response<Body> {
        let respond = Respond {
            head: *request.method() == Method::HEAD,
            now: self.0.clock.now(),
            retry_after: self.0.retry_after,
            files: request.extensions().get(),
        };
        let mut response = respond.to(outcome, tracker);
        self.0.cors.apply(request.headers(), response.headers_mut());
        response
    }
}

impl Handler for Gateway {
    type Body = Body;

    const BODIES: Bodies = Bodies::Refused;

    async fn answer(&self, request: Request<Incoming>, peer: SocketAddr) -> Response<Body> {
        Gateway::answer(self, &request, peer).await
    }

    fn refuse(
        &self,
        request: &Request<Incoming>,
        peer: SocketAddr,
        refused: Response<Bytes>,
    ) -> Response<Body> {
        let tracker = self.track(request, peer);
        let mut response = respond::refused(refused, tracker);
        self.0.cors.apply(request.headers(), response.headers_mut());
        response
    }
}

/// What is known of a request at its beginning; what the client wrote only if it will be written.
fn record_of(request: &Request<Incoming>, peer: SocketAddr, records: &Records) -> AccessRecord {
    let target =
        request.uri().path_and_query().filter(|_| records.access.as_ref().is_some_and(AccessLog::is_on));
    let audited = records.audit.is_some();
    let field = |name| request.headers().get(name).map(|value| Foreign::of(value.as_bytes()));
    AccessRecord {
        peer,
        method: request.method().clone(),
        version: request.version(),
        request_id: audited.then(RequestId::next),
        user_agent: (target.is_some() || audited).then(|| field(USER_AGENT)).flatten(),
        target: target.map(|target| Foreign::of(target.as_str().as_bytes())).unwrap_or_default(),
        range: audited.then(|| field(RANGE)).flatten(),
        asset: None,
        link_expires: None,
        key_id: None,
        status: StatusCode::OK,
        outcome: "ok",
        length: None,
        sent: 0,
        size: None,
        started: Instant::now(),
        head_after: Duration::ZERO,
    }
}
