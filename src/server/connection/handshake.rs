//! The start of a connection before HTTP: the PROXY protocol header and the TLS handshake.

use std::io;
use std::ops::ControlFlow::{self, Break, Continue};
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Buf;

use super::driver::{Lent, Next};
use super::error::ConnectionError;
use super::http_version::HttpVersion;
use super::state_machine::{Connection, State, Step};
use crate::server::context::ConnectionContext;
use crate::server::deadlines::timeouts::{Phase, PhaseClock};
use crate::server::handler::Handler;
use crate::server::listener::proxy::parse_proxy_header;
use crate::server::socket::tcp::Transport;

impl<S: Transport, H: Handler> Connection<S, H> {
    /// Takes one step of the handshake.
    pub(super) fn handshake(
        &mut self,
        step: Step,
        cx: &mut Context<'_>,
        lent: &mut Option<Lent<'_>>,
    ) -> ControlFlow<Next> {
        match step {
            Step::ProxyHeader => self.read_proxy_header(cx, lent),
            Step::FirstBytes if self.context.server.certificate.is_none() => self.start_http1(),
            Step::FirstBytes => self.start_tls(cx, lent),
            Step::Tls => self.shake_hands(cx, lent),
        }
    }

    /// Records that a phase begins.
    fn enter(&mut self, phase: Phase, lent: &Option<Lent<'_>>) {
        match lent {
            Some(lent) => self.clock = PhaseClock { phase, since: lent.now },
            None => self.context.activity.enter(phase),
        }
    }

    fn start_http1(&mut self) -> ControlFlow<Next> {
        self.state = State::Idle;
        // Zero copy needs plain TCP: with TLS, the bytes of a body do not reach the socket unchanged.
        if let Some(socket) = self.stream.as_mut().and_then(|stream| stream.plain()).and_then(S::tcp) {
            socket.set_gate(self.context.gate.clone());
        }
        Continue(())
    }

    fn read_proxy_header(&mut self, cx: &mut Context<'_>, lent: &mut Option<Lent<'_>>) -> ControlFlow<Next> {
        let error = match parse_proxy_header(&self.buffers.received) {
            Some(Ok((length, client))) => {
                self.admit_client(client.unwrap_or(self.context.peer.address), lent)?;
                self.buffers.received.advance(length);
                return Continue(());
            }
            Some(Err(error)) => error,
            None => match self.poll_receive(cx, lent) {
                Poll::Pending => return Break(self.wait(lent)),
                Poll::Ready(Ok(count)) if count > 0 => return Continue(()),
                Poll::Ready(received) => received.err().unwrap_or(io::ErrorKind::UnexpectedEof.into()),
            },
        };
        self.context.server.count_refused("no_proxy_header");
        let peer = self.context.peer.address;
        tracing::warn!(%peer, %error, "a connection of a trusted proxy has no PROXY header");
        Break(Next::Closed(Ok(())))
    }

    /// Continues with the client that a proxy has named, unless the client's limit is reached.
    fn admit_client(
        &mut self,
        client: std::net::SocketAddr,
        lent: &mut Option<Lent<'_>>,
    ) -> ControlFlow<Next> {
        let server = Arc::clone(&self.context.server);
        match server.share_of(client.ip()) {
            Ok(share) => self.admission.share = share,
            Err(limit) => return self.reject(lent, |stream| server.reject(stream, client, limit)),
        }
        self.context = ConnectionContext::http1(&server, client, Arc::clone(self.activity()));
        self.enter(Phase::FirstByte, lent);
        self.state = State::Handshake(Step::FirstBytes);
        Continue(())
    }

    /// Checks the first bytes before a TLS session is created: most clients that send no bytes never will.
    fn start_tls(&mut self, cx: &mut Context<'_>, lent: &mut Option<Lent<'_>>) -> ControlFlow<Next> {
        let server = Arc::clone(&self.context.server);
        let peer = self.context.peer.address;
        match self.buffers.received.first().copied() {
            None if self.receive(cx, lent)? == 0 => return Break(Next::Closed(Ok(()))),
            None => return Continue(()),
            // The first byte of TLS is not a letter, that of a plain HTTP request is.
            Some(byte) if byte.is_ascii_alphabetic() => {
                return self.reject(lent, |stream| {
                    server.count_refused("not_tls");
                    tracing::debug!(%peer, "plain HTTP was spoken where TLS is");
                    server.rejecter.tls_expected(stream, peer.ip());
                });
            }
            Some(_) => {}
        }
        if let (Some(certificate), Some(stream)) = (&server.certificate, &mut self.stream)
            && let Err(error) = stream.start_tls(certificate.server_config())
        {
            return Break(Next::Closed(Err(self.handshake_failed(error))));
        }
        self.enter(Phase::Handshake, lent);
        self.state = State::Handshake(Step::Tls);
        Continue(())
    }

    fn shake_hands(&mut self, cx: &mut Context<'_>, lent: &mut Option<Lent<'_>>) -> ControlFlow<Next> {
        let Some(stream) = &mut self.stream else { return Break(Next::Closed(Ok(()))) };
        let made = stream.poll_handshake(&self.buffers.received, cx);
        let is_http2 = made.is_ready() && stream.agreed_on_http2();
        self.buffers.received.clear();
        match made {
            Poll::Pending => return Break(self.wait(lent)),
            Poll::Ready(Err(error)) => return Break(Next::Closed(Err(self.handshake_failed(error)))),
            Poll::Ready(Ok(())) if is_http2 && lent.is_some() => return Break(Next::NeedsTask),
            Poll::Ready(Ok(())) => {}
        }
        // The handshake timeout is over: the header timeout of the first request starts now.
        self.enter(Phase::FirstByte, lent);
        if is_http2 {
            self.start_hyper(HttpVersion::Http2);
            return Continue(());
        }
        self.start_http1()
    }

    /// Passes the socket to the server's rejecter, which answers the client. This needs a task.
    fn reject(
        &mut self,
        lent: &Option<Lent<'_>>,
        answer: impl FnOnce(std::net::TcpStream),
    ) -> ControlFlow<Next> {
        if lent.is_some() {
            return Break(Next::NeedsTask);
        }
        let socket = self.stream.as_mut().and_then(|stream| stream.socket().tcp());
        Break(Next::Closed(match socket.map(|socket| socket.release()) {
            Some(Ok(stream)) => {
                answer(stream);
                Ok(())
            }
            Some(Err(error)) => Err(error.into()),
            None => Ok(()),
        }))
    }

    /// Counts a failed handshake.
    pub(super) fn handshake_failed(&self, error: io::Error) -> ConnectionError {
        self.context.server.count_refused("no_handshake");
        ConnectionError::Handshake(error)
    }
}
