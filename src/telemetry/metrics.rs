//! Metrics in the OpenMetrics text format, for Prometheus.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::access::{AccessRecord, BodyEnd};
use super::connections::ConnectionMetrics;
use super::label_cache::LabelCache;
use super::process::ProcessMetrics;
use super::requests::RequestMetrics;

/// The media type of [`Metrics::render`].
pub const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The names, without the prefix `webhook_assets_` and the suffixes that the format adds.
mod names {
    pub(super) const IN_FLIGHT: &str = "requests_in_flight";
    pub(super) const STORE_ANSWERS: &str = "store_answers";
    pub(super) const STORE_WAIT: &str = "store_wait";
    pub(super) const STORE_BREAKS: &str = "store_broke_off";
    pub(super) const STORE_RESUMES: &str = "store_resumed";
    pub(super) const STORE_UP: &str = "store_up";
    pub(super) const LINKS_MINTED: &str = "links_minted";
    pub(super) const KEYS: &str = "keyring_keys";
    pub(super) const RELOADS: &str = "keyring_reloads";
    pub(super) const EVENTS: &str = "webhook_events_accepted";
    pub(super) const DELIVERIES: &str = "webhook_deliveries";
    pub(super) const DELIVERY_TIME: &str = "webhook_delivery";
    pub(super) const ATTEMPTS: &str = "webhook_attempts";
    pub(super) const ATTEMPT_TIME: &str = "webhook_attempt";
    pub(super) const FIRST_ATTEMPT: &str = "webhook_first_attempt_delay";
    pub(super) const PENDING: &str = "webhook_deliveries_pending";
    pub(super) const OVERDUE: &str = "webhook_overdue";
    pub(super) const NOT_FETCHED: &str = "webhook_deliveries_not_fetched";
    pub(super) const ENDPOINTS: &str = "webhook_endpoint_changes";
    pub(super) const LEDGER_ERRORS: &str = "webhook_database_errors";
}

/// What was asked of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StoreOperation {
    /// Metadata.
    Head,
    /// A body, until its head.
    Get,
    /// A body's first chunk.
    FirstChunk,
    /// The rest of a body that broke, until its head.
    Resume,
    /// A segment that is read ahead, until its head.
    Ahead,
    /// To delete an object.
    Delete,
    /// Whether it is there.
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

/// A key of the keyring.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct KeyLabel {
    key_id: String,
}

impl KeyLabel {
    pub(super) fn of(id: &str) -> Self {
        Self { key_id: id.to_owned() }
    }
}

/// Label sets of one label.
macro_rules! labels {
    ($($name:ident { $label:ident })*) => {$(
        #[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
        pub(super) struct $name {
            pub(super) $label: &'static str,
        }
    )*};
}

