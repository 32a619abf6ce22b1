//! One connection at rest: what is received from it, and what becomes of it then.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use rustix::event::epoll::{self, EventData, EventFlags};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::leaving::Leaving;
use crate::server::answer::Connection;
use crate::server::express::{Express, Room};
use crate::server::protocol::Protocol;
use crate::server::sealed::Sealed;
use crate::server::socket::Socket;
use crate::server::speaking::agreed;
use crate::server::vigil::{Left, Signs};
use crate::server::wire::Still;
use crate::server::{Ended, Handler, Presence, Server};

/// How often something is received from somebody in one go: whoever sends without end must not keep everybody else waiting.
const MOST_RECEIVED: usize = 8;

/// A stream that can be at rest.
pub(super) trait Rests: AsyncRead + AsyncWrite + Unpin {
    fn still(&mut self) -> &mut Socket<Still>;

    /// Whether something waits to be sent: then it is not at rest.
    fn owes(&self) -> bool;
}

impl Rests for Socket<Still> {
    fn still(&mut self) -> &mut Socket<Still> {
        self
    }

    fn owes(&self) -> bool {
        false
    }
}

impl Rests for Sealed<Socket<Still>> {
    fn still(&mut self) -> &mut Socket<Still> {
        self.socket()
    }

    fn owes(&self) -> bool {
        Sealed::owes(self)
    }
}

/// How far a connection has come.
enum State<H: Handler> {
    /// TLS is spoken here, and nothing was heard yet.
    Opens(Socket<Still>, Handshake<H>),
    Shakes(Box<Sealed<Socket<Still>>>, Handshake<H>),
    Plain(Express<Socket<Still>, H>),
    Sealed(Box<Express<Sealed<Socket<Still>>, H>>),
    /// It has left.
    Gone,
}

/// With whom a handshake is made, and for whom.
pub(super) struct Handshake<H: Handler> {
    pub(super) server: Arc<Server<H>>,
    pub(super) peer: SocketAddr,
    pub(super) signs: Arc<Signs>,
    pub(super) patience: Duration,
}

/// A connection at rest.
pub(super) struct Seat<H: Handler> {
    state: State<H>,
    presence: Presence,
    since: Instant,
    /// Whether nothing was ever heard from it, over TLS behind the handshake.
    silent: bool,
    watched: bool,
}

/// What becomes of a connection.
pub(super) enum Fate<H: Handler> {
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
pub(super) struct Visit {
    /// Whether it was the end: nothing more is told of it.
    pub(super) has_ended: bool,
    /// What the handler has seen since.
    pub(super) glimpse: Option<u64>,
    pub(super) now: Instant,
}

/// Nobody is woken at rest: what has to be waited for is told of otherwise.
fn nobody() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

impl<H: Handler> Seat<H> {
    /// For a connection that has just been accepted.
    pub(super) fn new(
        server: &Arc<Server<H>>,
        stream: std::net::TcpStream,
        peer: SocketAddr,
        presence: Presence,
    ) -> Self {
        let still = Still::new(stream);
        let (state, began) = match &server.certificate {
            None => {
                let (connection, outlet) = server.with_plain_client(peer, Protocol::Http1);
                let began = connection.signs.began();
                let socket = Socket::new(still, Arc::clone(&connection.signs), true);
                let socket = socket.sending_files(outlet.as_ref());
                (State::Plain(Express::at_rest(socket, Arc::new(connection))), began)
            }
            Some(certificate) => {
                let signs = Signs::of_connection(server.limits);
                let (socket, began) = (Socket::new(still, Arc::clone(&signs), true), signs.began());
                let (server, patience) = (Arc::clone(server), certificate.handshake_timeout());
                (State::Opens(socket, Handshake { server, peer, signs, patience }), began)
            }
        };
        Self { state, presence, since: Instant::from_std(began), silent: true, watched: false }
    }

    pub(super) fn began(&self) -> Instant {
        self.since
    }

    pub(super) fn is_watched(&self) -> bool {
        self.watched
    }

    /// How long it may be as it is.
    pub(super) fn patience(&self) -> Duration {
        let limits = match &self.state {
            State::Shakes(_, handshake) => return handshake.patience,
            State::Opens(_, handshake) => handshake.signs.limits(),
            State::Plain(express) => express.connection().signs.limits(),
            State::Sealed(express) => express.connection().signs.limits(),
            State::Gone => return Duration::ZERO,
        };
        if self.silent { limits.header } else { limits.idle }
    }

