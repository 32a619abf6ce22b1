//! Reloads the settings that can change without a restart, on SIGHUP.

use std::sync::Arc;

use tokio::signal::unix::Signal;
use tokio::sync::{Notify, watch};

use super::fd_limit;
use super::metrics::Metrics;
use crate::config::{Config, Sources};
use crate::server;
use crate::telemetry::{Audit, Logging};

/// The prefixes of settings that a reload applies; other changes take effect at the next start.
const LIVE: [&str; 3] = ["log.level", "server.", "admin.connections"];

/// Everything that a reload needs.
pub(super) struct Reload {
    pub(super) sources: Sources,
    /// The settings in effect.
    pub(super) config: Config,
    pub(super) logging: Logging,
    pub(super) limits: Limits,
    pub(super) metrics: Metrics,
    pub(super) audit: Option<Audit>,
    /// The watchers of the keyring, the tokens and the certificate.
    pub(super) watchers: [Arc<Notify>; 3],
    pub(super) hangup: Signal,
}

/// The connection settings of both listeners.
#[derive(Debug, Clone)]
pub(super) struct Limits {
    pub(super) gateway: watch::Sender<server::Config>,
    pub(super) admin: watch::Sender<server::Config>,
}

impl Limits {
    pub(super) fn of(config: &Config) -> Self {
        let (gateway, _) = watch::channel(config.server.clone());
        let (admin, _) = watch::channel(config.of_admin_connections());
        Self { gateway, admin }
    }
}

impl Reload {
    /// Reloads at each signal. Never returns.
    pub(super) async fn at_each(&mut self) {
        while self.hangup.recv().await.is_some() {
            self.watchers.iter().for_each(|watcher| watcher.notify_one());
            self.audit.iter().for_each(Audit::reopen);
            self.settings();
        }
    }

    fn settings(&mut self) {
        let read = self.sources.read();
        let mut new = match read {
            Ok(new) => new,
            Err(error) => {
                self.metrics.settings_reloaded(false);
                tracing::error!(%error, "the changed settings are unusable; the old ones stay in force");
                return;
            }
        };
        let changed = new.settings.changed_since(&self.config.settings);
        let is_live = |key: &&String| LIVE.iter().any(|live| key.starts_with(live));
        let (live, waiting): (Vec<_>, Vec<_>) = changed.iter().partition(is_live);
        fd_limit::lower_connections(&mut new);
        self.limits.gateway.send_replace(new.server.clone());
        self.limits.admin.send_replace(new.of_admin_connections());
        let (old_level, new_level) = (self.config.log_level, new.log_level);
        self.config.log_level = new_level;
        let say = || tracing::info!(changed = ?live, "the settings were read again");
        // Logs at the more verbose of the two levels.
        if new_level < old_level {
            say();
        }
        self.logging.set_level(new_level);
        // Counts the reload after all its changes have taken effect.
        self.metrics.settings_reloaded(true);
        if new_level >= old_level {
            say();
        }
        for warning in &new.warnings {
            tracing::warn!("{warning}");
        }
        if !waiting.is_empty() {
            tracing::warn!(settings = ?waiting, "these settings were changed too, and wait for the next start");
        }
        // The next reload names an unapplied change again.
        self.config.settings.take_over(&new.settings, &live);
    }
}
