//! Listeners and connections: speaks HTTP/1.1 and HTTP/2, with TLS or without, holds the limits, drains. Serves any hyper
//! service.

mod config;
mod connection;
mod deadlines;
mod drain;
mod fast_path;
mod listener;
mod request;
mod socket;
mod zero_copy;

pub use config::{ClientHeader, Config};
pub use connection::requests::{Answer, Client};
pub use connection::streams::StallFlag;
pub use drain::Drain;
pub use fast_path::plain_request::{HeadLimits, PlainRequest};
pub use fast_path::response_writer::{FastPath, ResponseWriter, SentHead};
pub use listener::{
    Certificate, EvictionGuard, LimitReached, Limiter, Networks, Permit, Threads, TlsConfig, TlsError,
    forwarded_client, parse_proxy_header,
};
pub use request::{Bodies, BodyError};
pub use zero_copy::pending::{OnSent, PipeEnd, ZeroCopy};

use std::iter;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper::server::conn::{http1, http2};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::clock::Moment;
use crate::tasks::Task;
use crate::telemetry::connections::{ConnectionMetrics, OpenConnection};
use crate::telemetry::metrics::Metrics;
use connection::resting::Resting;
use connection::speaking::ConnectionError;
use connection::streams::Http2Executor;
use deadlines::activity::{Limits, Timeout};
use deadlines::hyper_timer::RunningTimer;
use listener::accept::{AcceptFailure, Acceptor};
use listener::eviction::{Slot, Slots};
use listener::rejecter::Rejecter;

/// The most connections that the thread accepts before its other tasks have their turn.
const ACCEPT_BATCH: usize = 16;

/// What an HTTP/2 client may send beyond what is read: requests here have no bodies, or small ones.
const HTTP2_STREAM_WINDOW: u32 = 65_535;
const HTTP2_CONNECTION_WINDOW: u32 = 256 * 1024;

/// Answers the requests of connections; one clone for each connection.
pub trait Handler: Clone + Send + Sync + 'static {
    /// What its answers' bodies are; the server makes one from bytes for requests that it refuses itself.
    type Body: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>>
        + From<Bytes>
        + Unpin
        + Send
        + 'static;

    /// Answers a plain request of HTTP/1.1, which had arrived by `at`, if nothing has to be waited for: writes the status line
    /// and the header fields, each line with its end, and returns the body; the server adds `Date`, `Connection` and the end
    /// of the head. A request that it declines goes to [`Handler::answer`]; the handler must not have recorded it.
    fn try_answer<'w>(
        &self,
        _request: &PlainRequest<'_>,
        _client: &Client,
        _at: Moment,
        writer: ResponseWriter<'w>,
    ) -> FastPath<'w, Self::Body> {
        FastPath::Declined(writer)
    }

    /// Answers one request. Every failure is an answer too.
    fn answer(&self, request: Request<Incoming>, client: Client) -> Answer<Self::Body>;

    /// Adds to the answer to a request that the server has refused what all answers of this handler have.
    fn refuse(
        &self,
        _request: &Request<Incoming>,
        _peer: SocketAddr,
        refused: Response<Bytes>,
    ) -> Response<Self::Body> {
        refused.map(Self::Body::from)
    }

    /// Which requests may have a body.
    const BODIES: Bodies;
}

/// That somebody is here, counted until this is dropped.
struct Admission {
    _permit: Option<Permit>,
    /// Of whom it speaks for, if that came out later.
    share: Option<Permit>,
    _open: Option<OpenConnection>,
}

/// What the connections of one listener have in common.
#[derive(Debug, Clone)]
pub struct Server<H> {
    config: Config,
    /// As the configuration has them.
    limits: Limits,
    handler: H,
    drain: Drain,
    certificate: Option<Certificate>,
    counts: Option<ConnectionMetrics>,
    /// How many are open.
    open: Limiter,
    /// If connections are closed for newcomers.
    slots: Option<Slots>,
    rejecter: Rejecter,
    /// Whether accept(2) fails at present.
    accept_failure: Arc<AcceptFailure>,
    config_updates: Option<watch::Receiver<Config>>,
}

