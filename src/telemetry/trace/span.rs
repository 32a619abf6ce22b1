//! Spans: one for each request, made from its record when its body ends, and a child span for each request to the
//! store, which propagates the trace. Without a collector there are no spans, and a valid `traceparent` is forwarded to
//! the store unchanged.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::{HOST, HeaderMap, HeaderValue};
use http::uri::Authority;
use http::{Method, Request, Version};

use super::context::{RANDOM, SAMPLED, SpanContext, TraceHeaders};
use super::export::{Exporter, TraceMetrics, TracingConfig};
use super::otlp::{self, Attribute, Span, Status};
use crate::clock::Moment;
use crate::telemetry::record::{AccessRecord, BodyEnd, Untrusted};
use crate::telemetry::redact::redact_target;

/// Records traces. Clones share the exporter.
#[derive(Debug, Clone)]
pub struct Tracing {
    sample: f64,
    exporter: Exporter,
}

impl Tracing {
    /// Starts the exporter with its thread and runtime.
    ///
    /// # Errors
    /// If the system cannot start a thread, or TLS cannot be set up.
    pub fn start(config: &TracingConfig, metrics: TraceMetrics) -> io::Result<Self> {
        Ok(Self { sample: config.sample, exporter: Exporter::start(config, metrics)? })
    }

    /// Sends the queued spans within `timeout`. Returns whether all were sent.
    pub fn flush(&self, timeout: Duration) -> bool {
        self.exporter.flush(timeout)
    }

    /// Whether to record a trace that starts here. The trace id decides, so other programs with the same sampling
    /// agree.
    #[expect(clippy::cast_precision_loss, reason = "a ratio needs no more than 53 bits")]
    fn samples(&self, trace_id: [u8; 16]) -> bool {
        let [_, _, _, _, _, _, _, _, low @ ..] = trace_id;
        (u64::from_be_bytes(low) >> 1) as f64 <= self.sample * (u64::MAX >> 1) as f64 && self.sample > 0.0
    }
}

/// The trace context of one request. Clones share it.
#[derive(Debug, Clone)]
pub struct Trace(Arc<Sampling>);

#[derive(Debug)]
enum Sampling {
    /// Not recorded here: the client's header fields are forwarded unchanged.
    Propagated(TraceHeaders),
    Recorded(Recorded),
}

/// A recorded span that has started.
#[derive(Debug)]
struct Recorded {
    context: SpanContext,
    parent: Option<[u8; 8]>,
    state: Option<HeaderValue>,
    path: Untrusted<'static>,
    host: Option<Untrusted<'static>>,
    began: Moment,
    exporter: Exporter,
}

tokio::task_local! {
    /// The trace of the request that this task serves.
    static CURRENT: Option<Trace>;
    /// The header fields for the current request to the store.
    static OUTGOING: Option<TraceHeaders>;
}

/// Runs `work` within `trace`: requests to the store become children of its span.
pub async fn in_trace<T>(trace: Option<Trace>, work: impl Future<Output = T>) -> T {
    CURRENT.scope(trace, work).await
}

/// Like [`in_trace`], for one poll of a body.
pub fn in_trace_sync<T>(trace: Option<&Trace>, step: impl FnOnce() -> T) -> T {
    match trace {
        Some(trace) => CURRENT.sync_scope(Some(trace.clone()), step),
        None => step(),
    }
}

/// The trace of this task, to pass to another task that works for the same request.
#[must_use]
pub fn current() -> Option<Trace> {
    CURRENT.try_with(Clone::clone).ok().flatten()
}

/// Adds the trace's header fields to a request to the store. A request that the store's client retries internally has
/// no span: it belongs to the client's request.
pub fn inject(fields: &mut HeaderMap) {
    let outgoing = OUTGOING.try_with(Clone::clone).unwrap_or_else(|_| current()?.fields());
    if let Some(outgoing) = outgoing {
        outgoing.insert_into(fields);
    }
}

impl Trace {
    /// The trace of a request that `began` just now; `None` if it is neither recorded nor propagated.
    #[must_use]
    pub fn begin<B>(request: &Request<B>, began: Moment, tracing: Option<&Tracing>) -> Option<Self> {
        let came = TraceHeaders::extract(request.headers());
        let (Some(tracing), true) = (tracing, came.as_ref().is_none_or(|(_, from)| from.is_sampled())) else {
            return came.map(|(fields, _)| Self(Arc::new(Sampling::Propagated(fields))));
        };
        let context = match &came {
            Some((_, from)) => {
                SpanContext { span_id: random()?, flags: from.flags & (SAMPLED | RANDOM), ..*from }
            }
            None => SpanContext { trace_id: random()?, span_id: random()?, flags: SAMPLED | RANDOM },
        };
        if came.is_none() && !tracing.samples(context.trace_id) {
            return None;
        }
        let uri = request.uri();
        let named = uri.authority().map(|authority| authority.as_str().as_bytes());
        let host = named.or_else(|| request.headers().get(HOST).map(HeaderValue::as_bytes));
        Some(Self(Arc::new(Sampling::Recorded(Recorded {
            context,
            parent: came.as_ref().map(|(_, from)| from.span_id),
            state: came.and_then(|(fields, _)| fields.state().cloned()),
            path: Untrusted::of(uri.path().as_bytes()).into_owned(),
            host: host.map(|host| Untrusted::of(host).into_owned()),
            began,
            exporter: tracing.exporter.clone(),
        }))))
    }

