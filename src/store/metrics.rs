//! Counts and times requests to the object store.

use std::sync::Arc;
use std::time::Duration;

use crate::telemetry::label_cache::LabelCache;
use crate::telemetry::metrics::{
    ByLabel, Counter, Family, Gauge, Histogram, Labels, Registry, Unit, durations,
};

/// A request to the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StoreOperation {
    /// Metadata.
    Head,
    /// A body, until its head arrives.
    Get,
    /// A body's first chunk.
    FirstChunk,
    /// The rest of a broken body, until its head arrives.
    Resume,
    /// A prefetched segment, until its head arrives.
    Ahead,
    /// The deletion of an object.
    Delete,
    /// A check whether the store answers again.
    Probe,
}

impl StoreOperation {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Head => "head",
            Self::Get => "get",
            Self::FirstChunk => "first_chunk",
            Self::Resume => "resume",
            Self::Ahead => "ahead",
            Self::Delete => "delete",
            Self::Probe => "probe",
        }
    }
}

/// The series of an operation and a result.
type Series = (Counter, Histogram);

/// The store's metrics. Clones share them.
#[derive(Debug, Clone)]
pub struct StoreMetrics {
    answers: Family<Labels<2>, Counter>,
    wait: ByLabel<Histogram>,
    by_result: Arc<LabelCache<(StoreOperation, &'static str), Series>>,
    broke_off: ByLabel<Counter>,
    resumed: Counter,
    up: Gauge,
}

impl StoreMetrics {
    /// Registers the metrics.
    #[must_use]
    pub fn register(registry: &Registry) -> Self {
        let metrics = Self {
            answers: registry.add(
                "store_answers",
                None,
                "Answers of the store, by operation and result",
                Family::default(),
            ),
            wait: registry.by_label(
                "store_wait",
                Some(Unit::Seconds),
                "Time the store took to answer",
                ("operation", durations),
            ),
            by_result: Arc::default(),
            broke_off: registry.counters(
                "store_broke_off",
                "Bodies the store broke off, by reason",
                "reason",
                &[],
            ),
            resumed: registry.counter("store_resumed", "Bodies that broke and were taken up again"),
            up: registry
                .gauge("store_up", "1 while requests are passed on to the store, 0 while it is only probed"),
        };
        metrics.up.set(1);
        metrics
    }

    /// Counts an answer of the store. `error` is the reason of a failure.
    pub(super) fn answered(&self, operation: StoreOperation, after: Duration, error: Option<&'static str>) {
        let result = error.unwrap_or("ok");
        let make = |_: &_| {
            let labels = [("operation", operation.name()), ("result", result)];
            (self.answers.get_or_create_owned(&labels), self.wait.of(operation.name()))
        };
        self.by_result.with((operation, result), make, |(answers, wait)| {
            answers.inc();
            wait.observe(after.as_secs_f64());
        });
    }

    /// Counts a body that broke off.
    pub(super) fn broke_off(&self, reason: &'static str) {
        self.broke_off.of(reason).inc();
    }

    /// Counts a body that was resumed.
    pub(super) fn resumed(&self) {
        self.resumed.inc();
    }

    /// Sets whether requests pass to the store, or only probes do.
    pub(super) fn is_up(&self, up: bool) {
        self.up.set(up.into());
    }
}
