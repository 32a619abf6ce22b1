//! Traces, as OpenTelemetry has them: a span for each request, made when its body ends, and one below it for each thing
//! that was asked of the store, which is told of it. Nobody configured a collector: then nothing is made, and a valid
//! `traceparent` goes to the store as it came.

mod context;
mod export;
mod otlp;

pub use export::{Collector, TraceMetrics};

use std::fmt;
use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::{HOST, HeaderMap, HeaderValue};
use http::uri::Authority;
use http::{Method, Request, Version};

use super::access::{AccessRecord, BodyEnd, Untrusted, redact_target};
use crate::clock::Moment;
use context::{Context, Fields, RANDOM, SAMPLED};
use export::Exporter;
use otlp::{Attribute, Span, Status};

/// Where traces go, and which.
#[derive(Debug, Clone, PartialEq)]
pub struct TracingConfig {
    /// Who takes them.
    pub endpoint: Collector,
    /// The part of the requests without a trace of their own that is recorded, from 0 to 1.
    pub sample: f64,
    /// What the program is called there.
    pub service_name: String,
}

/// Records traces. Clones share the way to the collector.
#[derive(Debug, Clone)]
pub struct Tracing {
    sample: f64,
    exporter: Exporter,
}

impl Tracing {
    /// Traces that go where `config` says, from a thread of its own.
    ///
    /// # Errors
    /// If the system has no thread left, or TLS cannot be set up.
    pub fn start(config: &TracingConfig, metrics: TraceMetrics) -> io::Result<Self> {
        Ok(Self { sample: config.sample, exporter: Exporter::start(config, metrics)? })
    }

    /// Sends what was recorded, but takes no longer than `timeout`. Says whether all was sent.
    pub fn flush(&self, timeout: Duration) -> bool {
        self.exporter.flush(timeout)
    }

    /// Whether a trace that begins here is recorded: decided by its id, so that others who count the same way agree.
    #[expect(clippy::cast_precision_loss, reason = "a ratio needs no more than 53 bits")]
    fn samples(&self, trace_id: [u8; 16]) -> bool {
        let [_, _, _, _, _, _, _, _, low @ ..] = trace_id;
        (u64::from_be_bytes(low) >> 1) as f64 <= self.sample * (u64::MAX >> 1) as f64 && self.sample > 0.0
    }
}

/// A request's place in a trace. Clones are the same place.
#[derive(Clone)]
pub struct Trace(Arc<Place>);

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Trace")
    }
}

enum Place {
    /// Not recorded here: the client's, as it came.
    Passed(Fields),
    Recorded(Recorded),
}

/// A span that has begun.
struct Recorded {
    context: Context,
    parent: Option<[u8; 8]>,
    state: Option<HeaderValue>,
    path: Untrusted<'static>,
    host: Option<Untrusted<'static>>,
    began: Moment,
    exporter: Exporter,
}

tokio::task_local! {
    /// The request for which this task works.
    static CURRENT: Option<Trace>;
    /// What the store is told with the request under way.
    static HANDED_DOWN: Option<Fields>;
}

/// Works for the request at this place: what is asked of the store meanwhile is below it.
pub async fn in_trace<T>(trace: Option<Trace>, work: impl Future<Output = T>) -> T {
    CURRENT.scope(trace, work).await
}

/// The same for one step of the work.
pub fn in_trace_sync<T>(trace: Option<&Trace>, step: impl FnOnce() -> T) -> T {
    match trace {
        Some(trace) => CURRENT.sync_scope(Some(trace.clone()), step),
        None => step(),
    }
}

/// Where this task stands, for another one that works for the same request.
#[must_use]
pub fn current() -> Option<Trace> {
    CURRENT.try_with(Clone::clone).ok().flatten()
}

/// Adds to a request to the store what tells it of the trace. One that the store's client makes by itself, to take up a
/// body that broke, has no span of its own: it belongs to the request.
pub fn inject(fields: &mut HeaderMap) {
    let told = HANDED_DOWN.try_with(Clone::clone).unwrap_or_else(|_| current()?.fields());
    if let Some(told) = told {
        told.put_into(fields);
    }
}

