//! The loop of a serving thread: it accepts connections and polls the idle ones.

use std::iter;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;

use tokio::net::TcpListener;

use super::connection::idle_poller::IdlePoller;
use super::connection::state_machine::Connection;
use super::connection::task;
use super::context::{Admission, Server};
use super::fairness::ACCEPT_BATCH;
use super::handler::Handler;
use super::listener::accept::Acceptor;
use super::listener::limiter::LimitReached;

impl<H: Handler> Server<H> {
    /// Accepts connections until draining begins, then lets those in flight finish.
    pub async fn serve(self, listener: TcpListener) {
        let mut acceptor = match Acceptor::new(listener, Arc::clone(&self.accept_failure)) {
            Ok(acceptor) => acceptor,
            Err(error) => {
                return tracing::error!(%error, "a listener cannot be watched, so it serves no client");
            }
        };
        // Idle connections have no task that draining could wait for, so it waits for this loop.
        let _held = self.drain.hold();
        let (mut config_updates, mut idle) = (self.config_updates.clone(), IdlePoller::new());
        let mut this = Arc::new(self);
        let drain = this.drain.clone();
        let mut draining = pin!(drain.begun());
        loop {
            // The order matters: connections that close make room for new ones.
            let first = tokio::select! {
                biased;
                () = draining.as_mut() => return,
                () = idle.run() => None,
                accepted = this.next(&mut acceptor) => Some(accepted),
            };
            let others = iter::from_fn(|| acceptor.try_next());
            // If new connections evict others, each one has to wait for room.
            let most = if this.slots.is_some() { 1 } else { ACCEPT_BATCH };
            for (stream, peer) in first.into_iter().chain(others).take(most) {
                if let Some(reloaded) = this.reloaded(config_updates.as_mut()) {
                    this = reloaded;
                }
                this.admit(stream, peer, &mut idle);
            }
            if idle.is_busy() {
                // Lets the thread's other tasks run.
                tokio::task::yield_now().await;
            }
        }
    }

    /// Returns the next connection once there is room for it.
    async fn next(&self, acceptor: &mut Acceptor) -> (std::net::TcpStream, SocketAddr) {
        if let Some(slots) = &self.slots {
            slots.wait_for_room().await;
        }
        acceptor.next().await
    }

    /// Admits a connection within the limits, rejects it beyond them.
    fn admit(self: &Arc<Self>, stream: std::net::TcpStream, peer: SocketAddr, idle: &mut IdlePoller<H>) {
        let peer = SocketAddr::new(peer.ip().to_canonical(), peer.port());
        let admitted = match &self.slots {
            Some(slots) => slots.acquire().map(|slot| (None, Some(slot))).ok_or(LimitReached::Total),
            None => self.open.acquire(self.counted(peer.ip())).map(|permit| (Some(permit), None)),
        };
        let (permit, slot) = match admitted {
            Ok(admitted) => admitted,
            Err(limit) => return self.reject(stream, peer, limit),
        };
        let admission = Admission { _permit: permit, share: None, _open: self.open_connection() };
        let is_evictable = slot.is_some();
        let connection = Box::new(Connection::accept(self, stream, peer, admission, slot));
        // Only a task waits for its connection's eviction.
        if is_evictable { task::start(connection) } else { idle.insert(connection) }
    }
}
