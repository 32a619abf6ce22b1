//! TLS to a store, with rustls. Written for rustls's unbuffered interface: the buffered one (tokio-rustls) reads 4 KiB at
//! a time, and copies each byte once more.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, UnbufferedStatus,
};

use crate::store::buffer_pool::{Buffer, LONG};

/// How many bytes TLS adds to a request that fits into one record: more than any cipher suite needs.
const OVERHEAD: usize = 128;

/// The length of a whole record, of any cipher suite (RFC 8446 §5.2, RFC 5246 §6.2.3).
const LONGEST_RECORD: usize = 5 + (1 << 14) + 2048;

/// A session on an established connection.
pub(super) struct Session {
    connection: UnbufferedClientConnection,
    /// Encrypted bytes that have arrived, and whether they may be whole records. Usually they are the beginning of one.
    encrypted: Vec<u8>,
    has_records: bool,
    /// The rest of a record that was longer than the reader's buffer.
    decrypted: Vec<u8>,
    /// Encrypted bytes that go with the next request: the answer to a key update.
    unsent: Vec<u8>,
    ended: bool,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("ended", &self.ended).finish_non_exhaustive()
    }
}

/// What the handshake waits for.
enum Handshake {
    Done,
    Send,
    Receive,
}

impl Session {
    /// Performs the handshake.
    pub(super) async fn connect(
        tcp: &mut TcpStream,
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
    ) -> io::Result<Self> {
        let connection = UnbufferedClientConnection::new(config, name).map_err(invalid)?;
        let mut session = Self {
            connection,
            encrypted: Vec::new(),
            has_records: false,
            decrypted: Vec::new(),
            unsent: Vec::new(),
            ended: false,
        };
        loop {
            match session.handshake()? {
                Handshake::Done => return Ok(session),
                Handshake::Send => {
                    tcp.write_all(&session.unsent).await?;
                    session.unsent.clear();
                }
                Handshake::Receive => {
                    session.encrypted.reserve(4096);
                    if tcp.read_buf(&mut session.encrypted).await? == 0 {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
            }
        }
    }

    /// Takes the handshake as far as it goes with the bytes that have arrived.
    fn handshake(&mut self) -> io::Result<Handshake> {
        loop {
            let UnbufferedStatus { discard, state } =
                self.connection.process_tls_records(&mut self.encrypted);
            let next = match state.map_err(invalid)? {
                ConnectionState::EncodeTlsData(data) => encode(data, &mut self.unsent).map(|()| None),
                ConnectionState::TransmitTlsData(data) => {
                    data.done();
                    Ok(Some(Handshake::Send))
                }
                ConnectionState::BlockedHandshake => Ok(Some(Handshake::Receive)),
                ConnectionState::WriteTraffic(_) => Ok(Some(Handshake::Done)),
                _ => Err(io::ErrorKind::UnexpectedEof.into()),
            };
            self.encrypted.drain(..discard);
            if let Some(next) = next? {
                return Ok(next);
            }
        }
    }

    /// Encrypts a request.
    pub(super) fn encrypt(&mut self, plain: &[u8]) -> io::Result<Vec<u8>> {
        let mut written = std::mem::take(&mut self.unsent);
        loop {
            match self.connection.process_tls_records(&mut []).state.map_err(invalid)? {
                ConnectionState::EncodeTlsData(data) => encode(data, &mut written)?,
                ConnectionState::TransmitTlsData(data) => data.done(),
                ConnectionState::WriteTraffic(mut traffic) => {
                    let begin = written.len();
                    written.resize(begin + plain.len() + OVERHEAD, 0);
                    let mut encrypted = traffic.encrypt(plain, written.get_mut(begin..).unwrap_or_default());
                    if let Err(EncryptError::InsufficientSize(more)) = encrypted {
                        written.resize(begin + more.required_size, 0);
                        encrypted = traffic.encrypt(plain, written.get_mut(begin..).unwrap_or_default());
                    }
                    written.truncate(begin + encrypted.map_err(invalid)?);
                    return Ok(written);
                }
                _ => return Err(io::ErrorKind::BrokenPipe.into()),
            }
        }
    }

    /// Reads up to `most` plain bytes; none at the end of the stream.
    pub(super) fn poll_chunk(
        &mut self,
        tcp: &mut TcpStream,
        cx: &mut Context<'_>,
        most: usize,
    ) -> Poll<io::Result<Bytes>> {
        loop {
            if !self.has_records && self.decrypted.is_empty() && !self.ended {
                // A waiting connection holds no buffer: many connections may be waiting.
                ready!(tcp.poll_read_ready(cx))?;
            }
            let mut plain = Buffer::of(most);
            let count = ready!(self.poll_read(tcp, cx, plain.space()))?;
            if count > 0 || self.ended {
                return Poll::Ready(Ok(plain.freeze_or_copy(count)));
            }
        }
    }

    /// Whether the session is open and has received no unexpected byte.
    pub(super) fn is_idle(&self) -> bool {
        !self.ended && self.encrypted.is_empty() && self.decrypted.is_empty()
    }

    /// Reads what has arrived on an idle connection: session tickets may arrive at any time. Returns false if it is
    /// anything else.
    pub(super) fn read_tickets(&mut self, tcp: &mut TcpStream, cx: &mut Context<'_>) -> bool {
        match self.poll_read(tcp, cx, &mut [0]) {
            Poll::Pending => true,
            Poll::Ready(read) => read.is_ok_and(|count| count == 0) && self.is_idle(),
        }
    }

    /// Reads and decrypts what has arrived. Returns the number of plain bytes: none if no whole record has arrived.
    fn poll_read(
        &mut self,
        tcp: &mut TcpStream,
        cx: &mut Context<'_>,
        space: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if !self.decrypted.is_empty() || self.ended {
            let length = self.decrypted.len().min(space.len());
            let (now, _) = self.decrypted.split_at(length);
            space.get_mut(..length).unwrap_or_default().copy_from_slice(now);
            self.decrypted.drain(..length);
            return Poll::Ready(Ok(length));
        }
        let kept = self.encrypted.len();
        if self.has_records {
            let mut encrypted = std::mem::take(&mut self.encrypted);
            return Poll::Ready(self.decrypt(&mut encrypted, space));
        }
        let mut buffer = Buffer::of(LONG);
        // A record of 16 KiB is longer by some 22 bytes.
        let wanted = (space.len() + space.len() / 512).max(LONGEST_RECORD);
        let arrived = buffer.space().get_mut(..kept + wanted).unwrap_or_default();
        let (before, free) = arrived.split_at_mut_checked(kept).unwrap_or_default();
        before.copy_from_slice(&self.encrypted);
        let mut free = ReadBuf::new(free);
        ready!(Pin::new(tcp).poll_read(cx, &mut free))?;
        let count = free.filled().len();
        self.ended = count == 0;
        Poll::Ready(self.decrypt(arrived.get_mut(..kept + count).unwrap_or_default(), space))
    }

    /// Decrypts records until `space` is full. Keeps bytes of an incomplete record. Returns the number of plain bytes.
    fn decrypt(&mut self, arrived: &mut [u8], space: &mut [u8]) -> io::Result<usize> {
        let (mut begin, mut written) = (0, 0);
        self.has_records = true;
        while begin < arrived.len() && written < space.len() && !self.ended {
            let input = arrived.get_mut(begin..).unwrap_or_default();
            let UnbufferedStatus { mut discard, state } = self.connection.process_tls_records(input);
            match state.map_err(invalid)? {
                ConnectionState::ReadTraffic(mut traffic) => {
                    while let Some(record) = traffic.next_record() {
                        let record = record.map_err(invalid)?;
                        discard += record.discard;
                        let room = space.get_mut(written..).unwrap_or_default();
                        let (now, later) = record.payload.split_at(record.payload.len().min(room.len()));
                        room.get_mut(..now.len()).unwrap_or_default().copy_from_slice(now);
                        written += now.len();
                        self.decrypted.extend_from_slice(later);
                    }
                }
                ConnectionState::EncodeTlsData(data) => encode(data, &mut self.unsent)?,
                ConnectionState::TransmitTlsData(data) => data.done(),
                ConnectionState::WriteTraffic(_) => self.has_records = false,
                _ => self.ended = true,
            }
            begin += discard;
            if !self.has_records {
                break;
            }
        }
        self.encrypted = arrived.get(begin..).unwrap_or_default().to_vec();
        self.has_records &= !self.encrypted.is_empty();
        Ok(written)
    }
}

/// Appends a message of the handshake.
fn encode(mut data: EncodeTlsData<'_, ClientConnectionData>, to: &mut Vec<u8>) -> io::Result<()> {
    let begin = to.len();
    if let Err(EncodeError::InsufficientSize(more)) = data.encode(&mut []) {
        to.resize(begin + more.required_size, 0);
        data.encode(to.get_mut(begin..).unwrap_or_default()).map_err(invalid)?;
    }
    Ok(())
}

/// An error that shows what is wrong with a certificate.
fn invalid(error: impl std::error::Error + Send + Sync + 'static) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}
