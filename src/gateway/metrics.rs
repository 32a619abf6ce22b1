//! Metrics of requests: asset, status and outcome, bytes sent and time taken.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

use crate::telemetry::label_cache::LabelCache;
use crate::telemetry::metrics::{
    ByLabel, Counter, EncodeLabelSet, Family, Gauge, Histogram, Labels, Registry, Unit, durations,
};
use crate::telemetry::{AccessRecord, BodyEnd};

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    asset: &'static str,
    status: u16,
    outcome: &'static str,
}

/// The metrics of requests. Clones share their values.
#[derive(Debug, Clone)]
pub struct RequestMetrics {
    requests: Family<RequestLabels, Counter>,
    bodies: Family<Labels<2>, Counter>,
    sent: ByLabel<Counter>,
    response_head: ByLabel<Histogram>,
    took: ByLabel<Histogram>,
    links_refused: ByLabel<Counter>,
    in_flight: Gauge,
    by_labels: Arc<LabelCache<(RequestLabels, BodyEnd), Series>>,
}

/// The series of all requests with the same labels.
#[derive(Debug)]
struct Series {
    requests: Counter,
    bodies: Counter,
    sent: Counter,
    response_head: Histogram,
    took: Histogram,
    refused: Option<Counter>,
}

/// 5 ms to 15 minutes: a recording over a slow line takes minutes.
fn whole_time() -> Histogram {
    Histogram::new([0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 180.0, 900.0])
}

impl RequestMetrics {
    /// Registers the metrics.
    #[must_use]
    pub fn register(registry: &Registry) -> Self {
        Self {
            requests: registry.add(
                "requests",
                None,
                "Requests answered, by asset, status and outcome; counted when the body ends",
                Family::default(),
            ),
            bodies: registry.add("bodies", None, "Bodies, by asset and how they ended", Family::default()),
            sent: registry.by_label(
                "sent",
                Some(Unit::Bytes),
                "Body bytes handed to connections",
                ("asset", Counter::default),
            ),
            response_head: registry.by_label(
                "response_head",
                Some(Unit::Seconds),
                "Time from a request's head to its answer's head",
                ("asset", durations),
            ),
            took: registry.by_label(
                "request",
                Some(Unit::Seconds),
                "Time from a request's head to the end of its answer's body",
                ("asset", whole_time),
            ),
            // The reasons an operator looks for first. Other reasons appear with their first occurrence.
            links_refused: registry.counters(
                "links_refused",
                "Links answered 403, by reason",
                "reason",
                &["expired", "malformed_sig", "no_key_fits"],
            ),
            in_flight: registry.gauge("requests_in_flight", "Requests whose body has not ended"),
            by_labels: Arc::default(),
        }
    }

    /// Counts a request as in flight until [`finished`](Self::finished).
    pub(super) fn began(&self) {
        self.in_flight.inc();
    }

    pub(super) fn finished(&self) {
        self.in_flight.dec();
    }

    /// Counts a request whose body has ended.
    pub(super) fn count(&self, record: &AccessRecord<'_>, end: BodyEnd, took: Duration) {
        let asset = record.asset.map_or("none", |asset| asset.kind.name());
        let labels = RequestLabels { asset, status: record.status.as_u16(), outcome: record.outcome };
        let count = |series: &Series| {
            series.requests.inc();
            series.bodies.inc();
            series.sent.inc_by(record.sent);
            series.response_head.observe(record.head_after.as_secs_f64());
            series.took.observe(took.as_secs_f64());
            if let Some(refused) = &series.refused {
                refused.inc();
            }
        };
        self.by_labels.with((labels, end), |(labels, end)| self.series(labels, *end), count);
    }

    fn series(&self, labels: &RequestLabels, end: BodyEnd) -> Series {
        let body = [("asset", labels.asset), ("ending", end.name())];
        let refused = (labels.status == StatusCode::FORBIDDEN.as_u16()).then_some(labels.outcome);
        Series {
            requests: self.requests.get_or_create_owned(labels),
            bodies: self.bodies.get_or_create_owned(&body),
            sent: self.sent.of(labels.asset),
            response_head: self.response_head.of(labels.asset),
            took: self.took.of(labels.asset),
            refused: refused.map(|reason| self.links_refused.of(reason)),
        }
    }
}
