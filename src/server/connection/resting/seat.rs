//! One connection at rest: what is received from it, and what becomes of it then.

use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use rustix::event::epoll::{self, EventData, EventFlags};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::leaving::Leaving;
use crate::clock::Moment;
use crate::clock::running::RunningInstant;
use crate::server::connection::protocol::Protocol;
use crate::server::connection::requests::Connection;
use crate::server::connection::speaking::agreed;
use crate::server::deadlines::activity::{Activity, Timeout};
use crate::server::fast_path::express::{Express, Room};
use crate::server::fast_path::response_writer::SendFile;
use crate::server::listener::certificate::Certificate;
use crate::server::socket::io::NonblockingSocket;
use crate::server::socket::tcp::Socket;
use crate::server::socket::tls_stream::TlsStream;
use crate::server::zero_copy::pending::send_behind;
use crate::server::{Admission, ConnectionError, Handler, Server};

/// How often something is received from somebody in one go: whoever sends without end must not keep everybody else waiting.
const MOST_RECEIVED: usize = 8;

/// A stream that can be at rest.
pub(in crate::server) trait Rests: AsyncRead + AsyncWrite + Unpin {
    fn still(&mut self) -> &mut Socket<NonblockingSocket>;

    /// Whether something waits to be sent: then it is not at rest.
    fn wants_write(&self) -> bool;
}

impl Rests for Socket<NonblockingSocket> {
    fn still(&mut self) -> &mut Socket<NonblockingSocket> {
        self
    }

    fn wants_write(&self) -> bool {
        false
    }
}

impl Rests for TlsStream<Socket<NonblockingSocket>> {
    fn still(&mut self) -> &mut Socket<NonblockingSocket> {
        self.socket()
    }

    fn wants_write(&self) -> bool {
        TlsStream::wants_write(self)
    }
}

impl SendFile for Socket<NonblockingSocket> {
    fn send_file(&mut self, head: &[u8], file: &File, range: Range<u64>) -> Option<io::Result<usize>> {
        if !self.sends_files() {
            return None;
        }
        let sent = send_behind(self.descriptor(), head, file, range);
        if let Ok(sent) = &sent {
            self.on_written(*sent);
        }
        Some(sent)
    }
}

/// How far a connection has come.
#[expect(clippy::large_enum_variant, reason = "a server that has plain ones has no others")]
enum State<H: Handler> {
    /// TLS is spoken here, and nothing was heard yet.
    Opens(Socket<NonblockingSocket>),
    Shakes(Box<TlsStream<Socket<NonblockingSocket>>>),
    Plain(Express<Socket<NonblockingSocket>, H>),
    TlsStream(Box<Express<TlsStream<Socket<NonblockingSocket>>, H>>),
    /// It has left.
    Gone,
}

/// A connection at rest.
pub(in crate::server) struct Seat<H: Handler> {
    server: Arc<Server<H>>,
    peer: SocketAddr,
    activity: Arc<Activity>,
    state: State<H>,
    admission: Admission,
    since: RunningInstant,
    /// Whether nothing was ever heard from it, over TLS behind the handshake.
    silent: bool,
    watched: bool,
}

/// What becomes of a connection.
pub(in crate::server) enum Fate<H: Handler> {
    /// It waits for what comes next.
    Rests,
    /// It has to be waited for: it goes on in a task where this has stopped.
    Wakes,
    /// It goes on in a task.
    Leaves(Box<Leaving<H>>),
    Ends(io::Result<()>),
}

/// What is known when something has arrived from somebody.
#[derive(Clone, Copy)]
pub(in crate::server) struct Visit {
    /// Whether it was the end: nothing more is told of it.
    pub(in crate::server) has_ended: bool,
    /// When it was told of.
    pub(in crate::server) arrival: Option<Moment>,
    pub(in crate::server) now: RunningInstant,
}

/// Nobody is woken at rest: what has to be waited for is told of otherwise.
fn nobody() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

impl<H: Handler> Seat<H> {
    /// For a connection that has just been accepted.
    pub(in crate::server) fn new(
        server: &Arc<Server<H>>,
        stream: std::net::TcpStream,
        peer: SocketAddr,
        admission: Admission,
    ) -> Self {
        let still = NonblockingSocket::new(stream);
        let (state, activity) = match &server.certificate {
            None => {
                let (connection, gate) = server.with_plain_client(peer, Protocol::Http1, None);
                let activity = Arc::clone(&connection.activity);
                let socket = Socket::new(still, Arc::clone(&activity), true).sending_files(gate.as_ref());
                (
                    State::Plain(Express::at_rest(socket, Arc::new(connection), Some(|socket| socket))),
                    activity,
                )
            }
            Some(_) => {
                let activity = Activity::of_connection(server.limits);
                (State::Opens(Socket::new(still, Arc::clone(&activity), true)), activity)
            }
        };
        let (server, since) = (Arc::clone(server), activity.began());
        Self { server, peer, activity, state, admission, since, silent: true, watched: false }
    }

    pub(in crate::server) fn began(&self) -> RunningInstant {
        self.since
    }

    pub(in crate::server) fn is_watched(&self) -> bool {
        self.watched
    }

