//! Connections at rest: who is between two requests has no task. One descriptor tells from whom something has
//! arrived (epoll(7)); whatever of that the express lane can answer without waiting is received, answered and sent on the
//! spot, one connection after the other. Who has to be waited for, for whatever reason, gets a task and keeps it.

mod leaving;
mod seat;

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventFlags};
use slab::Slab;
use tokio::io::unix::AsyncFd;
use tokio::time::{Instant, Sleep};

use crate::clock::Moment;
use crate::clock::running::RunningInstant;
use crate::server::fast_path::express::Room;
use crate::server::socket::io::watched;
use crate::server::{Admission, Handler, Server};
use crate::tasks::Task;
use seat::{Fate, Seat, Visit};

/// How many are attended to before others of the thread have their turn.
const AT_ONCE: usize = 64;

/// Room for what is received at once: nearly all heads fit in.
const DESK: usize = 4 * 1024;

/// How often it is looked for who has been at rest for too long, at most: so many parts of the shortest deadline.
const PARTS: u32 = 16;

/// All connections at rest of one thread.
pub(in crate::server) struct Resting<H: Handler> {
    /// Without it, everybody gets a task.
    watch: Option<AsyncFd<OwnedFd>>,
    seats: Slab<Box<Seat<H>>>,
    /// Whether more may have arrived than was attended to.
    more: bool,
    desk: Box<[u8]>,
    /// Lent to whoever is attended to.
    room: Room,
    look: Option<Pin<Box<Sleep>>>,
}

/// Whose seat an event is about.
fn key_of(event: &Event) -> usize {
    let key = event.data;
    usize::try_from(key.u64()).unwrap_or(usize::MAX)
}

impl<H: Handler> Resting<H> {
    pub(in crate::server) fn new() -> Self {
        let watch = epoll::create(CreateFlags::CLOEXEC).map_err(io::Error::from).and_then(watched);
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
    pub(in crate::server) fn welcome(
        &mut self,
        server: &Arc<Server<H>>,
        stream: std::net::TcpStream,
        peer: SocketAddr,
        admission: Admission,
    ) {
        let seat = Box::new(Seat::new(server, stream, peer, admission));
        let now = seat.began();
        self.look_at(now.deadline(seat.shortest_patience()));
        let key = self.seats.insert(seat);
        // Whoever connects asks at once, and has often done so by now.
        self.visit(key, Visit { has_ended: false, arrival: None, now });
    }

    /// Attends to whoever something arrives from. Returns if more has arrived than that: then it is others' turn.
    pub(in crate::server) async fn attend(&mut self) {
        poll_fn(|cx| self.poll(cx)).await;
    }

    /// Whether more has arrived than was attended to.
    pub(in crate::server) fn is_busy(&self) -> bool {
        self.more
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.look.as_mut().is_some_and(|look| look.as_mut().poll(cx).is_ready()) {
            self.leave_the_idle();
        }
        let mut attended = 0;
        loop {
            let Some(watch) = &self.watch else { return Poll::Pending };
            if !self.more {
                let Ok(mut ready) = ready!(watch.poll_read_ready(cx)) else { return Poll::Pending };
                // Whatever arrives from here on is told of again.
                ready.clear_ready();
            }
            // Meanwhile something has often arrived from others: asking here spares the way around through the runtime.
            let count = self.go();
            attended += count;
            self.more = count > 0;
            if attended >= AT_ONCE {
                return Poll::Ready(());
            }
        }
    }

    /// Attends to those from whom something has arrived, and says to how many.
    fn go(&mut self) -> usize {
        let Some(watch) = &self.watch else { return 0 };
        let mut room = [const { MaybeUninit::<Event>::uninit() }; AT_ONCE];
        let found = epoll::wait(watch, &mut room, Some(&Timespec::default()));
        let events = found.map(|(events, _)| events).unwrap_or_default();
        let count = events.len();
        let at = Moment::now();
        // One moment for all of them: what is checked for one of them need not be checked again for the others.
        let (arrival, now) = (Some(at), RunningInstant::at(at.instant().into()));
        for event in events {
            let flags = event.flags;
            let has_ended = flags.intersects(EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR);
            self.visit(key_of(event), Visit { has_ended, arrival, now });
        }
        count
    }

    /// Answers what has arrived from somebody.
    fn visit(&mut self, key: usize, visit: Visit) {
        let Some(seat) = self.seats.get_mut(key) else { return };
        // Nobody else is to suffer from one request, as in a task.
        let go_on = AssertUnwindSafe(|| seat.go_on(&mut self.desk, &mut self.room, visit));
        let mut leaving = match catch_unwind(go_on).unwrap_or_else(|_| died()) {
            Fate::Rests if seat.is_watched() => return,
            Fate::Rests => match &self.watch {
                Some(watch) if seat.watch_by(watch, key).is_ok() => return,
                _ => seat.wake(),
            },
            Fate::Wakes => seat.wake(),
            Fate::Leaves(leaving) => Some(leaving),
            Fate::Ends(ended) => {
                if let Err(error) = ended {
                    seat.ended_early(&error.into());
                }
                None
            }
        };
        let seat = self.seats.remove(key);
        let socket = leaving.as_mut().filter(|_| seat.is_watched()).and_then(|leaving| leaving.still());
        if let (Some(socket), Some(watch)) = (socket, &self.watch) {
            let _ = epoll::delete(watch, socket.descriptor());
        }
        if let Some(leaving) = leaving {
            seat.give_a_task(leaving);
        }
    }

    /// Whose deadline has passed is left.
    fn leave_the_idle(&mut self) {
        let now = RunningInstant::now().instant();
        let late = |seat: &Seat<H>| seat.deadline() <= now;
        let keys: Vec<usize> = self.seats.iter().filter(|(_, seat)| late(seat)).map(|(key, _)| key).collect();
        for key in keys {
            (*self.seats.remove(key)).leave();
        }
        self.look = None;
        // Who is attended to meanwhile may have an earlier deadline than now.
        let next = |seat: &Seat<H>| {
            let patience = seat.shortest_patience();
            seat.deadline().min(now + patience).max(now + patience / PARTS)
        };
        if let Some(next) = self.seats.iter().map(|(_, seat)| next(seat)).min() {
            self.look_at(next);
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

fn died<H: Handler>() -> Fate<H> {
    Task::IdleConnection.count_panic();
    Fate::Ends(Ok(()))
}

impl<H: Handler> Drop for Resting<H> {
    /// Whoever is at rest when no more is served is told so, where TLS has a word for it.
    fn drop(&mut self) {
        for (_, seat) in &mut self.seats {
            seat.close();
        }
    }
}
