//! A connection that has a task: who is there, what is spoken, and that until the connection ends.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hyper::server::conn::{http1, http2};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::clock::running;
use crate::server::connection::protocol::{self, Protocol};
use crate::server::connection::requests::{Answers, Client, Connection};
use crate::server::connection::streams::StallFlag;
use crate::server::deadlines::activity::{Activity, Timeout, Watchdog};
use crate::server::fast_path::express::Express;
use crate::server::listener::certificate::{self, Certificate};
use crate::server::listener::eviction::Slot;
use crate::server::listener::proxy;
use crate::server::request::checked_heads::CheckedHeads;
use crate::server::socket::io::{SocketIo, TokioSocket};
use crate::server::socket::tcp::{BackpressureIo, Socket};
use crate::server::socket::tls_stream::TlsStream;
use crate::server::zero_copy::pending::ZeroCopy;
use crate::server::zero_copy::write_gate::WriteGate;
use crate::server::{Admission, Handler, Server};

impl<H: Handler> Server<H> {
    /// Finds out for whom a trusted proxy speaks, and what is spoken.
    pub(in crate::server) async fn connection(
        self: Arc<Self>,
        mut stream: TcpStream,
        mut peer: SocketAddr,
        mut admission: Admission,
    ) -> Result<(), ConnectionError> {
        match Box::pin(self.in_time(proxy::read_proxy_header(&mut stream))).await {
            Some(Ok(client)) => peer = client.unwrap_or(peer),
            Some(Err(error)) => {
                self.refused("no_proxy_header");
                tracing::warn!(%peer, %error, "a connection of a trusted proxy has no PROXY header");
                return Ok(());
            }
            None => return Ok(()),
        }
        match self.share_of(peer.ip()) {
            Ok(share) => admission.share = share,
            Err(limit) => {
                self.no_room(stream.into_std()?, peer, limit);
                return Ok(());
            }
        }
        self.speak_from_the_beginning(stream, peer).await
    }

    /// Nothing was heard from the client yet.
    pub(in crate::server) async fn speak_from_the_beginning(
        self: &Arc<Self>,
        stream: TcpStream,
        peer: SocketAddr,
    ) -> Result<(), ConnectionError> {
        // Each step in a place of its own: a connection would keep room for the state of all of them, as long as it lives.
        match &self.certificate {
            None => self.speak_plainly(stream, BytesMut::new(), peer, None).await,
            Some(certificate) => Box::pin(self.speak_tls(stream, peer, certificate)).await,
        }
    }

