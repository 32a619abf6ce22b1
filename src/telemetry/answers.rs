//! Metrics of answers: how long requests took to their very end, and why links were refused.

use std::time::Duration;

use http::StatusCode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::access::AccessRecord;
use super::metrics::{AssetLabel, Histograms, ReasonLabel};

/// What is counted of answers. Clones count together.
#[derive(Debug, Clone)]
pub(super) struct Answers {
    took: Histograms<AssetLabel>,
    links_refused: Family<ReasonLabel, Counter>,
}

/// What an operator looks for first; any other reason appears when it happens.
const REFUSED: [&str; 3] = ["expired", "malformed_sig", "no_key_fits"];

/// Five milliseconds to a quarter of an hour: a recording over a slow line takes minutes.
fn whole_time() -> Histogram {
    Histogram::new([0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 180.0, 900.0])
}

impl Answers {
    pub(super) fn new() -> Self {
        Self { took: Family::new_with_constructor(whole_time), links_refused: Family::default() }
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        for reason in REFUSED {
            let _ = self.links_refused.get_or_create(&ReasonLabel { reason });
        }
        registry.register_with_unit(
            "request",
            "Time from a request's head to the end of its answer's body",
            Unit::Seconds,
            self.took.clone(),
        );
        registry.register("links_refused", "Links answered 403, by reason", self.links_refused.clone());
    }

    /// A request ended so long after it began.
    pub(super) fn ended(&self, asset: &'static str, record: &AccessRecord, took: Duration) {
        self.took.get_or_create(&AssetLabel { asset }).observe(took.as_secs_f64());
        if record.status == StatusCode::FORBIDDEN {
            self.links_refused.get_or_create(&ReasonLabel { reason: record.outcome }).inc();
        }
    }
}
