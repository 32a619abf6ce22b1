//! One request to the object store: with its deadline, through the circuit breaker, counted.

use std::fmt;
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
use super::http::response::{self, ErrorResponse, UnsizedBody};
use super::metrics::{StoreMetrics, StoreOperation};
use crate::clock::running;
use crate::tasks::{self, Task};
use crate::telemetry::trace::StoreSpan;

/// How often a store that is down is probed.
const PROBE_EVERY: Duration = Duration::from_secs(1);

/// How long the store may take, and how often it may fail a body; a slow client never counts.
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
            // A file's next byte is never far away.
            read_ahead: if config.url.is_remote() { config.read_ahead } else { 1 },
        }
    }
}

/// The object store with everything that is asked of it in one place.
pub(super) struct Source {
    objects: Arc<dyn ObjectStore>,
    pub(super) breaker: CircuitBreaker,
    pub(super) timeouts: Timeouts,
    pub(super) metrics: StoreMetrics,
    /// Whether the bucket was seen: an object was found in it, or a GET was told that it has no such object.
    bucket_seen: AtomicBool,
    /// By how many seconds the store's clock was ahead of ours when it last answered without an object.
    clock_ahead: AtomicI64,
}

fn is_framed(head: &GetResult) -> bool {
    head.extensions.get::<UnsizedBody>().is_none()
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The store's own Display has its URL in it, which is for nobody's eyes.
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

    /// Asks for metadata alone. An answer to HEAD has no body, and only a body tells a missing bucket from a missing
    /// object: until the bucket was seen, a GET has to agree that the object is absent. A GET, whose body is not read,
    /// also has the last word where the store refuses HEAD or leaves something out.
    pub(super) async fn head(self: &Arc<Self>, path: &Path) -> Result<GetResult, StoreError> {
        let options = || GetOptions::new().with_extensions(response::for_object());
        match self.request(StoreOperation::Head, path, options().with_head(true)).await {
            Err(StoreError::NotFound) if self.bucket_seen.load(Ordering::Relaxed) => {
                Err(StoreError::NotFound)
            }
            Err(error) if error.is_store_failure() || matches!(error, StoreError::Down) => Err(error),
            // Some say 0 because an answer to HEAD has no body.
            Ok(result) if is_framed(&result) && result.meta.size > 0 => Ok(result),
            _ => self.request(StoreOperation::Get, path, options()).await,
        }
    }

    /// Deletes an object. One that is not there is as good as deleted.
    pub(super) async fn delete(&self, path: &Path) -> Result<(), StoreError> {
        let started = Instant::now();
        let waited = self.timeouts.first_byte;
        let deleted = match running::timeout(waited, catch_panic(self.objects.delete(path))).await {
            Ok(Ok(()) | Err(object_store::Error::NotFound { .. })) => Ok(()),
            Ok(Err(error)) => Err(StoreError::from(error)),
            Err(_) => Err(StoreError::TimedOut { waited, for_what: "an answer" }),
        };
        let reason = deleted.as_ref().err().map(StoreError::reason);
        self.metrics.answered(StoreOperation::Delete, started.elapsed(), reason);
        deleted
    }

    /// Asks the store, unless it is down.
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
            // A head without a body proves nothing yet: the body's first bytes will.
            Ok(_) if matches!(operation, StoreOperation::Get | StoreOperation::Resume) => {}
            _ => self.breaker.succeeded(),
        }
        result
    }

    /// Notes a failure; the one too many has the store probed.
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

    /// How far the clocks differ, in words, if that matters.
    pub(super) fn clocks_differ(&self) -> Option<String> {
        let ahead = self.clock_ahead.load(Ordering::Relaxed);
        (ahead.unsigned_abs() >= CLOCKS_DIFFER).then(|| cause::clocks(ahead))
    }

    /// Compares the clocks, if the store has told the time, and says so when they begin to differ.
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

    /// Whether the store answers and lets us read: asks for an object that need not exist, down or not. A GET, because
    /// only its answer's body tells a missing bucket from a missing object.
    pub(super) async fn probe(&self) -> Result<(), StoreError> {
        let absent = Path::from("recordings/00000000-0000-0000-0000-000000000000.mp3");
        let options = GetOptions::new().with_extensions(response::for_object());
        match self.ask(StoreOperation::Probe, &absent, options).await {
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
        let asked = span.instrument(catch_panic(self.objects.get_opts(path, options)));
        let answer = running::timeout(self.timeouts.first_byte, asked).await;
        let result = match answer {
            Ok(Ok(result)) => Ok(result),
            Ok(Err(error)) => {
                self.compare_clocks(&error);
                Err(StoreError::from(error))
            }
            Err(_) => Err(StoreError::TimedOut { waited: self.timeouts.first_byte, for_what: "an answer" }),
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

/// The task that probes the store. Whatever becomes of it, requests pass when it is gone.
struct ProbeTask(Weak<Source>);

impl Drop for ProbeTask {
    fn drop(&mut self) {
        if let Some(source) = self.0.upgrade() {
            source.store_is_up(true);
        }
    }
}

/// One probe at a time until the store is well, or gone with the program. If the first finds it well, the failures were
/// those of single objects.
async fn probe_until_healthy(probing: ProbeTask) {
    let mut down = false;
    loop {
        let Some(source) = probing.0.upgrade() else { return };
        // Refused is an answer too: it has to reach the requests, with its reason.
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