    pub(super) fn deadline(&self) -> Instant {
        self.since + self.patience()
    }

    /// How long it may be as it is, whatever that will be.
    pub(super) fn shortest_patience(&self) -> Duration {
        let (limits, handshake) = match &self.state {
            State::Opens(_, handshake) | State::Shakes(_, handshake) => {
                (handshake.signs.limits(), handshake.patience)
            }
            State::Plain(express) => (express.connection().signs.limits(), Duration::MAX),
            State::Sealed(express) => (express.connection().signs.limits(), Duration::MAX),
            State::Gone => return Duration::ZERO,
        };
        limits.header.min(limits.idle).min(handshake)
    }

    pub(super) fn handler(&self) -> Option<&H> {
        match &self.state {
            State::Plain(express) => Some(&express.connection().server.handler),
            State::Sealed(express) => Some(&express.connection().server.handler),
            State::Opens(..) | State::Shakes(..) | State::Gone => None,
        }
    }

    fn still(&mut self) -> Option<&mut Socket<Still>> {
        match &mut self.state {
            State::Opens(socket, _) => Some(socket),
            State::Shakes(sealed, _) => Some(sealed.still()),
            State::Plain(express) => express.stream().map(Rests::still),
            State::Sealed(express) => express.stream().map(Rests::still),
            State::Gone => None,
        }
    }

    /// Has something that arrives be told of, under this number. What has arrived before and was not received is told of now.
    pub(super) fn watch_by(&mut self, watch: &impl std::os::fd::AsFd, key: usize) -> io::Result<()> {
        let Some(socket) = self.still() else { return Ok(()) };
        let flags = EventFlags::IN | EventFlags::RDHUP | EventFlags::ET;
        epoll::add(watch, socket.descriptor(), EventData::new_u64(key as u64), flags)?;
        self.watched = true;
        Ok(())
    }

    /// What leaves if it has to be waited for.
    pub(super) fn wake(&mut self) -> Option<Box<Leaving<H>>> {
        Some(Box::new(match std::mem::replace(&mut self.state, State::Gone) {
            State::Opens(socket, handshake) => Leaving::Shakes(handshake.begin(socket)?, handshake),
            State::Shakes(sealed, handshake) => Leaving::Shakes(sealed, handshake),
            State::Plain(express) => Leaving::Plain(express),
            State::Sealed(express) => Leaving::Sealed(express),
            State::Gone => return None,
        }))
    }

    /// Receives what has arrived, and answers it.
    pub(super) fn go_on(&mut self, desk: &mut [u8], room: &mut Room, visit: Visit) -> Fate<H> {
        if let Some(socket) = self.still() {
            socket.wire().told(visit.has_ended);
        }
        match self.open(desk, visit.now) {
            Ok(true) => {}
            Ok(false) => return Fate::Rests,
            Err(fate) => return fate,
        }
        let mut visited = Visited { desk, room, glimpse: visit.glimpse, heard: false };
        let fate = match &mut self.state {
            State::Plain(express) => visited.answer(express, Leaving::PlainInFull),
            State::Sealed(express) => visited.answer(express, |sealed, received, connection| {
                Leaving::SealedInFull(Box::new(sealed), received, connection)
            }),
            State::Opens(..) | State::Shakes(..) | State::Gone => Fate::Wakes,
        };
        if visited.heard {
            (self.since, self.silent) = (visit.now, false);
        }
        fate
    }

    /// Makes the handshake, where there is one. Whether it is made, or what it comes to.
    fn open(&mut self, desk: &mut [u8], now: Instant) -> Result<bool, Fate<H>> {
        if matches!(self.state, State::Plain(_) | State::Sealed(_)) {
            return Ok(true);
        }
        let mut greeting: &[u8] = &[];
        let state = match std::mem::replace(&mut self.state, State::Gone) {
            State::Opens(mut socket, handshake) => {
                let mut read = ReadBuf::new(&mut *desk);
                match Pin::new(&mut socket).poll_read(&mut nobody(), &mut read) {
                    Poll::Pending => {
                        self.state = State::Opens(socket, handshake);
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
                        return Err(Fate::Leaves(Box::new(Leaving::WantsTls(socket, handshake))));
                    }
                    Some(_) => {}
                }
                self.since = now;
                (handshake.begin(socket).ok_or(Fate::Ends(Ok(())))?, handshake)
            }
            State::Shakes(sealed, handshake) => (sealed, handshake),
            other => {
                self.state = other;
                return Ok(true);
            }
        };
        self.shake_hands(state, greeting, now)
    }

