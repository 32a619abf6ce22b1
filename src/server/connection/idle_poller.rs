//! The idle poller of a thread. Idle connections have no task: one epoll(7) instance reports which of them became
//! readable. The poller drives these one after the other, each as far as it goes without blocking. A connection that
//! waits for anything but input gets a task and keeps it.

use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use slab::Slab;
use tokio::time::{Instant, Sleep};

use super::driver::{Buffers, Lent, Next};
use super::state_machine::Connection;
use super::task;
use crate::clock::Moment;
use crate::clock::running::RunningInstant;
use crate::server::fairness::IDLE_BATCH;
use crate::server::handler::Handler;
use crate::server::socket::tcp::Socket;
use crate::server::socket::watched_fd::WatchedFd;
use crate::tasks::Task;

/// The size of the read buffer, in bytes: nearly all request heads fit.
const READ_BUFFER: usize = 4 * 1024;

/// Deadlines are checked at most this many times within the shortest timeout.
const LOOKS: u32 = 16;

type IdleConnection<H> = Box<Connection<Socket, H>>;

/// The idle connections of one thread.
pub(crate) struct IdlePoller<H: Handler> {
    /// If `None`, every connection gets a task.
    epoll: Option<WatchedFd>,
    connections: Slab<IdleConnection<H>>,
    /// Whether further connections may be readable.
    busy: bool,
    /// Lent to the connection that is being driven.
    read_buffer: Box<[u8]>,
    buffers: Buffers,
    /// The next check of the deadlines.
    timer: Option<Pin<Box<Sleep>>>,
}

/// Returns the key of the connection that an event is about.
fn key_of(event: &Event) -> usize {
    let data = event.data;
    usize::try_from(data.u64()).unwrap_or(usize::MAX)
}

impl<H: Handler> IdlePoller<H> {
    pub(crate) fn new() -> Self {
        let epoll = epoll::create(CreateFlags::CLOEXEC).map_err(io::Error::from).and_then(WatchedFd::new);
        if let Err(error) = &epoll {
            tracing::warn!(%error, "idle connections cannot be watched together, which takes more time and memory");
        }
        Self {
            epoll: epoll.ok(),
            connections: Slab::new(),
            busy: false,
            read_buffer: vec![0; READ_BUFFER].into(),
            buffers: Buffers::default(),
            timer: None,
        }
    }

    /// Takes over a connection that was just accepted.
    pub(crate) fn insert(&mut self, connection: IdleConnection<H>) {
        let now = connection.activity().began();
        self.look_by(now.deadline(connection.activity().timeouts().shortest()));
        let key = self.connections.insert(connection);
        // Clients send a request right after connecting, so it has often arrived by now.
        self.on_readable(key, false, None, now);
    }

    /// Drives connections that become readable. Returns when other tasks should run.
    pub(crate) async fn run(&mut self) {
        poll_fn(|cx| self.poll(cx)).await;
    }

    /// Whether further connections may be readable.
    pub(crate) fn is_busy(&self) -> bool {
        self.busy
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.timer.as_mut().is_some_and(|timer| timer.as_mut().poll(cx).is_ready()) {
            self.expire();
        }
        let mut driven = 0;
        loop {
            let Some(epoll) = &self.epoll else { return Poll::Pending };
            if !self.busy {
                let Ok(mut ready) = ready!(epoll.poll_read_ready(cx)) else { return Poll::Pending };
                // From here on, a connection that becomes readable wakes the thread again.
                ready.clear_ready();
            }
            // More connections have often become readable by now. Polling again right away saves a round trip through
            // the runtime.
            let count = self.poll_batch();
            driven += count;
            self.busy = count > 0;
            if driven >= IDLE_BATCH {
                return Poll::Ready(());
            }
        }
    }

    /// Drives the connections that have become readable, and returns their number.
    fn poll_batch(&mut self) -> usize {
        let Some(epoll) = &self.epoll else { return 0 };
        let mut space = [const { MaybeUninit::<Event>::uninit() }; IDLE_BATCH];
        let found = epoll::wait(&**epoll, &mut space, Some(&Timespec::default()));
        let events = found.map(|(events, _)| events).unwrap_or_default();
        let count = events.len();
        let at = Moment::now();
        let now = RunningInstant::at(at.instant().into());
        for event in events {
            let flags = event.flags;
            let has_ended = flags.intersects(EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR);
            self.on_readable(key_of(event), has_ended, Some(at), now);
        }
        count
    }

    /// Drives a connection that became readable. `has_ended`: the client may have closed its half.
    fn on_readable(&mut self, key: usize, has_ended: bool, at: Option<Moment>, now: RunningInstant) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        connection.on_readable(has_ended);
        let lent = Lent::new(&mut self.read_buffer, at, now);
        // A panic ends only its own connection, as in a task.
        let drive = AssertUnwindSafe(|| connection.drive_idle(&mut self.buffers, lent));
        let next = catch_unwind(drive).unwrap_or_else(|_| {
            Task::IdleConnection.count_panic();
            Next::Closed(Ok(()))
        });
        let is_watched = connection.watched;
        if let Next::Closed(Err(error)) = &next {
            connection.log(error);
        }
        match next {
            Next::Wait if is_watched || self.watch(key) => {}
            Next::Wait | Next::NeedsTask => self.spawn_task(key),
            Next::Closed(_) => drop(self.connections.remove(key)),
        }
    }

    /// Adds a connection to the epoll instance. Input that is already there is reported right away.
    fn watch(&mut self, key: usize) -> bool {
        let flags = EventFlags::IN | EventFlags::RDHUP | EventFlags::ET;
        let data = EventData::new_u64(key as u64);
        let (Some(epoll), Some(connection)) = (&self.epoll, self.connections.get_mut(key)) else {
            return false;
        };
        let added = connection.descriptor().and_then(|socket| Ok(epoll::add(&**epoll, socket, data, flags)?));
        connection.watched = added.is_ok();
        connection.watched
    }

    fn spawn_task(&mut self, key: usize) {
        let mut connection = self.connections.remove(key);
        if let (true, Some(epoll)) = (connection.watched, &self.epoll) {
            let _ = connection.descriptor().and_then(|socket| Ok(epoll::delete(&**epoll, socket)?));
        }
        task::start(connection);
    }

    /// Closes connections whose deadline has passed.
    fn expire(&mut self) {
        let now = RunningInstant::now().instant();
        let late = self.connections.iter().filter(|(_, connection)| connection.deadline().0 <= now);
        let keys: Vec<usize> = late.map(|(key, _)| key).collect();
        for key in keys {
            self.connections.remove(key).expire();
        }
        self.timer = None;
        // If a connection is driven in the meantime, its deadline may become earlier.
        let next = |connection: &IdleConnection<H>| {
            let shortest = connection.activity().timeouts().shortest();
            connection.deadline().0.min(now + shortest).max(now + shortest / LOOKS)
        };
        if let Some(next) = self.connections.iter().map(|(_, connection)| next(connection)).min() {
            self.look_by(next);
        }
    }

    fn look_by(&mut self, deadline: Instant) {
        match &mut self.timer {
            Some(timer) if timer.deadline() <= deadline => {}
            Some(timer) => timer.as_mut().reset(deadline),
            None => self.timer = Some(Box::pin(tokio::time::sleep_until(deadline))),
        }
    }
}

impl<H: Handler> Drop for IdlePoller<H> {
    /// Closes the idle connections when the thread stops serving.
    fn drop(&mut self) {
        for (_, connection) in &mut self.connections {
            connection.close();
        }
    }
}
