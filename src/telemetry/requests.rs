//! Metrics of answers: what was asked for, what came of it, how much was sent, and how long it took.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use http::StatusCode;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::access::{AccessRecord, BodyEnd};
use super::label_cache::LabelCache;
use super::metrics::{AssetLabel, Histograms, ReasonLabel, seconds};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    asset: &'static str,
    status: u16,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BodyLabels {
    asset: &'static str,
    ending: &'static str,
}

/// What is counted of answers.
#[derive(Debug)]
pub(super) struct RequestMetrics {
    requests: Family<RequestLabels, Counter>,
    bodies: Family<BodyLabels, Counter>,
    sent: Family<AssetLabel, Counter<u64, AtomicU64>>,
    head: Histograms<AssetLabel>,
    took: Histograms<AssetLabel>,
    links_refused: Family<ReasonLabel, Counter>,
    known: LabelCache<(RequestLabels, BodyEnd), Numbers>,
}

/// The numbers of requests that came to the same.
#[derive(Debug)]
struct Numbers {
    requests: Counter,
    bodies: Counter,
    sent: Counter<u64, AtomicU64>,
    head: Histogram,
    took: Histogram,
    refused: Option<Counter>,
}

/// What an operator looks for first; any other reason appears when it happens.
const REFUSED: [&str; 3] = ["expired", "malformed_sig", "no_key_fits"];

/// Five milliseconds to a quarter of an hour: a recording over a slow line takes minutes.
fn whole_time() -> Histogram {
    Histogram::new([0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 180.0, 900.0])
}

impl RequestMetrics {
    pub(super) fn new() -> Self {
        Self {
            requests: Family::default(),
            bodies: Family::default(),
            sent: Family::default(),
            head: Family::new_with_constructor(seconds),
            took: Family::new_with_constructor(whole_time),
            links_refused: Family::default(),
            known: LabelCache::default(),
        }
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        for reason in REFUSED {
            let _ = self.links_refused.get_or_create(&ReasonLabel { reason });
        }
        registry.register(
            "requests",
            "Requests answered, by asset, status and outcome; counted when the body ends",
            self.requests.clone(),
        );
        registry.register("bodies", "Bodies, by asset and how they ended", self.bodies.clone());
        registry.register_with_unit(
            "sent",
            "Body bytes handed to connections",
            Unit::Bytes,
            self.sent.clone(),
        );
        registry.register_with_unit(
            "response_head",
            "Time from a request's head to its answer's head",
            Unit::Seconds,
            self.head.clone(),
        );
        registry.register_with_unit(
            "request",
            "Time from a request's head to the end of its answer's body",
            Unit::Seconds,
            self.took.clone(),
        );
        registry.register("links_refused", "Links answered 403, by reason", self.links_refused.clone());
    }

    /// A request ended so long after it began.
    pub(super) fn ended(&self, record: &AccessRecord<'_>, ending: BodyEnd, took: Duration) {
        let asset = record.asset.map_or("none", |asset| asset.kind.name());
        let labels = RequestLabels { asset, status: record.status.as_u16(), outcome: record.outcome };
        let count = |numbers: &Numbers| {
            numbers.requests.inc();
            numbers.bodies.inc();
            numbers.sent.inc_by(record.sent);
            numbers.head.observe(record.head_after.as_secs_f64());
            numbers.took.observe(took.as_secs_f64());
            if let Some(refused) = &numbers.refused {
                refused.inc();
            }
        };
        self.known.with((labels, ending), |(labels, ending)| self.numbers(labels, *ending), count);
    }

    fn numbers(&self, labels: &RequestLabels, ending: BodyEnd) -> Numbers {
        let asset = AssetLabel { asset: labels.asset };
        let body = BodyLabels { asset: labels.asset, ending: ending.name() };
        let refused = (labels.status == StatusCode::FORBIDDEN.as_u16()).then_some(labels.outcome);
        Numbers {
            requests: self.requests.get_or_create_owned(labels),
            bodies: self.bodies.get_or_create_owned(&body),
            sent: self.sent.get_or_create_owned(&asset),
            head: self.head.get_or_create_owned(&asset),
            took: self.took.get_or_create_owned(&asset),
            refused: refused.map(|reason| self.links_refused.get_or_create_owned(&ReasonLabel { reason })),
        }
    }
}
