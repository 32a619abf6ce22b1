//! The byte stream to and from a client: a socket, with or without TLS.
//!
//! rustls encrypts and decrypts. Encrypted bytes are sent as late as possible, to combine them: a session ticket with
//! the first response, the last response with the close_notify alert.

use std::io::{self, BufRead, IoSlice, Read, Write};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::rustls::{ServerConfig, ServerConnection};

/// The maximum number of encrypted bytes that are kept. The socket has to take them before more are encrypted.
const MAX_UNSENT: usize = 16 * 1024;

/// The maximum number of encrypted bytes that a session buffers for a client that does not read. HTTP/1 writes no
/// further piece of a body while one is unsent, and a slow client's pieces are short, so a session never comes near the
/// limit.
const BUFFER: usize = 272 * 1024;
const HTTP2_BUFFER: usize = 16 * 1024;

/// A stream between a client and the server.
///
/// With TLS, written bytes are sent on a flush, when the server waits for the client's input, or when [`MAX_UNSENT`] is
/// reached.
#[derive(Debug)]
pub(crate) struct Stream<S> {
    socket: S,
    tls: Option<Box<Tls>>,
}

#[derive(Debug)]
struct Tls {
    session: ServerConnection,
    /// The number of bytes encrypted since the socket last took everything.
    unsent: usize,
}

impl<S> Stream<S> {
    /// Creates a stream without TLS.
    pub(crate) fn new(socket: S) -> Self {
        Self { socket, tls: None }
    }

    pub(crate) fn socket(&mut self) -> &mut S {
        &mut self.socket
    }

    /// The socket, if the stream has no TLS.
    pub(crate) fn plain(&mut self) -> Option<&mut S> {
        self.tls.is_none().then_some(&mut self.socket)
    }

    /// Starts TLS: a handshake follows, then encrypted data.
    pub(crate) fn start_tls(&mut self, config: Arc<ServerConfig>) -> io::Result<()> {
        let session = ServerConnection::new(config).map_err(io::Error::other)?;
        self.tls = Some(Box::new(Tls { session, unsent: 0 }));
        Ok(())
    }

