//! A server: its settings, and the state that its connections share.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use tokio::sync::watch;

use super::client::Client;
use super::config::Config;
use super::deadlines::activity::Activity;
use super::deadlines::stall_flag::StallFlag;
use super::deadlines::timeouts::Timeouts;
use super::drain::Drain;
use super::fast_path::plain_request::{HeadLimits, PlainRequest};
use super::handler::Handler;
use super::listener::accept::AcceptFailure;
use super::listener::certificate::Certificate;
use super::listener::eviction::Slots;
use super::listener::limiter::{LimitReached, Limiter, Permit};
use super::listener::proxy;
use super::listener::rejecter::Rejecter;
use super::zero_copy::write_gate::{WriteGate, ZeroCopy};
use crate::server::metrics::{ConnectionMetrics, OpenConnection};

/// The state that the connections of one listener share.
#[derive(Debug, Clone)]
pub struct Server<H> {
    pub(super) config: Config,
    pub(super) timeouts: Timeouts,
    pub(super) handler: H,
    pub(super) drain: Drain,
    pub(super) certificate: Option<Certificate>,
    counts: Option<ConnectionMetrics>,
    /// The limits of open connections.
    pub(super) open: Limiter,
    /// Set if new connections evict others.
    pub(super) slots: Option<Slots>,
    pub(super) rejecter: Rejecter,
    pub(super) accept_failure: Arc<AcceptFailure>,
    pub(super) config_updates: Option<watch::Receiver<Config>>,
}

impl<H: Handler> Server<H> {
    /// Creates a server that answers with `handler` until `drain` begins.
    pub fn new(config: Config, handler: H, drain: Drain) -> Self {
        let open = Limiter::new(config.connections, config.connections_per_address);
        Self {
            timeouts: Timeouts::new(&config, None),
            config,
            handler,
            drain,
            certificate: None,
            counts: None,
            open,
            slots: None,
            rejecter: Rejecter::new(),
            accept_failure: Arc::default(),
            config_updates: None,
        }
    }

    /// Returns the server with TLS, if there is a certificate.
    #[must_use]
    pub fn with_tls(self, certificate: Option<Certificate>) -> Self {
        Self { certificate, ..self }.with_config(None)
    }

    /// Returns the server with metrics of its connections.
    #[must_use]
    pub fn counting(self, metrics: ConnectionMetrics) -> Self {
        Self { counts: Some(metrics), ..self }
    }

    /// Returns the server as a private listener without TLS. Its connections have their own metrics. When it is full, a
    /// new connection evicts the one whose last response is the oldest.
    #[must_use]
    pub fn evicting(self, metrics: ConnectionMetrics) -> Self {
        let counts = Some(metrics);
        Self { slots: Some(Slots::new(self.config.connections, counts.clone())), counts, ..self }
    }

    /// Returns the server with reloadable settings: new connections use the latest value of `config_updates`.
    #[must_use]
    pub fn with_reload(self, config_updates: watch::Receiver<Config>) -> Self {
        Self { config_updates: Some(config_updates), ..self }
    }

    fn with_config(self, config: Option<Config>) -> Self {
        let config = config.unwrap_or(self.config);
        let handshake = self.certificate.as_ref().map(Certificate::handshake_timeout);
        Self { timeouts: Timeouts::new(&config, handshake), config, ..self }
    }

    /// Returns the server with the current settings, if they have changed.
    pub(super) fn reloaded(&self, updates: Option<&mut watch::Receiver<Config>>) -> Option<Arc<Self>> {
        let updates = updates.filter(|updates| updates.has_changed().is_ok_and(|changed| changed))?;
        let config = updates.borrow_and_update().clone();
        self.open.resize(config.connections, config.connections_per_address);
        if let Some(slots) = &self.slots {
            slots.resize(config.connections);
        }
        Some(Arc::new(self.clone().with_config(Some(config))))
    }

    pub(super) fn open_connection(&self) -> Option<OpenConnection> {
        self.counts.as_ref().map(ConnectionMetrics::open)
    }

    /// The address that a client is counted for. `None` for a trusted proxy, which connects for many clients.
    pub(super) fn counted(&self, address: IpAddr) -> Option<IpAddr> {
        (!self.config.trusted_proxies.contains(address)).then_some(address)
    }

