//! The metrics of the whole program: each room registers its own metrics, in the order of the metrics page.

use crate::admin::RefusalMetrics;
use crate::gateway::RequestMetrics;
use crate::keys::KeyringMetrics;
#[cfg(feature = "sender")]
use crate::sender::SenderMetrics;
use crate::server::{CertificateMetrics, ConnectionMetrics};
use crate::store::StoreMetrics;
use crate::tasks;
use crate::telemetry::LogMetrics;
use crate::telemetry::metrics::{ByLabel, Counter, Registry};
use crate::telemetry::trace::TraceMetrics;

/// The metrics of each room. Clones share the counts.
#[derive(Debug, Clone)]
pub struct Metrics {
    /// The registry, which renders the metrics page.
    pub registry: Registry,
    /// Connections of the public listener.
    pub connections: ConnectionMetrics,
    /// The certificate of the public listener.
    pub certificate: CertificateMetrics,
    /// Connections of the admin listener.
    pub admin_connections: ConnectionMetrics,
    /// Refused requests of the admin listener.
    pub refusals: RefusalMetrics,
    /// The logs.
    pub log: LogMetrics,
    settings_reloads: ByLabel<Counter>,
    /// The traces.
    pub trace: TraceMetrics,
    /// The keyring.
    pub keyring: KeyringMetrics,
    /// The gateway's requests.
    pub requests: RequestMetrics,
    /// The store.
    pub store: StoreMetrics,
    /// The webhook sender.
    #[cfg(feature = "sender")]
    pub sender: SenderMetrics,
}

impl Default for Metrics {
    fn default() -> Self {
        let registry = Registry::default();
        let metrics = Self {
            connections: ConnectionMetrics::register(&registry),
            certificate: CertificateMetrics::register(&registry),
            admin_connections: ConnectionMetrics::register_admin(&registry),
            refusals: RefusalMetrics::register(&registry),
            log: LogMetrics::register(&registry),
            settings_reloads: registry.counters(
                "settings_reloads",
                "Attempts to read the settings again",
                "result",
                &["ok", "failed"],
            ),
            trace: TraceMetrics::register(&registry),
            keyring: KeyringMetrics::register(&registry),
            requests: RequestMetrics::register(&registry),
            store: StoreMetrics::register(&registry),
            #[cfg(feature = "sender")]
            sender: SenderMetrics::register(&registry),
            registry,
        };
        let died = "Tasks that panicked, by what they did";
        metrics.registry.add("tasks_died", None, died, tasks::panic_counter());
        metrics
    }
}

impl Metrics {
    /// The metrics page.
    #[must_use]
    pub fn render(&self) -> String {
        self.registry.render()
    }

    /// Counts a reload of the settings.
    pub(super) fn settings_reloaded(&self, ok: bool) {
        self.settings_reloads.of(if ok { "ok" } else { "failed" }).inc();
    }
}
