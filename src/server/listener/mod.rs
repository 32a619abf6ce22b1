//! Listeners: accepting and limiting connections, client addresses behind proxies, the TLS certificate, and the serving
//! threads.

pub(super) mod accept;
pub(super) mod certificate;
pub(super) mod eviction;
pub(super) mod limiter;
pub(super) mod networks;
pub(super) mod proxy;
pub(super) mod rejecter;
mod threads;

pub use certificate::{Certificate, TlsConfig, TlsError};
pub use eviction::EvictionGuard;
pub use limiter::{LimitReached, Limiter, Permit};
pub use networks::Networks;
pub use proxy::{forwarded_client, parse_proxy_header};
pub use threads::Threads;