    /// How long it may be as it is.
    fn patience(&self) -> Duration {
        match &self.state {
            State::Shakes(_) => self.handshake_timeout(),
            _ if self.silent => self.server.limits.header,
            _ => self.server.limits.idle,
        }
    }

    pub(in crate::server) fn deadline(&self) -> Instant {
        self.since.deadline(self.patience())
    }

    /// How long it may be as it is, whatever that will be.
    pub(in crate::server) fn shortest_patience(&self) -> Duration {
        let limits = &self.server.limits;
        limits.header.min(limits.idle).min(self.handshake_timeout())
    }

    fn handshake_timeout(&self) -> Duration {
        self.server.certificate.as_ref().map_or(Duration::MAX, Certificate::handshake_timeout)
    }

    fn still(&mut self) -> Option<&mut Socket<NonblockingSocket>> {
        match &mut self.state {
            State::Opens(socket) => Some(socket),
            State::Shakes(sealed) => Some(sealed.still()),
            State::Plain(express) => express.stream().map(Rests::still),
            State::TlsStream(express) => express.stream().map(Rests::still),
            State::Gone => None,
        }
    }

    /// Has something that arrives be told of, under this number. What has arrived before and was not received is told of now.
    pub(in crate::server) fn watch_by(
        &mut self,
        watch: &impl std::os::fd::AsFd,
        key: usize,
    ) -> io::Result<()> {
        let Some(socket) = self.still() else { return Ok(()) };
        let flags = EventFlags::IN | EventFlags::RDHUP | EventFlags::ET;
        epoll::add(watch, socket.descriptor(), EventData::new_u64(key as u64), flags)?;
        self.watched = true;
        Ok(())
    }

    /// What leaves if it has to be waited for.
    pub(in crate::server) fn wake(&mut self) -> Option<Box<Leaving<H>>> {
        Some(Box::new(match std::mem::replace(&mut self.state, State::Gone) {
            State::Opens(socket) => Leaving::Shakes(self.begin_handshake(socket)?),
            State::Shakes(sealed) => Leaving::Shakes(sealed),
            State::Plain(express) => Leaving::Plain(express),
            State::TlsStream(express) => Leaving::TlsStream(express),
            State::Gone => return None,
        }))
    }

    /// Receives what has arrived, and answers it.
    pub(in crate::server) fn go_on(&mut self, desk: &mut [u8], room: &mut Room, visit: Visit) -> Fate<H> {
        if let Some(socket) = self.still() {
            socket.wire().told(visit.has_ended);
        }
        match self.open(desk, visit.now) {
            Ok(true) => {}
            Ok(false) => return Fate::Rests,
            Err(fate) => return fate,
        }
        let mut visited = Visited { desk, room, arrival: visit.arrival, heard: false };
        let fate = match &mut self.state {
            State::Plain(express) => visited.answer(express, Leaving::PlainInFull),
            State::TlsStream(express) => visited.answer(express, |sealed, received, connection| {
                Leaving::SealedInFull(Box::new(sealed), received, connection)
            }),
            State::Opens(_) | State::Shakes(_) | State::Gone => Fate::Wakes,
        };
        if visited.heard {
            (self.since, self.silent) = (visit.now, false);
        }
        fate
    }

    /// Makes the handshake, where there is one. Whether it is made, or what it comes to.
    fn open(&mut self, desk: &mut [u8], now: RunningInstant) -> Result<bool, Fate<H>> {
        if matches!(self.state, State::Plain(_) | State::TlsStream(_)) {
            return Ok(true);
        }
        let mut greeting: &[u8] = &[];
        let sealed = match std::mem::replace(&mut self.state, State::Gone) {
            State::Opens(mut socket) => {
                let mut read = ReadBuf::new(&mut *desk);
                match Pin::new(&mut socket).poll_read(&mut nobody(), &mut read) {
                    Poll::Pending => {
                        self.state = State::Opens(socket);
                        return Ok(false);
                    }
                    Poll::Ready(Err(error)) => return Err(Fate::Ends(Err(error))),
                    Poll::Ready(Ok(())) => {}
                }
                let count = read.filled().len();
                greeting = desk.get(..count).unwrap_or_default();
                match greeting.first() {
                    None => return Err(Fate::Ends(Ok(()))),
                    // The first byte of TLS is no letter; of a request it is.
                    Some(byte) if byte.is_ascii_alphabetic() => {
                        return Err(Fate::Leaves(Box::new(Leaving::WantsTls(socket))));
                    }
                    Some(_) => {}
                }
                self.since = now;
                self.begin_handshake(socket).ok_or(Fate::Ends(Ok(())))?
            }
            State::Shakes(sealed) => sealed,
            other => {
                self.state = other;
                return Ok(true);
            }
        };
        self.shake_hands(sealed, greeting, now)
    }

    fn begin_handshake(
        &self,
        socket: Socket<NonblockingSocket>,
    ) -> Option<Box<TlsStream<Socket<NonblockingSocket>>>> {
        let config = self.server.certificate.as_ref()?.server_config();
        TlsStream::new(socket, config).map(Box::new).map_err(|error| self.makes_no_handshake(error)).ok()
    }