    /// Whether encrypted bytes are unsent.
    pub(crate) fn wants_write(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.session.wants_write())
    }

    /// Whether client and server have negotiated HTTP/2 in the handshake (RFC 9113 §3.3). Without TLS there is no
    /// negotiation.
    pub(crate) fn agreed_on_http2(&mut self) -> bool {
        let Some(tls) = &mut self.tls else { return false };
        let is_http2 = tls.session.alpn_protocol() == Some(b"h2");
        tls.session.set_buffer_limit(Some(if is_http2 { HTTP2_BUFFER } else { BUFFER }));
        is_http2
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Stream<S> {
    /// Performs the TLS handshake. `received` was already read from the client.
    pub(crate) fn poll_handshake(
        &mut self,
        mut received: &[u8],
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while let Some(tls) = &mut self.tls {
            // rustls would take an empty read for the end of the stream.
            if !received.is_empty() && tls.session.read_tls(&mut received)? > 0 {
                self.process(cx)?;
            } else if tls.session.is_handshaking() {
                ready!(self.poll_send(cx))?;
                if ready!(self.poll_receive(cx))? == 0 {
                    return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
                }
            } else {
                break;
            }
        }
        // A ticket is sent with the next write or read.
        Poll::Ready(Ok(()))
    }

    /// Reads and decrypts the client's input. Returns the number of bytes read.
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let Some(tls) = &mut self.tls else { return Poll::Ready(Ok(0)) };
        let count = match tls.session.read_tls(&mut Bridge { socket: &mut self.socket, cx }) {
            // The client may be waiting for unsent bytes.
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
        let Some(tls) = &mut self.tls else { return Ok(()) };
        tls.session.process_new_packets().map(drop).map_err(|error| {
            // Sends the TLS alert, so that the client learns the reason.
            let _ = self.poll_send(cx);
            io::Error::new(io::ErrorKind::InvalidData, error)
        })
    }

    /// Writes all encrypted bytes to the socket.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(tls) = &mut self.tls else { return Poll::Ready(Ok(())) };
        while tls.session.wants_write() {
            match tls.session.write_tls(&mut Bridge { socket: &mut self.socket, cx }) {
                Ok(0) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Poll::Pending,
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        tls.unsent = 0;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Stream<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            let Some(tls) = &mut this.tls else { return Pin::new(&mut this.socket).poll_read(cx, buffer) };
            match tls.session.reader().into_first_chunk() {
                Ok(decrypted) => {
                    let length = decrypted.len().min(buffer.remaining());
                    buffer.put_slice(decrypted.get(..length).unwrap_or_default());
                    tls.session.reader().consume(length);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
            // At the end of the stream, the reader above reports it.
            ready!(this.poll_receive(cx))?;
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Stream<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        loop {
            let Some(tls) = &mut this.tls else {
                return Pin::new(&mut this.socket).poll_write_vectored(cx, pieces);
            };
            if tls.unsent < MAX_UNSENT {
                let encrypted = tls.session.writer().write_vectored(pieces)?;
                tls.unsent += encrypted;
                if encrypted > 0 || pieces.iter().all(|piece| piece.is_empty()) {
                    return Poll::Ready(Ok(encrypted));
                }
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

    /// With TLS, sends close_notify (RFC 8446 §6.1) together with the unflushed bytes.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Some(tls) = &mut this.tls {
            tls.session.send_close_notify();
        }
        ready!(this.poll_send(cx))?;
        Pin::new(&mut this.socket).poll_shutdown(cx)
    }
}

/// A socket with std's blocking interface, for rustls: if it is not ready, it returns `WouldBlock`.
struct Bridge<'a, 'b, S> {
    socket: &'a mut S,
    cx: &'a mut Context<'b>,
}

impl<S: AsyncRead + Unpin> Read for Bridge<'_, '_, S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut buffer = ReadBuf::new(buffer);
        match Pin::new(&mut *self.socket).poll_read(self.cx, &mut buffer) {
            Poll::Ready(read) => read.map(|()| buffer.filled().len()),
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

impl<S: AsyncWrite + Unpin> Write for Bridge<'_, '_, S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        match Pin::new(&mut *self.socket).poll_write_vectored(self.cx, pieces) {
            Poll::Ready(written) => written,
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    /// The socket buffers nothing.
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

    /// A socket that counts its writes.
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

    /// Returns a client, its connection through a pipe that takes `room` bytes at a time, and the number of the
    /// server's writes. The client's first bytes were read before the handshake.
    async fn connected(room: usize) -> (ClientStream<DuplexStream>, Stream<Counting>, Arc<AtomicUsize>) {
        let (server, client) = both_sides();
        let (ours, mut theirs) = tokio::io::duplex(room);
        let name = ServerName::try_from("localhost").unwrap();
        let writes = Arc::new(AtomicUsize::new(0));
        let accept = async {
            let mut greeting = [0; 9];
            let count = theirs.read(&mut greeting).await.unwrap();
            let socket = Counting(theirs, Arc::clone(&writes));
            let mut stream = Stream::new(socket);
            stream.start_tls(server).unwrap();
            let mut greeting = &greeting[..count];
            std::future::poll_fn(|cx| stream.poll_handshake(std::mem::take(&mut greeting), cx))
                .await
                .unwrap();
            stream
        };
        let (client, stream) = tokio::join!(client.connect(name, ours), accept);
        (client.unwrap(), stream, writes)
    }

    #[tokio::test]
    async fn tickets_go_with_the_first_answer_and_close_notify_with_the_last() {
        let (mut client, mut stream, writes) = connected(64 * 1024).await;
        assert_eq!(writes.load(Ordering::Relaxed), 1, "hello, certificate and finish");
        client.write_all(b"one?").await.unwrap();
        stream.read_exact(&mut [0; 4]).await.unwrap();
        stream.write_all(b"one").await.unwrap();
        stream.flush().await.unwrap();
        assert_eq!(writes.load(Ordering::Relaxed), 2);
        stream.write_all(b", the last").await.unwrap();
        stream.shutdown().await.unwrap();
        assert_eq!(writes.load(Ordering::Relaxed), 3);
        let mut answers = Vec::new();
        client.read_to_end(&mut answers).await.unwrap();
        assert_eq!(answers, b"one, the last");
    }

    #[tokio::test]
    async fn what_is_unsent_goes_to_a_client_before_it_is_read_from() {
        let (mut client, mut stream, writes) = connected(64 * 1024).await;
        stream.write_all(b"well?").await.unwrap();
        assert_eq!(writes.load(Ordering::Relaxed), 1);
        let ask = async {
            client.read_exact(&mut [0; 5]).await.unwrap();
            client.write_all(b"well!").await.unwrap();
        };
        let mut said = [0; 5];
        let (read, ()) = tokio::join!(stream.read_exact(&mut said), ask);
        assert_eq!((read.unwrap(), &said), (5, b"well!"));
    }

    #[tokio::test]
    async fn nothing_is_lost_through_a_narrow_pipe() {
        // With less room than a flight of the handshake needs, both ends would wait for each other. Sockets take more.
        for room in [2_000, 40_000] {
            let (client, mut stream, _) = connected(room).await;
            let sent: Vec<u8> =
                (0..100_000_u32).map(|at| at.to_le_bytes()[0] ^ at.to_le_bytes()[1]).collect();
            let (mut hears, mut says) = tokio::io::split(client);
            let answer = async {
                let mut heard = vec![0; sent.len()];
                stream.read_exact(&mut heard).await.unwrap();
                stream.write_all(&heard).await.unwrap();
                stream.shutdown().await.unwrap();
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
    async fn a_stream_that_breaks_without_close_notify_is_an_error() {
        let (mut client, mut stream, _) = connected(64 * 1024).await;
        client.write_all(b"half").await.unwrap();
        client.flush().await.unwrap();
        drop(client);
        let mut heard = Vec::new();
        let error = stream.read_to_end(&mut heard).await.unwrap_err();
        assert_eq!((heard.as_slice(), error.kind()), (&b"half"[..], io::ErrorKind::UnexpectedEof));
    }
}
