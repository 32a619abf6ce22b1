//! One request to the object store: with its deadline, through the gate, counted.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use object_store::path::Path;
use object_store::{GetOptions, GetResult, ObjectStore, ObjectStoreExt};

use super::gate::Gate;
use super::{Config, StoreError};
use crate::tasks::{self, Task};
use crate::telemetry::metrics::{Metrics, StoreOperation};
use crate::telemetry::trace::StoreSpan;

/// How often a store that is down is probed.
const PROBE_EVERY: Duration = Duration::from_secs(1);

/// How long the store may take, and how often it may fail a body; a slow client never counts.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    pub(super) first_byte: Duration,
    pub(super) stall: Duration,
    pub(super) resume_tries: u32,
    pub(super) resume_timeout: Duration,
    pub(super) read_ahead: usize,
}

impl From<&Config> for Patience {
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
    pub(super) gate: Gate,
    pub(super) patience: Patience,
    pub(super) metrics: Metrics,
    /// Whether the bucket was seen: an object was found in it, or a GET was told that it has no such object.
    bucket_seen: AtomicBool,
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The store's own Display has its URL in it, which is for nobody's eyes.
        f.debug_struct("Source")
            .field("gate", &self.gate)
            .field("patience", &self.patience)
            .finish_non_exhaustive()
    }
}

impl Source {
    pub(super) fn new(objects: Arc<dyn ObjectStore>, config: &Config, metrics: Metrics) -> Self {
        let patience = Patience::from(config);
        Self { objects, gate: Gate::new(), patience, metrics, bucket_seen: AtomicBool::new(false) }
    }

    /// Asks for metadata alone. An answer to HEAD has no body, and only a body tells a missing bucket from a missing
    /// object: until the bucket was seen, a GET has to agree that the object is absent.
    pub(super) async fn head(self: &Arc<Self>, path: &Path) -> Result<GetResult, StoreError> {
        let options = GetOptions::new().with_head(true);
        match self.request(StoreOperation::Head, path, options).await {
            Err(StoreError::NotFound) if !self.bucket_seen.load(Ordering::Relaxed) => {
                self.request(StoreOperation::Get, path, GetOptions::new()).await
            }
            other => other,
        }
    }

    /// Deletes an object. One that is not there is as good as deleted.
    pub(super) async fn delete(&self, path: &Path) -> Result<(), StoreError> {
        let started = Instant::now();
        let waited = self.patience.first_byte;
        let deleted = match tokio::time::timeout(waited, self.objects.delete(path)).await {
            Ok(Ok(()) | Err(object_store::Error::NotFound { .. })) => Ok(()),
            Ok(Err(error)) => Err(StoreError::from(error)),
            Err(_) => Err(StoreError::TimedOut { waited, for_what: "an answer" }),
        };
        let reason = deleted.as_ref().err().map(StoreError::reason);
        self.metrics.store_answered(StoreOperation::Delete, started.elapsed(), reason);
        deleted
    }

    /// Asks the store, unless it is down.
    pub(super) async fn request(
        self: &Arc<Self>,
        operation: StoreOperation,
        path: &Path,
        options: GetOptions,
    ) -> Result<GetResult, StoreError> {
        if !self.gate.is_open() {
            return Err(StoreError::Down);
        }
        let result = self.ask(operation, path, options).await;
        match &result {
            Err(error) if error.is_ill() => self.failed(),
            // A head without a body proves nothing yet: the body's first bytes will.
            Ok(_) if matches!(operation, StoreOperation::Get | StoreOperation::Resume) => {}
            _ => self.gate.succeeded(),
        }
        result
    }

    /// Notes a failure; the one too many closes the gate and starts the probing.
    pub(super) fn failed(self: &Arc<Self>) {
        if self.gate.failed() {
            self.metrics.store_is_up(false);
            let source = Arc::downgrade(self);
            tasks::supervise(Task::StoreProbe, source, |source| Box::pin(probe_until_well(source)));
            tracing::error!(
                "the store fails again and again; requests are answered 503 until a probe succeeds"
            );
        }
    }

    /// Whether the store answers and lets us read: asks for an object that need not exist, down or not. A GET, because
    /// only its answer's body tells a missing bucket from a missing object.
    pub(super) async fn probe(&self) -> Result<(), StoreError> {
        let nobodys = Path::from("recordings/00000000-0000-0000-0000-000000000000.mp3");
        match self.ask(StoreOperation::Probe, &nobodys, GetOptions::new()).await {
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
        let span = StoreSpan::begin(operation);
        let asked = span.around(self.objects.get_opts(path, options));
        let answer = tokio::time::timeout(self.patience.first_byte, asked).await;
        let result = match answer {
            Ok(Ok(result)) => Ok(result),
            Ok(Err(error)) => Err(StoreError::from(error)),
            Err(_) => Err(StoreError::TimedOut { waited: self.patience.first_byte, for_what: "an answer" }),
        };
        if result.is_ok() || (for_body && matches!(result, Err(StoreError::NotFound))) {
            self.bucket_seen.store(true, Ordering::Relaxed);
        }
        let reason = result.as_ref().err().map(StoreError::reason);
        span.end(reason);
        self.metrics.store_answered(operation, started.elapsed(), reason);
        result
    }
}

/// One probe at a time until the store is well, or gone with the program.
async fn probe_until_well(source: &Weak<Source>) {
    loop {
        tokio::time::sleep(PROBE_EVERY).await;
        let Some(source) = source.upgrade() else { return };
        match source.probe().await {
            Err(error) if error.is_ill() => tracing::debug!(%error, "the store is still down"),
            // Refused is an answer too: it has to reach the requests, with its reason.
            _ => {
                source.gate.open();
                source.metrics.store_is_up(true);
                tracing::warn!("the store answers again");
                return;
            }
        }
    }
}
