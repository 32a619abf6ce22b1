//! Connections at rest: who is between two requests, without TLS, has no task. One descriptor tells from whom something has
//! arrived (epoll(7)); whatever of that the express lane can answer without waiting is received, answered and sent on the
//! spot, one connection after the other. Who has to be waited for, for whatever reason, gets a task and keeps it.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use slab::Slab;
use tokio::io::unix::AsyncFd;
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

use super::express::{Express, Room};
use super::protocol::Protocol;
use super::socket::Socket;
use super::vigil::Left;
use super::wire::{self, Still};
use super::{Handler, Presence, Server};

/// How many are attended to before others of the thread have their turn.
const AT_ONCE: usize = 64;

/// Room for what is received at once: nearly all heads fit in.
const DESK: usize = 4 * 1024;

/// How often it is looked for who has been at rest for too long, at most: so many parts of the shortest deadline.
const PARTS: u32 = 16;

/// All connections at rest of one thread.
pub(super) struct Resting<H: Handler> {
    /// Without it, everybody gets a task.
    watch: Option<AsyncFd<OwnedFd>>,
    seats: Slab<Box<Seat<H>>>,
    /// Whether there were more events than room for them.
    more: bool,
    desk: Box<[u8]>,
    /// Lent to whoever is attended to.
    room: Room,
    look: Option<Pin<Box<Sleep>>>,
}

/// A connection at rest.
struct Seat<H: Handler> {
    express: Express<Socket<Still>, H>,
    presence: Presence,
    since: Instant,
    /// Whether nothing was ever heard from it.
    silent: bool,
    watched: bool,
}

/// What becomes of a connection.
enum Fate {
    /// It waits for its next request.
    Rests,
    /// It gets a task that goes on where this has stopped.
    Wakes,
    /// It gets a task in which everything is understood.
    Speaks(Socket<Still>, Bytes),
    Ends(io::Result<()>),
}

/// What is known when something has arrived from somebody.
#[derive(Clone, Copy)]
struct Visit {
    /// Whether it was the end: nothing more is told of it.
    has_ended: bool,
    /// What the handler has seen since.
    glimpse: Option<u64>,
    now: Instant,
}

/// Whose seat an event is about.
fn key_of(event: &Event) -> usize {
    let key = event.data;
    usize::try_from(key.u64()).unwrap_or(usize::MAX)
}

impl<H: Handler> Resting<H> {
    pub(super) fn new() -> Self {
        let watch = epoll::create(CreateFlags::CLOEXEC).map_err(io::Error::from).and_then(wire::watched);
        if let Err(error) = &watch {
            tracing::warn!(%error, "connections at rest cannot be watched together, which takes more time and memory");
        }
        Self {
            watch: watch.ok(),
            seats: Slab::new(),
            more: false,
            desk: vec![0; DESK].into(),
            room: Room::default(),
            look: None,
        }
    }

    /// Takes in a connection that has just been accepted.
    pub(super) fn welcome(
        &mut self,
        server: &Arc<Server<H>>,
        stream: std::net::TcpStream,
        peer: SocketAddr,
        presence: Presence,
    ) {
        let (connection, outlet) = server.with_plain_client(peer, Protocol::Http1);
        let socket = Socket::new(Still::new(stream), Arc::clone(&connection.signs), true);
        let express = Express::at_rest(socket.sending_files(outlet.as_ref()), Arc::new(connection));
        let since = Instant::from_std(express.connection().signs.began());
        let seat = Box::new(Seat { express, presence, since, silent: true, watched: false });
        self.look_at(seat.deadline());
        let key = self.seats.insert(seat);
        // Whoever connects asks at once, and has often done so by now.
        self.visit(key, Visit { has_ended: false, glimpse: None, now: since });
    }

    /// Waits until something has arrived from somebody, and attends to those.
    pub(super) async fn attend(&mut self) {
        poll_fn(|cx| self.poll(cx)).await;
    }

    /// Whether more has arrived than was attended to.
    pub(super) fn is_busy(&self) -> bool {
        self.more
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.look.as_mut().is_some_and(|look| look.as_mut().poll(cx).is_ready()) {
            self.leave_the_idle();
            return Poll::Ready(());
        }
        let Some(watch) = &self.watch else { return Poll::Pending };
        if !self.more {
            let Ok(mut ready) = ready!(watch.poll_read_ready(cx)) else { return Poll::Pending };
            // Whatever arrives from here on is told of again.
            ready.clear_ready();
        }
        let mut room = [const { MaybeUninit::<Event>::uninit() }; AT_ONCE];
        let found = epoll::wait(watch, &mut room, Some(&Timespec::default()));
        let events = found.map(|(events, _)| events).unwrap_or_default();
        self.more = events.len() == AT_ONCE;
        let now = Instant::now();
        let glimpse = match &*events {
            [first, _, ..] => {
                self.seat_of(first).and_then(|seat| seat.express.connection().server.handler.look_around())
            }
            _ => None,
        };
        for event in events {
            let flags = event.flags;
            let has_ended = flags.intersects(EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR);
            self.visit(key_of(event), Visit { has_ended, glimpse, now });
        }
        Poll::Ready(())
    }

    fn seat_of(&self, event: &Event) -> Option<&Seat<H>> {
        self.seats.get(key_of(event)).map(|seat| &**seat)
    }

