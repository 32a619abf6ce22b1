//! Sends requests to the object store, with timeouts, the circuit breaker and metrics.

use std::fmt;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use object_store::path::Path;
use object_store::{GetOptions, GetResult, ObjectStore, ObjectStoreExt};

use super::catch_panic::catch_panic;
use super::cause::{self, CLOCKS_DIFFER};
use super::circuit_breaker::CircuitBreaker;
use super::config::Config;
use super::error::StoreError;
use super::http::response::{self, ErrorResponse, ObjectRequest, UnsizedBody};
use super::metrics::{StoreMetrics, StoreOperation};
use crate::clock::running;
use crate::tasks::{self, Task};
use crate::telemetry::trace::StoreSpan;

/// The pause between probes of a store that is down.
const PROBE_EVERY: Duration = Duration::from_secs(1);

/// How long the store may take, and how often a body may break. Time spent waiting for a slow client does not count.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timeouts {
    pub(super) first_byte: Duration,
    pub(super) stall: Duration,
    pub(super) resume_tries: u32,
    pub(super) resume_timeout: Duration,
    pub(super) read_ahead: usize,
}

impl From<&Config> for Timeouts {
    fn from(config: &Config) -> Self {
        Self {
            first_byte: config.first_byte_timeout,
            stall: config.stall_timeout,
            resume_tries: config.resume_tries,
            resume_timeout: config.resume_timeout,
            // Prefetching pays off only for a remote store.
            read_ahead: if config.url.is_remote() { config.read_ahead } else { 1 },
        }
    }
}

/// The object store, with its circuit breaker, deadlines and metrics.
pub(super) struct Source {
    objects: Arc<dyn ObjectStore>,
    pub(super) breaker: CircuitBreaker,
    pub(super) timeouts: Timeouts,
    pub(super) metrics: StoreMetrics,
    /// Whether the bucket is known to exist: the store returned an object, or reported in answer to a GET that an
    /// object is missing.
    bucket_seen: AtomicBool,
    /// By how many seconds the store's clock was ahead of this machine's in its last error response.
    clock_ahead: AtomicI64,
}

fn is_framed(head: &GetResult) -> bool {
    head.extensions.get::<UnsizedBody>().is_none()
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // object_store's Display shows the URL, which must not be logged.
        f.debug_struct("Source")
            .field("breaker", &self.breaker)
            .field("timeouts", &self.timeouts)
            .finish_non_exhaustive()
    }
}

impl Source {
    pub(super) fn new(objects: Arc<dyn ObjectStore>, config: &Config, metrics: StoreMetrics) -> Self {
        let timeouts = Timeouts::from(config);
        let (breaker, bucket_seen) = (CircuitBreaker::new(), AtomicBool::new(false));
        Self { objects, breaker, timeouts, metrics, bucket_seen, clock_ahead: AtomicI64::new(0) }
    }

    /// Requests metadata only. A response to HEAD has no body, and only a body distinguishes a missing bucket from a
    /// missing object. So until the bucket has been seen, a GET must confirm that the object is missing. A GET (its
    /// body is not read) also replaces a HEAD that the store refuses or answers incompletely.
    pub(super) async fn head(self: &Arc<Self>, path: &Path) -> Result<GetResult, StoreError> {
        match self.request(StoreOperation::Head, path, GetOptions::new().with_head(true)).await {
            Err(StoreError::NotFound) if self.bucket_seen.load(Ordering::Relaxed) => {
                Err(StoreError::NotFound)
            }
            Err(error) if error.is_store_failure() || matches!(error, StoreError::Down) => Err(error),
            // Some stores report 0 because a response to HEAD has no body.
            Ok(result) if is_framed(&result) && result.meta.size > 0 => Ok(result),
            _ => self.request(StoreOperation::Get, path, GetOptions::new()).await,
        }
    }

    /// Deletes an object. A missing object counts as deleted.
    pub(super) async fn delete(&self, path: &Path) -> Result<(), StoreError> {
        let started = Instant::now();
        let waited = self.timeouts.first_byte;
        let answer = pin!(catch_panic(self.objects.delete(path)));
        let deleted = match in_time(waited, "an answer", answer).await {
            Ok(Ok(()) | Err(object_store::Error::NotFound { .. })) => Ok(()),
            Ok(Err(error)) => Err(StoreError::from(error)),
            Err(error) => Err(error),
        };
        let reason = deleted.as_ref().err().map(StoreError::reason);
        self.metrics.answered(StoreOperation::Delete, started.elapsed(), reason);
        deleted
    }

    /// Sends a request, unless the breaker is open.
    pub(super) async fn request(
        self: &Arc<Self>,
        operation: StoreOperation,
        path: &Path,
        options: GetOptions,
    ) -> Result<GetResult, StoreError> {
        if !self.breaker.is_closed() {
            return Err(StoreError::Down);
        }
        let result = self.ask(operation, path, options).await;
        match &result {
            Err(error) if error.is_store_failure() => self.failed(),
            // The first bytes of the body count as success, not its head.
            Ok(_) if matches!(operation, StoreOperation::Get | StoreOperation::Resume) => {}
            _ => self.breaker.succeeded(),
        }
        result
    }

