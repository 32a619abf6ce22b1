//! Metrics of the listeners and of the certificate.

use crate::clock::UnixSeconds;
use crate::telemetry::metrics::{ByLabel, Counter, Gauge, Registry, gauge_value};

/// The metrics of one listener's connections. Clones share their values.
#[derive(Debug, Clone)]
pub struct ConnectionMetrics {
    open: Gauge,
    refused: ByLabel<Counter>,
    cut: ByLabel<Counter>,
}

impl ConnectionMetrics {
    /// Registers the metrics of the public listener.
    #[must_use]
    pub fn register(registry: &Registry) -> Self {
        Self {
            open: registry.gauge("connections", "Connections of link holders that are open"),
            refused: registry.counters(
                "connections_refused",
                "Connections answered 503 or closed before a request, by reason",
                "reason",
                &["too_many", "too_many_from_address", "no_proxy_header", "not_tls", "no_handshake"],
            ),
            cut: registry.counters(
                "connections_cut",
                "Connections ended because their clients were silent, idle or read too little",
                "reason",
                &["no_request", "idle", "stalled"],
            ),
        }
    }

    /// Registers the metrics of the private listener, which also refuses requests while too many are in flight.
    #[must_use]
    pub fn register_admin(registry: &Registry) -> Self {
        Self {
            open: registry.gauge("admin_connections", "Connections of the private listener that are open"),
            refused: registry.counters(
                "admin_connections_refused",
                "Connections and requests of the private listener answered 503 because a limit was reached, by reason",
                "reason",
                &["too_many", "too_many_requests", "too_many_pages"],
            ),
            cut: registry.counters(
                "admin_connections_cut",
                "Connections of the private listener ended because their clients were silent, idle or slow, or to make room for a new connection",
                "reason",
                &["no_request", "idle", "stalled", "slow_body", "evicted"],
            ),
        }
    }

    /// The number of open connections.
    pub(crate) fn count(&self) -> i64 {
        self.open.get()
    }

    /// Counts a connection as open until the result is dropped.
    pub(super) fn open(&self) -> OpenConnection {
        self.open.inc();
        OpenConnection(self.open.clone())
    }

    pub(super) fn refused(&self, reason: &'static str) {
        self.refused.of(reason).inc();
    }

    pub(super) fn cut(&self, reason: &'static str) {
        self.cut.of(reason).inc();
    }
}

/// An open connection.
#[derive(Debug)]
pub(super) struct OpenConnection(Gauge);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// The metrics of the public listener's certificate.
#[derive(Debug, Clone)]
pub struct CertificateMetrics {
    expires: Gauge,
    reloads: ByLabel<Counter>,
}

impl CertificateMetrics {
    /// Registers the metrics.
    #[must_use]
    pub fn register(registry: &Registry) -> Self {
        Self {
            expires: registry.gauge_of_seconds(
                "certificate_expires",
                "When the listener's certificate expires, in seconds since 1970; 0 without TLS",
            ),
            reloads: registry.counters(
                "certificate_reloads",
                "Attempts to read a changed certificate",
                "result",
                &["ok", "failed"],
            ),
        }
    }

    /// Sets when the current certificate expires.
    pub(super) fn expires(&self, at: UnixSeconds) {
        self.expires.set(gauge_value(at.0));
    }

    /// Counts a reload of the certificate.
    pub(super) fn reloaded(&self, ok: bool) {
        self.reloads.of(if ok { "ok" } else { "failed" }).inc();
    }
}
