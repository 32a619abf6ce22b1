//! HTTP to a store without TLS, as it is spoken inside a cluster: a pool of hyper's connections beneath object_store,
//! which keeps its signing, its retries and its API. Its own client (reqwest) costs about twice as much for a small
//! object; it keeps everything else: TLS, proxies, the clouds' metadata services.

use std::collections::HashMap;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{HOST, HeaderValue};
use http::uri::{Authority, PathAndQuery, Scheme, Uri};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody, HttpResponse,
    HttpResponseBody, HttpService, ReqwestConnector,
};
use tokio::net::TcpStream;

/// How many connections wait for the next request, to each host on each thread, and for how long. Stores close what is
/// idle for longer.
const IDLE: usize = 256;
const IDLE_FOR: Duration = Duration::from_secs(30);

/// How much of an answer a connection holds that was not asked for yet, in bytes.
const BUFFER: usize = 128 * 1024;

/// Where the clouds hand out credentials; their client has waits of its own.
const METADATA: [&str; 3] = ["169.254.", "metadata.google.internal", "[fd00:ec2::254]"];

/// Makes clients that speak plain HTTP themselves.
#[derive(Debug)]
pub(super) struct PlainHttp {
    pub(super) connect_timeout: Duration,
}

impl HttpConnector for PlainHttp {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let others = ReqwestConnector::default().connect(options)?;
        let pool = Arc::new(Pool { connect_timeout: self.connect_timeout, idle: Mutex::default() });
        Ok(HttpClient::new(Client { pool, others }))
    }
}

#[derive(Debug)]
struct Client {
    pool: Arc<Pool>,
    others: HttpClient,
}

#[async_trait::async_trait]
impl HttpService for Client {
    async fn call(&self, mut request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let Some(host) = plain_host(request.uri()) else { return self.others.execute(request).await };
        if !request.headers().contains_key(HOST) {
            let value = HeaderValue::from_str(host.as_str())
                .map_err(|error| failed(HttpErrorKind::Request, error))?;
            request.headers_mut().insert(HOST, value);
        }
        // On a connection of its own the target is a path (RFC 9112 §3.2.1).
        let target = request.uri().path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/"));
        *request.uri_mut() = Uri::from(target);
        self.pool.send(host, request).await
    }
}

/// Where a request goes that is sent here.
fn plain_host(uri: &Uri) -> Option<Authority> {
    let host = uri.authority().filter(|_| uri.scheme() == Some(&Scheme::HTTP))?;
    (!METADATA.iter().any(|name| host.host().starts_with(name))).then(|| host.clone())
}

fn failed(kind: HttpErrorKind, error: impl std::error::Error + Send + Sync + 'static) -> HttpError {
    HttpError::new(kind, error)
}

/// Connections that wait for their next request. Each is driven by the thread that opened it, so it is for requests of
/// that thread: another would wait for it to be woken.
#[derive(Debug)]
struct Pool {
    connect_timeout: Duration,
    idle: Mutex<HashMap<(ThreadId, Authority), Vec<Idle>>>,
}

#[derive(Debug)]
struct Idle {
    connection: SendRequest<HttpRequestBody>,
    since: Instant,
}

impl Pool {
    async fn send(
        self: &Arc<Self>,
        host: Authority,
        mut request: HttpRequest,
    ) -> Result<HttpResponse, HttpError> {
        // A connection that waited may have been closed meanwhile: what was not sent is sent on another.
        while let Some(mut connection) = self.take(&host) {
            match connection.try_send_request(request).await {
                Ok(answer) => return Ok(self.lend(host, connection, answer)),
                Err(mut error) => match error.take_message() {
                    Some(unsent) => request = unsent,
                    None => return Err(broken(error.into_error())),
                },
            }
        }
        let mut connection = self.connect(&host).await?;
        let answer = connection.send_request(request).await.map_err(broken)?;
        Ok(self.lend(host, connection, answer))
    }