    fn fields(&self) -> Option<TraceHeaders> {
        match &*self.0 {
            Sampling::Propagated(fields) => Some(fields.clone()),
            Sampling::Recorded(recorded) => TraceHeaders::new(&recorded.context, recorded.state.clone()),
        }
    }

    /// Exports the span of the request, which has ended.
    pub fn end(&self, record: &AccessRecord<'_>, end: BodyEnd) {
        let Sampling::Recorded(recorded) = &*self.0 else { return };
        let failed = record.status.is_server_error() || end == BodyEnd::StoreFailed;
        let (name, mut attributes) = request_attributes(record, end);
        attributes.extend(recorded.url_attributes());
        if failed {
            let kind = if end == BodyEnd::StoreFailed { end.name() } else { record.outcome };
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

    /// The URL's attributes. The client chose the URL, so it is redacted like the access record's target.
    fn url_attributes(&self) -> Vec<Attribute> {
        let mut attributes = vec![Attribute::text("url.path", redact_target(&self.path.text()))];
        let host = self.host.as_ref().and_then(|host| host.text().parse::<Authority>().ok());
        if let Some(host) = host {
            attributes.push(Attribute::text("server.address", redact_target(host.host())));
            attributes.extend(host.port_u16().map(|port| Attribute::number("server.port", port.into())));
        }
        attributes
    }
}

/// The name and attributes of a request's span, from its record.
fn request_attributes(record: &AccessRecord<'_>, end: BodyEnd) -> (String, Vec<Attribute>) {
    // Any other method is arbitrary client text.
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
        Attribute::text("webhook_assets.ending", end.name()),
    ];
    let method = if method == "_OTHER" { "HTTP" } else { method };
    let Some(asset) = record.asset else { return (method.to_owned(), attributes) };
    let route = format!("/webhook-assets/{}/{{id}}", asset.kind.name());
    attributes.push(Attribute::text("webhook_assets.asset", asset.kind.name()));
    if let Some(format) = record.format {
        attributes.push(Attribute::text("webhook_assets.format", format.name()));
    }
    attributes.push(Attribute::text("http.route", &*route));
    (format!("{method} {route}"), attributes)
}

/// The span of a request to the store, made for this task's client request.
#[derive(Debug)]
pub struct StoreSpan {
    operation: &'static str,
    outgoing: Option<TraceHeaders>,
    open: Option<(Trace, [u8; 8], Instant)>,
    /// The reason of the failure; `abandoned` until [`StoreSpan::end`].
    failure: Option<&'static str>,
}

impl StoreSpan {
    /// Starts the span.
    #[must_use]
    pub fn begin(operation: &'static str) -> Self {
        let mut span = Self { operation, outgoing: None, open: None, failure: Some("abandoned") };
        let Some(trace) = current() else { return span };
        match &*trace.0 {
            Sampling::Propagated(fields) => span.outgoing = Some(fields.clone()),
            Sampling::Recorded(recorded) => {
                let Some(span_id) = random() else { return span };
                span.outgoing =
                    TraceHeaders::new(&SpanContext { span_id, ..recorded.context }, recorded.state.clone());
                span.open = Some((trace.clone(), span_id, Instant::now()));
            }
        }
        span
    }

    /// Runs the request to the store with this span's header fields.
    pub fn instrument<F: Future>(&self, request: F) -> impl Future<Output = F::Output> + use<F> {
        OUTGOING.scope(self.outgoing.clone(), request)
    }

    /// Ends the span when the store has answered; `error` is the reason of a failure. An absent object is not a
    /// failure.
    pub fn end(mut self, error: Option<&'static str>) {
        self.failure = error.filter(|error| !matches!(*error, "not_found" | "not_modified"));
    }
}

impl Drop for StoreSpan {
    fn drop(&mut self) {
        let Some((trace, id, began)) = self.open.take() else { return };
        let Sampling::Recorded(recorded) = &*trace.0 else { return };
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

/// Random bytes for an id; without them there is no span.
fn random<const N: usize>() -> Option<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).ok().filter(|()| bytes != [0; N]).map(|()| bytes)
}
