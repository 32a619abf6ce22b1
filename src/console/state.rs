//! What every request of the settings page uses: settings, services and the limit of pages.

use std::sync::Arc;
use std::time::Duration;

use super::page_limiter::PageLimiter;
use crate::clock::Clock;
use crate::keys::ActiveKeyring;
use crate::secret::Token;
use crate::sender::Sender;
use crate::signed_url::BaseUrl;
use crate::store::Store;

/// The settings of this room. `defaults.toml` has the defaults.
#[derive(Debug, Clone)]
pub struct Config {
    /// Scheme and host under which people reach the page; `None` takes those of the request.
    pub url: Option<BaseUrl>,
    /// How long a portal link is valid.
    pub link_lifetime: Duration,
    /// How long a person stays signed in.
    pub session_lifetime: Duration,
}

/// The services that the settings page uses.
#[derive(Debug)]
pub struct Dependencies {
    /// The operator's token, if there is one.
    pub token: Option<Token>,
    /// The webhook sender, if it runs in this process.
    pub sender: Option<Sender>,
    /// Reads recordings and transcripts.
    pub store: Store,
    /// Signs portal links, cookies, and the links that the player opens.
    pub keyring: ActiveKeyring,
    /// The public base URL of minted links.
    pub base: BaseUrl,
    /// The longest lifetime of a link.
    pub longest_lifetime: Duration,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// The state of the settings page.
#[derive(Debug)]
pub(super) struct State {
    pub(super) config: Config,
    pub(super) deps: Dependencies,
    pub(super) page_limiter: PageLimiter,
}