    /// The connection that waited for the shortest time: the others may be given up one day.
    fn take(&self, host: &Authority) -> Option<SendRequest<HttpRequestBody>> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = idle.get_mut(&(thread::current().id(), host.clone()))?;
        while let Some(Idle { connection, since }) = waiting.pop() {
            if since.elapsed() > IDLE_FOR {
                waiting.clear();
                return None;
            }
            if connection.is_ready() {
                return Some(connection);
            }
        }
        None
    }

    fn give_back(self: Arc<Self>, host: Authority, mut connection: SendRequest<HttpRequestBody>) {
        if connection.is_ready() {
            self.keep(host, connection);
        } else if !connection.is_closed() {
            // The answer has been read to its end, but the connection has not noticed yet.
            tokio::spawn(async move {
                if connection.ready().await.is_ok() {
                    self.keep(host, connection);
                }
            });
        }
    }

    fn keep(&self, host: Authority, connection: SendRequest<HttpRequestBody>) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = idle.entry((thread::current().id(), host)).or_default();
        if waiting.len() < IDLE {
            waiting.push(Idle { connection, since: Instant::now() });
        }
    }

    async fn connect(&self, host: &Authority) -> Result<SendRequest<HttpRequestBody>, HttpError> {
        let address = (host.host().trim_matches(['[', ']']), host.port_u16().unwrap_or(80));
        let stream = tokio::time::timeout(self.connect_timeout, TcpStream::connect(address)).await;
        let stream = stream
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            .and_then(|stream| stream.set_nodelay(true).map(|()| stream))
            .map_err(|error| failed(HttpErrorKind::Connect, error))?;
        let (connection, driver) = http1::Builder::new()
            .max_buf_size(BUFFER)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| failed(HttpErrorKind::Connect, error))?;
        tokio::spawn(async move {
            // Whoever waits for the answer is told what went wrong.
            let _ = driver.await;
        });
        Ok(connection)
    }

    /// Lends the connection to the answer's body, which gives it back at its end.
    fn lend(
        self: &Arc<Self>,
        host: Authority,
        connection: SendRequest<HttpRequestBody>,
        answer: http::Response<Incoming>,
    ) -> HttpResponse {
        answer.map(|body| {
            let mut lent = Lent { body, pool: Arc::downgrade(self), connection: Some((host, connection)) };
            if lent.body.is_end_stream() {
                lent.give_back();
            }
            HttpResponseBody::new(lent)
        })
    }
}

/// What broke, in the words that object_store decides by.
fn broken(error: hyper::Error) -> HttpError {
    let kind = if error.is_parse() {
        HttpErrorKind::Decode
    } else if error.is_closed() || error.is_canceled() || error.is_incomplete_message() {
        HttpErrorKind::Request
    } else {
        HttpErrorKind::Interrupted
    };
    failed(kind, error)
}

/// An answer's body on a connection that is free again at its end. Dropped before, it takes the connection with it.
struct Lent {
    body: Incoming,
    pool: Weak<Pool>,
    connection: Option<(Authority, SendRequest<HttpRequestBody>)>,
}

impl Lent {
    fn give_back(&mut self) {
        if let (Some((host, connection)), Some(pool)) = (self.connection.take(), self.pool.upgrade()) {
            pool.give_back(host, connection);
        }
    }
}

impl Body for Lent {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(cx));
        match &frame {
            Some(Err(_)) => self.connection = None,
            Some(Ok(_)) if !self.body.is_end_stream() => {}
            _ => self.give_back(),
        }
        Poll::Ready(frame.map(|frame| frame.map_err(broken)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_http_to_a_store_is_spoken_here() {
        for (uri, host) in [
            ("http://127.0.0.1:9000/bucket/x", Some("127.0.0.1:9000")),
            ("http://store/x", Some("store")),
            ("https://store/x", None),
            ("http://169.254.169.254/latest/api/token", None),
            ("http://metadata.google.internal/computeMetadata/v1/", None),
            ("http://[fd00:ec2::254]/latest", None),
            ("/x", None),
        ] {
            assert_eq!(plain_host(&uri.parse().unwrap()).as_ref().map(Authority::as_str), host, "{uri}");
        }
    }
}
