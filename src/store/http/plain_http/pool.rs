//! Connections that wait for their next request. Each is known to the runtime of the thread that opened it, so it is for
//! requests of that thread: another would have it woken.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use http::uri::Authority;
use object_store::client::{HttpError, HttpErrorKind, HttpRequest, HttpResponse};
use tokio::net::TcpStream;

use super::connection::{Connection, RequestError};
use crate::clock::running;
use crate::store::http::plain_http::{failed, head, odd};

/// How many connections wait for the next request, to each host on each thread, and for how long. Stores close what is
/// idle for longer.
const IDLE: usize = 256;
const IDLE_FOR: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(crate) struct Pool {
    connect_timeout: Duration,
    idle: Mutex<HashMap<ThreadId, HashMap<Authority, Vec<Idle>>>>,
}

#[derive(Debug)]
struct Idle {
    stream: TcpStream,
    since: Instant,
}

impl Pool {
    pub(crate) fn new(connect_timeout: Duration) -> Arc<Self> {
        Arc::new(Self { connect_timeout, idle: Mutex::default() })
    }

    /// Sends a request and waits for the head of its answer.
    pub(crate) async fn send(
        self: &Arc<Self>,
        host: Authority,
        request: HttpRequest,
    ) -> Result<HttpResponse, HttpError> {
        // What may not be sent twice, or has a body, is rare: it has a connection for itself.
        if !request.method().is_idempotent() || request.body().content_length() > 0 {
            return odd::send(self.connect(&host).await?, &host, request).await;
        }
        let head = head::of_request(&request, &host);
        // A connection that waited may have been closed meanwhile: what it does not answer is asked on another.
        while let Some(stream) = self.take(&host) {
            let waited = Connection::new(stream, &host, self);
            match waited.ask(&head, &request).await {
                Err(RequestError::Closed) => {}
                other => return other.map_err(HttpError::from),
            }
        }
        let fresh = Connection::new(self.connect(&host).await?, &host, self);
        fresh.ask(&head, &request).await.map_err(HttpError::from)
    }

    /// The connection that waited for the shortest time: the others may be given up one day.
    fn take(&self, host: &Authority) -> Option<TcpStream> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = idle.get_mut(&thread::current().id())?.get_mut(host)?;
        while let Some(Idle { stream, since }) = waiting.pop() {
            if since.elapsed() > IDLE_FOR {
                waiting.clear();
                return None;
            }
            // Bytes that nobody asked for are as bad as the end.
            if stream.try_read(&mut [0]).is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock) {
                return Some(stream);
            }
        }
        None
    }

    /// Keeps a connection on which nothing is under way for the next request.
    pub(crate) fn keep(&self, host: Authority, stream: TcpStream) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = idle.entry(thread::current().id()).or_default().entry(host).or_default();
        if waiting.len() < IDLE {
            waiting.push(Idle { stream, since: Instant::now() });
        }
    }

    async fn connect(&self, host: &Authority) -> Result<TcpStream, HttpError> {
        let address = (host.host().trim_matches(['[', ']']), host.port_u16().unwrap_or(80));
        let stream = running::timeout(self.connect_timeout, TcpStream::connect(address)).await;
        stream
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            .and_then(|stream| stream.set_nodelay(true).map(|()| stream))
            .map_err(|error| failed(HttpErrorKind::Connect, error))
    }
}
