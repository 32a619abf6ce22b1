//! The state machine of one connection.
//!
//! ```text
//! Handshake ──► Idle ◄──► Answering ──► Closing
//!     │           │
//!     └───────────┴────► Hyper
//! ```
//!
//! [`Connection::drive`] continues until it would block. A connection starts with the idle poller of its thread as its
//! driver, which lends it buffers. As soon as it waits for anything but input, it moves to a task.

use std::io;
use std::mem;
use std::net::SocketAddr;
use std::ops::ControlFlow::{self, Break, Continue};
use std::os::fd::BorrowedFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use bytes::Buf;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;
use tokio_util::io::poll_read_buf;

use super::driver::{Buffers, Lent, Next};
use super::error::ConnectionError;
use super::http_version::HttpVersion;
use super::hyper_connection::HyperConnection;
use crate::clock::Moment;
use crate::server::context::{Admission, ConnectionContext, Server};
use crate::server::deadlines::activity::Activity;
use crate::server::deadlines::timeouts::{Phase, PhaseClock, Timeout};
use crate::server::fast_path::plain_request::PlainRequest;
use crate::server::fast_path::response::{Begun, FastResponse, ResponseWriter, is_short};
use crate::server::handler::Handler;
use crate::server::listener::eviction::Slot;
use crate::server::socket::stream::Stream;
use crate::server::socket::tcp::{Socket, Transport};

/// The number of bytes that a task reads at a time: nearly all request heads fit.
const READ: usize = 2 * 1024;

/// The initial capacity for a response head, in bytes.
const HEAD: usize = 1024;

/// The state of a connection.
pub(super) enum State<S: Transport, H: Handler> {
    /// Before HTTP.
    Handshake(Step),
    /// Waiting for the next request, or about to handle it.
    Idle,
    /// The fast path is sending a response.
    Answering(FastResponse<H::Body>),
    /// All requests are answered.
    Closing,
    /// hyper serves the connection and owns its stream.
    Hyper(HyperConnection<Stream<S>, H>),
}

/// The steps before HTTP, in order.
#[derive(Debug, Clone, Copy)]
pub(super) enum Step {
    /// The PROXY protocol header.
    ProxyHeader,
    /// The first bytes: a TLS ClientHello, or those of a client without TLS.
    FirstBytes,
    Tls,
}

/// One connection.
pub(crate) struct Connection<S: Transport, H: Handler> {
    pub(super) context: Arc<ConnectionContext<H>>,
    /// `None` when hyper owns it.
    pub(super) stream: Option<Stream<S>>,
    pub(super) state: State<S, H>,
    pub(super) buffers: Buffers,
    /// The phase, until a task drives the connection and reports its activity.
    pub(super) clock: PhaseClock,
    pub(super) admission: Admission,
    /// Whether the current response is the last one.
    finishing: bool,
    /// Whether the socket is registered with the idle poller's epoll instance.
    pub(super) watched: bool,
}

impl<H: Handler> Connection<Socket, H> {
    /// Creates a connection that was just accepted.
    pub(crate) fn accept(
        server: &Arc<Server<H>>,
        stream: std::net::TcpStream,
        peer: SocketAddr,
        admission: Admission,
        slot: Option<Slot>,
    ) -> Self {
        let activity = Activity::of_connection(server.timeouts, slot);
        let socket = Socket::new(stream, Arc::clone(&activity));
        Self::new(socket, ConnectionContext::http1(server, peer, activity), admission)
    }

    /// Called when the idle poller's epoll instance has reported the socket.
    pub(super) fn on_readable(&mut self, has_ended: bool) {
        if let Some(stream) = &mut self.stream {
            stream.socket().on_readable(has_ended);
        }
    }

    pub(super) fn descriptor(&mut self) -> io::Result<BorrowedFd<'_>> {
        self.stream.as_mut().ok_or(io::ErrorKind::NotConnected)?.socket().descriptor()
    }
}

