//! A connection that leaves its rest for a task.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio::net::TcpStream;

use super::seat::Rests;
use crate::server::connection::protocol::{Protocol, judge};
use crate::server::connection::requests::Connection;
use crate::server::deadlines::activity::{Signs, Vigil};
use crate::server::fast_path::express::Express;
use crate::server::socket::io::Still;
use crate::server::socket::tcp::Socket;
use crate::server::socket::tls_stream::Sealed;
use crate::server::{Ended, Handler, Server};

/// A connection that gets a task, and what has to be done there first.
pub(in crate::server) enum Leaving<H: Handler> {
    /// Its answer has to be waited for.
    Plain(Express<Socket<Still>, H>),
    Sealed(Box<Express<Sealed<Socket<Still>>, H>>),
    /// Something was received that takes all that HTTP has.
    PlainInFull(Socket<Still>, Bytes, Arc<Connection<H>>),
    SealedInFull(Box<Sealed<Socket<Still>>>, Bytes, Arc<Connection<H>>),
    /// The socket does not take our half of the handshake.
    Shakes(Box<Sealed<Socket<Still>>>),
    SealedHttp2(Box<Sealed<Socket<Still>>>, Connection<H>),
    /// Plain HTTP was spoken where TLS is.
    WantsTls(Socket<Still>),
}

impl<H: Handler> Leaving<H> {
    /// The socket, as long as it is at rest.
    pub(in crate::server) fn still(&mut self) -> Option<&mut Socket<Still>> {
        match self {
            Self::Plain(express) => express.stream().map(Rests::still),
            Self::Sealed(express) => express.stream().map(Rests::still),
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
        signs: Arc<Signs>,
    ) -> Result<(), Ended> {
        let plain = |socket: Socket<Still>| socket.on(Still::awake);
        let sealed = |sealed: Sealed<Socket<Still>>| sealed.on(plain);
        // Each in a place of its own: the task would keep room for the longest of them.
        match *self {
            Self::Plain(express) => {
                let express = Box::new(express.awake(plain)?);
                Box::pin(server.speak_plain_requests(express)).await
            }
            Self::Sealed(express) => {
                let express = Box::new(express.awake(sealed)?);
                Box::pin(server.speak_plain_requests(express)).await
            }
            // What is no request yet may become the preface of HTTP/2.
            Self::PlainInFull(socket, received, _) if judge(&received) != Some(Protocol::Http1) => {
                let stream = TcpStream::from_std(socket.into_wire().into_stream())?;
                Box::pin(server.speak_plainly(stream, BytesMut::from(received), peer, None)).await
            }
            Self::PlainInFull(socket, received, connection) => {
                signs.heads_begin();
                let stream = plain(socket)?;
                let vigil = Vigil::over(signs);
                Box::pin(server.speak_in_full(stream, received, Protocol::Http1, connection, vigil)).await
            }
            Self::SealedInFull(stream, received, connection) => {
                signs.heads_begin();
                let stream = sealed(*stream)?;
                let vigil = Vigil::over(signs);
                Box::pin(server.speak_in_full(stream, received, Protocol::Http1, connection, vigil)).await
            }
            Self::SealedHttp2(stream, connection) => {
                signs.heads_begin();
                let stream = sealed(*stream)?;
                Box::pin(server.speak(stream, BytesMut::new(), Protocol::Http2, connection)).await
            }
            Self::Shakes(stream) => {
                let stream = sealed(*stream)?;
                Box::pin(server.speak_sealed(stream, &[], peer, signs)).await
            }
            Self::WantsTls(socket) => {
                server.is_not_tls(peer, socket.into_wire().into_stream());
                Ok(())
            }
        }
    }
}
