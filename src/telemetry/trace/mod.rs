//! OpenTelemetry traces: spans of requests and of their calls to the store, exported to a collector.

mod context;
mod export;
mod otlp;
mod span;

pub use export::{Collector, TraceMetrics, TracingConfig};
pub use span::{StoreSpan, Trace, Tracing, current, in_trace, in_trace_sync, inject};
