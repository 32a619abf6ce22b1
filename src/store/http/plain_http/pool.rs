//! Pools idle connections to stores without TLS. hyper-util's pool does not fit: hyper owns its connections and does
//! not let `splice` move a body from one socket to another.
//!
//! A connection is registered with the runtime of the thread that opened it, so only requests of that thread use it: a
//! request on another thread would have to wait until the first thread wakes.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use http::uri::Authority;
use object_store::client::{HttpError, HttpErrorKind};
use tokio::net::TcpStream;

use crate::clock::running;

/// How many idle connections a thread keeps per host, and for how long. Stores close connections that stay idle longer.
const MAX_IDLE: usize = 256;
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(super) struct Pool {
    connect_timeout: Duration,
    idle: Mutex<IdleConnections>,
}

type IdleConnections = HashMap<ThreadId, HashMap<Authority, Vec<Idle>>>;

#[derive(Debug)]
struct Idle {
    stream: TcpStream,
    since: Instant,
}

/// A connection to a store, and the pool that it returns to.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) stream: TcpStream,
    /// Whether another request may follow on it.
    pub(super) keep_alive: bool,
    host: Authority,
    pool: Weak<Pool>,
}

impl Pool {
    pub(super) fn new(connect_timeout: Duration) -> Arc<Self> {
        Arc::new(Self { connect_timeout, idle: Mutex::default() })
    }

    fn idle(&self) -> MutexGuard<'_, IdleConnections> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the connection that was idle for the shortest time, so that the others can time out.
    pub(super) fn take(self: &Arc<Self>, host: &Authority) -> Option<Connection> {
        let mut idle = self.idle();
        let idle = idle.get_mut(&thread::current().id())?.get_mut(host)?;
        while let Some(Idle { stream, since }) = idle.pop() {
            if since.elapsed() > IDLE_TIMEOUT {
                idle.clear();
                return None;
            }
            // A connection with unexpected bytes is as useless as a closed one.
            if stream.try_read(&mut [0]).is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock) {
                return Some(self.connection(stream, host));
            }
        }
        None
    }

    pub(super) async fn connect(self: &Arc<Self>, host: &Authority) -> Result<Connection, HttpError> {
        let address = (host.host().trim_matches(['[', ']']), host.port_u16().unwrap_or(80));
        let stream = running::timeout(self.connect_timeout, TcpStream::connect(address)).await;
        stream
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            .and_then(|stream| stream.set_nodelay(true).map(|()| self.connection(stream, host)))
            .map_err(|error| HttpError::new(HttpErrorKind::Connect, error))
    }

    fn connection(self: &Arc<Self>, stream: TcpStream, host: &Authority) -> Connection {
        Connection { stream, keep_alive: true, host: host.clone(), pool: Arc::downgrade(self) }
    }
}

impl Connection {
    /// Returns the connection to its pool, after the whole response was read.
    pub(super) fn release(self) {
        let Some(pool) = self.pool.upgrade().filter(|_| self.keep_alive) else { return };
        let mut idle = pool.idle();
        let idle = idle.entry(thread::current().id()).or_default().entry(self.host).or_default();
        if idle.len() < MAX_IDLE {
            idle.push(Idle { stream: self.stream, since: Instant::now() });
        }
    }
}