    /// Records a failure, and starts to probe the store after too many.
    pub(super) fn failed(self: &Arc<Self>) {
        if self.breaker.failed() {
            let probing = ProbeTask(Arc::downgrade(self));
            tasks::spawn(Task::StoreProbe, probe_until_healthy(probing));
        }
    }

    fn store_is_up(&self, up: bool) {
        self.metrics.is_up(up);
        if up {
            self.breaker.close();
        } else {
            self.breaker.open();
        }
    }

    /// The difference of the clocks in words, if it is significant.
    pub(super) fn clocks_differ(&self) -> Option<String> {
        let ahead = self.clock_ahead.load(Ordering::Relaxed);
        (ahead.unsigned_abs() >= CLOCKS_DIFFER).then(|| cause::clocks(ahead))
    }

    /// Compares the clocks, if the response has a date, and warns when they begin to differ.
    fn compare_clocks(&self, error: &object_store::Error) {
        let Some(ahead) = response::find::<ErrorResponse>(error).and_then(|refusal| refusal.ahead) else {
            return;
        };
        let differed = self.clocks_differ().is_some();
        self.clock_ahead.store(ahead, Ordering::Relaxed);
        if let Some(words) = self.clocks_differ().filter(|_| !differed) {
            tracing::warn!(
                "{words}: set it, and keep it by NTP, or the store refuses us and links end at the wrong time"
            );
        }
    }

    /// Checks that the store answers and allows reading, even if the breaker is open. The probe requests an object that
    /// need not exist. It is a GET, because only a body distinguishes a missing bucket from a missing object.
    pub(super) async fn probe(&self) -> Result<(), StoreError> {
        let absent = Path::from("recordings/00000000-0000-0000-0000-000000000000.mp3");
        match self.ask(StoreOperation::Probe, &absent, GetOptions::new()).await {
            Ok(_) | Err(StoreError::NotFound) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn ask(
        &self,
        operation: StoreOperation,
        path: &Path,
        options: GetOptions,
    ) -> Result<GetResult, StoreError> {
        let started = Instant::now();
        let for_body = !options.head;
        let span = StoreSpan::begin(operation.name());
        let response = self.objects.get_opts(path, ObjectRequest::mark(options));
        let response = pin!(span.instrument(catch_panic(response)));
        let result = match in_time(self.timeouts.first_byte, "an answer", response).await {
            Ok(Ok(result)) => Ok(result),
            Ok(Err(error)) => {
                self.compare_clocks(&error);
                Err(StoreError::from(error))
            }
            Err(error) => Err(error),
        };
        if result.is_ok() || (for_body && matches!(result, Err(StoreError::NotFound))) {
            self.bucket_seen.store(true, Ordering::Relaxed);
        }
        let reason = result.as_ref().err().map(StoreError::reason);
        span.end(reason);
        self.metrics.answered(operation, started.elapsed(), reason);
        result
    }
}

/// Waits for `arriving` within a timeout. The timeout runs only while the future is polled, so a slow client never
/// exceeds it. The caller pins the future: each call that takes it by value would double the memory of a request.
pub(super) async fn in_time<T>(
    waited: Duration,
    for_what: &'static str,
    arriving: Pin<&mut impl Future<Output = T>>,
) -> Result<T, StoreError> {
    let arrived = running::timeout(waited, arriving).await;
    arrived.map_err(|_| StoreError::TimedOut { waited, for_what })
}

/// The source of a probing task. When the task ends for any reason, the breaker closes.
struct ProbeTask(Weak<Source>);

impl Drop for ProbeTask {
    fn drop(&mut self) {
        if let Some(source) = self.0.upgrade() {
            source.store_is_up(true);
        }
    }
}

/// Probes until the store is healthy. If the first probe succeeds, only single objects failed.
async fn probe_until_healthy(probing: ProbeTask) {
    let mut down = false;
    loop {
        let Some(source) = probing.0.upgrade() else { return };
        // A refusal is also an answer: requests then pass, and report its reason.
        let store_failure = source.probe().await.err().filter(StoreError::is_store_failure);
        match (&store_failure, down) {
            (Some(error), false) => {
                source.store_is_up(false);
                down = true;
                tracing::error!(
                    %error,
                    "the store fails again and again; requests are answered 503 until a probe succeeds"
                );
            }
            (Some(error), true) => tracing::debug!(%error, "the store is still down"),
            (None, true) => {
                tracing::warn!("the store answers again");
                return;
            }
            (None, false) => tracing::debug!("single objects fail, and the store is well"),
        }
        drop(source);
        tokio::time::sleep(PROBE_EVERY).await;
        if !down {
            return;
        }
    }
}