    fn makes_no_handshake(&self, error: io::Error) {
        self.ended_early(&self.server.no_handshake(error));
    }

    fn shake_hands(
        &mut self,
        mut sealed: Box<TlsStream<Socket<NonblockingSocket>>>,
        greeting: &[u8],
        now: RunningInstant,
    ) -> Result<bool, Fate<H>> {
        match sealed.poll_handshake(greeting, &mut nobody()) {
            Poll::Pending if sealed.wants_write() => {
                return Err(Fate::Leaves(Box::new(Leaving::Shakes(sealed))));
            }
            Poll::Pending => {
                self.state = State::Shakes(sealed);
                return Ok(false);
            }
            Poll::Ready(Err(error)) => {
                self.makes_no_handshake(error);
                return Err(Fate::Ends(Ok(())));
            }
            Poll::Ready(Ok(())) => {}
        }
        self.since = now;
        let protocol = agreed(&mut sealed);
        let connection = self.server.with_sealed_client(self.peer, Arc::clone(&self.activity), protocol);
        if protocol == Protocol::Http2 {
            return Err(Fate::Leaves(Box::new(Leaving::SealedHttp2(sealed, connection))));
        }
        self.state = State::TlsStream(Box::new(Express::at_rest(*sealed, Arc::new(connection), None)));
        Ok(true)
    }

    /// Says goodbye, as far as the socket takes it at once.
    pub(in crate::server) fn close(&mut self) {
        let _ = match &mut self.state {
            State::TlsStream(express) => {
                express.stream().map(|sealed| Pin::new(sealed).poll_shutdown(&mut nobody()))
            }
            // Closing says it all.
            State::Opens(_) | State::Shakes(_) | State::Plain(_) | State::Gone => None,
        };
    }

    /// It has been as it is for too long.
    pub(in crate::server) fn leave(mut self) {
        self.close();
        if matches!(self.state, State::Shakes(_)) {
            self.makes_no_handshake(io::ErrorKind::TimedOut.into());
        } else if self.silent {
            self.server.cut(Timeout::Header);
            self.ended_early(&ConnectionError::Timeout(Timeout::Header));
        }
    }

    /// Gives a task to a connection that leaves.
    pub(in crate::server) fn give_a_task(self, leaving: Box<Leaving<H>>) {
        let Self { server, peer, activity, admission, .. } = self;
        server.keep(peer, admission, move |server, admission| async move {
            let _presence = admission;
            leaving.go_on(&server, peer, activity).await
        });
    }

    /// Says why it has ended early.
    pub(in crate::server) fn ended_early(&self, error: &ConnectionError) {
        tracing::debug!(peer = %self.peer, %error, "a connection ended early");
    }
}

/// Where somebody is attended to.
struct Visited<'a> {
    desk: &'a mut [u8],
    room: &'a mut Room,
    arrival: Option<Moment>,
    /// Whether something was received.
    heard: bool,
}

impl Visited<'_> {
    fn answer<S: Rests, H: Handler>(
        &mut self,
        express: &mut Express<S, H>,
        in_full: impl FnOnce(S, Bytes, Arc<Connection<H>>) -> Leaving<H>,
    ) -> Fate<H> {
        express.exchange(self.room);
        let fate = self.answer_what_comes(express, in_full);
        if matches!(fate, Fate::Rests | Fate::Ends(_)) {
            express.exchange(self.room);
        }
        self.room.clear();
        fate
    }

    fn answer_what_comes<S: Rests, H: Handler>(
        &mut self,
        express: &mut Express<S, H>,
        in_full: impl FnOnce(S, Bytes, Arc<Connection<H>>) -> Leaving<H>,
    ) -> Fate<H> {
        for _ in 0..MOST_RECEIVED {
            let Some(stream) = express.stream() else { return Fate::Ends(Ok(())) };
            let mut read = ReadBuf::new(self.desk);
            match Pin::new(&mut *stream).poll_read(&mut nobody(), &mut read) {
                Poll::Pending if stream.wants_write() => return Fate::Wakes,
                Poll::Pending => return Fate::Rests,
                Poll::Ready(Err(error)) => return Fate::Ends(Err(error)),
                Poll::Ready(Ok(())) if read.filled().is_empty() => {
                    let _ = Pin::new(stream).poll_shutdown(&mut nobody());
                    return Fate::Ends(Ok(()));
                }
                Poll::Ready(Ok(())) => {}
            }
            self.heard = true;
            express.receive(read.filled(), self.arrival.take());
            match Pin::new(&mut *express).poll(&mut nobody()) {
                Poll::Pending if express.is_answering() => return Fate::Wakes,
                Poll::Pending => {}
                Poll::Ready(Ok(Some((stream, received)))) => {
                    let connection = Arc::clone(express.connection());
                    return Fate::Leaves(Box::new(in_full(stream, received, connection)));
                }
                Poll::Ready(ended) => return Fate::Ends(ended.map(drop)),
            }
        }
        // Whoever goes on and on takes turns with others, as tasks do.
        Fate::Wakes
    }
}
