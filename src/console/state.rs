//! The shared state of the settings page: its settings, services and limits.

use std::sync::Arc;
use std::time::Duration;

use super::page_limiter::PageLimiter;
use super::route::{self, ROOT, is_below_root};
use crate::clock::Clock;
use crate::keys::ActiveKeyring;
use crate::sender::Sender;
use crate::server::Drain;
use crate::signed_url::BaseUrl;
use crate::store::Store;
use crate::telemetry::LogLimiter;
use crate::tokens::Tokens;

/// The settings of the settings page. `defaults.toml` contains the defaults.
#[derive(Debug, Clone)]
pub struct Config {
    /// The scheme, host and path prefix at which people reach the page; `None` uses those of the request.
    pub url: Option<BaseUrl>,
    /// How long a portal link is valid.
    pub link_lifetime: Duration,
    /// How long a person stays signed in.
    pub session_lifetime: Duration,
}

/// The services that the settings page uses.
#[derive(Debug)]
pub struct Dependencies {
    /// The tokens with which operators sign in.
    pub tokens: Tokens,
    /// The webhook sender, if it runs in this process.
    pub sender: Option<Sender>,
    /// Reads recordings and transcripts.
    pub store: Store,
    /// Signs portal links, cookies, and the player's links.
    pub keyring: ActiveKeyring,
    /// The public base URL of minted links.
    pub base: BaseUrl,
    /// The longest lifetime of a link.
    pub longest_lifetime: Duration,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// When it begins, event streams end.
    pub drain: Drain,
}

/// The state of the settings page.
#[derive(Debug)]
pub(super) struct State {
    pub(super) config: Config,
    pub(super) deps: Dependencies,
    pub(super) page_limiter: PageLimiter,
    /// The event streams of each workspace, and of each session.
    pub(super) stream_limiters: [PageLimiter; 2],
    pub(super) log_limiter: LogLimiter,
    /// The path of the settings page in browsers: that of `console.url`, then [`ROOT`].
    pub(super) root: String,
}

impl State {
    pub(super) fn new(config: Config, deps: Dependencies) -> Self {
        let prefix = config.url.as_ref().map_or("", BaseUrl::prefix);
        Self {
            root: format!("{prefix}{ROOT}"),
            page_limiter: PageLimiter::of_workspaces(),
            stream_limiters: [PageLimiter::of_workspaces(), PageLimiter::of_sessions()],
            log_limiter: LogLimiter::default(),
            config,
            deps,
        }
    }

    /// The path of a request below [`ROOT`], with the prefix of `console.url` or without it: a proxy may keep or strip it.
    pub(super) fn path_below_root<'p>(&self, path: &'p str) -> Option<&'p str> {
        let prefix = self.config.url.as_ref().map_or("", BaseUrl::prefix);
        [path.strip_prefix(prefix), Some(path)].into_iter().flatten().find(|path| is_below_root(path))
    }

    /// The path of a workspace's first page in browsers.
    pub(super) fn path_of_workspace(&self, workspace: &str) -> String {
        route::of_workspace(&self.root, workspace)
    }
}
