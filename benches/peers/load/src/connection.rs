//! One connection: a request, its answer, and the next.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Instant;

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use rustls::ClientConnection;
use socket2::{Domain, Socket, Type};

use crate::answer::{self, Head};
use crate::chunked::Chunks;
use crate::options::Options;
use crate::report::Tally;

/// What is missing of a body.
enum Missing {
    Bytes(u64),
    Chunks(Chunks),
}

impl Missing {
    /// Takes in what has arrived. Returns the length of the body if it is complete.
    fn take(&mut self, arrived: &[u8], head: Head) -> Result<Option<u64>, String> {
        match self {
            Self::Bytes(missing) => {
                let left = missing.checked_sub(arrived.len() as u64);
                *missing = left.ok_or("an answer longer than it says")?;
                Ok(head.body.filter(|_| *missing == 0))
            }
            Self::Chunks(chunks) => Ok(chunks.take(arrived)?.then_some(chunks.bytes)),
        }
    }
}

pub(crate) struct Connection {
    socket: TcpStream,
    tls: Option<ClientConnection>,
    unsent: Vec<u8>,
    /// Where a new connection is part of each request, the time counts from here.
    opened: Option<Instant>,
    asked: Instant,
    /// The bytes of an incomplete head.
    start: Vec<u8>,
    /// The parsed head, and what is missing of the body.
    answer: Option<(Head, Missing)>,
    waiting: bool,
}

impl Connection {
    pub(crate) fn open(options: &Options, at: usize, registry: &Registry) -> io::Result<Self> {
        let asked = Instant::now();
        let mut socket = TcpStream::from_std(connect(options.address, at)?);
        registry.register(&mut socket, Token(at), Interest::READABLE | Interest::WRITABLE)?;
        let tls = match &options.tls {
            Some(config) => {
                let name = "localhost".try_into().map_err(io::Error::other)?;
                Some(ClientConnection::new(config.clone(), name).map_err(io::Error::other)?)
            }
            None => None,
        };
        let opened = options.close.then_some(asked);
        Ok(Self {
            socket,
            tls,
            unsent: Vec::new(),
            opened,
            asked,
            start: Vec::new(),
            answer: None,
            waiting: false,
        })
    }

    pub(crate) fn waits_for_answer(&self) -> bool {
        self.waiting
    }

    pub(crate) fn ask(&mut self, request: &[u8]) -> io::Result<()> {
        self.waiting = true;
        self.asked = self.opened.take().unwrap_or_else(Instant::now);
        match &mut self.tls {
            Some(tls) => tls.writer().write_all(request)?,
            None => self.unsent.extend_from_slice(request),
        }
        self.send()
    }

    /// Works as far as it can without waiting. `Some` when the answer is complete: whether the server closes then.
    pub(crate) fn go_on(
        &mut self,
        options: &Options,
        buffer: &mut [u8],
        tally: &mut Tally,
    ) -> io::Result<Option<bool>> {
        self.send()?;
        loop {
            let read = match self.read(buffer) {
                Ok(0) => return Err(io::Error::other(self.ended_early())),
                Ok(read) => read,
                Err(error) if waits(&error) => return Ok(None),
                Err(error) => return Err(error),
            };
            if let Some((head, length)) = self.take(&buffer[..read], options).map_err(io::Error::other)? {
                self.waiting = false;
                tally.add(self.asked, length);
                return Ok(Some(head.closes));
            }
        }
    }

    /// Takes in what has arrived: the head, as soon as it ends, then the body. Returns the head and the body's length
    /// when all is there.
    fn take(&mut self, arrived: &[u8], options: &Options) -> Result<Option<(Head, u64)>, String> {
        if let Some((head, missing)) = &mut self.answer {
            let (head, length) = (*head, missing.take(arrived, *head)?);
            if length.is_some() {
                self.answer = None;
            }
            return Ok(length.map(|length| (head, length)));
        }
        self.start.extend_from_slice(arrived);
        let Some(head) = answer::head(&self.start)? else { return Ok(None) };
        options.check(head, &self.start)?;
        let body = self.start.split_off(head.length);
        self.start.clear();
        let missing = head.body.map_or_else(|| Missing::Chunks(Chunks::default()), Missing::Bytes);
        self.answer = Some((head, missing));
        self.take(&body, options)
    }

    fn send(&mut self) -> io::Result<()> {
        let sent = match &mut self.tls {
            Some(tls) => loop {
                if !tls.wants_write() {
                    return Ok(());
                }
                if let Err(error) = tls.write_tls(&mut self.socket) {
                    break Err(error);
                }
            },
            None if self.unsent.is_empty() => return Ok(()),
            None => self.socket.write(&self.unsent).map(|sent| drop(self.unsent.drain(..sent))),
        };
        match sent {
            Err(error) if !waits(&error) => Err(error),
            _ => Ok(()),
        }
    }

    /// Reads application data, without TLS.
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(tls) = &mut self.tls else { return self.socket.read(buffer) };
        loop {
            match tls.reader().read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                other => return other,
            }
            if tls.read_tls(&mut self.socket)? == 0 {
                return Ok(0);
            }
            tls.process_new_packets().map_err(io::Error::other)?;
            if tls.wants_write() {
                tls.write_tls(&mut self.socket)?;
            }
        }
    }

    fn ended_early(&self) -> String {
        match self.answer {
            Some((_, Missing::Bytes(missing))) => {
                format!("the server closed {missing} bytes before the end of an answer")
            }
            Some((_, Missing::Chunks(_))) => "the server closed before the last chunk of an answer".into(),
            None => "the server closed instead of answering".into(),
        }
    }
}

/// Connects without waiting; each four thousand connections share a source address.
pub(crate) fn connect(to: SocketAddr, at: usize) -> io::Result<std::net::TcpStream> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
    if at >= 4000 {
        let group = u8::try_from(at / 4000).map_err(io::Error::other)?;
        socket.bind(&SocketAddr::from((Ipv4Addr::new(127, 0, 1, group), 0)).into())?;
    }
    socket.set_tcp_nodelay(true)?;
    socket.set_nonblocking(true)?;
    match socket.connect(&to.into()) {
        // EINPROGRESS: it will be writable when it is done.
        Err(error) if error.raw_os_error() != Some(rustix::io::Errno::INPROGRESS.raw_os_error()) => {
            Err(error)
        }
        _ => Ok(socket.into()),
    }
}

/// Whether the socket has nothing to do yet.
pub(crate) fn waits(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected | io::ErrorKind::Interrupted
    )
}
