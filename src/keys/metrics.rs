//! Metrics of the keyring and of the links that it signs.

use crate::clock::UnixSeconds;
use crate::telemetry::metrics::{ByLabel, Counter, Family, Gauge, Labels, Registry, gauge_value};

/// Metrics of the keyring. Clones share the counts.
#[derive(Debug, Clone)]
pub struct KeyringMetrics {
    signing_key: Family<[(&'static str, String); 1], Gauge>,
    signing_key_age: Gauge,
    signs_until: Gauge,
    links_minted: ByLabel<Counter>,
    keys: Gauge,
    reloads: Family<Labels<2>, Counter>,
}

impl KeyringMetrics {
    /// Registers the metrics.
    #[must_use]
    pub fn register(registry: &Registry) -> Self {
        Self {
            signing_key: registry.add(
                "keyring_signing_key",
                None,
                "1 for the key that signs links of full length now",
                Family::default(),
            ),
            signing_key_age: registry
                .gauge_of_seconds("keyring_signing_key_age", "For how long that key has been signing"),
            signs_until: registry.gauge_of_seconds(
                "keyring_signs_until",
                "When no key can sign links of full length any more, in seconds since 1970; 0 if one always can",
            ),
            links_minted: registry.counters(
                "links_minted",
                "Links minted by the admin listener, by asset",
                "asset",
                &[],
            ),
            keys: registry.gauge("keyring_keys", "Keys in the keyring in force"),
            reloads: registry.add(
                "keyring_reloads",
                None,
                "Attempts to read a changed keyring",
                Family::default(),
            ),
        }
    }

    pub(super) fn link_minted(&self, asset: &'static str) {
        self.links_minted.of(asset).inc();
    }

    pub(super) fn has_keys(&self, keys: usize) {
        self.keys.set(gauge_value(keys));
    }

    /// Counts a reload of the file.
    pub(super) fn reloaded(&self, ok: bool) {
        let result = if ok { "ok" } else { "failed" };
        self.reloads.get_or_create(&[("operation", "reload"), ("result", result)]).inc();
    }

    /// Sets the signing key and the second it started; `until` is when all signing ends, if ever.
    pub(super) fn signs(
        &self,
        key: Option<(&str, UnixSeconds)>,
        now: UnixSeconds,
        until: Option<UnixSeconds>,
    ) {
        self.signing_key.clear();
        if let Some((id, _)) = key {
            self.signing_key.get_or_create(&[("key_id", id.to_owned())]).set(1);
        }
        let age = key.map_or(0, |(_, starts)| now.since(starts).as_secs());
        self.signing_key_age.set(gauge_value(age));
        self.signs_until.set(gauge_value(until.map_or(0, |until| until.0)));
    }
}