impl<S: Transport, H: Handler> Connection<S, H> {
    pub(super) fn new(socket: S, context: Arc<ConnectionContext<H>>, admission: Admission) -> Self {
        let is_proxied = context.server.config.proxy_protocol && context.peer.is_proxy;
        let first = if is_proxied { Step::ProxyHeader } else { Step::FirstBytes };
        let clock = PhaseClock { phase: Phase::FirstByte, since: context.activity.began() };
        Self {
            context,
            stream: Some(Stream::new(socket)),
            state: State::Handshake(first),
            buffers: Buffers::default(),
            clock,
            admission,
            finishing: false,
            watched: false,
        }
    }

    pub(super) fn context(&self) -> &ConnectionContext<H> {
        &self.context
    }

    pub(super) fn activity(&self) -> &Arc<Activity> {
        &self.context.activity
    }

    /// When the idle poller closes the connection, and for which timeout.
    pub(super) fn deadline(&self) -> (Instant, Timeout) {
        self.clock.deadline(self.activity().timeouts())
    }

    /// Drives the connection for the idle poller.
    pub(super) fn drive_idle(&mut self, buffers: &mut Buffers, lent: Lent<'_>) -> Next {
        mem::swap(&mut self.buffers, buffers);
        let next = self.drive(&mut Context::from_waker(Waker::noop()), &mut Some(lent));
        match next {
            // Received bytes and those to be sent move to the task with the connection.
            Next::NeedsTask if self.buffers.received.is_empty() => {
                mem::swap(&mut self.buffers.received, &mut buffers.received);
            }
            Next::NeedsTask => {}
            Next::Wait | Next::Closed(_) => mem::swap(&mut self.buffers, buffers),
        }
        buffers.received.clear();
        buffers.head.clear();
        next
    }

    /// Attaches the connection to the calling task: its runtime polls the socket, and its watchdog checks the
    /// deadlines.
    pub(super) fn attach(&mut self) -> io::Result<()> {
        let activity = &self.context.activity;
        activity.enter(if self.clock.phase == Phase::Idle { Phase::Head } else { self.clock.phase });
        if let State::Answering(response) = &mut self.state {
            response.track(activity.begin_request());
        }
        let socket = self.stream.as_mut().and_then(|stream| stream.socket().tcp());
        socket.map_or(Ok(()), Socket::register)
    }