    /// What comes before the first request has the time of a request's head, and ends when draining begins.
    async fn in_time<T>(&self, before: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            done = running::timeout(self.config.header_timeout, before) => done.ok(),
            () = self.drain.begun() => None,
        }
    }

    /// Finds out which HTTP is spoken without TLS, from what was received and from what comes.
    pub(in crate::server) async fn speak_plainly(
        self: &Arc<Self>,
        mut stream: TcpStream,
        received: BytesMut,
        peer: SocketAddr,
        slot: Option<Slot>,
    ) -> Result<(), ConnectionError> {
        let detected = Box::pin(self.in_time(protocol::detect(&mut stream, received))).await;
        let Some(Ok((protocol, start))) = detected else { return Ok(()) };
        let (connection, gate) = self.with_plain_client(peer, protocol, slot);
        let wire = TokioSocket::new(stream, &connection.activity);
        let hears_heads = protocol == Protocol::Http1;
        let socket =
            Socket::new(wire, Arc::clone(&connection.activity), hears_heads).sending_files(gate.as_ref());
        Box::pin(self.speak(socket, start, protocol, connection)).await
    }

    /// The connection of a client without TLS. Only there do the bytes of a body reach the socket as they are.
    pub(in crate::server) fn with_plain_client(
        self: &Arc<Self>,
        peer: SocketAddr,
        protocol: Protocol,
        slot: Option<Slot>,
    ) -> (Connection<H>, Option<Arc<WriteGate>>) {
        let activity = Activity::in_slot(self.limits, slot);
        let gate = (protocol == Protocol::Http1).then(WriteGate::new);
        let zero_copy = gate.as_ref().map(ZeroCopy::through);
        (self.with_client(peer, activity, gate.clone(), zero_copy), gate)
    }

    async fn speak_tls(
        self: &Arc<Self>,
        mut stream: TcpStream,
        peer: SocketAddr,
        certificate: &Certificate,
    ) -> Result<(), ConnectionError> {
        let activity = Activity::of_connection(self.limits);
        let Some(Ok(greeting)) = self.in_time(protocol::greeting(&mut stream)).await else { return Ok(()) };
        // The first byte of TLS is no letter; of a request it is.
        if greeting.first().is_some_and(u8::is_ascii_alphabetic) {
            self.is_not_tls(peer, stream.into_std()?);
            return Ok(());
        }
        let socket = Socket::new(TokioSocket::new(stream, &activity), Arc::clone(&activity), true);
        let sealed =
            TlsStream::new(socket, certificate.server_config()).map_err(|error| self.no_handshake(error))?;
        self.speak_sealed(sealed, &greeting, peer, activity).await
    }

    /// Makes the handshake with whoever has said `greeting`, and speaks what was agreed upon.
    pub(in crate::server) async fn speak_sealed(
        self: &Arc<Self>,
        mut sealed: TlsStream<Socket<TokioSocket>>,
        mut greeting: &[u8],
        peer: SocketAddr,
        activity: Arc<Activity>,
    ) -> Result<(), ConnectionError> {
        let patience = self.certificate.as_ref().map_or(Duration::MAX, Certificate::handshake_timeout);
        let handshake = poll_fn(|cx| sealed.poll_handshake(std::mem::take(&mut greeting), cx));
        tokio::select! {
            made = running::timeout(patience, handshake) => {
                made.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
                    .map_err(|error| self.no_handshake(error))?;
            }
            () = self.drain.begun() => return Ok(()),
        }
        // The handshake has had its time: the first head has its own.
        activity.expect_head();
        let protocol = agreed(&mut sealed);
        let connection = self.with_sealed_client(peer, activity, protocol);
        self.speak(sealed, BytesMut::new(), protocol, connection).await
    }

    /// The connection of a client over TLS.
    pub(in crate::server) fn with_sealed_client(
        self: &Arc<Self>,
        peer: SocketAddr,
        activity: Arc<Activity>,
        protocol: Protocol,
    ) -> Connection<H> {
        // In HTTP/2 the windows are what holds pieces back.
        let gate = (protocol == Protocol::Http1).then(WriteGate::new);
        self.with_client(peer, activity, gate, None)
    }

    /// Plain HTTP was spoken where TLS is.
    pub(in crate::server) fn is_not_tls(&self, peer: SocketAddr, stream: std::net::TcpStream) {
        self.refused("not_tls");
        tracing::debug!(%peer, "plain HTTP was spoken where TLS is");
        self.rejecter.tls_expected(stream, peer.ip());
    }

    pub(in crate::server) fn no_handshake(&self, error: io::Error) -> ConnectionError {
        self.refused("no_handshake");
        ConnectionError::NoHandshake(error)
    }

    fn with_client(
        self: &Arc<Self>,
        peer: SocketAddr,
        activity: Arc<Activity>,
        gate: Option<Arc<WriteGate>>,
        zero_copy: Option<ZeroCopy>,
    ) -> Connection<H> {
        let is_proxy = self.config.trusted_proxies.contains(peer.ip());
        let stall_flag = StallFlag::of_connection(&activity);
        let peer = Client { address: peer, is_proxy, stall_flag, zero_copy };
        Connection { server: Arc::clone(self), peer, activity, gate }
    }

    pub(in crate::server) async fn speak<S>(
        self: &Arc<Self>,
        stream: S,
        start: BytesMut,
        protocol: Protocol,
        connection: Connection<H>,
    ) -> Result<(), ConnectionError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let connection = Arc::new(connection);
        match protocol {
            Protocol::Http1 => {
                let express = Box::new(Express::new(stream, start, connection));
                self.speak_plain_requests(express).await
            }
            Protocol::Http2 => {
                let watchdog = Watchdog::new(Arc::clone(&connection.activity));
                Box::pin(self.speak_in_full(stream, start.freeze(), protocol, connection, watchdog)).await
            }
        }
    }

    /// Answers what is plain, and hands on what is not.
    pub(in crate::server) async fn speak_plain_requests<S>(
        self: &Arc<Self>,
        mut express: Box<Express<S, H>>,
    ) -> Result<(), ConnectionError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let connection = Arc::clone(express.connection());
        let mut watchdog = Watchdog::new(Arc::clone(&connection.activity));
        let left = self.attend(Pin::new(&mut *express), &mut watchdog, Express::finish).await?;
        drop(express);
        let Some((stream, start)) = left else { return Ok(()) };
        Box::pin(self.speak_in_full(stream, start, Protocol::Http1, connection, watchdog)).await
    }

    /// Everything that HTTP has.
    pub(in crate::server) async fn speak_in_full<S>(
        self: &Arc<Self>,
        stream: S,
        start: Bytes,
        protocol: Protocol,
        connection: Arc<Connection<H>>,
        mut watchdog: Watchdog,
    ) -> Result<(), ConnectionError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        // The first head may be one that is refused.
        connection.activity.set_unread_input(protocol == Protocol::Http1);
        let stream = BackpressureIo::new(stream, start, connection.gate.clone());
        let (activity, watchdog) = (Arc::clone(&connection.activity), &mut watchdog);
        let service = Answers(connection);
        match protocol {
            Protocol::Http2 => {
                let connection = self.http2().serve_connection(TokioIo::new(stream), service);
                self.attend(pin!(connection), watchdog, http2::Connection::graceful_shutdown).await
            }
            Protocol::Http1 => {
                let stream = CheckedHeads::new(stream, self.config.connection_buffer, activity);
                let connection = self.http1().serve_connection(TokioIo::new(stream), service);
                self.attend(pin!(connection), watchdog, http1::Connection::graceful_shutdown).await
            }
        }
    }

    /// Lets a connection do its work until it ends, or the watchdog does.
    async fn attend<C, T, E: Into<ConnectionError>>(
        &self,
        mut connection: Pin<&mut C>,
        watchdog: &mut Watchdog,
        finish: impl Fn(Pin<&mut C>),
    ) -> Result<T, ConnectionError>
    where
        C: Future<Output = Result<T, E>>,
    {
        // Whoever comes has something to say already: told to finish before it was ever asked, hyper would drop that.
        if let Poll::Ready(ended) = poll_fn(|cx| Poll::Ready(connection.as_mut().poll(cx))).await {
            return ended.map_err(E::into);
        }
        let mut finishing = false;
        loop {
            // In this order: a connection that never rests takes all the time of its turn, and would leave none to see that
            // draining has begun; the watchdog sees what the connection has just done.
            tokio::select! {
                biased;
                () = self.drain.begun(), if !finishing => {}
                ended = connection.as_mut() => return ended.map_err(E::into),
                left = watchdog.expired() => {
                    if finishing || left != Timeout::Idle {
                        self.cut(left);
                        return Err(ConnectionError::Timeout(left));
                    }
                }
            }
            // Idle or draining: what is in flight is finished, nothing new begins.
            finish(connection.as_mut());
            finishing = true;
        }
    }
}