    /// Answers what has arrived from somebody.
    fn visit(&mut self, key: usize, visit: Visit) {
        let Some(seat) = self.seats.get_mut(key) else { return };
        // Nobody else is to suffer from one request, as in a task.
        seat.express.exchange(&mut self.room);
        let go_on = AssertUnwindSafe(|| seat.go_on(&mut self.desk, visit));
        let fate = catch_unwind(go_on).unwrap_or_else(|_| Fate::Ends(Ok(())));
        if matches!(fate, Fate::Rests | Fate::Ends(_)) {
            seat.express.exchange(&mut self.room);
            self.room.clear();
        }
        let fate = match fate {
            Fate::Rests if seat.watched => return,
            Fate::Rests => match &self.watch {
                Some(watch) if seat.watch_by(watch, key).is_ok() => return,
                _ => Fate::Wakes,
            },
            other => other,
        };
        let seat = self.seats.remove(key);
        let leaves = match &fate {
            Fate::Rests | Fate::Ends(_) => None,
            Fate::Wakes => seat.express.stream(),
            Fate::Speaks(socket, _) => Some(socket),
        };
        if let (Some(socket), Some(watch), true) = (leaves, &self.watch, seat.watched) {
            let _ = epoll::delete(watch, socket.descriptor());
        }
        if !matches!(fate, Fate::Ends(Ok(()))) {
            (*seat).meet(fate);
        }
    }

    /// Whose deadline has passed is left.
    fn leave_the_idle(&mut self) {
        let now = Instant::now();
        let late = |seat: &Seat<H>| seat.deadline() <= now;
        let keys: Vec<usize> = self.seats.iter().filter(|(_, seat)| late(seat)).map(|(key, _)| key).collect();
        for key in keys {
            self.seats.remove(key).leave();
        }
        self.look = None;
        let next = self.seats.iter().map(|(_, seat)| (seat.deadline(), seat.patience())).min();
        if let Some((deadline, patience)) = next {
            self.look_at(deadline.max(now + patience / PARTS));
        }
    }

    fn look_at(&mut self, deadline: Instant) {
        match &mut self.look {
            Some(look) if look.deadline() <= deadline => {}
            Some(look) => look.as_mut().reset(deadline),
            None => self.look = Some(Box::pin(tokio::time::sleep_until(deadline))),
        }
    }
}

impl<H: Handler> Seat<H> {
    fn patience(&self) -> Duration {
        let limits = self.express.connection().signs.limits();
        if self.silent { limits.header } else { limits.idle }
    }

    fn deadline(&self) -> Instant {
        self.since + self.patience()
    }

    fn watch_by(&mut self, watch: &AsyncFd<OwnedFd>, key: usize) -> io::Result<()> {
        let Some(socket) = self.express.stream() else { return Ok(()) };
        let flags = EventFlags::IN | EventFlags::RDHUP | EventFlags::ET;
        // What has arrived, and the end, is told of now if it was not received before.
        epoll::add(watch, socket.descriptor(), EventData::new_u64(key as u64), flags)?;
        self.watched = true;
        Ok(())
    }

    fn go_on(&mut self, desk: &mut [u8], visit: Visit) -> Fate {
        let Visit { has_ended, mut glimpse, now } = visit;
        loop {
            let Some(socket) = self.express.stream() else { return Fate::Ends(Ok(())) };
            let count = match recv(socket.descriptor(), &mut *desk, RecvFlags::empty()) {
                Ok((0, _)) => return Fate::Ends(Ok(())),
                Ok((count, _)) => count,
                Err(Errno::AGAIN) => return Fate::Rests,
                Err(Errno::INTR) => continue,
                Err(error) => return Fate::Ends(Err(error.into())),
            };
            (self.since, self.silent) = (now, false);
            self.express.receive(desk.get(..count).unwrap_or_default(), glimpse.take());
            match Pin::new(&mut self.express).poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Pending if self.express.is_answering() => return Fate::Wakes,
                // That was all, and whatever comes is told of.
                Poll::Pending if count < desk.len() && !has_ended => return Fate::Rests,
                Poll::Pending => {}
                Poll::Ready(Ok(Some((socket, received)))) => return Fate::Speaks(socket, received),
                Poll::Ready(ended) => return Fate::Ends(ended.map(drop)),
            }
        }
    }

    fn meet(self, fate: Fate) {
        let Self { express, presence, .. } = self;
        let (connection, server) = (Arc::clone(express.connection()), &express.connection().server);
        let (peer, server) = (connection.peer, Arc::clone(server));
        match fate {
            Fate::Rests | Fate::Ends(Ok(())) => {}
            Fate::Ends(Err(error)) => tracing::debug!(%peer, %error, "a connection ended early"),
            Fate::Speaks(socket, received) => {
                server.keep(peer, presence, move |server, presence| async move {
                    let _presence = presence;
                    let stream = TcpStream::from_std(socket.into_wire().into_stream())?;
                    server.speak_plainly(stream, BytesMut::from(received), peer).await
                });
            }
            Fate::Wakes => server.keep(peer, presence, move |server, presence| async move {
                let _presence = presence;
                let awake = |socket: Socket<Still>| socket.on(Still::awake);
                server.speak_plain_requests(Box::new(express.awake(awake)?)).await
            }),
        }
    }

    /// It has been at rest for too long.
    fn leave(self) {
        if !self.silent {
            return;
        }
        let connection = self.express.connection();
        if let Some(metrics) = &connection.server.metrics {
            metrics.connections().cut(Left::Silent.name());
        }
        let (peer, error) = (connection.peer, super::Ended::Left(Left::Silent));
        tracing::debug!(%peer, %error, "a connection ended early");
    }
}