    /// Drives the connection for its task.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ConnectionError>> {
        match self.drive(cx, &mut None) {
            Next::Wait | Next::NeedsTask => Poll::Pending,
            Next::Closed(ended) => Poll::Ready(ended),
        }
    }

    /// Shuts down gracefully: requests in flight are answered, no further ones.
    pub(super) fn finish(&mut self) {
        self.finishing = true;
    }

    /// Continues until the connection would block.
    fn drive(&mut self, cx: &mut Context<'_>, lent: &mut Option<Lent<'_>>) -> Next {
        loop {
            let driven = match &mut self.state {
                State::Handshake(_) if self.finishing => ended(),
                State::Handshake(step) => {
                    let step = *step;
                    self.handshake(step, cx, lent)
                }
                State::Idle => self.next_request(cx, lent),
                State::Answering(_) => self.send_response(cx),
                State::Closing => self.shut_down(cx),
                State::Hyper(hyper) => Break(drive_hyper(hyper, cx, self.finishing)),
            };
            if let Break(next) = driven {
                return next;
            }
        }
    }

    /// Answers the next request if it is plain and needs no waiting.
    fn next_request(&mut self, cx: &mut Context<'_>, lent: &mut Option<Lent<'_>>) -> ControlFlow<Next> {
        if self.buffers.received.is_empty() && (self.finishing || self.receive(cx, lent)? == 0) {
            self.state = State::Closing;
            return Continue(());
        }
        if let Some(lent) = lent {
            self.clock = PhaseClock { phase: Phase::Idle, since: lent.now };
        }
        match self.try_answer(lent) {
            Ok(Some(response)) => self.state = State::Answering(response),
            Ok(None) => return self.leave_fast_path(cx, lent),
            Err(error) => return Break(Next::Closed(Err(error.into()))),
        }
        Continue(())
    }

    fn try_answer(&mut self, lent: &mut Option<Lent<'_>>) -> io::Result<Option<FastResponse<H::Body>>> {
        let is_idle = lent.is_some();
        // The arrival time is known only for the first request after the poller's event.
        let arrival = lent.as_mut().and_then(|lent| lent.arrival.take()).unwrap_or_else(Moment::now);
        let Self { context, stream, buffers: Buffers { received, head }, finishing, .. } = self;
        head.clear();
        head.reserve(HEAD);
        let answer = |request: &PlainRequest<'_>| {
            let (client, share) = context.client_of(request)?;
            let closes = request.closes || *finishing;
            let socket = stream.as_mut().filter(|_| is_idle).and_then(Stream::plain).and_then(S::tcp);
            let writer = ResponseWriter::on(socket, head, closes, arrival.second());
            let (begun, sent) =
                context.server.handler.try_answer(request, &client, arrival, writer).into_response()?;
            Some((begun, sent, closes, share))
        };
        let limits = context.server.head_limits();
        let Some(((begun, sent, closes, share), length)) = PlainRequest::read(received, limits, answer)
        else {
            return Ok(None);
        };
        let sent = sent?;
        received.advance(length);
        if matches!(&begun, Begun::Body(body) if closes && is_short(body)) {
            context.activity.mark_last();
        }
        let in_flight = (!is_idle).then(|| context.activity.begin_request());
        Ok(Some(FastResponse::new(begun, sent, closes, in_flight, share)))
    }

    fn send_response(&mut self, cx: &mut Context<'_>) -> ControlFlow<Next> {
        let Self { state, stream: Some(stream), buffers, context, finishing, .. } = self else {
            return ended();
        };
        let State::Answering(response) = state else { return ended() };
        match response.poll_head(cx, &mut buffers.head, *finishing) {
            Poll::Pending => return Break(Next::NeedsTask),
            Poll::Ready(true) => context.activity.mark_last(),
            Poll::Ready(false) => {}
        }
        match response.poll_send(cx, stream, &mut buffers.head, context.gate.as_deref()) {
            Poll::Pending => return Break(Next::NeedsTask),
            Poll::Ready(Err(error)) => return Break(Next::Closed(Err(error.into()))),
            Poll::Ready(Ok(())) => {}
        }
        *state = if response.closes() || *finishing { State::Closing } else { State::Idle };
        Continue(())
    }

    fn shut_down(&mut self, cx: &mut Context<'_>) -> ControlFlow<Next> {
        let Some(stream) = &mut self.stream else { return ended() };
        Break(match Pin::new(stream).poll_shutdown(cx) {
            Poll::Pending => Next::NeedsTask,
            Poll::Ready(closed) => Next::Closed(closed.map_err(Into::into)),
        })
    }

    /// Passes the received bytes and the stream to hyper, unless the bytes may still become the preface of HTTP/2.
    fn leave_fast_path(&mut self, cx: &mut Context<'_>, lent: &mut Option<Lent<'_>>) -> ControlFlow<Next> {
        if lent.is_some() {
            return Break(Next::NeedsTask);
        }
        let is_plain = self.stream.as_mut().is_some_and(|stream| stream.plain().is_some());
        let version =
            if is_plain { HttpVersion::of(&self.buffers.received) } else { Some(HttpVersion::Http1) };
        match version {
            Some(version) => self.start_hyper(version),
            None if self.finishing || self.receive(cx, lent)? == 0 => self.state = State::Closing,
            None => {}
        }
        Continue(())
    }

    pub(super) fn start_hyper(&mut self, version: HttpVersion) {
        let Some(mut stream) = self.stream.take() else { return };
        let received = mem::take(&mut self.buffers).received;
        // hyper may reject the first head before reading all of it.
        self.context.activity.set_unread_input(version == HttpVersion::Http1);
        if version == HttpVersion::Http2 {
            self.context = self.context.http2();
            if let Some(socket) = stream.socket().tcp() {
                socket.start_http2();
            }
        }
        self.state = State::Hyper(HyperConnection::new(stream, received, version, &self.context));
    }

    /// Reads the client's input. Breaks if nothing has arrived.
    pub(super) fn receive(
        &mut self,
        cx: &mut Context<'_>,
        lent: &mut Option<Lent<'_>>,
    ) -> ControlFlow<Next, usize> {
        match self.poll_receive(cx, lent) {
            Poll::Pending => Break(self.wait(lent)),
            Poll::Ready(Ok(count)) => Continue(count),
            Poll::Ready(Err(error)) => Break(Next::Closed(Err(error.into()))),
        }
    }

    pub(super) fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        lent: &mut Option<Lent<'_>>,
    ) -> Poll<io::Result<usize>> {
        let Self { stream: Some(stream), buffers: Buffers { received, .. }, .. } = self else {
            return Poll::Ready(Ok(0));
        };
        let Some(lent) = lent else {
            received.reserve(READ);
            return poll_read_buf(Pin::new(stream), cx, received);
        };
        if lent.reads_left == 0 {
            return Poll::Pending;
        }
        let mut read = ReadBuf::new(lent.read_buffer);
        ready!(Pin::new(stream).poll_read(cx, &mut read))?;
        lent.reads_left -= 1;
        received.extend_from_slice(read.filled());
        Poll::Ready(Ok(read.filled().len()))
    }

    /// Returns the next action if nothing can be read. The connection needs a task if it holds bytes for either side,
    /// or if its number of reads is used up and more input may be there.
    pub(super) fn wait(&self, lent: &Option<Lent<'_>>) -> Next {
        let may_have_more = lent.as_ref().is_some_and(|lent| lent.reads_left == 0);
        let holds_bytes =
            !self.buffers.received.is_empty() || self.stream.as_ref().is_some_and(Stream::wants_write);
        if may_have_more || holds_bytes { Next::NeedsTask } else { Next::Wait }
    }

    /// Logs why the connection ended early.
    pub(super) fn log(&self, error: &ConnectionError) {
        tracing::debug!(peer = %self.context.peer.address, %error, "a connection ended early");
    }

    /// Counts an expired timeout.
    pub(super) fn timed_out(&self, timeout: Timeout) -> ConnectionError {
        if timeout == Timeout::Handshake {
            return self.handshake_failed(io::ErrorKind::TimedOut.into());
        }
        self.context.server.count_cut(timeout.name());
        ConnectionError::Timeout(timeout)
    }

    /// Closes an idle connection, as far as possible without blocking.
    pub(super) fn close(&mut self) {
        if let (State::Idle, Some(stream)) = (&self.state, &mut self.stream) {
            let _ = Pin::new(stream).poll_shutdown(&mut Context::from_waker(Waker::noop()));
        }
    }

    /// Closes an idle connection whose deadline has passed.
    pub(super) fn expire(mut self) {
        self.close();
        let (_, timeout) = self.deadline();
        if timeout != Timeout::Idle {
            self.log(&self.timed_out(timeout));
        }
    }
}

fn ended() -> ControlFlow<Next> {
    Break(Next::Closed(Ok(())))
}

fn drive_hyper<S: Transport, H: Handler>(
    hyper: &mut HyperConnection<Stream<S>, H>,
    cx: &mut Context<'_>,
    finishing: bool,
) -> Next {
    let mut polled = hyper.poll(cx);
    // hyper is polled first: on a graceful shutdown it drops input that it has not read.
    if finishing && polled.is_pending() {
        hyper.finish();
        polled = hyper.poll(cx);
    }
    match polled {
        Poll::Pending => Next::NeedsTask,
        Poll::Ready(ended) => Next::Closed(ended.map_err(Into::into)),
    }
}