/// What was agreed upon: over TLS, HTTP/2 is what both have said that they speak (RFC 9113 §3.3).
pub(in crate::server) fn agreed<W: SocketIo>(sealed: &mut TlsStream<Socket<W>>) -> Protocol {
    let protocol = match sealed.session().alpn_protocol() {
        Some(b"h2") => Protocol::Http2,
        _ => Protocol::Http1,
    };
    certificate::limit_buffer(sealed.session(), protocol);
    sealed.socket().hears_heads(protocol == Protocol::Http1);
    protocol
}

/// Why a connection ended early.
#[derive(Debug)]
pub(in crate::server) enum ConnectionError {
    Http(hyper::Error),
    Broken(io::Error),
    NoHandshake(io::Error),
    Timeout(Timeout),
}

impl From<hyper::Error> for ConnectionError {
    fn from(error: hyper::Error) -> Self {
        Self::Http(error)
    }
}

impl From<io::Error> for ConnectionError {
    fn from(error: io::Error) -> Self {
        Self::Broken(error)
    }
}

impl std::fmt::Display for ConnectionError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Http(error) => error.fmt(f),
            Self::Broken(error) => error.fmt(f),
            Self::NoHandshake(error) => write!(f, "no TLS handshake: {error}"),
            Self::Timeout(Timeout::Header) => f.write_str("no request came in time"),
            Self::Timeout(Timeout::Idle) => f.write_str("nothing was asked for a long time"),
            Self::Timeout(Timeout::Stall) => f.write_str("the client took too little"),
            Self::Timeout(Timeout::Evicted) => f.write_str("a newcomer got its slot"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, ready};

    use http::{Request, Response};
    use http_body_util::Full;
    use hyper::body::Incoming;
    use tokio::io::ReadBuf;
    use tokio::task::coop;

    use super::*;
    use crate::clock::Moment;
    use crate::server::{Answer, Bodies, Config, Drain, FastPath, Networks, PlainRequest, ResponseWriter};

    /// A client that has always asked for more already, and has taken every answer.
    struct Endless;

    impl AsyncRead for Endless {
        fn poll_read(
            self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            room: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            ready!(coop::poll_proceed(cx)).made_progress();
            let request = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
            while room.remaining() >= request.len() {
                room.put_slice(request);
            }
            Poll::Ready(Ok(()))
        }
    }

    impl AsyncWrite for Endless {
        fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            ready!(coop::poll_proceed(cx)).made_progress();
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[derive(Clone, Copy)]
    enum Answers {
        AtOnce,
        TheLongWay,
    }

    impl Handler for Answers {
        type Body = Full<Bytes>;

        const BODIES: Bodies = Bodies::Refused;

        fn try_answer<'w>(
            &self,
            _: &PlainRequest<'_>,
            _: &Client,
            _: Moment,
            mut writer: ResponseWriter<'w>,
        ) -> FastPath<'w, Self::Body> {
            if matches!(self, Self::TheLongWay) {
                return FastPath::Declined(writer);
            }
            writer.text().extend_from_slice(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n");
            FastPath::Answered(writer, Full::default())
        }

        fn answer(&self, _: Request<Incoming>, _: Client) -> Answer<Self::Body> {
            Answer::Ready(Response::new(Full::default()))
        }
    }

    /// Nothing of it is reached here.
    fn patient() -> Config {
        let long = Duration::from_secs(60);
        Config {
            header_timeout: long,
            idle_timeout: long,
            drain_delay: long,
            drain_timeout: long,
            slowest_client: 1,
            stall_timeout: long,
            connections: 1,
            connections_per_address: Some(1),
            longest_target: 1_024,
            longest_head: 8_192,
            connection_buffer: 8_192,
            http2_streams: 1,
            http2_resets: 1,
            trusted_proxies: Networks::default(),
            proxy_protocol: false,
            client_header: None,
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn draining_ends_whoever_asks_without_end() {
        for answers in [Answers::AtOnce, Answers::TheLongWay] {
            let drain = Drain::new();
            let server = Arc::new(Server::new(patient(), answers, drain.clone()));
            let peer = SocketAddr::from(([127, 0, 0, 1], 1));
            let (connection, _) = server.with_plain_client(peer, Protocol::Http1, None);
            drain.track(async move {
                let ended = server.speak(Endless, BytesMut::new(), Protocol::Http1, connection).await;
                assert!(ended.is_ok(), "{ended:?}");
            });
            tokio::time::sleep(Duration::from_millis(20)).await;
            assert_eq!(drain.finish(Duration::from_secs(10)).await, 0);
        }
    }
}
