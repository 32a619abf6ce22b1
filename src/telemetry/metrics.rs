//! The registry of metrics, in the OpenMetrics text format for Prometheus. Each room registers and counts its own
//! metrics; this file defines their prefix and buckets.

use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::encoding::text;
use prometheus_client::registry::{self, Metric};

pub(crate) use prometheus_client::encoding::EncodeLabelSet;
pub(crate) use prometheus_client::metrics::counter::Counter;
pub(crate) use prometheus_client::metrics::family::Family;
pub(crate) use prometheus_client::metrics::gauge::Gauge;
pub(crate) use prometheus_client::metrics::histogram::Histogram;
pub(crate) use prometheus_client::registry::Unit;

/// The media type of [`Registry::render`].
pub const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The metrics of one process. Clones share the registry.
#[derive(Debug, Clone)]
pub struct Registry(Arc<Mutex<registry::Registry>>);

impl Default for Registry {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(registry::Registry::with_prefix("webhook_assets"))))
    }
}

impl Registry {
    /// The metrics page, in order of registration.
    #[must_use]
    pub fn render(&self) -> String {
        let mut page = String::new();
        // Writing into a String does not fail.
        let _ = text::encode(&mut page, &self.0.lock().unwrap_or_else(PoisonError::into_inner));
        page
    }

    /// Registers a metric. The format adds the prefix and the unit to its name, and `_total` to a counter's.
    pub(crate) fn add<M: Metric + Clone>(&self, name: &str, unit: Option<Unit>, help: &str, metric: M) -> M {
        let mut registry = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match unit {
            Some(unit) => registry.register_with_unit(name, help, unit, metric.clone()),
            None => registry.register(name, help, metric.clone()),
        }
        metric
    }

    pub(crate) fn counter(&self, name: &str, help: &str) -> Counter {
        self.add(name, None, help, Counter::default())
    }

    pub(crate) fn gauge(&self, name: &str, help: &str) -> Gauge {
        self.add(name, None, help, Gauge::default())
    }

    pub(crate) fn gauge_of_seconds(&self, name: &str, help: &str) -> Gauge {
        self.add(name, Some(Unit::Seconds), help, Gauge::default())
    }

    #[cfg(feature = "sender")]
    pub(crate) fn durations(&self, name: &str, help: &str) -> Histogram {
        self.add(name, Some(Unit::Seconds), help, durations())
    }

    /// Registers a counter for each value of `label`. The series of the `known` values exist from the start, so that
    /// Prometheus sees the first increment as a change.
    pub(crate) fn counters(
        &self,
        name: &str,
        help: &str,
        label: &'static str,
        known: &[&'static str],
    ) -> ByLabel<Counter> {
        let counters = ByLabel { label, metrics: self.add(name, None, help, Family::default()) };
        for value in known {
            let _ = counters.of(value);
        }
        counters
    }

    /// Registers a metric for each value of `label`.
    pub(crate) fn by_label<M>(
        &self,
        name: &str,
        unit: Option<Unit>,
        help: &str,
        (label, make): (&'static str, fn() -> M),
    ) -> ByLabel<M>
    where
        Family<Labels<1>, M>: Metric + Clone,
    {
        ByLabel { label, metrics: self.add(name, unit, help, Family::new_with_constructor(make)) }
    }
}

/// Label names and their values.
pub(crate) type Labels<const N: usize> = [(&'static str, &'static str); N];

/// A metric for each value of one label. Clones share the counts.
#[derive(Debug, Clone)]
pub(crate) struct ByLabel<M> {
    label: &'static str,
    metrics: Family<Labels<1>, M>,
}

impl<M: Clone> ByLabel<M> {
    pub(crate) fn of(&self, value: &'static str) -> M {
        self.metrics.get_or_create_owned(&[(self.label, value)])
    }
}

/// A histogram of durations, from half a millisecond to 10 s.
pub(crate) fn durations() -> Histogram {
    Histogram::new([0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0])
}

/// A number as a gauge's value; saturates.
pub(crate) fn gauge_value(number: impl TryInto<i64>) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}
