//! A connection over TLS. rustls seals and opens; what is sealed goes out as late as it may, so that what comes together
//! goes together: a session ticket with the first answer, an answer with the word that it was the last.

use std::io::{self, BufRead, Read, Write};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::rustls::{ServerConfig, ServerConnection};

/// So many bytes that were sealed and did not go out are enough: before more is sealed, the socket has to take them.
const ENOUGH: usize = 16 * 1024;

/// A stream between a client and whoever answers it, sealed with what both agreed upon.
///
/// What is written is on its way when it was flushed, when the client has to say something first, or when more was written
/// than may be held.
#[derive(Debug)]
pub(in crate::server) struct TlsStream<S> {
    socket: S,
    session: ServerConnection,
    /// How many bytes were sealed since the socket last had taken all.
    held: usize,
}

impl<S: AsyncRead + AsyncWrite + Unpin> TlsStream<S> {
    /// A connection whose handshake begins.
    pub(in crate::server) fn new(socket: S, config: Arc<ServerConfig>) -> io::Result<Self> {
        let session = ServerConnection::new(config).map_err(io::Error::other)?;
        Ok(Self { socket, session, held: 0 })
    }

    /// Makes the handshake, with whoever has said `greeting` before.
    pub(in crate::server) fn poll_handshake(
        &mut self,
        greeting: &[u8],
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        self.open(greeting, cx)?;
        while self.session.is_handshaking() {
            ready!(self.poll_send(cx))?;
            if ready!(self.poll_receive(cx))? == 0 {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
        }
        // A ticket waits for what is written or read next.
        Poll::Ready(Ok(()))
    }

    /// Opens what was received before.
    fn open(&mut self, mut received: &[u8], cx: &mut Context<'_>) -> io::Result<()> {
        // Reading nothing would be the end of the stream.
        while !received.is_empty() && self.session.read_tls(&mut received)? > 0 {
            self.process(cx)?;
        }
        Ok(())
    }

    /// Takes what the client has sent, and opens it; says how many bytes came.
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let count = match self.session.read_tls(&mut Bridge { socket: &mut self.socket, cx }) {
            // The client may be waiting for us.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return match self.poll_send(cx) {
                    Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
                    _ => Poll::Pending,
                };
            }
            read => read?,
        };
        self.process(cx)?;
        Poll::Ready(Ok(count))
    }

    fn process(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let processed = self.session.process_new_packets();
        processed.map(drop).map_err(|error| {
            // The client is told what is wrong, if it listens.
            let _ = self.poll_send(cx);
            io::Error::new(io::ErrorKind::InvalidData, error)
        })
    }

    /// Gives the socket all that is sealed.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.session.wants_write() {
            match self.session.write_tls(&mut Bridge { socket: &mut self.socket, cx }) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        self.held = 0;
        Poll::Ready(Ok(()))
    }
}

impl<S> TlsStream<S> {
    /// The same session over another socket.
    pub(in crate::server) fn on<T>(self, other: impl FnOnce(S) -> io::Result<T>) -> io::Result<TlsStream<T>> {
        let Self { socket, session, held } = self;
        Ok(TlsStream { socket: other(socket)?, session, held })
    }

    /// Whether something that is sealed waits for the socket.
    pub(in crate::server) fn wants_write(&self) -> bool {
        self.session.wants_write()
    }

    /// What was agreed upon.
    pub(in crate::server) fn session(&mut self) -> &mut ServerConnection {
        &mut self.session
    }