    /// Returns a permit for a client whose proxy's connection is already counted.
    pub(super) fn share_of(&self, address: IpAddr) -> Result<Option<Permit>, LimitReached> {
        self.counted(address).map(|address| self.open.acquire_share(address)).transpose()
    }

    /// Rejects a connection beyond a limit.
    pub(super) fn reject(&self, stream: std::net::TcpStream, peer: SocketAddr, limit: LimitReached) {
        self.count_refused(match limit {
            LimitReached::Total => "too_many",
            LimitReached::Address => "too_many_from_address",
        });
        // A client that expects a TLS handshake could not read a plain response.
        if self.certificate.is_none() {
            self.rejecter.too_many_connections(stream, peer.ip());
        }
    }

    pub(super) fn count_refused(&self, reason: &'static str) {
        if let Some(counts) = &self.counts {
            counts.refused(reason);
        }
    }

    pub(super) fn count_cut(&self, reason: &'static str) {
        if let Some(counts) = &self.counts {
            counts.cut(reason);
        }
    }

    pub(super) fn head_limits(&self) -> HeadLimits {
        HeadLimits { target: self.config.longest_target, fields: self.config.longest_head }
    }
}

/// The permits of a connection, and its entry in the metrics.
pub(super) struct Admission {
    pub(super) _permit: Option<Permit>,
    /// The permit of the client that a proxy has named.
    pub(super) share: Option<Permit>,
    pub(super) _open: Option<OpenConnection>,
}

/// The state that the requests of a connection share.
pub(super) struct ConnectionContext<H> {
    pub(super) server: Arc<Server<H>>,
    /// The peer. It is the client, unless it is a proxy.
    pub(super) peer: Client,
    pub(super) activity: Arc<Activity>,
    /// The back-pressure of HTTP/1 bodies. HTTP/2 has its flow control instead.
    pub(super) gate: Option<Arc<WriteGate>>,
}

impl<H: Handler> ConnectionContext<H> {
    /// Creates the context of an HTTP/1 connection. Zero copy is available without TLS.
    pub(super) fn http1(server: &Arc<Server<H>>, peer: SocketAddr, activity: Arc<Activity>) -> Arc<Self> {
        let gate = WriteGate::new();
        let zero_copy = server.certificate.is_none().then(|| ZeroCopy::new(&gate));
        Self::new(server, peer, activity, Some(gate), zero_copy)
    }

    /// Returns the context of the same connection after it has turned out to be HTTP/2.
    pub(super) fn http2(&self) -> Arc<Self> {
        Self::new(&self.server, self.peer.address, Arc::clone(&self.activity), None, None)
    }

    fn new(
        server: &Arc<Server<H>>,
        peer: SocketAddr,
        activity: Arc<Activity>,
        gate: Option<Arc<WriteGate>>,
        zero_copy: Option<ZeroCopy>,
    ) -> Arc<Self> {
        let is_proxy = server.config.trusted_proxies.contains(peer.ip());
        let stall_flag = StallFlag::of_connection(&activity);
        let peer = Client { address: peer, is_proxy, stall_flag, zero_copy };
        Arc::new(Self { server: Arc::clone(server), peer, activity, gate })
    }

    /// Returns the client of a plain request, with a permit if a proxy names the client; `None` if the client's limit
    /// is reached.
    pub(super) fn client_of(&self, request: &PlainRequest<'_>) -> Option<(Cow<'_, Client>, Option<Permit>)> {
        let (config, peer) = (&self.server.config, self.peer.address);
        let address = match config.client_header.filter(|_| config.trusted_proxies.contains(peer.ip())) {
            Some(header) => {
                let lines: Vec<&[u8]> = request.values(header.name()).collect();
                proxy::forwarded_client_in(peer, lines.into_iter(), header, &config.trusted_proxies)
            }
            None => peer,
        };
        self.client_at(address).ok()
    }

    /// Returns the client at `address`, with a permit if it is not the peer.
    pub(super) fn client_at(
        &self,
        address: SocketAddr,
    ) -> Result<(Cow<'_, Client>, Option<Permit>), LimitReached> {
        if address == self.peer.address {
            return Ok((Cow::Borrowed(&self.peer), None));
        }
        let share = self.server.share_of(address.ip())?;
        let is_proxy = self.server.config.trusted_proxies.contains(address.ip());
        Ok((Cow::Owned(Client { address, is_proxy, ..self.peer.clone() }), share))
    }
}
