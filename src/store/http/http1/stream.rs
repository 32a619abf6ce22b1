//! A connection to a store: a TCP connection, with or without TLS.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

use super::tls::Session;
use crate::store::buffer_pool::Buffer;

/// How much the kernel holds from the store for a client, in bytes. The kernel would adapt its receive buffer to the
/// store's speed, up to megabytes for each client that is slower than the store. It doubles both values, and their
/// buffers hold about as much as is said here. A window of 208 KiB (the most that `net.core.rmem_max` allows on most
/// machines) lets a store that is 5 ms away send 40 MB/s to one client; `store.read_ahead` is for distant stores.
const RECEIVE_BUFFER: usize = 256 * 1024;

/// The same while the client has taken only little, or nothing for a while.
const SMALL_RECEIVE_BUFFER: usize = 64 * 1024;

#[derive(Debug)]
pub(super) struct Stream {
    tcp: TcpStream,
    tls: Option<Box<Session>>,
    has_small_buffer: bool,
}

impl Stream {
    pub(super) async fn connect(host: &str, port: u16, tls: Option<&Arc<ClientConfig>>) -> io::Result<Self> {
        let tcp = TcpStream::connect((host, port)).await?;
        tcp.set_nodelay(true)?;
        let mut stream = Self { tcp, tls: None, has_small_buffer: false };
        stream.limit_receive_buffer(true);
        if let Some(config) = tls {
            let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
            let session = Session::connect(&mut stream.tcp, Arc::clone(config), name).await?;
            stream.tls = Some(Box::new(session));
        }
        Ok(stream)
    }

    /// Limits what the kernel holds from the store: only a little until the client shows that it takes more.
    pub(super) fn limit_receive_buffer(&mut self, small: bool) {
        if small != self.has_small_buffer {
            let size = if small { SMALL_RECEIVE_BUFFER } else { RECEIVE_BUFFER };
            // A failure only costs memory.
            let _ = socket2::SockRef::from(&self.tcp).set_recv_buffer_size(size);
            self.has_small_buffer = small;
        }
    }

    /// The TCP connection, if there is no TLS.
    pub(super) fn plain(&self) -> Option<&TcpStream> {
        self.tls.is_none().then_some(&self.tcp)
    }

    /// Whether the connection is open and no unexpected byte has arrived, as far as the runtime knows.
    pub(super) fn is_idle(&mut self) -> bool {
        let cx = &mut Context::from_waker(Waker::noop());
        if self.tcp.poll_read_ready(cx).is_pending() {
            return self.tls.as_ref().is_none_or(|tls| tls.is_idle());
        }
        match &mut self.tls {
            Some(tls) => tls.read_tickets(&mut self.tcp, cx),
            None => {
                let read = self.tcp.try_read(&mut [0]);
                read.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
            }
        }
    }

    pub(super) async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.tls {
            Some(tls) => self.tcp.write_all(&tls.encrypt(bytes)?).await,
            None => self.tcp.write_all(bytes).await,
        }
    }

    /// Reads up to `most` bytes; none at the end of the stream.
    pub(super) fn poll_chunk(&mut self, cx: &mut Context<'_>, most: usize) -> Poll<io::Result<Bytes>> {
        if let Some(tls) = &mut self.tls {
            return tls.poll_chunk(&mut self.tcp, cx, most);
        }
        // A waiting connection holds no buffer: many connections may be waiting.
        ready!(self.tcp.poll_read_ready(cx))?;
        let mut buffer = Buffer::of(most);
        let mut space = ReadBuf::new(buffer.space());
        ready!(Pin::new(&mut self.tcp).poll_read(cx, &mut space))?;
        let count = space.filled().len();
        Poll::Ready(Ok(buffer.freeze_or_copy(count)))
    }
}
