//! A connection that leaves its rest for a task.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio::net::TcpStream;

use super::seat::Rests;
use crate::server::connection::protocol::{Protocol, judge};
use crate::server::connection::requests::Connection;
use crate::server::deadlines::activity::{Activity, Watchdog};
use crate::server::fast_path::express::Express;
use crate::server::socket::io::NonblockingSocket;
use crate::server::socket::tcp::Socket;
use crate::server::socket::tls_stream::TlsStream;
use crate::server::{ConnectionError, Handler, Server};

/// A connection that gets a task, and what has to be done there first.
pub(in crate::server) enum Leaving<H: Handler> {
    /// Its answer has to be waited for.
    Plain(Express<Socket<NonblockingSocket>, H>),
    TlsStream(Box<Express<TlsStream<Socket<NonblockingSocket>>, H>>),
    /// Something was received that takes all that HTTP has.
    PlainInFull(Socket<NonblockingSocket>, Bytes, Arc<Connection<H>>),
    SealedInFull(Box<TlsStream<Socket<NonblockingSocket>>>, Bytes, Arc<Connection<H>>),
    /// The socket does not take our half of the handshake.
    Shakes(Box<TlsStream<Socket<NonblockingSocket>>>),
    SealedHttp2(Box<TlsStream<Socket<NonblockingSocket>>>, Connection<H>),
    /// Plain HTTP was spoken where TLS is.
    WantsTls(Socket<NonblockingSocket>),
}

impl<H: Handler> Leaving<H> {
    /// The socket, as long as it is at rest.
    pub(in crate::server) fn still(&mut self) -> Option<&mut Socket<NonblockingSocket>> {
        match self {
            Self::Plain(express) => express.stream().map(Rests::still),
            Self::TlsStream(express) => express.stream().map(Rests::still),
            Self::PlainInFull(socket, _, _) | Self::WantsTls(socket) => Some(socket),
            Self::SealedInFull(sealed, _, _) | Self::Shakes(sealed) | Self::SealedHttp2(sealed, _) => {
                Some(sealed.still())
            }
        }
    }

    /// Goes on where it has stopped.
    pub(in crate::server) async fn go_on(
        self: Box<Self>,
        server: &Arc<Server<H>>,
        peer: SocketAddr,
        activity: Arc<Activity>,
    ) -> Result<(), ConnectionError> {
        let plain = |socket: Socket<NonblockingSocket>| socket.on(NonblockingSocket::awake);
        let sealed = |sealed: TlsStream<Socket<NonblockingSocket>>| sealed.on(plain);
        // Each in a place of its own: the task would keep room for the longest of them.
        match *self {
            Self::Plain(express) => {
                let express = Box::new(express.awake(plain)?);
                Box::pin(server.speak_plain_requests(express)).await
            }
            Self::TlsStream(express) => {
                let express = Box::new(express.awake(sealed)?);
                Box::pin(server.speak_plain_requests(express)).await
            }
            // What is no request yet may become the preface of HTTP/2.
            Self::PlainInFull(socket, received, _) if judge(&received) != Some(Protocol::Http1) => {
                let stream = TcpStream::from_std(socket.into_wire().into_stream())?;
                Box::pin(server.speak_plainly(stream, BytesMut::from(received), peer, None)).await
            }
            Self::PlainInFull(socket, received, connection) => {
                activity.expect_head();
                let stream = plain(socket)?;
                let watchdog = Watchdog::new(activity);
                Box::pin(server.speak_in_full(stream, received, Protocol::Http1, connection, watchdog)).await
            }
            Self::SealedInFull(stream, received, connection) => {
                activity.expect_head();
                let stream = sealed(*stream)?;
                let watchdog = Watchdog::new(activity);
                Box::pin(server.speak_in_full(stream, received, Protocol::Http1, connection, watchdog)).await
            }
            Self::SealedHttp2(stream, connection) => {
                activity.expect_head();
                let stream = sealed(*stream)?;
                Box::pin(server.speak(stream, BytesMut::new(), Protocol::Http2, connection)).await
            }
            Self::Shakes(stream) => {
                let stream = sealed(*stream)?;
                Box::pin(server.speak_sealed(stream, &[], peer, activity)).await
            }
            Self::WantsTls(socket) => {
                server.is_not_tls(peer, socket.into_wire().into_stream());
                Ok(())
            }
        }
    }
}