impl<H: Handler> Server<H> {
    /// A server that answers as `handler` does, until `drain` begins.
    pub fn new(config: Config, handler: H, drain: Drain) -> Self {
        let open = Limiter::new(config.connections, config.connections_per_address);
        Self {
            limits: Limits::from(&config),
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

    /// The same with TLS, if there is a certificate.
    #[must_use]
    pub fn with_tls(self, certificate: Option<Certificate>) -> Self {
        Self { certificate, ..self }
    }

    /// The same, counting its connections.
    #[must_use]
    pub fn counting(self, metrics: &Metrics) -> Self {
        Self { counts: Some(metrics.connections().clone()), ..self }
    }

    /// The same as a private listener without TLS: its connections are counted apart, and when it is full, the one that has
    /// gone longest without an answer is closed for a newcomer.
    #[must_use]
    pub fn evicting(self, metrics: &Metrics) -> Self {
        let counts = Some(metrics.admin_connections().clone());
        Self { slots: Some(Slots::new(self.config.connections, counts.clone())), counts, ..self }
    }

    /// The same with the latest of `config_updates` for new connections.
    #[must_use]
    pub fn with_reload(self, config_updates: watch::Receiver<Config>) -> Self {
        Self { config_updates: Some(config_updates), ..self }
    }

    /// The same with the settings of now, if they have changed.
    fn changed(&self, config_updates: Option<&mut watch::Receiver<Config>>) -> Option<Arc<Self>> {
        let updates = config_updates.filter(|updates| updates.has_changed().is_ok_and(|changed| changed))?;
        let config = updates.borrow_and_update().clone();
        self.open.resize(config.connections, config.connections_per_address);
        if let Some(slots) = &self.slots {
            slots.resize(config.connections);
        }
        Some(Arc::new(Self { limits: Limits::from(&config), config, ..self.clone() }))
    }

    /// Accepts connections until draining begins, then lets those in flight finish.
    pub async fn serve(self, listener: TcpListener) {
        let mut acceptor = match Acceptor::new(listener, Arc::clone(&self.accept_failure)) {
            Ok(acceptor) => acceptor,
            Err(error) => {
                return tracing::error!(%error, "a listener cannot be watched, so nobody is served there");
            }
        };
        // Who is at rest is answered here, and may get a task only then: draining waits until no more of that happens.
        let _held = self.drain.hold();
        let (mut config_updates, mut resting) = (self.config_updates.clone(), Resting::new());
        let mut this = Arc::new(self);
        let drain = this.drain.clone();
        let mut draining = pin!(drain.begun());
        loop {
            // In this order: who leaves makes room for who comes.
            let first = tokio::select! {
                biased;
                () = draining.as_mut() => return,
                () = resting.attend() => None,
                accepted = this.next(&mut acceptor) => Some(accepted),
            };
            let others = iter::from_fn(|| acceptor.try_next());
            // Where newcomers displace others, each of them waits for room.
            let most = if this.slots.is_some() { 1 } else { ACCEPT_BATCH };
            for (stream, peer) in first.into_iter().chain(others).take(most) {
                if let Some(changed) = this.changed(config_updates.as_mut()) {
                    this = changed;
                }
                this.let_in(stream, peer, &mut resting);
            }
            if resting.is_busy() {
                // What else the thread has to do has its turn.
                tokio::task::yield_now().await;
            }
        }
    }

    /// The next connection for which there is room.
    async fn next(&self, acceptor: &mut Acceptor) -> (std::net::TcpStream, SocketAddr) {
        if let Some(slots) = &self.slots {
            slots.wait_for_room().await;
        }
        acceptor.next().await
    }

    fn let_in(self: &Arc<Self>, stream: std::net::TcpStream, peer: SocketAddr, resting: &mut Resting<H>) {
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        if let Some(slots) = &self.slots {
            return match slots.acquire() {
                Some(slot) => self.let_into(slot, stream, peer),
                None => self.no_room(stream, peer, LimitReached::Total),
            };
        }
        let speaks = self.config.proxy_protocol && self.config.trusted_proxies.contains(peer.ip());
        let permit = match self.open.acquire(self.counted(peer.ip())) {
            Ok(permit) => permit,
            Err(limit) => return self.no_room(stream, peer, limit),
        };
        let admission = Admission { _permit: Some(permit), share: None, _open: self.open_one() };
        match speaks {
            false => resting.welcome(self, stream, peer, admission),
            // It has to be found out first who is there.
            true => self.keep(peer, admission, move |this, admission| async move {
                this.connection(TcpStream::from_std(stream)?, peer, admission).await
            }),
        }
    }

    /// Serves a connection until a newcomer gets its slot.
    fn let_into(self: &Arc<Self>, slot: Slot, stream: std::net::TcpStream, peer: SocketAddr) {
        let admission = Admission { _permit: None, share: None, _open: self.open_one() };
        self.keep(peer, admission, move |this, admission| async move {
            let _presence = admission;
            let stream = TcpStream::from_std(stream)?;
            tokio::select! {
                biased;
                () = slot.evicted() => {
                    this.cut(Timeout::Evicted);
                    Err(ConnectionError::Timeout(Timeout::Evicted))
                }
                ended = this.speak_plainly(stream, BytesMut::new(), peer, Some(slot.clone())) => ended,
            }
        });
    }

    fn open_one(&self) -> Option<OpenConnection> {
        self.counts.as_ref().map(ConnectionMetrics::open)
    }

    /// Has a task of its own for a connection that `speak` speaks on.
    fn keep<F>(
        self: &Arc<Self>,
        peer: SocketAddr,
        admission: Admission,
        speak: impl FnOnce(Arc<Self>, Admission) -> F,
    ) where
        F: Future<Output = Result<(), ConnectionError>> + Send + 'static,
    {
        let spoken = speak(Arc::clone(self), admission);
        self.drain.track(async move {
            let _watched = Task::Connection.panic_guard();
            if let Err(error) = spoken.await {
                tracing::debug!(%peer, %error, "a connection ended early");
            }
        });
    }

    /// The address whose share a client there has. A trusted proxy has none: it speaks for many, named or not.
    fn counted(&self, address: IpAddr) -> Option<IpAddr> {
        (!self.config.trusted_proxies.contains(address)).then_some(address)
    }

    /// One more for a client whom a connection that is counted already speaks for.
    fn share_of(&self, address: IpAddr) -> Result<Option<Permit>, LimitReached> {
        self.counted(address).map(|address| self.open.acquire_share(address)).transpose()
    }

    fn no_room(&self, stream: std::net::TcpStream, peer: SocketAddr, limit: LimitReached) {
        self.refused(match limit {
            LimitReached::Total => "too_many",
            LimitReached::Address => "too_many_from_address",
        });
        // Who waits for a handshake would not understand.
        if self.certificate.is_none() {
            self.rejecter.too_many_connections(stream, peer.ip());
        }
    }

    fn refused(&self, reason: &'static str) {
        if let Some(counts) = &self.counts {
            counts.refused(reason);
        }
    }

    fn cut(&self, left: Timeout) {
        if let Some(counts) = &self.counts {
            counts.cut(left.name());
        }
    }

    fn head_limits(&self) -> HeadLimits {
        HeadLimits { target: self.config.longest_target, fields: self.config.longest_head }
    }

    fn http1(&self) -> http1::Builder {
        let mut builder = http1::Builder::new();
        builder
            .timer(RunningTimer)
            // The watchdog has the deadlines.
            .header_read_timeout(None)
            .max_buf_size(self.config.connection_buffer)
            .half_close(true);
        builder
    }

    fn http2(&self) -> http2::Builder<Http2Executor> {
        let mut builder = http2::Builder::new(Http2Executor(self.limits));
        builder
            .timer(RunningTimer)
            .max_concurrent_streams(self.config.http2_streams)
            .max_pending_accept_reset_streams(self.config.http2_resets)
            .max_local_error_reset_streams(self.config.http2_resets)
            .initial_stream_window_size(HTTP2_STREAM_WINDOW)
            .initial_connection_window_size(HTTP2_CONNECTION_WINDOW)
            .max_header_list_size(u32::try_from(self.config.longest_head).unwrap_or(u32::MAX))
            .max_send_buf_size(self.config.connection_buffer)
            .keep_alive_interval(self.config.header_timeout)
            .keep_alive_timeout(self.config.header_timeout);
        builder
    }
}
