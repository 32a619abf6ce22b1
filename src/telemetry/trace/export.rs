//! Exports spans to the collector: a bounded queue, and a thread that posts its spans. OpenTelemetry's SDK 0.33 loses
//! spans silently: it drops a failed batch but counts it as processed, and does not count spans that the collector
//! rejects. Its exporter also reads settings from the environment.
//!
//! A request never waits for the exporter. A span that finds the queue full is dropped and counted as lost.

use std::io;
use std::str::FromStr;
use std::sync::mpsc as sync;
use std::time::Duration;

use prost::Message;
use reqwest::header::{CONTENT_TYPE, USER_AGENT};
use reqwest::{Client, Response, StatusCode, redirect};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use url::Url;

use super::otlp::{
    Attribute, ExportRequest, ExportResponse, Resource, ResourceSpans, Scope, ScopeSpans, Span,
};
use crate::tasks::{self, Task};
use crate::telemetry::metrics::{ByLabel, Counter, Registry};

/// The most spans in the queue and in a batch: the SDK's defaults.
const QUEUE: usize = 2048;
const BATCH: usize = 512;

/// The time that a span waits for others of its batch.
const BATCH_DELAY: Duration = Duration::from_secs(1);

/// How long to wait for the collector's response, and before a failed batch is sent again.
const TIMEOUT: Duration = Duration::from_secs(10);
const FIRST_BACKOFF: Duration = Duration::from_secs(1);
const MAX_BACKOFF: Duration = Duration::from_secs(30);

/// The most bytes to read of the collector's response.
const MAX_RESPONSE: usize = 64 * 1024;

const PROGRAM: &str = env!("CARGO_PKG_NAME");
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The URL to post spans to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collector(Url);

impl Collector {
    /// The values that the setting accepts.
    pub const TAKES: &'static str = "the http:// or https:// URL of an OTLP collector such as http://localhost:4318, without user and password, or nothing";
}

impl FromStr for Collector {
    type Err = ();

    /// A URL without a path gets OTLP's path for traces.
    fn from_str(text: &str) -> Result<Self, ()> {
        let mut url = Url::parse(text).map_err(|_| ())?;
        let bare = url.username().is_empty() && url.password().is_none() && url.fragment().is_none();
        if !matches!(url.scheme(), "http" | "https") || !bare || url.host_str().is_none() {
            return Err(());
        }
        if url.path() == "/" {
            url.set_path("/v1/traces");
        }
        Ok(Self(url))
    }
}

/// Where to export traces, and which to record.
#[derive(Debug, Clone, PartialEq)]
pub struct TracingConfig {
    /// The collector.
    pub endpoint: Collector,
    /// The share of requests without `traceparent` to record, from 0 to 1.
    pub sample: f64,
    /// The service name of this program in traces.
    pub service_name: String,
}

/// Counters of spans. Clones share the counts.
#[derive(Debug, Clone)]
pub struct TraceMetrics(ByLabel<Counter>);

impl TraceMetrics {
    /// Registers the metrics.
    #[must_use]
    pub fn register(registry: &Registry) -> Self {
        Self(registry.counters(
            "trace_spans",
            "Spans of traces that were recorded, by what became of them: exported, lost",
            "result",
            &["exported", "lost"],
        ))
    }

    /// Counts spans that the collector accepted.
    fn exported(&self, spans: u64) {
        self.0.of("exported").inc_by(spans);
    }

    /// Counts lost spans: the queue was full, or the collector rejected them.
    fn lost(&self, spans: u64) {
        self.0.of("lost").inc_by(spans);
    }
}

/// Queues the spans of requests. Clones share the queue.
#[derive(Debug, Clone)]
pub(super) struct Exporter {
    spans: mpsc::Sender<Span>,
    flush_requests: mpsc::UnboundedSender<sync::SyncSender<bool>>,
    metrics: TraceMetrics,
}

