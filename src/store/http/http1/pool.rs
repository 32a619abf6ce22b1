//! Pools idle connections to stores. hyper-util's pool does not fit: hyper owns its connections and does not let `splice`
//! move a body from one socket to another.
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
use tokio_rustls::rustls::ClientConfig;

use super::stream::Stream;
use crate::clock::running;

/// How many idle connections a thread keeps per origin, and for how long. Stores close connections that stay idle
/// longer.
const MAX_IDLE: usize = 256;
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// Where a store is reached (RFC 9110 §4.3.1).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Origin {
    pub(crate) host: Authority,
    /// Whether the scheme is `https`.
    pub(crate) tls: bool,
}

#[derive(Debug)]
pub(crate) struct Pool {
    connect_timeout: Duration,
    tls: Option<Arc<ClientConfig>>,
    idle: Mutex<IdleConnections>,
}

type IdleConnections = HashMap<ThreadId, HashMap<Origin, Vec<Idle>>>;

#[derive(Debug)]
struct Idle {
    stream: Stream,
    since: Instant,
}

/// A connection to a store, and the pool that it returns to.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) stream: Stream,
    /// Whether another request may follow on it.
    pub(super) keep_alive: bool,
    origin: Origin,
    pool: Weak<Pool>,
}

impl Pool {
    /// Without settings of TLS, only stores without TLS can be reached.
    pub(super) fn new(connect_timeout: Duration, tls: Option<Arc<ClientConfig>>) -> Arc<Self> {
        Arc::new(Self { connect_timeout, tls, idle: Mutex::default() })
    }

    /// Whether TLS is possible.
    pub(super) fn has_tls(&self) -> bool {
        self.tls.is_some()
    }

    fn idle(&self) -> MutexGuard<'_, IdleConnections> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the connection that was idle for the shortest time, so that the others can time out.
    pub(super) fn take(self: &Arc<Self>, origin: &Origin) -> Option<Connection> {
        let mut idle = self.idle();
        let idle = idle.get_mut(&thread::current().id())?.get_mut(origin)?;
        while let Some(Idle { mut stream, since }) = idle.pop() {
            if since.elapsed() > IDLE_TIMEOUT {
                idle.clear();
                return None;
            }
            if stream.is_idle() {
                return Some(self.connection(stream, origin));
            }
        }
        None
    }

    pub(super) async fn connect(self: &Arc<Self>, origin: &Origin) -> Result<Connection, HttpError> {
        let tls = self.tls.as_ref().filter(|_| origin.tls);
        let port = origin.host.port_u16().unwrap_or(if origin.tls { 443 } else { 80 });
        let stream = Stream::connect(origin.host.host().trim_matches(['[', ']']), port, tls);
        let stream = running::timeout(self.connect_timeout, stream).await;
        stream
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            .map(|stream| self.connection(stream, origin))
            .map_err(|error| HttpError::new(HttpErrorKind::Connect, error))
    }

    fn connection(self: &Arc<Self>, stream: Stream, origin: &Origin) -> Connection {
        Connection { stream, keep_alive: true, origin: origin.clone(), pool: Arc::downgrade(self) }
    }
}

impl Connection {
    /// Returns the connection to its pool, after the whole response was read.
    pub(super) fn release(mut self) {
        let Some(pool) = self.pool.upgrade().filter(|_| self.keep_alive) else { return };
        self.stream.limit_receive_buffer(true);
        let mut idle = pool.idle();
        let idle = idle.entry(thread::current().id()).or_default().entry(self.origin).or_default();
        if idle.len() < MAX_IDLE {
            idle.push(Idle { stream: self.stream, since: Instant::now() });
        }
    }
}
