//! A connection served by hyper: HTTP/2, and HTTP/1 from the first request that the fast path declines.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::BytesMut;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::http_version::HttpVersion;
use super::requests::RequestService;
use super::streams::Http2Executor;
use crate::server::context::{ConnectionContext, Server};
use crate::server::deadlines::hyper_timer::RunningTimer;
use crate::server::handler::Handler;
use crate::server::request::checked_heads::CheckedHeads;

/// The HTTP/2 flow-control windows for request bodies, in bytes. Requests have no bodies or small ones.
const STREAM_WINDOW: u32 = 65_535;
const CONNECTION_WINDOW: u32 = 256 * 1024;

type Http1<S, H> = http1::Connection<TokioIo<CheckedHeads<S>>, RequestService<H>>;
type Http2<S, H> = http2::Connection<TokioIo<CheckedHeads<S>>, RequestService<H>, Http2Executor>;

/// hyper's state of a connection, including its stream.
pub(super) enum HyperConnection<S, H>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: Handler,
{
    Http1(Pin<Box<Http1<S, H>>>),
    Http2(Pin<Box<Http2<S, H>>>),
}

impl<S, H> HyperConnection<S, H>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: Handler,
{
    /// Serves a stream. `received` was already read from it.
    pub(super) fn new(
        stream: S,
        received: BytesMut,
        version: HttpVersion,
        context: &Arc<ConnectionContext<H>>,
    ) -> Self {
        let (server, activity) = (&context.server, Arc::clone(&context.activity));
        let service = RequestService(Arc::clone(context));
        match version {
            HttpVersion::Http1 => {
                let (max_head, gate) = (server.config.connection_buffer, context.gate.clone());
                let stream = CheckedHeads::http1(stream, received, max_head, activity, gate);
                let connection = http1(server).serve_connection(TokioIo::new(stream), service);
                Self::Http1(Box::pin(connection))
            }
            HttpVersion::Http2 => {
                let stream = CheckedHeads::http2(stream, received, activity);
                let connection = http2(server).serve_connection(TokioIo::new(stream), service);
                Self::Http2(Box::pin(connection))
            }
        }
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<hyper::Result<()>> {
        match self {
            Self::Http1(connection) => connection.as_mut().poll(cx),
            Self::Http2(connection) => connection.as_mut().poll(cx),
        }
    }

    /// Shuts down gracefully: requests in flight are answered, no further ones.
    pub(super) fn finish(&mut self) {
        match self {
            Self::Http1(connection) => connection.as_mut().graceful_shutdown(),
            Self::Http2(connection) => connection.as_mut().graceful_shutdown(),
        }
    }
}

fn http1<H>(server: &Server<H>) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(RunningTimer)
        // The watchdog enforces the deadlines.
        .header_read_timeout(None)
        .max_buf_size(server.config.connection_buffer)
        .half_close(true);
    builder
}

fn http2<H>(server: &Server<H>) -> http2::Builder<Http2Executor> {
    let config = &server.config;
    let mut builder = http2::Builder::new(Http2Executor(server.timeouts));
    builder
        .timer(RunningTimer)
        .max_concurrent_streams(config.http2_streams)
        .max_pending_accept_reset_streams(config.http2_resets)
        .max_local_error_reset_streams(config.http2_resets)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(u32::try_from(config.longest_head).unwrap_or(u32::MAX))
        .max_send_buf_size(config.connection_buffer)
        .keep_alive_interval(config.header_timeout)
        .keep_alive_timeout(config.header_timeout);
    builder
}