    /// What is below.
    pub(in crate::server) fn socket(&mut self) -> &mut S {
        &mut self.socket
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for TlsStream<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            match this.session.reader().into_first_chunk() {
                Ok(opened) => {
                    let length = opened.len().min(buffer.remaining());
                    buffer.put_slice(opened.get(..length).unwrap_or_default());
                    this.session.reader().consume(length);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
            // At the end of the stream, the reader above says so.
            ready!(this.poll_receive(cx))?;
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for TlsStream<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[io::IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        loop {
            if this.held >= ENOUGH {
                ready!(this.poll_send(cx))?;
            }
            let sealed = this.session.writer().write_vectored(pieces)?;
            this.held += sealed;
            if sealed > 0 || pieces.iter().all(|piece| piece.is_empty()) {
                return Poll::Ready(Ok(sealed));
            }
            ready!(this.poll_send(cx))?;
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_send(cx))?;
        Pin::new(&mut this.socket).poll_flush(cx)
    }

    /// Says that nothing more comes (RFC 8446 §6.1), together with whatever was not flushed.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.session.send_close_notify();
        ready!(this.poll_send(cx))?;
        Pin::new(&mut this.socket).poll_shutdown(cx)
    }
}

/// A socket as rustls knows them: one that is not ready would block.
struct Bridge<'a, 'b, S> {
    socket: &'a mut S,
    cx: &'a mut Context<'b>,
}

impl<S: AsyncRead + Unpin> Read for Bridge<'_, '_, S> {
    fn read(&mut self, room: &mut [u8]) -> io::Result<usize> {
        let mut room = ReadBuf::new(room);
        match Pin::new(&mut *self.socket).poll_read(self.cx, &mut room) {
            Poll::Ready(read) => read.map(|()| room.filled().len()),
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

impl<S: AsyncWrite + Unpin> Write for Bridge<'_, '_, S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[io::IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, pieces: &[io::IoSlice<'_>]) -> io::Result<usize> {
        match Pin::new(&mut *self.socket).poll_write_vectored(self.cx, pieces) {
            Poll::Ready(written) => written,
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    /// Nothing is held back below.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
    use tokio_rustls::TlsConnector;
    use tokio_rustls::client::TlsStream as ClientStream;
    use tokio_rustls::rustls::pki_types::{PrivateKeyDer, ServerName};
    use tokio_rustls::rustls::{ClientConfig, RootCertStore};

    use super::*;

    /// A socket that counts what is written at once.
    struct Counting(DuplexStream, Arc<AtomicUsize>);

    impl AsyncRead for Counting {
        fn poll_read(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_read(cx, buffer)
        }
    }

    impl AsyncWrite for Counting {
        fn poll_write(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.1.fetch_add(1, Ordering::Relaxed);
            Pin::new(&mut self.0).poll_write(cx, bytes)
        }

        fn poll_write_vectored(
            self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            pieces: &[io::IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            let pieces: Vec<&[u8]> = pieces.iter().map(|piece| &**piece).collect();
            self.poll_write(cx, &pieces.concat())
        }

        fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_flush(cx)
        }

        fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_shutdown(cx)
        }
    }

    fn both_sides() -> (Arc<ServerConfig>, TlsConnector) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let chain = vec![made.cert.der().clone()];
        let mut trusted = RootCertStore::empty();
        trusted.add(chain[0].clone()).unwrap();
        let client = ClientConfig::builder().with_root_certificates(trusted).with_no_client_auth();
        let server = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).unwrap();
        (Arc::new(server), TlsConnector::from(Arc::new(client)))
    }

    /// A client and its connection through a pipe that takes so many bytes at once, and how often the server wrote. The
    /// first bytes of the client were received before.
    async fn connected(room: usize) -> (ClientStream<DuplexStream>, TlsStream<Counting>, Arc<AtomicUsize>) {
        let (server, client) = both_sides();
        let (ours, mut theirs) = tokio::io::duplex(room);
        let name = ServerName::try_from("localhost").unwrap();
        let writes = Arc::new(AtomicUsize::new(0));
        let accept = async {
            let mut greeting = [0; 9];
            let count = theirs.read(&mut greeting).await.unwrap();
            let socket = Counting(theirs, Arc::clone(&writes));
            let mut sealed = TlsStream::new(socket, server).unwrap();
            let mut greeting = &greeting[..count];
            std::future::poll_fn(|cx| sealed.poll_handshake(std::mem::take(&mut greeting), cx))
                .await
                .unwrap();
            sealed
        };
        let (client, sealed) = tokio::join!(client.connect(name, ours), accept);
        (client.unwrap(), sealed, writes)
    }

    #[tokio::test]
    async fn tickets_go_with_the_first_answer_and_the_end_with_the_last() {
        let (mut client, mut sealed, writes) = connected(64 * 1024).await;
        assert_eq!(writes.load(Ordering::Relaxed), 1, "hello, certificate and finish");
        client.write_all(b"one?").await.unwrap();
        sealed.read_exact(&mut [0; 4]).await.unwrap();
        sealed.write_all(b"one").await.unwrap();
        sealed.flush().await.unwrap();
        assert_eq!(writes.load(Ordering::Relaxed), 2);
        sealed.write_all(b", the last").await.unwrap();
        sealed.shutdown().await.unwrap();
        assert_eq!(writes.load(Ordering::Relaxed), 3);
        let mut answers = Vec::new();
        client.read_to_end(&mut answers).await.unwrap();
        assert_eq!(answers, b"one, the last");
    }

    #[tokio::test]
    async fn who_waits_for_a_client_gives_it_what_is_held() {
        let (mut client, mut sealed, writes) = connected(64 * 1024).await;
        sealed.write_all(b"well?").await.unwrap();
        assert_eq!(writes.load(Ordering::Relaxed), 1);
        let ask = async {
            client.read_exact(&mut [0; 5]).await.unwrap();
            client.write_all(b"well!").await.unwrap();
        };
        let mut said = [0; 5];
        let (read, ()) = tokio::join!(sealed.read_exact(&mut said), ask);
        assert_eq!((read.unwrap(), &said), (5, b"well!"));
    }

    #[tokio::test]
    async fn nothing_is_lost_through_a_narrow_pipe() {
        // Less than a flight of the handshake, and both would wait for the other to read: sockets take more than that.
        for room in [2_000, 40_000] {
            let (client, mut sealed, _) = connected(room).await;
            let sent: Vec<u8> =
                (0..100_000_u32).map(|at| at.to_le_bytes()[0] ^ at.to_le_bytes()[1]).collect();
            let (mut hears, mut says) = tokio::io::split(client);
            let answer = async {
                let mut heard = vec![0; sent.len()];
                sealed.read_exact(&mut heard).await.unwrap();
                sealed.write_all(&heard).await.unwrap();
                sealed.shutdown().await.unwrap();
            };
            let mut back = Vec::new();
            let ask = async {
                says.write_all(&sent).await.unwrap();
                says.flush().await.unwrap();
                hears.read_to_end(&mut back).await.unwrap();
            };
            tokio::join!(answer, ask);
            assert!(back == sent, "{room} bytes at once");
        }
    }

    #[tokio::test]
    async fn a_client_that_leaves_without_a_word_has_not_ended() {
        let (mut client, mut sealed, _) = connected(64 * 1024).await;
        client.write_all(b"half").await.unwrap();
        client.flush().await.unwrap();
        drop(client);
        let mut heard = Vec::new();
        let error = sealed.read_to_end(&mut heard).await.unwrap_err();
        assert_eq!((heard.as_slice(), error.kind()), (&b"half"[..], io::ErrorKind::UnexpectedEof));
    }
}