labels! {
    AssetLabel { asset }
    ReasonLabel { reason }
    OperationLabel { operation }
    ResultLabel { result }
    CodeLabel { code }
    StateLabel { state }
    ChangeLabel { change }
    LogLabel { log }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StoreLabels {
    operation: &'static str,
    result: &'static str,
}

pub(super) type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

/// Every number the program counts. Clones count together.
#[derive(Clone)]
pub struct Metrics(Arc<Numbers>);

struct Numbers {
    registry: Registry,
    connections: ConnectionMetrics,
    admin_connections: ConnectionMetrics,
    process: ProcessMetrics,
    requests: RequestMetrics,
    in_flight: Gauge,
    store_answers: Family<StoreLabels, Counter>,
    store_wait: Histograms<OperationLabel>,
    known_answers: LabelCache<StoreLabels, (Counter, Histogram)>,
    store_breaks: Family<ReasonLabel, Counter>,
    store_resumes: Counter,
    store_up: Gauge,
    links_minted: Family<AssetLabel, Counter>,
    keys: Gauge,
    reloads: Family<StoreLabels, Counter>,
    events: Counter,
    deliveries: Family<ResultLabel, Counter>,
    delivery_time: Histogram,
    attempts: Family<CodeLabel, Counter>,
    attempt_time: Histogram,
    first_attempt: Histogram,
    pending: Family<StateLabel, Gauge>,
    overdue: Gauge<f64, AtomicU64>,
    not_fetched: Gauge,
    endpoints: Family<ChangeLabel, Counter>,
    ledger_errors: Family<ReasonLabel, Counter>,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

/// Half a millisecond to about 16 s.
pub(super) fn seconds() -> Histogram {
    Histogram::new([0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0])
}

impl Metrics {
    /// Fresh numbers, all zero.
    #[must_use]
    pub fn new() -> Self {
        let mut numbers = Numbers {
            registry: Registry::with_prefix("webhook_assets"),
            connections: ConnectionMetrics::default(),
            admin_connections: ConnectionMetrics::default(),
            process: ProcessMetrics::default(),
            requests: RequestMetrics::new(),
            in_flight: Gauge::default(),
            store_answers: Family::default(),
            store_wait: Family::new_with_constructor(seconds),
            known_answers: LabelCache::default(),
            store_breaks: Family::default(),
            store_resumes: Counter::default(),
            store_up: Gauge::default(),
            links_minted: Family::default(),
            keys: Gauge::default(),
            reloads: Family::default(),
            events: Counter::default(),
            deliveries: Family::default(),
            delivery_time: seconds(),
            attempts: Family::default(),
            attempt_time: seconds(),
            first_attempt: seconds(),
            pending: Family::default(),
            overdue: Gauge::default(),
            not_fetched: Gauge::default(),
            endpoints: Family::default(),
            ledger_errors: Family::default(),
        };
        numbers.connections.register(&mut numbers.registry);
        numbers.admin_connections.register_admin(&mut numbers.registry);
        numbers.process.register(&mut numbers.registry);
        numbers.requests.register(&mut numbers.registry);
        numbers.register();
        numbers.register_webhooks();
        numbers.store_up.set(1);
        Self(Arc::new(numbers))
    }

    /// The numbers of the gateway's listener.
    pub(crate) fn connections(&self) -> &ConnectionMetrics {
        &self.0.connections
    }

    /// The numbers of the private listener.
    pub(crate) fn admin_connections(&self) -> &ConnectionMetrics {
        &self.0.admin_connections
    }

    /// The numbers of the program itself.
    pub(crate) fn process(&self) -> &ProcessMetrics {
        &self.0.process
    }

    /// A request ended as `record` says.
    pub(crate) fn request_ended(&self, record: &AccessRecord<'_>, ending: BodyEnd, took: Duration) {
        self.0.requests.ended(record, ending, took);
    }

    /// The store answered, well or not.
    pub(crate) fn store_answered(
        &self,
        operation: StoreOperation,
        after: Duration,
        error: Option<&'static str>,
    ) {
        let operation = operation.name();
        let labels = StoreLabels { operation, result: error.unwrap_or("ok") };
        let numbers = |labels: &StoreLabels| {
            let wait = OperationLabel { operation };
            (self.0.store_answers.get_or_create_owned(labels), self.0.store_wait.get_or_create_owned(&wait))
        };
        self.0.known_answers.with(labels, numbers, |(answers, wait)| {
            answers.inc();
            wait.observe(after.as_secs_f64());
        });
    }

    /// The store failed in the middle of a body.
    pub(crate) fn store_broke_off(&self, reason: &'static str) {
        self.0.store_breaks.get_or_create(&ReasonLabel { reason }).inc();
    }

    /// A body that broke was taken up again.
    pub(crate) fn store_resumed(&self) {
        self.0.store_resumes.inc();
    }

    /// Whether requests are passed on to the store, or only probes.
    pub(crate) fn store_is_up(&self, up: bool) {
        self.0.store_up.set(i64::from(up));
    }

    /// A link of this kind was minted.
    pub(crate) fn link_minted(&self, asset: &'static str) {
        self.0.links_minted.get_or_create(&AssetLabel { asset }).inc();
    }

    /// The keyring now has so many keys.
    pub(crate) fn keyring_has(&self, keys: usize) {
        self.0.keys.set(i64::try_from(keys).unwrap_or(i64::MAX));
    }

    /// The keyring was read again, well or not.
    pub(crate) fn keyring_reloaded(&self, ok: bool) {
        let labels = StoreLabels { operation: "reload", result: if ok { "ok" } else { "failed" } };
        self.0.reloads.get_or_create(&labels).inc();
    }

    /// An event was accepted.
    pub(crate) fn event_accepted(&self) {
        self.0.events.inc();
    }

    /// A delivery ended: `delivered` or `failed`, so long after its event was accepted.
    pub(crate) fn delivery_ended(&self, result: &'static str, after: Duration) {
        self.0.deliveries.get_or_create(&ResultLabel { result }).inc();
        self.0.delivery_time.observe(after.as_secs_f64());
    }

    /// An attempt ended with this code.
    pub(crate) fn attempt_ended(&self, code: &'static str, took: Duration) {
        self.0.attempts.get_or_create(&CodeLabel { code }).inc();
        self.0.attempt_time.observe(took.as_secs_f64());
    }

    /// A delivery's first attempt begins, so long after its event was accepted.
    pub(crate) fn first_attempt_began(&self, after: Duration) {
        self.0.first_attempt.observe(after.as_secs_f64());
    }

    /// So many deliveries are in this state.
    pub(crate) fn deliveries_pending(&self, state: &'static str, count: u64) {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        self.0.pending.get_or_create(&StateLabel { state }).set(count);
    }

    /// The delivery that waits longest has been due for so long.
    pub(crate) fn delivery_overdue(&self, by: Duration) {
        self.0.overdue.set(by.as_secs_f64());
    }

    /// So many deliveries carried links that live and that nobody followed.
    pub(crate) fn deliveries_not_fetched(&self, count: u64) {
        self.0.not_fetched.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// An endpoint was held or disabled.
    pub(crate) fn endpoint_changed(&self, change: &'static str) {
        self.0.endpoints.get_or_create(&ChangeLabel { change }).inc();
    }

    /// The sender's database failed.
    pub(crate) fn ledger_failed(&self, reason: &'static str) {
        self.0.ledger_errors.get_or_create(&ReasonLabel { reason }).inc();
    }

    /// One request more is in flight, until it finishes.
    pub(crate) fn request_began(&self) {
        self.0.in_flight.inc();
    }

    /// One that has entered is not in flight any more.
    pub(crate) fn request_finished(&self) {
        self.0.in_flight.dec();
    }

    /// The metrics page.
    #[must_use]
    pub fn render(&self) -> String {
        let mut page = String::new();
        // Writing into a String does not fail.
        let _ = text::encode(&mut page, &self.0.registry);
        page
    }
}

impl Numbers {
    fn register(&mut self) {
        let Self { registry, .. } = self;
        registry.register(names::IN_FLIGHT, "Requests whose body has not ended", self.in_flight.clone());
        registry.register(
            names::STORE_ANSWERS,
            "RequestMetrics of the store, by operation and result",
            self.store_answers.clone(),
        );
        registry.register_with_unit(
            names::STORE_WAIT,
            "Time the store took to answer",
            Unit::Seconds,
            self.store_wait.clone(),
        );
        registry.register(
            names::STORE_BREAKS,
            "Bodies the store broke off, by reason",
            self.store_breaks.clone(),
        );
        registry.register(
            names::STORE_RESUMES,
            "Bodies that broke and were taken up again",
            self.store_resumes.clone(),
        );
        registry.register(
            names::STORE_UP,
            "1 while requests are passed on to the store, 0 while it is only probed",
            self.store_up.clone(),
        );
        registry.register(
            names::LINKS_MINTED,
            "Links minted by the admin listener, by asset",
            self.links_minted.clone(),
        );
        registry.register(names::KEYS, "Keys in the keyring in force", self.keys.clone());
        registry.register(names::RELOADS, "Attempts to read a changed keyring", self.reloads.clone());
    }

    fn register_webhooks(&mut self) {
        let Self { registry, .. } = self;
        registry.register(names::EVENTS, "Events accepted by the sender", self.events.clone());
        registry.register(
            names::DELIVERIES,
            "Deliveries that ended, by result: delivered, failed",
            self.deliveries.clone(),
        );
        registry.register_with_unit(
            names::DELIVERY_TIME,
            "Time from accepting an event to the end of its delivery",
            Unit::Seconds,
            self.delivery_time.clone(),
        );
        registry.register(names::ATTEMPTS, "Attempts, by what came of them", self.attempts.clone());
        registry.register_with_unit(
            names::ATTEMPT_TIME,
            "Time an attempt took",
            Unit::Seconds,
            self.attempt_time.clone(),
        );
        registry.register_with_unit(
            names::FIRST_ATTEMPT,
            "Time from accepting an event to the first attempt",
            Unit::Seconds,
            self.first_attempt.clone(),
        );
        registry.register(
            names::PENDING,
            "Deliveries that have not ended, by state; counted every 10 s",
            self.pending.clone(),
        );
        registry.register_with_unit(
            names::OVERDUE,
            "How long the delivery that waits longest has been due",
            Unit::Seconds,
            self.overdue.clone(),
        );
        registry.register(
            names::NOT_FETCHED,
            "Deliveries whose links live and were never followed; counted every 10 s",
            self.not_fetched.clone(),
        );
        registry.register(
            names::ENDPOINTS,
            "Endpoints that were held or disabled because they failed",
            self.endpoints.clone(),
        );
        registry.register(
            names::LEDGER_ERRORS,
            "Failures of the sender's database, by reason",
            self.ledger_errors.clone(),
        );
    }
}
