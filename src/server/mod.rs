//! Listeners and connections: speaks HTTP/1.1 and HTTP/2, with TLS or without, holds the limits, drains. Serves any hyper
//! service.

mod accept;
mod answer;
mod config;
mod crowd;
mod drain;
mod express;
mod files;
mod networks;
mod outlet;
mod plain_request;
mod protocol;
mod proxy;
mod sealed;
mod socket;
mod streams;
mod threads;
mod tls;
mod vet;
mod vigil;

pub use answer::{Answer, Client};
pub use config::{ClientHeader, Config};
pub use drain::Drain;
pub use files::{Escort, Files, PipeEnd};
pub use networks::Networks;
pub use plain_request::{HeadLimits, PlainRequest};
pub use proxy::{client_behind, judge_proxy_header};
pub use streams::Patience;
pub use threads::Threads;
pub use tls::{Certificate, TlsConfig, TlsError};
pub use vet::Bodies;

use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::telemetry::metrics::Metrics;
use accept::{Acceptor, Usher};
use answer::{Answers, Connection};
use crowd::{Crowd, Full, Place};
use express::Express;
use outlet::Outlet;
use protocol::Protocol;
use sealed::Sealed;
use socket::{OneByOne, Socket, StrictLines};
use streams::Streams;
use vigil::{Left, Limits, Signs, Vigil};

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

    /// Answers a plain request of HTTP/1.1 without waiting for anything: writes the status line and the header fields into
    /// `head`, each line with its end, and returns the body; `Date`, `Connection` and the end of the head are added. `None`
    /// leaves the request to [`Handler::answer`]: then nothing has been recorded of it.
    fn answer_at_once(
        &self,
        _request: &PlainRequest<'_>,
        _client: &Client,
        _head: &mut Vec<u8>,
    ) -> Option<Self::Body> {
        None
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

/// What the connections of one listener have in common.
#[derive(Debug, Clone)]
pub struct Server<H> {
    config: Config,
    handler: H,
    drain: Drain,
    certificate: Option<Certificate>,
    metrics: Option<Metrics>,
    crowd: Crowd,
    usher: Usher,
    /// Whether connections cannot be accepted at present.
    failing: Arc<accept::Failing>,
    news: Option<watch::Receiver<Config>>,
}

impl<H: Handler> Server<H> {
    /// A server that answers as `handler` does, until `drain` begins.
    pub fn new(config: Config, handler: H, drain: Drain) -> Self {
        let crowd = Crowd::new(config.connections, config.connections_per_address);
        Self {
            config,
            handler,
            drain,
            certificate: None,
            metrics: None,
            crowd,
            usher: Usher::new(),
            failing: Arc::default(),
            news: None,
        }
    }

    /// The same with TLS, if there is a certificate.
    #[must_use]
    pub fn with_tls(self, certificate: Option<Certificate>) -> Self {
        Self { certificate, ..self }
    }

    /// The same, counting its connections.
    #[must_use]
    pub fn counting(self, metrics: Metrics) -> Self {
        Self { metrics: Some(metrics), ..self }
    }

    /// The same with whatever `news` says last, for connections that begin then.
    #[must_use]
    pub fn following(self, news: watch::Receiver<Config>) -> Self {
        Self { news: Some(news), ..self }
    }

    /// The same with the settings of now, if they have changed.
    fn changed(&self, news: Option<&mut watch::Receiver<Config>>) -> Option<Arc<Self>> {
        let news = news.filter(|news| news.has_changed().is_ok_and(|changed| changed))?;
        let config = news.borrow_and_update().clone();
        self.crowd.resize(config.connections, config.connections_per_address);
        Some(Arc::new(Self { config, ..self.clone() }))
    }

    /// Accepts connections until draining begins, then lets those in flight finish.
    pub async fn serve(self, listener: TcpListener) {
        socket::prepare(&listener);
        let mut news = self.news.clone();
        let mut this = Arc::new(self);
        let mut acceptor = Acceptor::new(listener, Arc::clone(&this.failing));
        loop {
            let (stream, peer) = tokio::select! {
                accepted = acceptor.next() => accepted,
                () = this.drain.begun() => return,
            };
            if let Some(changed) = this.changed(news.as_mut()) {
                this = changed;
            }
            this.let_in(stream, peer);
        }
    }

    fn let_in(self: &Arc<Self>, stream: TcpStream, peer: SocketAddr) {
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        let speaks = self.config.proxy_protocol && self.config.trusted_proxies.contain(peer.ip());
        match (self.crowd.enter(), self.enter_from(peer)) {
            (Ok(place), Ok(from)) => {
                let this = Arc::clone(self);
                self.drain.track(async move {
                    let _place = place;
                    let _open = this.metrics.as_ref().map(|metrics| metrics.connections().open());
                    this.connection(stream, peer, speaks, from).await;
                });
            }
            (Err(full), _) | (_, Err(full)) => self.no_room(stream, full),
        }
    }

    /// Counts one more of this address. Whoever speaks for others is counted as these.
    fn enter_from(&self, peer: SocketAddr) -> Result<Option<Place>, Full> {
        let config = &self.config;
        let for_others = config.proxy_protocol || config.client_header.is_some();
        if for_others && config.trusted_proxies.contain(peer.ip()) {
            return Ok(None);
        }
        self.crowd.enter_from(peer.ip()).map(Some)
    }

    fn no_room(&self, stream: TcpStream, full: Full) {
        self.refused(match full {
            Full::Everywhere => "too_many",
            Full::AtAddress => "too_many_from_address",
        });
        // Who waits for a handshake would not understand.
        if self.certificate.is_none() {
            self.usher.no_room(stream);
        }
    }

    fn refused(&self, reason: &'static str) {
        if let Some(metrics) = &self.metrics {
            metrics.connections().refused(reason);
        }
    }

    /// Finds out who is there and what is spoken.
    async fn connection(
        self: Arc<Self>,
        mut stream: TcpStream,
        mut peer: SocketAddr,
        speaks: bool,
        mut from: Option<Place>,
    ) {
        if speaks {
            match Box::pin(self.in_time(proxy::take_header(&mut stream))).await {
                Some(Ok(client)) => peer = client.unwrap_or(peer),
                Some(Err(error)) => {
                    self.refused("no_proxy_header");
                    tracing::warn!(%peer, %error, "a connection of a trusted proxy has no PROXY header");
                    return;
                }
                None => return,
            }
            match self.enter_from(peer) {
                Ok(place) => from = place,
                Err(full) => return self.no_room(stream, full),
            }
        }
        let _from = from;
        // Each step in a place of its own: a connection would keep room for the state of all of them, as long as it lives.
        let ended = match &self.certificate {
            None => match Box::pin(self.in_time(protocol::detect(&mut stream))).await {
                Some(Ok((protocol, start))) => {
                    Box::pin(self.speak_plainly(stream, start, peer, protocol)).await
                }
                Some(Err(_)) | None => return,
            },
            Some(certificate) => Box::pin(self.speak_tls(stream, peer, certificate)).await,
        };
        if let Err(error) = ended {
            tracing::debug!(%peer, %error, "a connection ended early");
        }
    }

    /// What comes before the first request has the time of a request's head, and ends when draining begins.
    async fn in_time<T>(&self, before: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            done = tokio::time::timeout(self.config.header_timeout, before) => done.ok(),
            () = self.drain.begun() => None,
        }
    }

    async fn speak_plainly(
        self: &Arc<Self>,
        stream: TcpStream,
        start: BytesMut,
        peer: SocketAddr,
        protocol: Protocol,
    ) -> Result<(), Ended> {
        let signs = Signs::of_connection(Limits::from(&self.config));
        let outlet = (protocol == Protocol::Http1).then(Outlet::new);
        let socket = Socket::new(stream, Arc::clone(&signs), protocol == Protocol::Http1);
        // Only here do the bytes of a body reach the socket as they are.
        let files = outlet.as_ref().filter(|_| cfg!(target_os = "linux")).map(Files::through);
        let socket = socket.sending_files(outlet.as_ref());
        self.speak(socket, start, protocol, self.with_client(peer, signs, outlet, files)).await
    }

    async fn speak_tls(
        self: &Arc<Self>,
        mut stream: TcpStream,
        peer: SocketAddr,
        certificate: &Certificate,
    ) -> Result<(), Ended> {
        let signs = Signs::of_connection(Limits::from(&self.config));
        let Some(Ok(greeting)) = self.in_time(protocol::greeting(&mut stream)).await else { return Ok(()) };
        // The first byte of TLS is no letter; of a request it is.
        if greeting.first().is_some_and(u8::is_ascii_alphabetic) {
            self.refused("not_tls");
            tracing::debug!(%peer, "plain HTTP was spoken where TLS is");
            self.usher.wants_tls(stream);
            return Ok(());
        }
        let socket = Socket::new(stream, Arc::clone(&signs), true);
        let handshake = tokio::time::timeout(
            certificate.handshake_timeout(),
            Sealed::accept(socket, &greeting, certificate.in_force()),
        );
        let mut stream = tokio::select! {
            stream = handshake => match stream {
                Ok(stream) => stream.map_err(|error| self.no_handshake(error))?,
                Err(_) => return Err(self.no_handshake(io::ErrorKind::TimedOut.into())),
            },
            () = self.drain.begun() => return Ok(()),
        };
        // RFC 9113 §3.3: over TLS, HTTP/2 is what both have agreed to speak.
        let protocol = match stream.session().alpn_protocol() {
            Some(b"h2") => Protocol::Http2,
            _ => Protocol::Http1,
        };
        tls::bound(stream.session(), protocol);
        stream.socket().hears_heads(protocol == Protocol::Http1);
        // The handshake has had its time: the first head has its own.
        signs.heads_begin();
        // In HTTP/2 the windows are what holds pieces back.
        let outlet = (protocol == Protocol::Http1).then(Outlet::new);
        self.speak(stream, BytesMut::new(), protocol, self.with_client(peer, signs, outlet, None)).await
    }

    fn no_handshake(&self, error: io::Error) -> Ended {
        self.refused("no_handshake");
        Ended::NoHandshake(error)
    }

    fn with_client(
        self: &Arc<Self>,
        peer: SocketAddr,
        signs: Arc<Signs>,
        outlet: Option<Arc<Outlet>>,
        files: Option<Files>,
    ) -> Connection<H> {
        Connection { server: Arc::clone(self), peer, signs, outlet, files }
    }

    async fn speak<S>(
        self: &Arc<Self>,
        stream: S,
        start: BytesMut,
        protocol: Protocol,
        connection: Connection<H>,
    ) -> Result<(), Ended>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut vigil = Vigil::over(Arc::clone(&connection.signs));
        let connection = Arc::new(connection);
        let (stream, start) = match protocol {
            Protocol::Http2 => (stream, start.freeze()),
            Protocol::Http1 => {
                let mut express = Box::pin(Express::new(stream, start, Arc::clone(&connection)));
                match self.attend(express.as_mut(), &mut vigil, Express::finish).await? {
                    Some(left) => left,
                    None => return Ok(()),
                }
            }
        };
        Box::pin(self.speak_in_full(stream, start, protocol, connection, vigil)).await
    }

    /// Everything that HTTP has.
    async fn speak_in_full<S>(
        self: &Arc<Self>,
        stream: S,
        start: Bytes,
        protocol: Protocol,
        connection: Arc<Connection<H>>,
        mut vigil: Vigil,
    ) -> Result<(), Ended>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let stream = OneByOne::new(stream, start, connection.outlet.clone());
        let (service, vigil) = (Answers(connection), &mut vigil);
        match (protocol, H::BODIES) {
            (Protocol::Http2, _) => {
                let connection = self.http2().serve_connection(TokioIo::new(stream), service);
                self.attend(pin!(connection), vigil, http2::Connection::graceful_shutdown).await
            }
            (Protocol::Http1, Bodies::Refused) => {
                let stream = TokioIo::new(StrictLines::new(stream));
                let connection = self.http1().serve_connection(stream, service);
                self.attend(pin!(connection), vigil, http1::Connection::graceful_shutdown).await
            }
            (Protocol::Http1, Bodies::Allowed) => {
                let connection = self.http1().serve_connection(TokioIo::new(stream), service);
                self.attend(pin!(connection), vigil, http1::Connection::graceful_shutdown).await
            }
        }
    }

    /// Lets a connection do its work until it ends, or the vigil does.
    async fn attend<C, T, E: Into<Ended>>(
        &self,
        mut connection: Pin<&mut C>,
        vigil: &mut Vigil,
        finish: impl Fn(Pin<&mut C>),
    ) -> Result<T, Ended>
    where
        C: Future<Output = Result<T, E>>,
    {
        let mut finishing = false;
        loop {
            // In this order: the vigil sees what the connection has just done.
            tokio::select! {
                biased;
                ended = connection.as_mut() => return ended.map_err(E::into),
                left = vigil.left() => {
                    if finishing || left != Left::Idle {
                        if let Some(metrics) = &self.metrics {
                            metrics.connections().cut(left.name());
                        }
                        return Err(Ended::Left(left));
                    }
                }
                () = self.drain.begun(), if !finishing => {}
            }
            // Idle or draining: what is in flight is finished, nothing new begins.
            finish(connection.as_mut());
            finishing = true;
        }
    }

    fn head_limits(&self) -> HeadLimits {
        HeadLimits { target: self.config.longest_target, fields: self.config.longest_head }
    }

    fn http1(&self) -> http1::Builder {
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            // The vigil has the deadlines.
            .header_read_timeout(None)
            .max_buf_size(self.config.connection_buffer)
            .half_close(true);
        builder
    }

    fn http2(&self) -> http2::Builder<Streams> {
        let mut builder = http2::Builder::new(Streams(Limits::from(&self.config)));
        builder
            .timer(TokioTimer::new())
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

/// Why a connection ended early.
#[derive(Debug)]
enum Ended {
    Http(hyper::Error),
    Broken(io::Error),
    NoHandshake(io::Error),
    Left(Left),
}

impl From<hyper::Error> for Ended {
    fn from(error: hyper::Error) -> Self {
        Self::Http(error)
    }
}

impl From<io::Error> for Ended {
    fn from(error: io::Error) -> Self {
        Self::Broken(error)
    }
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Http(error) => error.fmt(f),
            Self::Broken(error) => error.fmt(f),
            Self::NoHandshake(error) => write!(f, "no TLS handshake: {error}"),
            Self::Left(Left::Silent) => f.write_str("no request came in time"),
            Self::Left(Left::Idle) => f.write_str("nothing was asked for a long time"),
            Self::Left(Left::Stalled) => f.write_str("the client took too little"),
        }
    }
}
