//! Defines the admin listener: its settings and shared services.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::part_state::PartHistory;
use super::probe::Probe;
use super::refusals::{RefusalMetrics, Refusals};
use crate::clock::Clock;
#[cfg(feature = "console")]
use crate::console::{self, Console};
use crate::keys::ActiveKeyring;
#[cfg(feature = "sender")]
use crate::sender::Sender;
use crate::server::Drain;
use crate::signed_url::BaseUrl;
use crate::store::Store;
use crate::telemetry::Audit;
use crate::telemetry::metrics::Registry;
use crate::tokens::Token;
use crate::tokens::Tokens;

/// The admin listener's settings. `defaults.toml` has their defaults.
#[derive(Debug, Clone)]
pub struct Config {
    /// The address to listen on.
    pub listen: SocketAddr,
    /// The single bearer token, with all scopes. Without tokens, the listener is bound to loopback.
    pub token: Option<Token>,
    /// The file of the single bearer token.
    pub token_file: Option<PathBuf>,
    /// The file of the named tokens.
    pub tokens_file: Option<PathBuf>,
    /// The settings page below `/console`.
    #[cfg(feature = "console")]
    pub console: console::Config,
}

/// Answers the requests of the admin listener. Clones share everything.
#[derive(Debug, Clone)]
pub struct Admin(pub(super) Arc<Inner>);

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) services: Services,
    pub(super) refusals: Refusals,
    #[cfg(feature = "console")]
    pub(super) console: Console,
    /// Of keys, store, webhooks, audit and alerts, for `/readyz`.
    pub(super) part_histories: [PartHistory; 5],
    /// When the listener was made.
    pub(super) started: Instant,
    pub(super) store_probe: Probe,
    #[cfg(feature = "sender")]
    pub(super) ledger_probe: Probe,
}

/// The services of the admin listener.
#[derive(Debug)]
pub struct Services {
    /// The public base URL of minted links.
    pub base: BaseUrl,
    /// The longest lifetime of a link.
    pub longest_lifetime: Duration,
    /// The signing keys.
    pub keyring: ActiveKeyring,
    /// The store, for `/readyz` and for asset lookups.
    pub store: Store,
    /// The tokens that requests carry.
    pub tokens: Tokens,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// While it drains, `/readyz` answers 503.
    pub drain: Drain,
    /// The metrics of `/metrics`.
    pub registry: Registry,
    /// The audit of downloads, for `/readyz`.
    pub audit: Option<Audit>,
    /// Counts refused requests.
    pub refusals: RefusalMetrics,
    /// The webhook sender, if it runs in this process.
    #[cfg(feature = "sender")]
    pub sender: Option<Sender>,
}

impl Admin {
    /// Creates the admin listener.
    #[must_use]
    pub fn new(#[cfg(feature = "console")] console: console::Config, services: Services) -> Self {
        #[cfg(feature = "console")]
        let console = Console::new(
            console,
            console::Dependencies {
                tokens: services.tokens.clone(),
                sender: services.sender.clone(),
                store: services.store.clone(),
                keyring: services.keyring.clone(),
                base: services.base.clone(),
                longest_lifetime: services.longest_lifetime,
                clock: Arc::clone(&services.clock),
                drain: services.drain.clone(),
            },
        );
        Self(Arc::new(Inner {
            refusals: Refusals::new(services.refusals.clone()),
            services,
            #[cfg(feature = "console")]
            console,
            part_histories: Default::default(),
            started: Instant::now(),
            store_probe: Probe::default(),
            #[cfg(feature = "sender")]
            ledger_probe: Probe::default(),
        }))
    }
}