    fn shake_hands(
        &mut self,
        (mut sealed, handshake): (Box<Sealed<Socket<Still>>>, Handshake<H>),
        greeting: &[u8],
        now: Instant,
    ) -> Result<bool, Fate<H>> {
        match sealed.poll_handshake(greeting, &mut nobody()) {
            Poll::Pending if sealed.owes() => {
                return Err(Fate::Leaves(Box::new(Leaving::Shakes(sealed, handshake))));
            }
            Poll::Pending => {
                self.state = State::Shakes(sealed, handshake);
                return Ok(false);
            }
            Poll::Ready(Err(error)) => {
                handshake.fails(error);
                return Err(Fate::Ends(Ok(())));
            }
            Poll::Ready(Ok(())) => {}
        }
        self.since = now;
        let protocol = agreed(&mut sealed);
        let Handshake { server, peer, signs, .. } = handshake;
        let connection = server.with_sealed_client(peer, signs, protocol);
        if protocol == Protocol::Http2 {
            return Err(Fate::Leaves(Box::new(Leaving::SealedHttp2(sealed, connection))));
        }
        self.state = State::Sealed(Box::new(Express::at_rest(*sealed, Arc::new(connection))));
        Ok(true)
    }

    /// Says goodbye, as far as the socket takes it at once.
    pub(super) fn close(&mut self) {
        let _ = match &mut self.state {
            State::Sealed(express) => {
                express.stream().map(|sealed| Pin::new(sealed).poll_shutdown(&mut nobody()))
            }
            // Closing says it all.
            State::Opens(..) | State::Shakes(..) | State::Plain(_) | State::Gone => None,
        };
    }

    /// It has been as it is for too long.
    pub(super) fn leave(mut self) {
        self.close();
        let (server, peer, error) = match self.state {
            State::Shakes(_, handshake) => return handshake.fails(io::ErrorKind::TimedOut.into()),
            _ if !self.silent => return,
            State::Opens(_, Handshake { server, peer, .. }) => (server, peer, Left::Silent),
            State::Plain(express) => {
                (Arc::clone(&express.connection().server), express.connection().peer, Left::Silent)
            }
            State::Sealed(express) => {
                (Arc::clone(&express.connection().server), express.connection().peer, Left::Silent)
            }
            State::Gone => return,
        };
        if let Some(metrics) = &server.metrics {
            metrics.connections().cut(error.name());
        }
        tracing::debug!(%peer, error = %Ended::Left(error), "a connection ended early");
    }

    /// Gives a task to a connection that leaves.
    pub(super) fn give_a_task(self, leaving: Box<Leaving<H>>) {
        let (server, peer) = leaving.whose();
        server.keep(peer, self.presence, move |server, presence| async move {
            let _presence = presence;
            leaving.go_on(&server, peer).await
        });
    }

    /// Says why a connection has ended early.
    pub(super) fn mourn(&self, error: &io::Error) {
        let peer = match &self.state {
            State::Opens(_, handshake) | State::Shakes(_, handshake) => Some(handshake.peer),
            State::Plain(express) => Some(express.connection().peer),
            State::Sealed(express) => Some(express.connection().peer),
            State::Gone => None,
        };
        tracing::debug!(?peer, %error, "a connection ended early");
    }
}

/// Where somebody is attended to.
struct Visited<'a> {
    desk: &'a mut [u8],
    room: &'a mut Room,
    glimpse: Option<u64>,
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
                Poll::Pending if stream.owes() => return Fate::Wakes,
                Poll::Pending => return Fate::Rests,
                Poll::Ready(Err(error)) => return Fate::Ends(Err(error)),
                Poll::Ready(Ok(())) if read.filled().is_empty() => {
                    let _ = Pin::new(stream).poll_shutdown(&mut nobody());
                    return Fate::Ends(Ok(()));
                }
                Poll::Ready(Ok(())) => {}
            }
            self.heard = true;
            express.receive(read.filled(), self.glimpse.take());
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

impl<H: Handler> Handshake<H> {
    fn begin(&self, socket: Socket<Still>) -> Option<Box<Sealed<Socket<Still>>>> {
        let config = self.server.certificate.as_ref()?.in_force();
        Sealed::new(socket, config).map(Box::new).map_err(|error| self.fails(error)).ok()
    }

    fn fails(&self, error: io::Error) {
        let (peer, error) = (self.peer, self.server.no_handshake(error));
        tracing::debug!(%peer, %error, "a connection ended early");
    }
}
