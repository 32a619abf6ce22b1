//! Metrics of the listeners.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use crate::clock::UnixSeconds;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reload {
    result: &'static str,
}

/// What is counted of connections. Clones count together.
#[derive(Debug, Clone, Default)]
pub(crate) struct ConnectionMetrics {
    open: Gauge,
    refused: Family<Reason, Counter>,
    cut: Family<Reason, Counter>,
    certificate_expires: Gauge,
    certificate_reloads: Family<Reload, Counter>,
}

/// Why connections are refused and cut.
const REFUSED: [&str; 5] =
    ["too_many", "too_many_from_address", "no_proxy_header", "not_tls", "no_handshake"];
const CUT: [&str; 3] = ["no_request", "idle", "stalled"];

/// The same on the private listener, requests among them that are refused because others are worked on.
const ADMIN_REFUSED: [&str; 3] = ["too_many", "too_many_requests", "too_many_pages"];
const ADMIN_CUT: [&str; 5] = ["no_request", "idle", "stalled", "slow_body", "evicted"];

impl ConnectionMetrics {
    /// How many are open.
    pub(crate) fn count(&self) -> i64 {
        self.open.get()
    }

    fn begin(&self, refused: &[&'static str], cut: &[&'static str]) {
        // A series that is there from the start: what never happened is 0, and the first time can be seen as a change.
        for reason in refused {
            let _ = self.refused.get_or_create(&Reason { reason });
        }
        for reason in cut {
            let _ = self.cut.get_or_create(&Reason { reason });
        }
    }

    /// Those of the private listener.
    pub(super) fn register_admin(&self, registry: &mut Registry) {
        self.begin(&ADMIN_REFUSED, &ADMIN_CUT);
        registry.register(
            "admin_connections",
            "ConnectionMetrics of the private listener that are open",
            self.open.clone(),
        );
        registry.register(
            "admin_connections_refused",
            "ConnectionMetrics and requests of the private listener answered 503 for want of room, by reason",
            self.refused.clone(),
        );
        registry.register(
            "admin_connections_cut",
            "ConnectionMetrics of the private listener ended because their clients were silent, idle or slow, or for a newcomer",
            self.cut.clone(),
        );
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        self.begin(&REFUSED, &CUT);
        for result in ["ok", "failed"] {
            let _ = self.certificate_reloads.get_or_create(&Reload { result });
        }
        registry.register(
            "connections",
            "ConnectionMetrics of link holders that are open",
            self.open.clone(),
        );
        registry.register(
            "connections_refused",
            "ConnectionMetrics answered 503 or closed before a request, by reason",
            self.refused.clone(),
        );
        registry.register(
            "connections_cut",
            "ConnectionMetrics ended because their clients were silent, idle or took too little",
            self.cut.clone(),
        );
        registry.register_with_unit(
            "certificate_expires",
            "When the listener's certificate expires, in seconds since 1970; 0 without TLS",
            Unit::Seconds,
            self.certificate_expires.clone(),
        );
        registry.register(
            "certificate_reloads",
            "Attempts to read a changed certificate",
            self.certificate_reloads.clone(),
        );
    }

    /// A connection is open until what is returned is dropped.
    pub(crate) fn open(&self) -> OpenConnection {
        self.open.inc();
        OpenConnection(self.open.clone())
    }

    /// A connection was refused.
    pub(crate) fn refused(&self, reason: &'static str) {
        self.refused.get_or_create(&Reason { reason }).inc();
    }

    /// A connection was cut.
    pub(crate) fn cut(&self, reason: &'static str) {
        self.cut.get_or_create(&Reason { reason }).inc();
    }

    /// The certificate in force expires then.
    pub(crate) fn certificate_expires(&self, at: UnixSeconds) {
        self.certificate_expires.set(i64::try_from(at.0).unwrap_or(i64::MAX));
    }

    /// The certificate was read again, well or not.
    pub(crate) fn certificate_reloaded(&self, ok: bool) {
        self.certificate_reloads.get_or_create(&Reload { result: if ok { "ok" } else { "failed" } }).inc();
    }
}

/// An open connection.
#[derive(Debug)]
pub(crate) struct OpenConnection(Gauge);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.dec();
    }
}