impl Exporter {
    pub(super) fn start(config: &TracingConfig, metrics: TraceMetrics) -> io::Result<Self> {
        let (spans, queue) = mpsc::channel(QUEUE);
        let (flush_requests, flushes) = mpsc::unbounded_channel();
        // No redirects, and no proxy from the environment, which only `config` reads.
        let client = Client::builder().timeout(TIMEOUT).redirect(redirect::Policy::none()).no_proxy();
        let export = ExportLoop {
            client: client.build().map_err(io::Error::other)?,
            url: config.endpoint.0.clone(),
            service: config.service_name.clone(),
            batch: Vec::new(),
            due: Instant::now(),
            failures: 0,
            metrics: metrics.clone(),
        };
        // A separate runtime outlives the server's: requests in flight at shutdown have spans, too.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let run = tasks::restart_on_panic(
            Task::TraceExporter,
            (export, queue, flushes),
            |(export, queue, flushes)| Box::pin(export.run(queue, flushes)),
        );
        let run = move || runtime.block_on(run);
        std::thread::Builder::new().name("traces".into()).spawn(run)?;
        Ok(Self { spans, flush_requests, metrics })
    }

    pub(super) fn push(&self, span: Span) {
        if self.spans.try_send(span).is_err() {
            self.metrics.lost(1);
        }
    }

    /// Sends the queued spans within `timeout`. Returns whether all were sent.
    pub(super) fn flush(&self, timeout: Duration) -> bool {
        let (done, response) = sync::sync_channel(1);
        self.flush_requests.send(done).is_ok() && response.recv_timeout(timeout).unwrap_or(false)
    }
}

/// Why the collector did not accept a batch.
enum ExportError {
    /// A later attempt may succeed.
    Retry(String),
    /// No later attempt can succeed.
    Rejected(String),
}

struct ExportLoop {
    client: Client,
    url: Url,
    service: String,
    /// The next batch to send, kept while the collector is unavailable.
    batch: Vec<Span>,
    due: Instant,
    failures: u32,
    metrics: TraceMetrics,
}

impl ExportLoop {
    async fn run(
        &mut self,
        queue: &mut mpsc::Receiver<Span>,
        flushes: &mut mpsc::UnboundedReceiver<sync::SyncSender<bool>>,
    ) {
        loop {
            let room = BATCH - self.batch.len();
            tokio::select! {
                biased;
                Some(done) = flushes.recv() => {
                    let _ = done.send(self.send_all(queue).await);
                }
                () = sleep_until(self.due), if !self.batch.is_empty() => {
                    self.send().await;
                }
                count = queue.recv_many(&mut self.batch, room), if room > 0 => {
                    if count == 0 {
                        self.send_all(queue).await;
                        return;
                    }
                    self.schedule(count);
                }
            }
        }
    }

    /// Schedules the next send after `count` spans have arrived, but not before the retry of a failed batch.
    fn schedule(&mut self, count: usize) {
        if self.batch.len() == count {
            self.due = self.due.max(Instant::now() + BATCH_DELAY);
        }
        if self.batch.len() == BATCH && self.failures == 0 {
            self.due = Instant::now();
        }
    }

    async fn send_all(&mut self, queue: &mut mpsc::Receiver<Span>) -> bool {
        loop {
            while self.batch.len() < BATCH
                && let Ok(span) = queue.try_recv()
            {
                self.batch.push(span);
            }
            if self.batch.is_empty() {
                return true;
            }
            if !self.send().await {
                return false;
            }
        }
    }