impl Trace {
    /// The place of a request that `began` a moment ago; none if nobody wants to know.
    #[must_use]
    pub fn begin<B>(request: &Request<B>, began: Moment, tracing: Option<&Tracing>) -> Option<Self> {
        let came = Fields::of(request.headers());
        let (Some(tracing), true) = (tracing, came.as_ref().is_none_or(|(_, from)| from.is_sampled())) else {
            return came.map(|(fields, _)| Self(Arc::new(Place::Passed(fields))));
        };
        let context = match &came {
            Some((_, from)) => {
                Context { span_id: random()?, flags: from.flags & (SAMPLED | RANDOM), ..*from }
            }
            None => Context { trace_id: random()?, span_id: random()?, flags: SAMPLED | RANDOM },
        };
        if came.is_none() && !tracing.samples(context.trace_id) {
            return None;
        }
        let uri = request.uri();
        let named = uri.authority().map(|authority| authority.as_str().as_bytes());
        let host = named.or_else(|| request.headers().get(HOST).map(HeaderValue::as_bytes));
        Some(Self(Arc::new(Place::Recorded(Recorded {
            context,
            parent: came.as_ref().map(|(_, from)| from.span_id),
            state: came.and_then(|(fields, _)| fields.state().cloned()),
            path: Untrusted::of(uri.path().as_bytes()).into_owned(),
            host: host.map(|host| Untrusted::of(host).into_owned()),
            began,
            exporter: tracing.exporter.clone(),
        }))))
    }

    fn fields(&self) -> Option<Fields> {
        match &*self.0 {
            Place::Passed(fields) => Some(fields.clone()),
            Place::Recorded(recorded) => Fields::new(&recorded.context, recorded.state.clone()),
        }
    }

    /// The request ended as `record` says.
    pub fn end(&self, record: &AccessRecord<'_>, ending: BodyEnd) {
        let Place::Recorded(recorded) = &*self.0 else { return };
        let failed = record.status.is_server_error() || ending == BodyEnd::StoreFailed;
        let (name, mut attributes) = told_of(record, ending);
        attributes.extend(recorded.where_to());
        if failed {
            let kind = if ending == BodyEnd::StoreFailed { ending.name() } else { record.outcome };
            attributes.push(Attribute::text("error.type", kind));
        }
        let mut span = recorded.span(name, recorded.context.span_id, recorded.began.instant());
        span.parent_span_id = recorded.parent.map(Vec::from).unwrap_or_default();
        span.kind = otlp::SERVER;
        if recorded.parent.is_some() {
            span.flags |= otlp::PARENT_IS_REMOTE;
        }
        span.attributes = attributes;
        span.status = failed.then_some(Status { code: otlp::ERROR });
        recorded.exporter.push(span);
    }
}

impl Recorded {
    /// A span of this trace that began at `began` and ends now.
    fn span(&self, name: String, id: [u8; 8], began: Instant) -> Span {
        let nanos = |at: Instant| {
            let since = u64::try_from(at.saturating_duration_since(self.began.instant()).as_nanos());
            self.began
                .micros_after(Duration::ZERO)
                .saturating_mul(1000)
                .saturating_add(since.unwrap_or(u64::MAX))
        };
        Span {
            trace_id: self.context.trace_id.into(),
            span_id: id.into(),
            trace_state: self.state.as_ref().and_then(|state| state.to_str().ok()).unwrap_or_default().into(),
            flags: u32::from(self.context.flags) | otlp::PARENT_IS_KNOWN,
            name,
            start_time_unix_nano: nanos(began),
            end_time_unix_nano: nanos(Instant::now()),
            ..Span::default()
        }
    }

