//! Listeners and connections: speaks HTTP/1.1 and HTTP/2, holds the limits, drains. Serves any hyper service.

mod config;
mod drain;
mod protocol;
mod vet;

pub use config::Config;
pub use drain::Drain;
pub use vet::Bodies;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::{Body, Incoming};
use hyper::rt::bounds::Http2ServerConnExec;
use hyper::server::conn::{http1, http2};
use hyper::service::{HttpService, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};

use protocol::Protocol;

/// Answers the requests of connections; one clone for each connection.
pub trait Handler: Clone + Send + Sync + 'static {
    /// What its answers' bodies are; the server makes one from bytes for requests that it refuses itself.
    type Body: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>>
        + From<Bytes>
        + Send
        + 'static;

    /// Answers one request of the client at `peer`. Every failure is an answer too.
    fn answer(
        &self,
        request: Request<Incoming>,
        peer: SocketAddr,
    ) -> impl Future<Output = Response<Self::Body>> + Send;

    /// Adds to the answer to a request that the server has refused what all answers of this handler have.
    fn refuse(
        &self,
        _request: &Request<Incoming>,
        _peer: SocketAddr,
        refused: Response<Bytes>,
    ) -> Response<Self::Body> {
        refused.map(Self::Body::from)
    }

    /// Which requests may have a body.
    const BODIES: Bodies;
}

/// Accepts connections until `drain` begins, then lets those in flight finish.
pub async fn serve(listener: TcpListener, config: Config, handler: impl Handler, drain: Drain) {
    let config = Arc::new(config);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = drain.begun() => return,
        };
        match accepted {
            Ok((stream, peer)) => {
                let connection =
                    connection(stream, peer, Arc::clone(&config), handler.clone(), drain.clone());
                drain.track(connection);
            }
            Err(error) => wait_after(&error).await,
        }
    }
}

/// A connection that failed before it was accepted concerns nobody else; running out of descriptors passes.
async fn wait_after(error: &io::Error) {
    use io::ErrorKind as K;
    if matches!(error.kind(), K::ConnectionAborted | K::ConnectionReset | K::Interrupted) {
        return;
    }
    tracing::error!(%error, "no connection can be accepted; trying again (is the limit on open files too low?)");
    tokio::time::sleep(Duration::from_millis(100)).await;
}

async fn connection<H: Handler>(
    stream: TcpStream,
    peer: SocketAddr,
    config: Arc<Config>,
    handler: H,
    drain: Drain,
) {
    // Without it, the last piece of an answer may wait for the client's delayed acknowledgement.
    let _ = stream.set_nodelay(true);
    let detected = tokio::select! {
        detected = tokio::time::timeout(config.header_timeout, protocol::detect(&stream)) => detected,
        () = drain.begun() => return,
    };
    let Ok(Ok(protocol)) = detected else { return };
    let service = service_fn(|request| {
        let config = &config;
        let handler = &handler;
        async move { Ok::<_, Infallible>(answer(request, peer, config, handler).await) }
    });
    let ended = match protocol {
        Protocol::Http1 => serve_http1(stream, &config, service, &drain).await,
        Protocol::Http2 => {
            let handler = handler.clone();
            let config_of_streams = Arc::clone(&config);
            let service = service_fn(move |request| {
                let (config, handler) = (Arc::clone(&config_of_streams), handler.clone());
                async move { Ok::<_, Infallible>(answer(request, peer, &config, &handler).await) }
            });
            serve_http2(stream, &config, service, &drain).await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%peer, %error, "a connection ended early");
    }
}

async fn answer<H: Handler>(
    request: Request<Incoming>,
    peer: SocketAddr,
    config: &Config,
    handler: &H,
) -> Response<H::Body> {
    match vet::vet(&request, config, H::BODIES) {
        Ok(()) => handler.answer(request, peer).await,
        Err(refused) => handler.refuse(&request, peer, refused.into_response(&request)),
    }
}

async fn serve_http1<S, B>(
    stream: TcpStream,
    config: &Config,
    service: S,
    drain: &Drain,
) -> Result<(), hyper::Error>
where
    S: HttpService<Incoming, ResBody = B, Error = Infallible>,
    B: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + 'static,
{
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(config.header_timeout)
        .max_buf_size(config.connection_buffer)
        .half_close(true);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    tokio::select! {
        ended = connection.as_mut() => return ended,
        () = drain.begun() => connection.as_mut().graceful_shutdown(),
    }
    connection.await
}

async fn serve_http2<S, B>(
    stream: TcpStream,
    config: &Config,
    service: S,
    drain: &Drain,
) -> Result<(), hyper::Error>
where
    S: HttpService<Incoming, ResBody = B, Error = Infallible, Future: Send + 'static>,
    B: Body<Data = Bytes, Error: Into<Box<dyn std::error::Error + Send + Sync>>> + Send + 'static,
    TokioExecutor: Http2ServerConnExec<S::Future, B>,
{
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(config.http2_streams)
        .max_header_list_size(u32::try_from(config.longest_head).unwrap_or(u32::MAX))
        .max_send_buf_size(config.connection_buffer)
        .keep_alive_interval(config.header_timeout)
        .keep_alive_timeout(config.header_timeout);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    tokio::select! {
        ended = connection.as_mut() => return ended,
        () = drain.begun() => connection.as_mut().graceful_shutdown(),
    }
    connection.await
}