    async fn send(&mut self) -> bool {
        let count = self.batch.len() as u64;
        let error = match self.post().await {
            Ok(rejected_spans) => {
                let rejected_spans = rejected_spans.min(count);
                self.metrics.exported(count - rejected_spans);
                self.metrics.lost(rejected_spans);
                self.batch.clear();
                if std::mem::take(&mut self.failures) > 0 {
                    tracing::info!("the trace collector answers again");
                }
                return true;
            }
            Err(error) => error,
        };
        if matches!(error, ExportError::Rejected(_)) {
            self.metrics.lost(count);
            self.batch.clear();
        }
        let backoff = FIRST_BACKOFF.saturating_mul(1 << self.failures.min(5)).min(MAX_BACKOFF);
        self.due = Instant::now() + backoff;
        self.failures = self.failures.saturating_add(1);
        let (ExportError::Retry(why) | ExportError::Rejected(why)) = &error;
        if self.failures == 1 {
            tracing::warn!(
                "spans cannot be exported: the collector of tracing.endpoint {why}; requests go on, and spans that \
                 find no room are counted as lost"
            );
        }
        false
    }

    /// Posts the batch; returns how many of its spans the collector rejected.
    async fn post(&mut self) -> Result<u64, ExportError> {
        let body = self.request();
        let request = self
            .client
            .post(self.url.clone())
            .header(CONTENT_TYPE, "application/x-protobuf")
            .header(USER_AGENT, format!("{PROGRAM}/{VERSION}"))
            .body(body);
        let response = request.send().await.map_err(|error| ExportError::Retry(describe(error)))?;
        let status = response.status();
        if status.is_success() {
            return Ok(rejected_spans(response).await);
        }
        let why = format!("answers {}", status.as_u16());
        // The statuses that OTLP/HTTP defines as retryable.
        let retryable = [
            StatusCode::TOO_MANY_REQUESTS,
            StatusCode::BAD_GATEWAY,
            StatusCode::SERVICE_UNAVAILABLE,
            StatusCode::GATEWAY_TIMEOUT,
        ];
        Err(if retryable.contains(&status) { ExportError::Retry(why) } else { ExportError::Rejected(why) })
    }

    fn request(&mut self) -> Vec<u8> {
        let attributes = vec![
            Attribute::text("service.name", &*self.service),
            Attribute::text("service.version", VERSION),
        ];
        let scope = Scope { name: PROGRAM.into(), version: VERSION.into() };
        let spans = std::mem::take(&mut self.batch);
        let mut request = ExportRequest {
            resource_spans: vec![ResourceSpans {
                resource: Some(Resource { attributes }),
                scope_spans: vec![ScopeSpans { scope: Some(scope), spans }],
            }],
        };
        let bytes = request.encode_to_vec();
        // Takes the spans back, in case the batch has to be sent again.
        let lent = request.resource_spans.pop().and_then(|mut of| of.scope_spans.pop());
        self.batch = lent.map(|scope| scope.spans).unwrap_or_default();
        bytes
    }
}

/// Describes an error without the URL, whose query may contain a key.
fn describe(error: reqwest::Error) -> String {
    use std::error::Error;

    let kind = if error.is_timeout() { "does not answer in time" } else { "cannot be reached" };
    let error = error.without_url();
    let mut innermost: &dyn Error = &error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    format!("{kind} ({innermost})")
}

async fn rejected_spans(mut response: Response) -> u64 {
    let mut bytes = Vec::new();
    while let Ok(Some(piece)) = response.chunk().await {
        bytes.extend_from_slice(&piece);
        if bytes.len() > MAX_RESPONSE {
            return 0;
        }
    }
    let read = ExportResponse::decode(&*bytes).unwrap_or_default();
    read.partial_success.map_or(0, |partial| u64::try_from(partial.rejected_spans).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collector_is_a_url_whose_default_path_is_that_of_otlp() {
        let url = |text: &str| text.parse::<Collector>().map(|collector| collector.0.to_string());
        assert_eq!(url("http://localhost:4318").unwrap(), "http://localhost:4318/v1/traces");
        assert_eq!(url("https://collector/").unwrap(), "https://collector/v1/traces");
        assert_eq!(url("https://collector/otlp/v1/traces").unwrap(), "https://collector/otlp/v1/traces");
        for bad in
            ["", "localhost:4318", "grpc://localhost:4317", "http://user:pass@host", "http://", "http://h/#x"]
        {
            assert!(url(bad).is_err(), "{bad}");
        }
    }
}