    /// Where the request went. The client wrote it, so it is cleaned as the access record's target is.
    fn where_to(&self) -> Vec<Attribute> {
        let mut attributes = vec![Attribute::text("url.path", redact_target(&self.path.text()))];
        let host = self.host.as_ref().and_then(|host| host.text().parse::<Authority>().ok());
        if let Some(host) = host {
            attributes.push(Attribute::text("server.address", redact_target(host.host())));
            attributes.extend(host.port_u16().map(|port| Attribute::number("server.port", port.into())));
        }
        attributes
    }
}

/// The name of a request's span, and what its record says.
fn told_of(record: &AccessRecord<'_>, ending: BodyEnd) -> (String, Vec<Attribute>) {
    // Other methods are the client's own words.
    let known = [Method::GET, Method::HEAD, Method::OPTIONS, Method::POST, Method::PUT, Method::DELETE];
    let method = if known.contains(&record.method) { record.method.as_str() } else { "_OTHER" };
    let mut attributes = vec![
        Attribute::text("http.request.method", method),
        Attribute::number("http.response.status_code", record.status.as_u16().into()),
        Attribute::number("http.response.body.size", record.sent),
        Attribute::text(
            "network.protocol.version",
            if record.version == Version::HTTP_2 { "2" } else { "1.1" },
        ),
        Attribute::text("client.address", record.peer.ip().to_string()),
        Attribute::text("webhook_assets.outcome", record.outcome),
        Attribute::text("webhook_assets.ending", ending.name()),
    ];
    let method = if method == "_OTHER" { "HTTP" } else { method };
    let Some(asset) = record.asset else { return (method.to_owned(), attributes) };
    let route = format!("/webhook-assets/{}/{{id}}", asset.kind.name());
    attributes.push(Attribute::text("webhook_assets.asset", asset.kind.name()));
    attributes.push(Attribute::text("http.route", &*route));
    (format!("{method} {route}"), attributes)
}

/// Something that is asked of the store, for the request of this task.
pub struct StoreSpan {
    operation: &'static str,
    told: Option<Fields>,
    open: Option<(Trace, [u8; 8], Instant)>,
    /// What became of it; nobody waited for the answer, as long as nothing else is said.
    failure: Option<&'static str>,
}

impl StoreSpan {
    /// Begins it.
    #[must_use]
    pub fn begin(operation: &'static str) -> Self {
        let mut span = Self { operation, told: None, open: None, failure: Some("abandoned") };
        let Some(trace) = current() else { return span };
        match &*trace.0 {
            Place::Passed(fields) => span.told = Some(fields.clone()),
            Place::Recorded(recorded) => {
                let Some(span_id) = random() else { return span };
                span.told = Fields::new(&Context { span_id, ..recorded.context }, recorded.state.clone());
                span.open = Some((trace.clone(), span_id, Instant::now()));
            }
        }
        span
    }

    /// Tells the store of it while it is asked.
    pub async fn instrument<T>(&self, asked: impl Future<Output = T>) -> T {
        HANDED_DOWN.scope(self.told.clone(), asked).await
    }

    /// The store answered, well or not. An absent object is an answer.
    pub fn end(mut self, error: Option<&'static str>) {
        self.failure = error.filter(|error| !matches!(*error, "not_found" | "not_modified"));
    }
}

impl Drop for StoreSpan {
    fn drop(&mut self) {
        let Some((trace, id, began)) = self.open.take() else { return };
        let Place::Recorded(recorded) = &*trace.0 else { return };
        let mut span = recorded.span(format!("store {}", self.operation), id, began);
        span.parent_span_id = recorded.context.span_id.into();
        span.kind = otlp::CLIENT;
        span.attributes = vec![Attribute::text("webhook_assets.store.operation", self.operation)];
        if let Some(failure) = self.failure {
            span.attributes.push(Attribute::text("error.type", failure));
            span.status = Some(Status { code: otlp::ERROR });
        }
        recorded.exporter.push(span);
    }
}

impl fmt::Debug for StoreSpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoreSpan({})", self.operation)
    }
}

/// Random bytes for an id; without them nothing is traced.
fn random<const N: usize>() -> Option<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).ok().filter(|()| bytes != [0; N]).map(|()| bytes)
}
